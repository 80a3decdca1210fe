"""What a provider says in words: the JSON of its answers, its errors, and what of them can be kept. Pure."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

AsObject = Callable[[list[tuple[str, Any]]], object]

DETAIL_CHARACTERS_MAX = 300
DIGITS_MAX = 400  # a float has at most 309
LEVELS_MAX = 100
JSON_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
DOUBLED = '{"":0,"":1}'
ERROR_LEVELS = 2  # an error may hold the error that it is about
FINE_CODES = {"0", "200", "success", "ok", "none"}  # of an envelope; any other tells of an error
# Where an error says what it is, the usual place first, by the letters of its name; then any by the end of its name.
ERROR_FIELDS = ("error", "errors", "detail", "message", "msg", "errormessage", "code")
FURTHER_FIELDS = re.compile(
    r"(?:errors?|details?|message|msg|reason|description|explanation|title|feedback|errorcode|baseresp|responsemetadata)$"
)
# Of an error that is an object, the plainest first.
ERROR_PARTS = ("message", "statusmsg", "error", "code", "blockreason", "reason", "type")
# A signature may stand in a link's query or fragment, in its path, or before its host; or by its own name.
LINK_USER = re.compile(r"(?<=//)[^\s/@\"'<>]+@")
LINK_QUERY = re.compile(r"(?<=[?#])(?=[^\s\"'<>]*=|[^\s\"'<>]{16})[^\s\"'<>]+")
LINK_PART = re.compile(r"(?<!://)(?<=/)[^\s\"'<>/?#\\]{16,}")
SIGNED = re.compile(r"(?i)\b((?:signature|credential|security-token|access_token|sig|token)(?:=|%3d))[^\s&\"'<>]+")
NOTHING: tuple[object, ...] = (None, "", [], {}, False)


class Unreadable(str):
    """An empty text where an object stood that cannot be read."""

    __slots__ = ()


def json_object(body: str) -> dict[str, Any]:
    """The object in a body; an empty one if there is none. A byte order mark is no part of it.

    Nothing is read of a body in which an object has two members of one name, unless they are equal: parsers keep one.
    """
    value = _parsed(body)
    return value if isinstance(value, dict) else {}


def object_with_gaps(body: str) -> dict[str, Any]:
    """The same, but an object of a doubled name, or one that lies too deep, is `Unreadable` and hides no other."""
    try:
        value = _loaded(body, _or_unreadable)
    except RecursionError:
        value = _parsed(_without_depths(body), _or_unreadable)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def has_gap(value: object) -> bool:
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, Unreadable):
            return True
        left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else []
    return False


def _parsed(body: str, as_object: AsObject | None = None) -> object:
    try:
        return _loaded(body, as_object or _without_doubles)
    except (ValueError, RecursionError):
        return None


def _loaded(body: str, as_object: AsObject) -> object:
    """Prompts may hold line breaks as they are, and a number may have more digits than Python reads."""
    return json.loads(body.removeprefix("\ufeff"), object_pairs_hook=as_object, parse_int=_whole, strict=False)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= DIGITS_MAX else float(digits)


def _without_doubles(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members) and any(found[name] != value for name, value in members):
        raise ValueError("two members of one name")
    return found


def _or_unreadable(members: list[tuple[str, Any]]) -> dict[str, Any] | Unreadable:
    try:
        return _without_doubles(members)
    except ValueError:
        return Unreadable()


def _without_depths(body: str) -> str:
    """With an unreadable object in place of whatever lies too deep."""
    kept, start, level = [], 0, 0
    for found in JSON_BRACKET.finditer(body):
        if found[0] in "[{":
            level += 1
            if level == LEVELS_MAX + 1:
                kept.append(body[start : found.start()])
        elif found[0] in "]}":
            if level == LEVELS_MAX + 1:
                kept.append(DOUBLED)
                start = found.end()
            level -= 1
    return "".join((*kept, body[start:]))


def error_object(body: str) -> dict[str, Any]:
    """The object in a refusal; Google sends it as the only item of a list."""
    value = _parsed(body)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else {}


def error_words(body: str) -> str:
    """The provider's own words, in whichever of the usual shapes they come."""
    error = _said_error(error_object(body))
    for _ in range(ERROR_LEVELS):
        error = _plainest(error) if isinstance(error, dict) else error
    return storable(without_links(error if isinstance(error, str) else json.dumps(error)))


def _plainest(error: Mapping[str, Any]) -> object:
    named = [(_letters(name), value) for name, value in error.items() if value]
    return next((value for part in ERROR_PARTS for name, value in named if name == part), "")


def is_error_form(body: str) -> bool:
    """Whether a body is a provider's error: a JSON object that says something in one of the usual fields.

    A proxy's page, plain text and an empty body are not: whoever sent them may stand before a job that was made.
    """
    return _said_error(error_object(body)) != ""


def _said_error(answer: Mapping[str, Any]) -> object:
    """What the first of its fields says; an empty text if none says anything."""
    told = [(_letters(name), value) for name, value in answer.items() if says_something(value)]
    usual = (value for field in ERROR_FIELDS for name, value in told if name == field)
    return next(usual, next((value for name, value in told if FURTHER_FIELDS.search(name)), ""))


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def says_something(value: object) -> bool:
    """Not `null`, `{}`, `false`, nor a code or word by which an envelope calls itself fine."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return any(each not in NOTHING and str(each).strip().lower() not in FINE_CODES for each in inner)
    if isinstance(value, bool) or value is None:
        return False
    return str(value).strip().lower() not in FINE_CODES | {""}


def without_links(words: str) -> str:
    """Links without what opens them; a signed one is a key to whatever it leads to."""
    for secret in (LINK_USER, LINK_QUERY, LINK_PART):
        words = secret.sub("[...]", words)
    return SIGNED.sub(r"\1[...]", words)


def storable(words: str, characters_max: int = DETAIL_CHARACTERS_MAX) -> str:
    """Without what PostgreSQL cannot store and JSON can carry: NUL, and halves of surrogate pairs."""
    kept = (c for c in words if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"})
    return "".join(kept)[:characters_max]
