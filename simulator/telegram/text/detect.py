"""Entities that Telegram detects in a text: addresses, mentions, hashtags, commands. Pure.

In       text, and the ranges to skip
Out      (kind, start, end) in UTF-16 units, not overlapping
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

Stretch = tuple[int, int]

_DOMAINS = "com|org|net|edu|gov|io|dev|app|ai|me|info|co|tv|xyz|es|mx|ar|cl|uk|de|fr|it|eu|br|pt|ru|ua|us|ca|jp|cn|in"
_END_OF_SENTENCE = ".,;:!?'\"…»"

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}(?![\w-])")),
    ("url", re.compile(r"(?<![\w@])(?:https?|ftp|tg|ton)://[^\s<>\"«»]+", re.IGNORECASE)),
    ("url", re.compile(rf"(?<![\w@.-])(?:[\w-]+\.)+(?:{_DOMAINS})(?![\w-])(?:[/?#:][^\s<>\"«»]*)?", re.IGNORECASE)),
    ("mention", re.compile(r"(?<!\w)@[A-Za-z0-9_]{4,32}(?!\w)")),
    ("hashtag", re.compile(r"(?<![\w#])#(?=[\d_·]*[^\W\d_])[\w·]{1,256}(?![\w#])")),
    ("cashtag", re.compile(r"(?<![\w$])\$[A-Z]{1,8}(?![\w$])")),
    ("bot_command", re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>@])")),
)
_SIGNS = frozenset(".@#$/:")


def find(text: str, taken: Iterable[Stretch]) -> Iterator[tuple[str, int, int]]:
    """All entities in the text, stronger kinds first."""
    if _SIGNS.isdisjoint(text):
        return
    unit = _unit_of(text)
    busy = list(taken)
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            end = _address_end(match) if kind == "url" else match.end()
            stretch = unit(match.start()), unit(end)
            if not any(start < stretch[1] and stretch[0] < stop for start, stop in busy):
                busy.append(stretch)
                yield kind, *stretch


def _address_end(match: re.Match[str]) -> int:
    """The end of the address, without the sentence's punctuation."""
    found = match.group().rstrip(_END_OF_SENTENCE)
    while found.endswith(")") and found.count(")") > found.count("("):
        found = found[:-1].rstrip(_END_OF_SENTENCE)
    return match.start() + len(found)


def _unit_of(text: str) -> Callable[[int], int]:
    """A function from a Python string index to its UTF-16 offset."""
    if text.isascii() or max(text) <= "\uffff":
        return lambda place: place
    return list(accumulate((1 + (sign > "\uffff") for sign in text), initial=0)).__getitem__
