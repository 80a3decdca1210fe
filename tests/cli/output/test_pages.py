"""Pages of the terminal at any width: nothing that a person would copy is cut, and no line runs over the edge."""

from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from cli.output.columns import print_columns
from cli.output.pages import print_run, print_runs
from pipeline.ledger.operators import Event
from pipeline.ledger.records import State
from tests.cli.runs import NOW, run_in

WIDTHS = pytest.mark.parametrize("width", [60, 80, 120])
WORDS = "a red kite over the sea at dawn while three children run after it along the beach"
EVENTS = (
    Event(NOW, "validate_prompt", "approved", 14, 172),
    Event(NOW, "generate_video", "answer_kept", detail={"status": 502}),
    Event(NOW + timedelta(hours=1), "reconcile", "look_incomplete", 61_000),
)


def terminal(width: int) -> Console:
    return Console(file=StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert max(map(len, lines)) <= console.width
    return lines


@WIDTHS
def test_a_list_of_runs_shortens_only_the_title(width: int) -> None:
    console = terminal(width)

    print_runs([run_in(State.UNCERTAIN, parked_at=NOW, title=WORDS), run_in(State.SAVED, title="A boat")], "x", console)

    _, parked, saved = lines_of(console)
    assert parked.startswith("A7K2QX  uncertain (parked)  10 s ago  ($0.80)  a red kite") and parked.endswith(
        ("…", "beach")
    )
    assert saved.startswith("A7K2QX  saved") and saved.endswith("$0.80  A boat")


@WIDTHS
def test_a_runs_timeline_is_not_cut(width: int) -> None:
    console = terminal(width)

    print_run(run_in(State.UNCERTAIN, title="A boat"), EVENTS, console)

    shown = "\n".join(lines_of(console))
    assert "…" not in shown
    for whole in ("14:00:00", "validate_prompt", "14 ms", "$0.000172", "look_incomplete", "61.0 s", "answer_kept"):
        assert whole in shown


@WIDTHS
def test_long_text_wraps_within_its_own_column(width: int) -> None:
    console = terminal(width)

    print_columns([(Text("prompt:  "), WORDS)], console)

    first, *more = lines_of(console)
    assert first.startswith("prompt:  a red kite")
    assert all(line.startswith("         ") for line in more)
    assert " ".join(f"{first} {' '.join(more)}".split()) == f"prompt: {WORDS}"


def test_piped_columns_are_not_wrapped() -> None:
    console = Console(file=StringIO(), width=60)

    print_columns([(Text("prompt:  "), WORDS)], console)

    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == f"prompt:  {WORDS}\n"
