"""`onetake demo`: one request end to end against the simulator. Needs no account and no settings, spends nothing."""

import typer

from app.exits import Stop, run_async


def demo() -> None:
    """One prompt, requested three times and paid once. Needs no account and reads no settings.

    Then runs the old loop on the same prompt, live, at its own simulated provider.

    Exit 1 if the provider's books and the ledger disagree, or show more than one paid call.
    """
    from cli.commands.simulation import missing_parts

    if missing := missing_parts():
        raise Stop(f"the demo needs {missing}: pip install 'onetake[sim]'")
    from cli.demo_script import tell

    raise typer.Exit(run_async(tell()))
