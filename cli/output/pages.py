"""Whole pages for the terminal: one run, a list of runs, the metrics. Printing only.

Tables fit 80 columns; piped columns are never cut.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from itertools import groupby
from typing import Any

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output import sentences
from cli.output.columns import NARROW, print_columns, room_beside
from cli.output.outcome import cost_words
from media.clip_file import in_words
from pipeline.clips.storage import facts_of
from pipeline.formatting import ago, usd
from pipeline.ledger.dashboard import CleanDay, Metrics
from pipeline.ledger.metrics import cached_calls, numbers, tool_calls
from pipeline.ledger.operators import Breaker, Event, Period, Stats
from pipeline.ledger.records import Run, State
from pipeline.operator_text import (
    NOT_CLEAN,
    SEEMS_FAILED,
    kept_answer_words,
    look_words,
    paid_words,
    proposed_words,
    unfetched_words,
)
from pipeline.purchase.receipt import receipt

STATE_STYLES: Mapping[State, str] = {
    State.SAVED: "green",
    State.DELIVERED: "green",
    State.FAILED: "red",
    State.REJECTED: "yellow",
    State.CANCELED: "dim",
    State.UNCERTAIN: "bold yellow",
}


GAP = 2  # between columns
KEPT_ANSWER = "answer_kept"  # the event that keeps an unclear answer of the provider


def print_object(value: Any, events: Sequence[Event] = ()) -> None:
    shown = TypeAdapter(type(value)).dump_python(value, mode="json")
    if events:
        shown["events"] = TypeAdapter(tuple[Event, ...]).dump_python(tuple(events), mode="json")
    typer.echo(json.dumps(shown, ensure_ascii=False))


def print_receipt(run: Run, *, as_json: bool) -> None:
    """Prints when the one order was sent, what it was, and what it cost."""
    facts = receipt(run)
    if as_json:
        typer.echo(json.dumps(dict(facts), ensure_ascii=False))
        return
    width = max(len(label) for label, _ in facts)
    print_columns((Text(f"{label:<{width}}  "), value) for label, value in facts)


def print_lines(objects: Sequence[Mapping[str, object]]) -> None:
    for each in objects:
        typer.echo(json.dumps(each, ensure_ascii=False))


def print_runs(runs: Sequence[Run], ledger: str, console: Console | None = None) -> None:
    if not runs:
        typer.echo(f"no runs in {ledger}")
        return
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = 240
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim", pad_edge=False)
    cells = [("ref", "state", "age", "cost"), *map(_cells, runs)]
    for name in cells[0]:
        table.add_column(name, justify="right" if name == "cost" else "left", no_wrap=True)
    room = room_beside(cells, GAP, console.width)
    table.add_column("title or prompt"[:room], no_wrap=True)
    for run, (ref, state, age, cost) in zip(runs, cells[1:], strict=True):
        title = " ".join((run.title or run.prompt).split())[:120]
        shown = title if len(title) <= room else f"{title[: room - 1]}…"
        table.add_row(ref, Text(state, STATE_STYLES.get(run.state, "cyan")), age, cost, Text(shown))
    console.print(table)


def _cells(run: Run) -> tuple[str, str, str, str]:
    state = f"{run.state}{' (parked)' if run.parked else ''}"
    cost = usd(run.spent_microusd) if run.spent_microusd else f"({usd(run.held_microusd)})"
    held_or_spent = run.held_microusd or run.spent_microusd
    return run.ref, state, ago(run.reserved_at, run.read_at), cost if held_or_spent else "-"


def print_run(
    run: Run, events: Sequence[Event], console: Console | None = None, breakers: Sequence[Breaker] = ()
) -> None:
    console = console or Console(highlight=False)
    style = STATE_STYLES.get(run.state, "cyan")
    console.print(Text.assemble((f"run {run.ref}  ", "bold"), (f"{run.state}", style)))
    words = sentences.ending(run) if run.ended else _open_words(run, breakers)
    console.print(Text(words), soft_wrap=not console.is_terminal)
    console.print()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(run, events):
        grid.add_row(name, Text(value))
    console.print(grid)
    console.print()
    _print_timeline(events, console)


def _open_words(run: Run, breakers: Sequence[Breaker]) -> str:
    if run.in_doubt or run.parked:
        return sentences.in_doubt(run, shown=True)
    if run.state is State.RENDERING and run.failing_since is not None:
        return f"{SEEMS_FAILED} {usd(run.held_microusd)} stays set aside."
    words = sentences.unfinished(run, breakers)
    return f"{words[0].upper()}{words[1:]}. {usd(run.held_microusd)} is set aside. {sentences.continued_by(run)}"


def _facts(run: Run, events: Sequence[Event]) -> list[tuple[str, str]]:
    facts = [
        ("user", run.user_id),
        ("key", run.request_key),
        ("prompt", run.prompt),
        ("improved", run.improved_prompt),
        ("title", run.title),
        ("caption", run.caption),
        ("hashtags", " ".join(run.hashtags or ())),
        ("buys", f"{run.seconds} s of {run.offer}, {run.size}, at {run.base_url}"),
        ("price", usd(run.price_microusd)),
        ("charged", f"{usd(run.charged_microusd)}, says the provider" if run.charged_microusd is not None else None),
        ("cost", cost_words(run)),
        ("job", f"{run.job_id} (by {run.job_source})" if run.job_id else None),
        ("gateway", f"it may have bought {run.gateway_attempts + 1} times" if run.gateway_attempts else None),
        ("provider says", _provider_says(run)),
        ("last look", look_words(run) if run.in_doubt or run.parked else None),
        ("may be job", proposed_words(events) if run.in_doubt else None),
        ("not fetched", unfetched_words(events) if run.file is None else None),
        *(("kept answer", kept_answer_words(event.detail)) for event in events if event.outcome == KEPT_ANSWER),
        ("file", run.file),
        ("clip", in_words(facts_of(run)) if run.clip_kind else None),
        ("prompts", ", ".join(f"{name} {sha256[:6]}" for name, sha256 in sorted(run.templates.items()))),
        ("run id", str(run.run_id)),
    ]
    return [(name, value) for name, value in facts if value]


def _provider_says(run: Run) -> str:
    """The provider's own word for the job's state, and its words about a failure."""
    return ": ".join(dict.fromkeys(part for part in (run.provider_word, run.failing_words) if part))


def _outcome(event: Event) -> str:
    status = event.detail.get("status")
    return f"{event.outcome} (HTTP {status})" if event.outcome == KEPT_ANSWER and status else event.outcome


def _print_timeline(events: Sequence[Event], console: Console) -> None:
    narrow = console.is_terminal and console.width < NARROW
    table = Table(box=None, padding=(0, 1 if narrow else GAP, 0, 0), header_style="dim", pad_edge=False)
    for name in ("time (UTC)", "step"):
        table.add_column(name, no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for name in ("took", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for (step, outcome), equal in groupby(events, lambda each: (each.step, _outcome(each))):
        event, *more = equal
        took = "" if not event.ms else f"{event.ms} ms" if event.ms < 1000 else f"{event.ms / 1000:.1f} s"
        cost = event.cost_microusd + sum(each.cost_microusd for each in more)
        at = event.at.astimezone(UTC).strftime("%H:%M:%S" if narrow else "%m-%d %H:%M:%S")
        words = outcome
        if more:
            last = more[-1].at.astimezone(UTC).strftime("%m-%d %H:%M:%S")
            words, took = f"{outcome}, {len(more) + 1} times, last {last}", ""
        table.add_row(at, step, words, took, usd(cost) if cost else "")
    console.print(table)


def print_metrics(found: Metrics) -> None:
    """Prints one object: the ledger's counts, and under `metrics` the answer of `GET /api/admin/agent/metrics`."""
    shown = TypeAdapter(Stats).dump_python(found.stats, mode="json") | {"metrics": numbers(found)}
    typer.echo(json.dumps(shown, ensure_ascii=False))


def print_stats(found: Metrics) -> None:
    """Scripts rely on the first line: `Total videos: N`."""
    stats, clean = found.stats, found.clean_day
    typer.echo(f"Total videos: {stats.total_videos}")
    rows = [
        ("spent", f"{usd(stats.spent_microusd)} on videos, {usd(stats.text_microusd)} on the text model"),
        ("held", usd(stats.held_microusd)),
        ("given back", usd(stats.released_microusd)),
        ("duplicates blocked", str(stats.duplicates_blocked)),
        ("money saved", usd(stats.money_saved_microusd)),
        ("requests", _counts_words(stats.requests, stats.checks)),
        ("paid calls", paid_words(stats)),
        ("runs", _states_words(stats)),
        ("steps done", _counts_words(None, tool_calls(found))),
        ("steps not repeated", _counts_words(None, cached_calls(found))),
        ("24 h, no duplicate", _clean_words(clean)),
        ("today", _period_words(stats.today, stats.budget_day_microusd)),
        ("this month", _period_words(stats.this_month, stats.budget_month_microusd)),
    ]
    print_columns((Text(f"{name + ':':<22}"), words) for name, words in rows)


def _clean_words(clean: CleanDay) -> str:
    if not clean.clean or clean.until is None:
        return NOT_CLEAN[clean.why]
    return f"yes, up to the audit of {clean.until.astimezone(UTC):%m-%d %H:%M:%S} (UTC)"


def _counts_words(total: int | None, parts: Mapping[str, int]) -> str:
    """`6: 4 accepted, 2 replayed`; zero counts are left out."""
    words = ", ".join(f"{times} {name.replace('_', ' ')}" for name, times in parts.items() if times)
    return ": ".join(([] if total is None else [str(total)]) + ([words] if words else [])) or "none"


def _states_words(stats: Stats) -> str:
    counts = [f"{stats.states[state]} {state}" for state in State if stats.states.get(state)]
    parked = [f"{stats.parked} of them parked"] if stats.parked else []
    return ", ".join(counts + parked) or "none"


def _period_words(period: Period | None, budget_microusd: int) -> str:
    known = period or Period()
    return f"{usd(known.spent_microusd)} spent, {usd(known.held_microusd)} held, of {usd(budget_microusd)}"
