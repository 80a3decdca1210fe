"""What the provider's words mean. Pure: no input, no output, no clock.

The protocol is OpenAI's `/videos` as gateways and self-hosted servers speak it today, so nearly every field
may be missing. Three readings matter: what an answer to the one paid call means (`read_answer`), what a job
says of itself (`read_job`), and whether a job in a list can be what an order made (`fits`).
"""

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Order:
    """What is sent, and nothing else. `size` is WIDTHxHEIGHT; `create_body` is multipart or json."""

    run_id: str
    prompt: str
    model: str
    seconds: int
    size: str
    create_body: str

    def fields(self) -> dict[str, str]:
        """The fields of the request's body; `seconds` travels as a string."""
        return {
            "prompt": self.prompt,
            "model": self.model,
            "seconds": str(self.seconds),
            "size": self.size,
        }

    def request_hash(self) -> str:
        """sha256 of the fields as canonical JSON, for receipts."""
        canonical = json.dumps(self.fields(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


class Fault(StrEnum):
    """Why there is no answer."""

    NEVER_SENT = "never_sent"  # the submit deadline had passed; nothing left
    NEVER_CONNECTED = "never_connected"  # refused, DNS, TLS: no byte of the request left
    LOST = "lost"  # anything after that


@dataclass(frozen=True)
class Answer:
    """The raw answer to a create request: a status with a body, or the fault that stands for both."""

    status: int | None
    body: str
    fault: Fault | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Answer":
        """Raises what a damaged file can be wrong by: KeyError, TypeError, ValueError."""
        status, body, fault = kept["status"], kept["body"], kept.get("fault")
        if not isinstance(status, int | None) or not isinstance(body, str):
            raise TypeError("not an answer")
        return cls(status, body, Fault(fault) if fault else None)


class JobStatus(StrEnum):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"  # was completed; its content is gone
    UNKNOWN = "unknown"  # a word we do not know: it is taken for still rendering


STATUS_WORDS = {
    "queued": JobStatus.QUEUED,
    "pending": JobStatus.QUEUED,
    "submitted": JobStatus.QUEUED,
    "in_progress": JobStatus.IN_PROGRESS,
    "processing": JobStatus.IN_PROGRESS,
    "running": JobStatus.IN_PROGRESS,
    "completed": JobStatus.COMPLETED,
    "succeeded": JobStatus.COMPLETED,
    "success": JobStatus.COMPLETED,
    "done": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "error": JobStatus.FAILED,
    "cancelled": JobStatus.FAILED,
    "canceled": JobStatus.FAILED,
    "expired": JobStatus.EXPIRED,
}


@dataclass(frozen=True)
class Job:
    """A job as the provider shows it; None is "not shown". Times in epoch seconds."""

    job_id: str
    status: JobStatus
    progress: int | None = None
    prompt: str | None = None
    model: str | None = None
    seconds: int | None = None
    size: str | None = None
    created_at: float | None = None
    expires_at: float | None = None
    error: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class Page:
    """One page of a list; `has_more` None means that the provider does not say."""

    jobs: tuple[Job, ...]
    has_more: bool | None
    last_id: str | None


@dataclass(frozen=True)
class Made:
    """The provider has the job: it is ours, and it is owed."""

    job: Job


@dataclass(frozen=True)
class ClearNo:
    """Nothing was made and nothing is owed. `reason` is a stable word, `detail` the provider's own."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Unclear:
    """Nobody can tell from this answer. `reason` is a stable word."""

    reason: str
    detail: str


# Statuses by which a server says that it did not take the request. Every status that is not here is unclear.
CLEAR_NO = {
    400: "bad_request",
    401: "unauthorized",
    402: "no_credit",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    415: "bad_request",
    422: "bad_request",
}
REFUSAL_WORDS = ("moderation", "content_policy", "content policy", "safety", "sentinel")
DETAIL_CHARACTERS_MAX = 300
ID_CHARACTERS_MAX = 500  # LiteLLM wraps provider and model into its ids; an index takes ten times as much
EPOCH_SECONDS_MAX = 1e11  # the year 5138: a larger time is in milli-, micro- or nanoseconds


def read_answer(answer: Answer, *, refuses_429: bool) -> Made | ClearNo | Unclear:
    """What the answer to the one paid call means. `refuses_429`: here a 429 comes before any work."""
    if answer.fault in {Fault.NEVER_SENT, Fault.NEVER_CONNECTED}:
        return ClearNo(answer.fault.value, _storable(answer.body))
    if answer.fault is not None or answer.status is None:
        return Unclear("lost", _storable(answer.body))
    if 200 <= answer.status < 300:
        job = read_job(answer.body)
        return Made(job) if job else Unclear("unreadable", _storable(answer.body))
    detail = _error_words(answer.body) or f"HTTP {answer.status}"
    if reason := CLEAR_NO.get(answer.status):
        refused = answer.status == 400 and any(word in answer.body.lower() for word in REFUSAL_WORDS)
        return ClearNo("prompt_refused" if refused else reason, detail)
    if answer.status == 429:
        return ClearNo("rate_limited", detail) if refuses_429 else Unclear("rate_limited", detail)
    return Unclear(f"http_{answer.status}", detail)


def read_job(body: str, job_id: str | None = None) -> Job | None:
    """The job in a body; None if there is no id to come back for, or if the body is an error that has an id.

    `job_id`: the id that was asked for. It stays ours: a gateway may show another, or none, for the same job.
    """
    row = _object(body)
    if _is_error(row) or (job_id is not None and "status" not in row):
        return None
    return _job(row if job_id is None else row | {"id": job_id})


def read_page(body: str) -> Page | None:
    """The page in a body; None if it is not a list of jobs."""
    page = _object(body)
    rows = page.get("data")
    if not isinstance(rows, list):
        return None
    jobs = [_job(row) if isinstance(row, dict) else None for row in rows]
    if any(job is None for job in jobs):
        return None  # a row we cannot read may be the very job we look for
    has_more, last_id = page.get("has_more"), page.get("last_id")
    return Page(
        tuple(job for job in jobs if job),
        has_more if isinstance(has_more, bool) else None,
        last_id if isinstance(last_id, str) and last_id else (jobs[-1].job_id if jobs and jobs[-1] else None),
    )


def fits(job: Job, order: Order, *, not_before: float, not_after: float) -> bool:
    """Whether this job can be what that order made. What is not shown is unknown, not different.

    Times are epoch seconds; the provider's clock may be off, which the caller allows for in the two bounds.
    """
    if job.prompt is not None and not same_words(job.prompt, order.prompt):
        return False
    if job.seconds is not None and job.seconds != order.seconds:
        return False
    if job.size is not None and _size(job.size) not in {None, _size(order.size)}:
        return False
    if job.created_at is not None and not not_before <= job.created_at <= not_after:
        return False
    return job.model is None or _same_model(job.model, order.model)


def same_words(one: str, other: str) -> bool:
    """A form turns line ends into CRLF, and servers compose characters: neither is another prompt."""
    return _words(one) == _words(other)


def _words(text: str) -> list[str]:
    return unicodedata.normalize("NFC", text).split()


def _size(text: str) -> tuple[int, int] | None:
    """Width and height; None for a name such as 720p or 9:16, which says nothing for sure."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX*×]\s*(\d{1,5})\s*", text)
    return (int(match[1]), int(match[2])) if match else None


def _same_model(shown: str, asked: str) -> bool:
    """Gateways show a model with or without its vendor or a date: such an alias is unknown, not different."""
    one, other = shown.lower(), asked.lower()
    return one.startswith(other) or one.endswith(other) or other.startswith(one) or other.endswith(one)


def _object(body: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _job(row: dict[str, Any]) -> Job | None:
    job_id = row.get("id")
    if not isinstance(job_id, str) or not _is_id(job_id):
        return None
    error = row.get("error")
    return Job(
        job_id=job_id,
        status=STATUS_WORDS.get(str(row.get("status", "")).lower(), JobStatus.UNKNOWN),
        progress=_whole(row.get("progress")),
        prompt=_text(row.get("prompt")),
        model=_text(row.get("model")),
        seconds=_whole(row.get("seconds")),
        size=_text(row.get("size")),
        created_at=_epoch(row.get("created_at")),
        expires_at=_epoch(row.get("expires_at")),
        error=_error_words(json.dumps({"error": error})) if error else None,
        error_code=_text(error.get("code")) if isinstance(error, dict) else None,
    )


def _is_error(row: Mapping[str, Any]) -> bool:
    """An error body with a request's id in it. A job that failed has a status beside its error."""
    return bool(row.get("error")) and not isinstance(row.get("status"), str)


def _is_id(text: str) -> bool:
    """What can be stored, and asked for again: a path made of dots leads elsewhere."""
    fits = 0 < len(text) <= ID_CHARACTERS_MAX and text.isprintable() and text == text.strip()
    return fits and text not in {".", ".."}


def _error_words(body: str) -> str:
    """The provider's own words, in whichever of the usual shapes they come."""
    answer = _object(body)
    error = answer.get("error", answer.get("detail", answer.get("message", "")))
    if isinstance(error, dict):
        error = error.get("message") or error.get("code") or ""
    return _storable(error if isinstance(error, str) else json.dumps(error))


def _storable(words: str) -> str:
    """Without what PostgreSQL cannot store and JSON can carry: NUL, and halves of surrogate pairs."""
    kept = (c for c in words if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"})
    return "".join(kept)[:DETAIL_CHARACTERS_MAX]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _epoch(value: object) -> float | None:
    """Epoch seconds, whichever thousandths of them are shown."""
    number = _number(value)
    if number is None or not math.isfinite(number):
        return None
    while number > EPOCH_SECONDS_MAX:
        number /= 1000
    return number


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]  # anything that is not a number is not shown
    except (TypeError, ValueError, OverflowError):
        return None


def _whole(value: object) -> int | None:
    number = _number(value)
    return round(number) if number is not None and abs(number) < 1e9 else None
