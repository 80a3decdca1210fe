"""Checks an answer against a case's expectations. Pure.

In       a case's `expect`, an answer's fields
Out      one line for each failed expectation
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from evals.cases import Check
from steps.languages import spoken_in


def failures(expect: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    """The failed expectations; empty if all pass."""
    return [
        f"{name}: {words}" for name, wanted in expect.items() for words in _field(wanted, answer.get(name)) if words
    ]


def _field(wanted: Any, got: Any) -> list[str]:
    if isinstance(wanted, Check):
        return _checked(wanted, got)
    if isinstance(wanted, list):
        return _listed(wanted, got)
    return [] if got == wanted else [f"{_shown(got)}, expected {_shown(wanted)}"]


def _listed(wanted: list[str], got: Any) -> list[str]:
    there = list(got or [])
    if not wanted:
        return [f"{', '.join(there)}, expected none"] if there else []
    missing = [word for word in wanted if word not in there]
    return [f"{', '.join(missing)} is missing from {_shown(there)}"] if missing else []


def _checked(check: Check, got: Any) -> list[str]:
    if got is None:
        return ["nothing, expected something"]
    text = " ".join(got) if isinstance(got, list) else str(got)
    return [*_size(check, got, text), *_language(check, text), *_words(check, text)]


def _size(check: Check, got: Any, text: str) -> list[str]:
    found = []
    for least, most, size, unit in (
        (check.min_length, check.max_length, len(text), "characters"),
        (check.min, check.max, len(got) if isinstance(got, Sequence) and not isinstance(got, str) else 1, "items"),
    ):
        if least is not None and size < least:
            found.append(f"{size} {unit}, at least {least} expected")
        if most is not None and size > most:
            found.append(f"{size} {unit}, at most {most} expected")
    return found


def _language(check: Check, text: str) -> list[str]:
    found = spoken_in(text)
    return (
        [f"reads as {found}, expected {check.language}"]
        if check.language and found not in {check.language, None}
        else []
    )


def _words(check: Check, text: str) -> list[str]:
    plain = _plain(text)
    missing = [words for words in check.must_contain if not any(_plain(word) in plain for word in words.split("|"))]
    there = [word for words in check.must_not_contain for word in words.split("|") if _plain(word) in plain]
    return [*(f"lacks “{words}”" for words in missing), *(f"has “{word}”" for word in there)]


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return {True: "true", False: "false", None: "null"}.get(value, str(value)) if not isinstance(value, str) else value
