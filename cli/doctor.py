"""`onetake check`: is everything set so that a video could be bought? Never prints a secret, never buys."""

from typing import Annotated

import typer

from cli.exits import Exit


def check(
    provider: Annotated[
        bool, typer.Option("--provider", help="Ask the provider's free endpoints, too: does a lost answer heal here?")
    ] = False,
) -> None:
    """Check the settings, the data folder and the database. Buys nothing; contacts no provider without --provider.

    Exit 2 if a video could not be bought with these settings.
    """
    from rich.text import Text

    from cli.checkup import Health, examine
    from cli.columns import print_columns
    from pipeline.config import ConfigError, load_settings

    try:
        settings = load_settings()
    except ConfigError as error:
        for line in str(error).splitlines():
            typer.secho(f"✗ {'settings':<10} {line}", fg="red")
        raise typer.Exit(Exit.USAGE) from None
    findings = examine(settings)
    if provider:
        from cli.probe import probe

        findings += probe(settings)
    signs = {Health.GOOD: ("✓", "green"), Health.NOTE: ("!", "yellow"), Health.BAD: ("✗", "red")}
    print_columns(
        (Text.assemble(signs[finding.health], f" {finding.about:<10} "), finding.words) for finding in findings
    )
    bad = sum(finding.health is Health.BAD for finding in findings)
    things = "thing is" if bad == 1 else "things are"
    typer.echo(f"\n{bad} {things} missing or wrong; nothing can be bought yet" if bad else "\nready to buy")
    raise typer.Exit(Exit.USAGE if bad else Exit.DONE)
