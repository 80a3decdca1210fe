"""Prints the workbench's tables and texts. Nothing here decides anything."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.asking import Answer
from evals.evaluate import PLUMBING, Result, Side, groups_of, passes, rate
from evals.staleness import SHOWN_CHARACTERS, Survey, usd_words
from evals.words_diff import changed_lines, colored, diff_words, plain
from pipeline.formatting import many
from pipeline.ledger.operators import Impact
from steps.text_model.templates import Message

WIDTH = 120  # if the output is not a terminal
IMPACT_WIDTH = 110  # below this, a version takes two lines
FAILURES_MAX = 20


def console() -> Console:
    out = Console(highlight=False)
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = WIDTH
    return out


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def short(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {sha[:SHOWN_CHARACTERS]}" for name, sha in sorted(versions.items()))


# -- show, try


def print_messages(messages: Sequence[Message], versions: Mapping[str, str]) -> None:
    out = console()
    out.print(Text(short(versions), "bold"))
    for message in messages:
        out.print(Text(f"--- {message['role']}", "cyan"))
        out.print(Text(message["content"]), soft_wrap=True)


def print_messages_diff(before: Sequence[Message], after: Sequence[Message]) -> None:
    out = console()
    for old, new in zip(before, after, strict=True):
        out.print(Text(f"--- {new['role']}", "cyan"))
        if old == new:
            out.print(Text("the same", "dim"))
            continue
        for line in changed_lines(diff_words(old["content"], new["content"])):
            out.print(colored(line) if out.is_terminal else Text(plain(line)), soft_wrap=True)


def print_answer(answer: Answer, by: str, microusd: int, failed: Sequence[str]) -> None:
    out = console()
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in (answer.fields or {"no answer": answer.error}).items():
        made.add_row(name, Text(" ".join(value) if isinstance(value, list) else _shown(value)))
    out.print(made)
    asked = "" if answer.asks == 1 else f", asked {answer.asks} times"
    took = f", {answer.ms / 1000:.1f} s" if answer.ms else ""
    out.print(Text(f"{answer.tokens_in} tokens in, {answer.tokens_out} out, {usd_words(microusd)}{took}{asked}", "dim"))
    out.print(Text(f"answered by {by}" + (f": {PLUMBING}" if answer.simulated else ""), "dim"), soft_wrap=True)
    for words in failed if not answer.simulated else ():
        out.print(Text(f"not as expected: {words}", "red"))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# -- eval


def print_report(found: Survey, now: Side, before: Side | None, revision: str) -> None:
    out = console()
    made = table("group", "cases", "answered", "before", "now", right=("cases", "answered", "before", "now"))
    old = groups_of(before.results) if before else {}
    for name, results in groups_of(now.results).items():
        answered = sum(result.fits for result in results)
        made.add_row(name, str(len(results)), str(answered), _rate(old.get(name, [])), _rate(results))
    made.add_row("all", str(len(now.results)), str(sum(result.fits for result in now.results)),
                 _rate(before.results if before else []), _rate(now.results))  # fmt: skip
    out.print(made)
    if before:
        out.print(Text(f"before: {short(before.versions)} ({revision})", "dim"))
    out.print(Text(f"now:    {short(now.versions)}", "dim"))
    _print_who(now, out)
    cost = sum(result.microusd for result in now.results)
    out.print(
        Text(
            f"{len(now.results)} cases in {now.seconds:.1f} s, offline; asked anew they would cost {usd_words(cost)}",
            "dim",
        )
    )
    _print_failures(now, out)
    if words := found.words():
        out.print(Text(words, "yellow"), soft_wrap=True)


def _print_who(now: Side, out: Console) -> None:
    by: dict[tuple[str, bool], int] = {}
    for result in now.results:
        if result.by:
            by[result.by, result.simulated] = by.get((result.by, result.simulated), 0) + 1
    for (who, simulated), count in by.items():
        words = f"{count} answered by {who}" + (f": {PLUMBING}" if simulated else "")
        out.print(Text(words, "yellow" if simulated else "dim"))
    if others := sum(bool(result.failed) and result.simulated and result.fits for result in now.results):
        words = f"{many(others, 'simulator answer')} not as expected (not counted); `eval --cases` lists them"
        out.print(Text(words, "dim"))


def _print_failures(now: Side, out: Console) -> None:
    wrong = [result for result in now.results if result.failed and (result.counts or not result.fits)]
    for result in wrong[:FAILURES_MAX]:
        out.print(Text(f"✗ {result.case.group}/{result.case.name}: {'; '.join(result.failed or ())}", "red"))
    if len(wrong) > FAILURES_MAX:
        out.print(Text(f"and {len(wrong) - FAILURES_MAX} more; `onetake prompts eval --cases` lists them all", "red"))


def print_cases(now: Side) -> None:
    """One line for each case, and its failed expectations."""
    out = console()
    made = table("case", "group", "recording", "not as expected")
    for result in now.results:
        words = "; ".join(result.failed or ()) if result.failed is not None else "no answer"
        marked = f"{words} (simulator: not counted)" if result.simulated and result.failed else words
        made.add_row(result.case.name, result.case.group, result.state.value, marked or "-")
    out.print(made)


def _rate(results: Sequence[Result]) -> str:
    found = rate(results)
    return "-" if found is None else f"{found:.0%}"


def report_object(found: Survey, now: Side, before: Side | None) -> dict[str, Any]:
    old = groups_of(before.results) if before else {}
    return {
        "versions": dict(now.versions),
        "versions_before": dict(before.versions) if before else None,
        "passes": passes(now, found),
        "pass_rate": rate(now.results),
        "groups": {
            name: {
                "cases": len(results),
                "answered": sum(result.fits for result in results),
                "pass_rate": rate(results),
                "pass_rate_before": rate(old.get(name, [])),
            }
            for name, results in groups_of(now.results).items()
        },
        "cases": [
            {
                "name": result.case.name,
                "group": result.case.group,
                "template": result.case.template,
                "state": result.state.value,
                "by": result.by or None,
                "says_something_about_wording": result.counts,
                "failed": None if result.failed is None else list(result.failed),
                "answer": dict(result.answer.fields) if result.answer and result.answer.fields else None,
            }
            for result in now.results
        ],
        "stale": found.words(),
        "cost_usd": sum(result.microusd for result in now.results) / 1e6,
        "seconds": round(now.seconds, 2),
    }


# -- diff, impact


def print_diff(now: Side, before: Side, revision: str) -> None:
    out = console()
    out.print(Text(f"before: {short(before.versions)} ({revision})\nnow:    {short(now.versions)}", "dim"))
    # A case that was never recorded is only counted; one whose recording has no valid answer is shown with the reason.
    recorded = [(b, n) for b, n in zip(before.results, now.results, strict=True) if None not in (b.failed, n.failed)]
    pairs = [(b, n) for b, n in recorded if b.answer or n.answer]
    changed = [(b, n) for b, n in pairs if _fields(b) != _fields(n)]
    verdicts = table("case", "before", "now")
    captions = table("case", "caption before", "caption now")
    for b, n in changed:
        if n.case.template == "write_caption":
            captions.add_row(n.case.name, _caption(b), _caption(n))
        elif _verdict(b) != _verdict(n):
            verdicts.add_row(n.case.name, _verdict(b), _verdict(n))
    for made in (verdicts, captions):
        if made.row_count:
            out.print(made)
    unanswered = len(now.results) - len(pairs)
    same = len(pairs) - verdicts.row_count - captions.row_count
    out.print(
        f"{verdicts.row_count} verdicts and {captions.row_count} captions changed, {same} did not, "
        f"{unanswered} have no answer in one of the versions"
    )
    if any(result.simulated for result in now.results):
        out.print(Text(f"answers of the simulator: {PLUMBING}", "yellow"))


def _fields(result: Result) -> Mapping[str, Any]:
    return (result.answer.fields if result.answer else None) or {}


def _verdict(result: Result) -> str:
    fields = _fields(result)
    if not fields:
        return _no_answer(result)
    if fields.get("allowed") and not fields.get("reasons"):
        return "allowed"
    return "refused: " + ", ".join(fields.get("reasons") or ["?"])


def _caption(result: Result) -> str:
    fields = _fields(result)
    if not fields:
        return _no_answer(result)
    return f"{fields.get('text', '')}\n{' '.join(fields.get('hashtags') or ())}"


def _no_answer(result: Result) -> str:
    return f"no answer: {'; '.join(result.failed or ())}"


def print_impact(lines: Sequence[Impact], days: float, now: Mapping[str, str]) -> None:
    if not lines:
        typer.echo(f"no runs in the last {days:g} days")
        return
    out = console()
    wide = out.width >= IMPACT_WIDTH
    numbers = ("runs", "videos", "rejected", "failed", "plain", "re-asks", "$ a run")
    made = table("version", *numbers, "last used (UTC)", right=numbers)
    made.padding = (0, 2 if wide else 1, 0, 0)
    made.columns[0].no_wrap = True
    for line in lines:
        asked_again = f"{line.reasks / line.calls:.0%}" if line.calls else "-"
        cost = f"{line.cost_microusd / line.runs / 1e6:.5f}" if line.calls else "-"
        used = ", in use" if now.get(line.id) == line.sha256 else ""
        version = f"{line.id}{' ' if wide else chr(10)}{line.sha256[:SHOWN_CHARACTERS]}{used}"
        counts = (line.runs, line.videos, line.rejected, line.failed, line.plain_captions)
        made.add_row(version, *map(str, counts), asked_again, cost, f"{line.last_used_at:%m-%d %H:%M}")
    out.print(made)
    typer.echo("plain: captions made from the title because the model gave none that fit; re-asks: share of all calls")
