"""`onetake check`: could a video be bought with these settings? Never prints a secret, never buys a video."""

from typing import Annotated

import typer

from app.exits import Exit, Stop
from providers.orders import OPENAI


def check(
    provider: Annotated[
        bool,
        typer.Option(
            "--provider",
            help="Also ask the provider's free endpoints whether a lost answer can be recovered here, "
            "and ask the text model once, for a fraction of a cent.",
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="With --provider: only this one, such as fal.")
    ] = None,
) -> None:
    """Check the settings, the data folder and the database. Buys no video; calls no provider without --provider.

    Exit 2 if a video could not be bought with these settings.
    """
    from rich.text import Text

    from cli.checks.diagnostics import Health, examine
    from cli.output.columns import print_columns
    from pipeline.settings.config import load_settings
    from pipeline.settings.setting_checks import ConfigError

    try:
        settings = load_settings()
    except ConfigError as error:
        for line in str(error).splitlines():
            typer.secho(f"✗ {'settings':<10} {line}", fg="red")
        raise typer.Exit(Exit.USAGE) from None
    if name is not None:
        _check_name(name)
    findings = examine(settings)
    if provider:
        from cli.checks.vendor_probe import probe_vendors

        findings += probe_vendors(settings, name)
    if provider and name in {None, OPENAI}:
        from cli.checks.provider_probe import probe
        from cli.checks.text_probe import announcement, probe_text

        findings += probe(settings)
        if words := announcement(settings):
            typer.echo(words)
        findings += probe_text(settings)
    signs = {Health.GOOD: ("✓", "green"), Health.NOTE: ("!", "yellow"), Health.BAD: ("✗", "red")}
    print_columns(
        (Text.assemble(signs[finding.health], f" {finding.about:<10} "), finding.words) for finding in findings
    )
    bad = sum(finding.health is Health.BAD for finding in findings)
    things = "thing is" if bad == 1 else "things are"
    typer.echo(f"\n{bad} {things} missing or wrong; nothing can be bought yet" if bad else "\nready to buy")
    raise typer.Exit(Exit.USAGE if bad else Exit.DONE)


def _check_name(name: str) -> None:
    """Raises Stop for a provider that there is not."""
    from providers.apis import FACTS

    if name not in FACTS:
        raise Stop(f"--provider: there is no provider {name}; known are {', '.join(FACTS)}")
