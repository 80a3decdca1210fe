"""Prints the result of an audit: the differences, and a verdict in one sentence."""

from datetime import UTC, datetime

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pipeline.formatting import many, usd
from pipeline.operator_text import incomplete_words
from pipeline.purchase.audit import Audit
from pipeline.purchase.differences import Difference, Kind

LOUD = frozenset({Kind.TWO_PAID_CALLS, Kind.PERHAPS_TWO_PAID_CALLS, Kind.LATE_JOB, Kind.RELEASED_BUT_MADE})
EXPLAIN = '`onetake audit --explain JOB_ID (or REF) --why "..."` closes what you can explain.'


def verdict(found: Audit) -> str:
    """The result in one sentence; "clean" only if the list was read to its end."""
    since = found.since.strftime("%Y-%m-%d %H:%M UTC")
    compared = f"{many(found.jobs, 'job')} at the provider against {many(found.runs, 'run')} since {since}"
    differ = many(len(found.differences), "difference") if found.differences else "no difference"
    if not found.complete:
        why = incomplete_words(found.why_incomplete)
        return f"Incomplete, the provider's list proves nothing: {why}; {differ} in what it showed: {compared}."
    if found.clean:
        return f"Clean: {compared}."
    return f"Not clean, {differ}: {compared}."


def print_audit(found: Audit, began: datetime, console: Console | None = None) -> None:
    """`began`: when this audit began; differences found earlier are shown with their date.

    Fits any width: a heading for each difference, its words below. Piped output is not wrapped.
    """
    console = console or Console(highlight=False, markup=False)
    piped = not console.is_terminal
    for each in found.differences:
        console.print(_heading(each), soft_wrap=piped)
        words = _words(each, began)
        console.print(f"  {words}" if piped else Padding(words, (0, 0, 0, 2), expand=False), soft_wrap=piped)
    console.print(verdict(found), soft_wrap=piped)
    if found.differences:
        console.print(EXPLAIN, soft_wrap=piped)


def _heading(difference: Difference) -> Text:
    style = "bold red" if difference.kind in LOUD else "bold"
    parts = [f"run {difference.ref}" if difference.ref else "", usd(difference.microusd) if difference.microusd else ""]
    return Text.assemble((difference.kind.replace("_", " "), style), "".join(f", {part}" for part in parts if part))


def _words(each: Difference, began: datetime) -> str:
    first = datetime.fromisoformat(each.first_at).astimezone(UTC) if each.first_at else began
    return f"{each.words} (since {first:%Y-%m-%d %H:%M} UTC)" if first < began else each.words
