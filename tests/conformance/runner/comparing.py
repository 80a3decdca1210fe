"""What of two creates differs, and whether that is listed. Pure.

In       two creates as they arrived; the entries of `differences.toml`
Out      differences, each with the part and both values; sentences about those that are not as listed
Raises   ValueError for an entry that cannot be read
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from benchmarks.sdks.server import Create

ANY = "*"
ABSENT = "(not sent)"
NULL = "(null)"  # TOML has none
BELOW = ".*"  # at the end of a part: every member there
# What a client says of itself and of its connection.
IGNORED = frozenset(
    {"user-agent", "accept", "accept-encoding", "accept-language", "host", "content-length", "connection", "upgrade"}
)
IGNORED_PREFIXES = ("x-stainless-", "sec-websocket-")
# Of these only the scheme is compared, such as `Key`: some keys are signed anew for each request.
SECRETS = frozenset({"authorization", "x-api-key", "x-goog-api-key", "api-key"})


@dataclass(frozen=True)
class Difference:
    """One part of two creates. Not sent is ABSENT."""

    part: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"{self.part}: ours {self.ours!r}, theirs {self.theirs!r}"


@dataclass(frozen=True)
class Listed:
    vendor: str
    difference: Difference
    reason: str


def read_listed(text: str) -> tuple[Listed, ...]:
    listed = []
    for entry in tomllib.loads(text).get("difference", []):
        left = dict(entry)
        vendor, part, reason = (left.pop(name, "") for name in ("vendor", "part", "reason"))
        difference = Difference(part, left.pop("ours", ABSENT), left.pop("theirs", ABSENT))
        same = difference.ours == difference.theirs != ANY
        if left or same or not all((vendor, part, reason)):
            raise ValueError(f"{entry}: needs vendor, part, reason, and ours unlike theirs; nothing else")
        listed.append(Listed(vendor, difference, reason))
    return tuple(listed)


def compare(ours: Create, theirs: Create) -> list[Difference]:
    mine, its = dict(_parts(ours)), dict(_parts(theirs))
    found = [Difference(part, mine.get(part, ABSENT), its.get(part, ABSENT)) for part in {**mine, **its}]
    return [difference for difference in found if not _same(difference.ours, difference.theirs)]


def complaints(vendor: str, found: Iterable[Difference], listed: Iterable[Listed]) -> list[str]:
    """Sentences about differences that are not listed, and about listed ones that are no more."""
    found = list(dict.fromkeys(found))
    own = [entry.difference for entry in listed if entry.vendor == vendor]
    new = [f"not listed: {one}" for one in found if not any(_fits(entry, one) for entry in own)]
    return new + [f"no longer so: {entry}" for entry in own if not any(_fits(entry, one) for one in found)]


def _fits(entry: Difference, one: Difference) -> bool:
    below = entry.part.endswith(BELOW) and one.part.startswith(entry.part.removesuffix("*"))
    if entry.part != one.part and not below:
        return False
    sides = ((entry.ours, one.ours), (entry.theirs, one.theirs))
    return all(_same(listed, value) or (listed == ANY and value != ABSENT) for listed, value in sides)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is not true."""
    return type(one) is type(other) and bool(one == other)


def _parts(create: Create) -> Iterator[tuple[str, Any]]:
    path, _, query = create.target.partition("?")
    yield "method", create.method
    yield "path", path
    for name, value in parse_qsl(query, keep_blank_values=True):
        yield f"query {name}", value
    for name, value in create.headers.items():
        if name not in IGNORED and not name.startswith(IGNORED_PREFIXES):
            yield f"header {name}", _scheme(value) if name in SECRETS else value
    try:
        yield from _leaves("body", json.loads(create.body or b"null"))
    except ValueError:
        yield "body", create.body.decode(errors="replace")


def _scheme(value: str) -> str:
    scheme, space, _ = value.partition(" ")
    return f"{scheme} ..." if space else "..."


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a JSON value; an empty object or list is a part itself."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}", part)
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from _leaves(f"{name}[{number}]", part)
    else:
        yield name, NULL if value is None else value
