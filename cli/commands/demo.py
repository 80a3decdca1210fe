"""`onetake demo`: the story end to end against the simulator; no account, nothing to set, nothing spent."""

import typer

from app.exits import Stop, run_async


def demo() -> None:
    """One video from one prompt, asked for three times: paid once. Needs no account and reads no settings.

    Ends with the old loop at the same prompt, live, at a simulated provider of its own.

    Exit 1 if the provider's books and the ledger disagree, or show more than one paid call.
    """
    from cli.commands.simulation import missing_parts

    if missing := missing_parts():
        raise Stop(f"the demo needs {missing}: pip install 'onetake[sim]'")
    from cli.demo_script import tell

    raise typer.Exit(run_async(tell()))
