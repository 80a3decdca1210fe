"""What an audit found, for a person: one sentence, and a table of what differs."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.amounts import many, usd
from pipeline.audit import Audit
from pipeline.comparison import Difference, Kind
from pipeline.operators_words import incomplete_words

LOUD = frozenset({Kind.TWO_PAID_CALLS, Kind.PERHAPS_TWO_PAID_CALLS, Kind.LATE_JOB, Kind.RELEASED_BUT_MADE})


def verdict(found: Audit) -> str:
    """Never "clean" unless the list was read to its end."""
    since = found.since.strftime("%Y-%m-%d %H:%M UTC")
    compared = f"{many(found.jobs, 'job')} at the provider against {many(found.runs, 'run')} since {since}"
    differ = many(len(found.differences), "difference") if found.differences else "no difference"
    if not found.complete:
        why = incomplete_words(found.why_incomplete)
        return f"Incomplete, the provider's list proves nothing: {why}; {differ} in what it showed: {compared}."
    if found.clean:
        return f"Clean: {compared}."
    return f"Not clean, {differ}: {compared}."


def print_audit(found: Audit, began: datetime) -> None:
    """`began`: what an earlier audit found is shown with the time since when it is open."""
    console = Console(highlight=False, markup=False)
    if found.differences:
        table = Table(box=None, pad_edge=False)
        for column in ("what", "run", "amount", "in words"):
            table.add_column(column, overflow="fold", justify="right" if column == "amount" else "left")
        for each in found.differences:
            style = "bold red" if each.kind in LOUD else ""
            amount = usd(each.microusd) if each.microusd else "-"
            table.add_row(Text(each.kind.replace("_", " "), style), each.ref or "-", amount, _words(each, began))
        console.print(table)
    console.print(verdict(found), soft_wrap=True)
    if found.differences:
        console.print(
            '`onetake audit --explain JOB_ID (or REF) --why "..."` closes what you can explain.', soft_wrap=True
        )


def _words(each: Difference, began: datetime) -> str:
    first = datetime.fromisoformat(each.first_at).astimezone(UTC) if each.first_at else began
    return f"{each.words} (since {first:%Y-%m-%d %H:%M} UTC)" if first < began else each.words
