"""A run as five lines: what the ledger says, and an estimate that says where it comes from."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console

from cli.output.display import watching
from cli.output.outcome import cost_words, exit_code
from cli.output.progress import Estimate, Mark, heading, lines_of
from pipeline.formatting import ago, lasting, reopening, short, usd
from pipeline.ledger.records import Run, State
from tests.cli.runs import NOW, run_in

USUAL = Estimate(40, "from models.toml")


def marks(run: Run) -> list[Mark]:
    return [line.mark for line in lines_of(run, USUAL)]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (run_in(State.RESERVED), "done now later later later"),
        (run_in(State.REJECTED), "done not later later later"),
        (run_in(State.CANCELED), "done not later later later"),
        (run_in(State.APPROVED, improved_prompt="x", title="t"), "done done now later later"),
        (run_in(State.SUBMITTING, improved_prompt="x", title="t"), "done done now later later"),
        (run_in(State.UNCERTAIN, improved_prompt="x", title="t"), "done done now later later"),
        (run_in(State.RENDERING, improved_prompt="x", title="t"), "done done now now later"),
        (run_in(State.RENDERING, improved_prompt="x", title="t", caption="c"), "done done now done later"),
        (run_in(State.SAVED, improved_prompt="x", title="t", caption="c"), "done done done done done"),
        (run_in(State.FAILED, improved_prompt="x", title="t"), "done done not later later"),
    ],
)
def test_each_state_marks_its_steps(run: Run, expected: str) -> None:
    assert [mark.value for mark in marks(run)] == expected.split()


def test_estimate_names_its_source_and_is_dropped_once_exceeded() -> None:
    early = run_in(State.RENDERING, improved_prompt="x")
    late = run_in(State.RENDERING, improved_prompt="x", read_at=NOW + timedelta(seconds=60))

    assert "10 s of about 40 s (from models.toml)" in lines_of(early, USUAL)[2].ticking
    assert "longer than usual" in lines_of(late, USUAL)[2].ticking
    assert "%" not in lines_of(early, USUAL)[2].ticking, "no per cent unless the provider gives one"
    told = run_in(State.RENDERING, improved_prompt="x", progress=30)
    assert "30 %" in lines_of(told, USUAL)[2].ticking


def test_run_seen_failing_once_is_shown_as_not_decided_yet() -> None:
    failing = run_in(State.RENDERING, improved_prompt="x", failing_since=NOW, failing_words="content policy")

    assert lines_of(failing, USUAL)[2].words == "It seems to have failed; checking once more. Nothing is decided yet."


def test_deferred_run_shows_the_reason() -> None:
    held = run_in(State.APPROVED, improved_prompt="x", deferred_by="paused", deferred_since=NOW)

    assert lines_of(held, None)[2].words == "waiting: buying is paused"
    full = lines_of(replace(held, deferred_by="breaker_open"), None)[2].words
    assert "too many orders in a short time" in full and "too many failures lately" not in full


def test_without_a_terminal_there_is_one_line_per_step_change() -> None:
    console = Console(file=StringIO(), width=80)
    with watching(console) as show:
        for run in (
            run_in(State.RESERVED),
            run_in(State.RESERVED),
            run_in(State.RENDERING, improved_prompt="x", title="Boat"),
            run_in(State.RENDERING, improved_prompt="x", title="Boat", progress=50),
        ):
            show(run, USUAL)

    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == heading(run_in(State.RESERVED))
    assert lines[1:] == [
        "done limits   $0.80 set aside",
        "now  prompt   being checked",
        'done prompt   passed: "Boat"',
        "now  video    rendering",
        "now  caption",
    ]


def test_a_terminal_shows_the_list_of_steps_within_80_columns() -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True)
    with watching(console) as show:
        show(run_in(State.RENDERING, improved_prompt="x", title="Boat " * 16), USUAL)

    assert isinstance(console.file, StringIO)
    assert "rendering" in console.file.getvalue()


@pytest.mark.parametrize(
    ("microusd", "words"),
    [
        (0, "$0.00"),
        (800_000, "$0.80"),
        (1_234_560_000, "$1,234.56"),
        (231, "$0.000231"),
        (-500_000, "-$0.50"),
    ],
)
def test_money_is_written_to_the_last_micro_dollar(microusd: int, words: str) -> None:
    assert usd(microusd) == words


def test_durations_and_times_are_formatted_for_people() -> None:
    assert [lasting(s) for s in (0, 8, 119, 120, 3600, 4200, 90_000, 300_000)] == [
        *("0 s", "8 s", "119 s", "2 min", "1 h", "1 h 10 min", "25 h", "3 d"),
    ]
    assert [short(s) for s in (0.44, 12.3, 187)] == ["0.4 s", "12 s", "3:07"]
    assert reopening(NOW + timedelta(seconds=8), NOW) == " in 8 s"
    assert reopening(None, NOW) == ""
    assert ago(None, NOW) == "-"
    assert ago(NOW, NOW + timedelta(minutes=5)) == "5 min ago"


def test_cost_shows_seconds_price_and_text_model() -> None:
    saved = run_in(State.SAVED, text_microusd=231)

    assert cost_words(saved) == "$0.80 (8 s at $0.10/s), and $0.000231 for the text model"
    assert cost_words(run_in(State.FAILED)) == "$0.00"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        *((State.SAVED, 0), (State.DELIVERED, 0)),
        *((State.REJECTED, 1), (State.FAILED, 1), (State.CANCELED, 1)),
        *((State.UNCERTAIN, 4), (State.RENDERING, 4), (State.SUBMITTING, 4), (State.APPROVED, 4)),
    ],
)
def test_every_state_has_its_exit_code(state: State, code: int) -> None:
    assert exit_code(run_in(state)) == code
