"""The scoreboard as Markdown, and its place in a page. Pure.

In       rows: a client, its version, and a Cell per trouble, or why it was not measured
Out      the table with its legend; the page with the table between its markers
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.sdks.server import Trouble

BEGIN, END = "<!-- scoreboard -->", "<!-- /scoreboard -->"
TITLES = {
    Trouble.RESET: "reset",
    Trouble.CLOSED: "closed",
    Trouble.SILENCE: "no answer",
    Trouble.HTTP_500: "HTTP 500",
    Trouble.HTTP_429: "HTTP 429",
}


@dataclass(frozen=True)
class Cell:
    """One create under one trouble. `ended`: the client gave up by itself. `said`: its last line on stderr."""

    creates: int
    jobs: int
    ended: bool
    said: str = ""

    def __str__(self) -> str:
        shown = f"{'' if self.ended else '≥ '}{self.creates}"
        return shown if self.jobs == self.creates else f"{shown} ({self.jobs} job{'s' * (self.jobs > 1)})"


@dataclass(frozen=True)
class Row:
    """`missing`: why there are no cells."""

    client: str
    version: str
    cells: Mapping[Trouble, Cell]
    missing: str = ""


def table(rows: Sequence[Row], when: str, patience: float) -> str:
    measured = [row for row in rows if not row.missing]
    lines = ["| client | version | " + " | ".join(TITLES.values()) + " |", "|---|---|" + "---|" * len(TITLES)]
    lines += [
        f"| {row.client} | {row.version} | " + " | ".join(str(row.cells[trouble]) for trouble in TITLES) + " |"
        for row in measured
    ]
    lines += ["", when]
    if any(not cell.ended for row in measured for cell in row.cells.values()):
        lines += [f"≥: the client was still waiting or repeating when it was stopped after {patience:g} s."]
    if any(cell.jobs != cell.creates for row in measured for cell in row.cells.values()):
        lines += ["(1 job): every repeat carried the id of the first, which the provider takes once."]
    lines += [f"Not measured: {row.client} {row.version}: {row.missing}" for row in rows if row.missing]
    return "\n".join(lines)


def page_with(page: str, shown: str) -> str:
    """Raises ValueError if the page has not exactly one place for the table."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"the page needs one {BEGIN} and, after it, one {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{shown}\n{END}", page)


def read_table(page: str) -> list[list[str]]:
    """The cells of the table in the page, row by row, without its head."""
    between = page.partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in between.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
