"""Prints the messages that the text model was sent for a run."""

from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.text import Text

from cli.output.pages import print_lines
from pipeline.ledger.records import Run
from pipeline.prompts.sent import Sent


def print_sent(run: Run, sent: Sequence[Sent], *, as_json: bool) -> None:
    if as_json:
        print_lines([asdict(each) for each in sent])
        return
    if not sent:
        typer.echo(
            f"No messages are recorded for run {run.ref}: nothing was sent to the text model, or it ran before "
            "messages were recorded."
        )
        return
    console = Console(highlight=False)
    for each in sent:
        versions = ", ".join(f"{name} {sha256[:6]}" for name, sha256 in each.versions.items())
        console.print(Text(f"{each.step}  ({versions})", "bold"))
        console.print(Text(_proof(each), "dim" if each.proven else "yellow"), soft_wrap=not console.is_terminal)
        for message in each.messages:
            console.print(Text(f"--- {message['role']}", "cyan"))
            console.print(Text(message["content"]), soft_wrap=True)
        console.print()


def _proof(sent: Sent) -> str:
    asked = "" if sent.asks == 1 else f" Asked {sent.asks} times; the second time with the error in its first answer."
    if sent.proven:
        return f"exactly as sent: its sha256 matches the one recorded then.{asked}"
    return f"rendered again from the kept versions, but not exactly as sent: this program has changed since.{asked}"
