"""Formatted text: entities with offsets in UTF-16 units, as in the Bot API.

In       text, and entities from markup or from the call
Out      text without outer white space; its entities, sorted, including those that Telegram detects
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from simulator.telegram.api.refusals import bad_request
from simulator.telegram.text.detect import find

STYLES = frozenset(
    {
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "code",
        "pre",
        "text_link",
        "blockquote",
        "expandable_blockquote",
    }
)
ENTITIES_MAX = 100
LITERAL = frozenset({"code", "pre", "text_link"})
"""Nothing is found inside of these."""

_OUTER_FIRST = ("blockquote", "expandable_blockquote", "pre", "text_link")


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity: a range of text with a meaning."""

    kind: str
    offset: int
    length: int
    url: str = ""
    language: str = ""

    @property
    def end(self) -> int:
        """The end, in UTF-16 units."""
        return self.offset + self.length

    def as_json(self) -> dict[str, Any]:
        """As the Bot API shows it."""
        shown: dict[str, Any] = {"offset": self.offset, "length": self.length, "type": self.kind}
        if self.url:
            shown["url"] = self.url
        if self.language:
            shown["language"] = self.language
        return shown


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text and its entities."""

    text: str
    entities: tuple[Entity, ...] = ()


def units(text: str) -> int:
    """The length in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def piece(text: str, start: int, end: int) -> str:
    """The part between two UTF-16 offsets; half a surrogate pair is dropped."""
    if text.isascii():
        return text[start:end]
    return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le", "ignore")


def finished(text: str, entities: Iterable[Entity]) -> Formatted:
    """Trim the text, clip its entities to it, and add those that Telegram detects."""
    lead = units(text) - units(text.lstrip())
    body = text.strip()
    length = units(body)
    halves = _halves(body)
    kept = {clipped for each in entities if (clipped := _clipped(each, lead, length, halves)) is not None}
    taken = [(each.offset, each.end) for each in kept if each.kind in LITERAL]
    found = (Entity(kind, start, end - start) for kind, start, end in find(body, taken))
    return Formatted(body, tuple(sorted([*kept, *found], key=_order)[:ENTITIES_MAX]))


def given(told: object, text: str) -> list[Entity]:
    """Parse entities that came with the call instead of markup."""
    if told is None:
        return []
    if not isinstance(told, list):
        raise bad_request("expected an Array of MessageEntity")
    return [entity for each in told if (entity := _one(each, units(text))) is not None]


def _one(told: object, length: int) -> Entity | None:
    if not isinstance(told, dict):
        raise bad_request("can't parse MessageEntity: expected an Object")
    kind, start, size = told.get("type"), told.get("offset"), told.get("length")
    if not isinstance(kind, str) or type(start) is not int or type(size) is not int:
        raise bad_request("can't parse MessageEntity: wrong type of a field")
    if kind not in STYLES or size <= 0:
        return None  # Telegram detects the rest by itself, and ignores unknown kinds
    if start < 0 or start + size > length:
        words = f"entity beginning at UTF-16 offset {start} ends after the end of the text at UTF-16 offset"
        raise bad_request(f"{words} {start + size}")
    url = str(told.get("url") or "") if kind == "text_link" else ""
    language = str(told.get("language") or "") if kind == "pre" else ""
    return Entity(kind, start, size, url, language)


def _clipped(entity: Entity, lead: int, length: int, halves: frozenset[int]) -> Entity | None:
    start, end = max(entity.offset - lead, 0), min(entity.end - lead, length)
    start, end = start - (start in halves), end + (end in halves)
    return replace(entity, offset=start, length=end - start) if end > start else None


def _halves(text: str) -> frozenset[int]:
    """Offsets inside a surrogate pair: no entity may start or end there."""
    if text.isascii():
        return frozenset()
    ends = accumulate(1 + (sign > "\uffff") for sign in text)
    return frozenset(end - 1 for end, sign in zip(ends, text, strict=True) if sign > "\uffff")


def _order(entity: Entity) -> tuple[int, int, bool, str]:
    return (entity.offset, -entity.length, entity.kind not in _OUTER_FIRST, entity.kind)
