"""Shows a run in progress: live in a terminal, elsewhere one plain line per change.

In       the run as read from the ledger, a few times a second
Effects  writes to one console; nothing else
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.output.progress import Estimate, Line, Mark, heading, lines_of
from pipeline.ledger.records import Run

Show = Callable[[Run, Estimate | None], None]

SIGNS = {Mark.DONE: ("✓", "green"), Mark.LATER: ("·", "dim"), Mark.NOT: ("✗", "red")}
PLAIN = {Mark.DONE: "done", Mark.NOW: "now", Mark.LATER: "later", Mark.NOT: "not"}


@contextmanager
def watching(console: Console) -> Iterator[Show]:
    """Yields the function that shows a run."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=True, refresh_per_second=8, transient=False) as live:
            yield _Table(live).show
    else:
        yield _Plain(console).show


class _Table:
    """The live list of steps. Keeps one spinner: a new one for each update would restart its animation."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._spinner = Spinner("dots", style="cyan")

    def show(self, run: Run, estimate: Estimate | None) -> None:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2, justify="right")
        table.add_column(width=8)
        table.add_column(overflow="fold")
        for line in lines_of(run, estimate):
            table.add_row(self._sign(line), Text(line.step, "bold" if line.mark is Mark.NOW else ""), _words(line))
        outer = Table.grid()
        outer.add_row(Text(heading(run), "bold cyan"))
        outer.add_row(table)
        self._live.update(outer)

    def _sign(self, line: Line) -> RenderableType:
        if line.mark is Mark.NOW:
            return self._spinner
        sign, style = SIGNS[line.mark]
        return Text(sign, style)


def _words(line: Line) -> Text:
    words = Text(line.words, "dim" if line.mark is Mark.LATER else "")
    if line.ticking:
        words.append(f" {line.ticking}", "dim")
    return words


class _Plain:
    """One line per step change, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[Mark, str]] = {}

    def show(self, run: Run, estimate: Estimate | None) -> None:
        if not self._said:
            self._say(heading(run))
        for line in lines_of(run, estimate):
            now = (line.mark, line.words)
            if line.mark is not Mark.LATER and self._said.get(line.step) != now:
                self._say(f"{PLAIN[line.mark]:<4} {line.step:<8} {line.words}".rstrip())
                self._said[line.step] = now

    def _say(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)
