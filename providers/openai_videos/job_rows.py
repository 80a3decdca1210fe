"""Where in a body the object stands that describes a job: envelopes, lists, and which row is ours. Pure."""

from collections.abc import Mapping
from typing import Any

from net.error_text import FINE_CODES, storable
from providers.job_ids import id_of, same_job, shown_ids

KEPT_CHARACTERS_MAX = 2000  # of an answer that somebody may have to read later
ENVELOPES = ("data", "result", "video", "task", "job")  # the usual wrappers around one job
LISTS = (*ENVELOPES, "content", "output", "videos", "items", "results", "jobs", "generations")  # where rows may stand
STATUSES = ("status", "task_status", "state")


def names_job(shown: object, job_id: str) -> bool:
    text = shown if isinstance(shown, str) else id_of(shown)
    return text is not None and same_job(text, job_id)


def job_row(row: dict[str, Any], *, asked: bool) -> dict[str, Any] | None:
    """The object that describes the job: the body, or what one of the usual envelopes holds.

    An id without a status may be the request's, where an object with both lies within. Where a job was `asked` for,
    only an envelope's `code` tells that from the id of another job.
    """
    if str(row.get("code", "0")).lower() not in FINE_CODES:
        return None
    if not shown_ids(row) or (status_word(row) is None and (not asked or "code" in row)):
        for inner in map(row.get, ENVELOPES):
            if isinstance(inner, dict) and shown_ids(inner) and status_word(inner) is not None:
                return inner
    for name in ("", *ENVELOPES):
        inner = row.get(name) if name else row
        if isinstance(inner, dict) and (shown_ids(inner) or status_word(inner) is not None):
            return inner
    return None


def row_of(answer: dict[str, Any], job_id: str) -> dict[str, Any]:
    """The body itself, or, of a list of jobs that came instead of ours, the row that names it: the other rows lead to
    other people's clips.
    """
    if shown_ids(answer):
        return answer
    for name in LISTS:
        rows = answer.get(name)
        jobs = [row for row in rows if isinstance(row, dict) and _is_a_jobs(row)] if isinstance(rows, list) else []
        if jobs:
            ours = (row for row in jobs if any(names_job(shown, job_id) for shown in shown_ids(row)))
            return next(ours, {})
    return answer


def _is_a_jobs(row: Mapping[str, Any]) -> bool:
    """Not a file of one job, which has an address and no name."""
    named = any(name == "id" or name.endswith("_id") for name in row)
    return named or status_word(row) is not None or shown_text(row.get("prompt")) is not None


def status_word(row: Mapping[str, Any]) -> str | None:
    """The provider's own word; a number such as new-api's 2 is a word as well."""
    for name in STATUSES:
        value = row.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return storable(str(value))
    return None


def shown_text(value: object) -> str | None:
    """As shown, without what cannot be stored; bounded, since a list can be long."""
    return storable(value, KEPT_CHARACTERS_MAX * 5) or None if isinstance(value, str) else None
