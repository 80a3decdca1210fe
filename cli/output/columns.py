"""Prints lines of a name and its words. On a terminal the words wrap within their column; piped they stay one line."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 70  # columns; a narrower terminal gets shorter output
TITLE_CHARACTERS_MIN = 10


def print_columns(rows: Iterable[tuple[Text, str]], console: Console | None = None) -> None:
    """`rows`: pairs of a name, padded to the same width, and its words."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        for name, words in rows:
            console.print(Text(f"{name.plain}{words}"), soft_wrap=True)
        return
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, words in rows:
        grid.add_row(name, Text(words))
    console.print(grid)


def room_beside(cells: Iterable[Sequence[str]], gap: int, width: int) -> int:
    """The width left for a last column if these columns are not cut; at least TITLE_CHARACTERS_MIN."""
    used = sum(max(map(len, column)) + gap for column in zip(*cells, strict=True))
    return max(TITLE_CHARACTERS_MIN, width - used)
