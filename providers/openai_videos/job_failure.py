"""Where a failed job says why: servers have a dozen places for it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from net.error_text import says_something, storable
from providers.refusals.content import CONTENT_STATUSES

# Where a failed job says why, if not in `error`.
REASONS = (
    *("failure_reason", "failureReason", "fail_reason", "failReason", "failure", "error_message", "errorMessage"),
    *("incomplete_details", "task_status_msg", "status_message", "reason", "message", "msg", "detail"),
    *("errors", "last_error", "base_resp", "status_reason", "status_detail", "error_details", "details"),
)
INNER = ("innererror", "inner_error", "details", "cause")  # what a general error says more exactly
# A status of a filter's name and its verdict; without one it may be a filter at work.
FILTER_STATUS = re.compile(
    r"(?=.*(?:moderat|safety|polic|nsfw|sensitiv|guardrail))(?=.*(?:fail|reject|block|violat|refus|flag|denied|declin))"
)


def reason_of(row: Mapping[str, Any], word: str | None) -> object:
    """Why a failed job failed, as it stands there; a status `word` may be all that it says."""
    if row.get("error"):
        return row["error"]
    said = (_first(row.get(name)) for name in REASONS)
    return next((each for each in said if says_something(each)), word if is_of_content(word) else None)


def _first(said: object) -> object:
    """Of several errors the first; of MiniMax's `base_resp` its words."""
    if isinstance(said, list):
        return next((each for each in said if says_something(each)), None)
    return said.get("status_msg", said) if isinstance(said, dict) else said


def is_of_content(word: str | None) -> bool:
    return plain_status(word) in CONTENT_STATUSES or names_filter(word)


def names_filter(word: str | None) -> bool:
    return FILTER_STATUS.match(plain_status(word)) is not None


def plain_status(word: str | None) -> str:
    return re.sub(r"[\s-]+", "_", (word or "").strip().lower())


def code_of(error: object) -> str | None:
    """What an error is called, in the fields that hold a word for it, its own and those of what lies within."""
    if not isinstance(error, dict):
        return None
    within = (_first(error.get(name)) for name in INNER)
    told = (error, *(each for each in within if isinstance(each, dict)))
    named = (each.get(name) for each in told for name in ("code", "type", "reason"))
    return storable(" ".join(each for each in named if isinstance(each, str))) or None
