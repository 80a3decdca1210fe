"""The difference between two texts, word by word. Pure.

In       two texts
Out      lines of (sign, words) pieces: ' ' same, '-' removed, '+' added; and the plain form `[-removed-]{+added+}`
"""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from rich.text import Text

PIECES = re.compile(r"\s+|\w+|[^\w\s]")
CONTEXT_LINES = 1
LONE_WORDS_MAX = 2
STYLES = {" ": "", "-": "red strike", "+": "bold green"}

Piece = tuple[str, str]


def diff_words(before: str, after: str) -> list[Piece]:
    """Neighbors with the same sign are merged into one piece."""
    old, new = PIECES.findall(before), PIECES.findall(after)
    pieces: list[Piece] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append((" ", "".join(old[a:b])))
            continue
        pieces += [("-", "".join(old[a:b]))] if b > a else []
        pieces += [("+", "".join(new[c:d]))] if d > c else []
    return _readable(pieces)


def _readable(pieces: list[Piece]) -> list[Piece]:
    """Merges a word or two that both texts share by chance into the change around them."""
    lone = {
        place
        for place, (sign, words) in enumerate(pieces[1:-1], 1)
        if sign == " " and "\n" not in words and len(words.split()) <= LONE_WORDS_MAX
    }
    merged: list[Piece] = []
    gone, new = "", ""
    for place, (sign, words) in enumerate([*pieces, (" ", "")]):
        if sign == " " and place not in lone:
            merged += [(mark, text) for mark, text in (("-", gone), ("+", new)) if text]
            merged += [(" ", words)] if words else []
            gone, new = "", ""
        else:
            gone += words if sign != "+" else ""
            new += words if sign != "-" else ""
    return merged


def changed_lines(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Changed lines with the lines around them; `...` marks omitted lines."""
    lines = _lines(pieces)
    near = {
        place + step
        for place, line in enumerate(lines)
        if any(sign != " " for sign, _ in line)
        for step in range(-CONTEXT_LINES, CONTEXT_LINES + 1)
    }
    shown = [place for place in sorted(near) if 0 <= place < len(lines)]
    for place, following in zip(shown, [*shown[1:], None], strict=True):
        yield lines[place]
        if following is not None and following > place + 1:
            yield [(" ", "...")]


def plain(line: list[Piece]) -> str:
    marks = {" ": "{}", "-": "[-{}-]", "+": "{{+{}+}}"}
    return "".join(marks[sign].format(words) for sign, words in line)


def colored(line: list[Piece]) -> Text:
    return Text.assemble(*((words, STYLES[sign]) for sign, words in line))


def _lines(pieces: list[Piece]) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    for sign, words in pieces:
        for number, part in enumerate(words.split("\n")):
            if number:
                lines.append([])
            if part:
                lines[-1].append((sign, part))
    return lines
