"""A name and its words on each line: on a terminal the words wrap below themselves, piped they stay one line."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 70  # columns; a terminal with fewer gets less of what can be left out
TITLE_CHARACTERS_MIN = 10


def print_columns(rows: Iterable[tuple[Text, str]], console: Console | None = None) -> None:
    """`rows`: the name, padded so that all are equally wide, and its words."""
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
    """How many characters are left for a last column, when none of these columns may be cut."""
    used = sum(max(map(len, column)) + gap for column in zip(*cells, strict=True))
    return max(TITLE_CHARACTERS_MIN, width - used)
