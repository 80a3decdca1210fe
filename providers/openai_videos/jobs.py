"""What a job says of itself, alone or in a list. Pure: no input, no output, no clock.

The protocol is OpenAI's `/videos` as gateways and self-hosted servers speak it today, so nearly every field may be
missing, and envelopes, words and ids differ. What follows from a job is decided elsewhere (`pipeline.purchase`).
"""

import json
from collections.abc import Mapping
from typing import Any

from net.error_text import error_object, error_words, json_object
from providers.job import Job, JobStatus
from providers.job_ids import OTHER_IDS, canonical_id, id_of, shown_ids
from providers.json_numbers import epoch, percent, whole
from providers.openai_videos.job_failure import code_of, is_of_content, names_filter, plain_status, reason_of
from providers.openai_videos.job_links import clip_urls
from providers.openai_videos.job_rows import ENVELOPES, job_row, names_job, row_of, shown_text, status_word
from providers.openai_videos.withheld import words_withheld

TRIED_AGAIN = ("will_retry", "retrying", "next_retry_at")
ERROR_ENVELOPES = ("error", "detail", "output")  # where a refusal may hold the job that it is about
# What only a job has: a body that shows none of it may merely echo the id that it was asked for.
JOB_FIELDS = ("created_at", "model", "prompt", "seconds", "size", "progress", "completed_at", "expires_at")


STATUS_WORDS = {
    "queued": JobStatus.QUEUED,
    "pending": JobStatus.QUEUED,
    "submitted": JobStatus.QUEUED,
    "in_progress": JobStatus.IN_PROGRESS,
    "processing": JobStatus.IN_PROGRESS,
    "running": JobStatus.IN_PROGRESS,
    "completed": JobStatus.COMPLETED,
    "complete": JobStatus.COMPLETED,
    "succeeded": JobStatus.COMPLETED,
    "succeed": JobStatus.COMPLETED,
    "success": JobStatus.COMPLETED,
    "finished": JobStatus.COMPLETED,
    "ready": JobStatus.COMPLETED,
    "done": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "fail": JobStatus.FAILED,
    "failure": JobStatus.FAILED,
    "error": JobStatus.FAILED,
    "cancelled": JobStatus.FAILED,
    "canceled": JobStatus.FAILED,
    "expired": JobStatus.EXPIRED,
}


def read_job(body: str, job_id: str | None = None) -> Job | None:
    """The job in a body, also inside one of the usual envelopes; None if there is none.

    `job_id`: the id that was asked for. A body that names another job is not about ours. One that names none may
    lead to the clip, so it is read, but it is not `named` and ends nothing.
    """
    answer = json_object(body)
    row = job_row(answer if job_id is None else row_of(answer, job_id), asked=job_id is not None)
    if job_id is None:
        return None if row is None or _is_error(row) else job_of(row)
    if row is None or status_word(row) is None:
        return None
    if row.get("id") not in (None, ""):
        return job_of(row | {"id": job_id}) if names_job(row["id"], job_id) else None
    shown = shown_ids(row)
    if not shown:
        return None if row.get("error") else job_of(row | {"id": job_id}, named=False)
    ours = [names_job(each, job_id) for each in shown]
    return job_of(row | {"id": job_id}, named=all(ours)) if any(ours) else None


def read_job_in_refusal(body: str, status: int) -> Job | None:
    """The job that the refusal of a create names; None if it names none.

    It names one by an id beside a status or beside anything else that only a job has, or by an id that is a job's by
    its name. An `id` beside nothing but an error is the request's, and the answer's HTTP status is no job's status.
    """
    refusal = error_object(body)
    for name in ("", *ENVELOPES, *ERROR_ENVELOPES):
        row = refusal.get(name) if name else refusal
        if isinstance(row, dict) and shown_ids(row) and _is_of_job(row, status):
            return job_of(row)
    return None


def names_job_within(refusal: str) -> bool:
    """Whether a refusal shows a job anywhere in it: an id that is a job's by its name, or beside the status of a job.

    Unlike `read_job_in_refusal` it does not say that the job is ours: an account or a model may lie as deep.
    """
    left: list[object] = [error_object(refusal)]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            word = (status_word(value) or "").strip().lower()
            if any(id_of(value.get(name)) for name in OTHER_IDS) or (id_of(value.get("id")) and word in STATUS_WORDS):
                return True
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False


def _is_of_job(row: Mapping[str, Any], http_status: int) -> bool:
    word = status_word(row)
    has_status = word is not None and word.strip() not in {"", str(http_status)}
    has_job_id = any(id_of(row.get(name)) for name in OTHER_IDS)
    return has_status or has_job_id or _is_described(row)


def ids_shown(body: str) -> frozenset[str]:
    """All that a body calls a job's id, in itself and in its envelopes; of one job there may be several."""
    answer = json_object(body)
    rows = [answer, *(row for row in map(answer.get, ENVELOPES) if isinstance(row, dict))]
    return frozenset(canonical_id(each) for row in rows for each in shown_ids(row))


def _is_described(row: Mapping[str, Any]) -> bool:
    """Whether a job's object shows something that only a job has (rule 1)."""
    kind = row.get("object")
    is_video = isinstance(kind, str) and kind.lower().split(".")[0] == "video"
    return is_video or any(row.get(name) not in (None, "", [], {}) for name in JOB_FIELDS)


def job_of(row: dict[str, Any], *, named: bool = True) -> Job | None:
    shown = shown_ids(row)
    if not shown:
        return None
    word = status_word(row)
    status = JobStatus.FAILED if is_of_content(word) else STATUS_WORDS.get(plain_status(word), JobStatus.UNKNOWN)
    error = reason_of(row, word) if status is JobStatus.FAILED else row.get("error")
    if status is JobStatus.FAILED and (_is_tried_again(row) or (isinstance(error, dict) and _is_tried_again(error))):
        status = JobStatus.UNKNOWN  # one try of several failed
    return Job(
        job_id=shown[0],
        status=status,
        progress=percent(row.get("progress")),
        prompt=shown_text(row.get("prompt")),
        model=shown_text(row.get("model")),
        seconds=max(whole(row.get("seconds")) or 0, 0) or None,  # zero and -1: not known yet
        size=shown_text(row.get("size")),
        created_at=epoch(row.get("created_at")),
        expires_at=epoch(row.get("expires_at")),
        done_at=epoch(row.get("completed_at"), any_zone=True),  # that there is one
        error=error_words(json.dumps({"error": error})) if error else None,
        error_code=code_of(error) or shown_text(row.get("failureCode") or row.get("failure_code")),
        word=word,
        named=named,
        described=_is_described(row),
        kept_back=_kept_back(row, status, word, has_error=bool(error)),
        also=tuple(shown[1:]),
        urls=clip_urls(row),
    )


def _kept_back(row: Mapping[str, Any], status: JobStatus, word: str | None, *, has_error: bool) -> str | None:
    if status is JobStatus.FAILED:
        return word if names_filter(word) else words_withheld(row, completed=False, labels=not has_error)
    return words_withheld(row, completed=True) if status is JobStatus.COMPLETED else None


def _is_tried_again(row: Mapping[str, Any]) -> bool:
    """By its fields, whatever its words: BullMQ, Celery and their like count tries."""
    return any(row.get(name) not in (None, "", 0, False) for name in TRIED_AGAIN)


def clip_urls_in(body: str, job_id: str) -> tuple[str, ...]:
    """Where a body that came instead of a clip says that it is; nowhere if it names another job (rule 1)."""
    row = row_of(json_object(body), job_id)
    inner = job_row(row, asked=True) or row
    shown = shown_ids(inner)
    if shown and not any(names_job(each, job_id) for each in shown):
        return ()
    return tuple(dict.fromkeys((*clip_urls(inner), *clip_urls(row))))


def _is_error(row: Mapping[str, Any]) -> bool:
    """An error body with a request's id in it. A job that failed has a status beside its error."""
    return bool(row.get("error")) and status_word(row) is None
