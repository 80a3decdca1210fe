"""What is sent to buy a video, and what the answer to that one paid call means. Pure: no I/O, no clock.

The protocol is OpenAI's `/videos` as gateways and self-hosted servers speak it today. Jobs are parsed in
`providers/openai_videos/jobs.py`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from net.error_text import error_object, error_words, is_error_form, storable
from providers.content_refusals import blocks_content, refuses_for_credit, refuses_key, said_in, speaks_of_content
from providers.openai_videos.job_failure import code_of
from providers.openai_videos.jobs import Job, JobStatus, names_job_within, read_job, read_job_in_refusal
from providers.refusals import refuses_content, says_what, tells_of_another, why_unclear


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
        """The fields of the request's body; `seconds` is sent as a string."""
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

    NEVER_SENT = "never_sent"  # the submit deadline had passed; nothing was sent
    NEVER_CONNECTED = "never_connected"  # refused, DNS, TLS: no byte of the request was sent
    LOST = "lost"  # anything after that


@dataclass(frozen=True)
class Answer:
    """The raw answer to a create request: a status with a body, or a fault instead of both.

    `attempts`: further requests that a gateway says it sent for ours (retries and fallbacks). `location`: the path in
    the header of that name, if any; a person may find the job by it.
    """

    status: int | None
    body: str
    fault: Fault | None = None
    attempts: int = 0
    location: str = ""
    cached: bool = False  # its headers say that it answers an older request

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Answer":
        """Raises KeyError, TypeError or ValueError if the file is damaged."""
        status, body, fault, attempts = kept["status"], kept["body"], kept.get("fault"), kept.get("attempts", 0)
        location = kept.get("location", "")
        if not isinstance(status, int | None) or not isinstance(attempts, int):
            raise TypeError("not an answer")
        if not isinstance(body, str) or not isinstance(location, str):
            raise TypeError("not an answer")
        return cls(status, body, Fault(fault) if fault else None, attempts, location, kept.get("cached") is True)


@dataclass(frozen=True)
class Made:
    """The provider has the job: it is ours, and we owe its price."""

    job: Job


@dataclass(frozen=True)
class ClearNo:
    """The provider itself refused: no job, nothing owed. `reason`: a stable word, `detail`: the provider's words."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Unclear:
    """The answer does not show whether there is a job. `reason` is a stable word."""

    reason: str
    detail: str


# With these statuses a server rejects the request, if the body is an error in one of the usual forms.
# Every other status is unclear.
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
NEEDS_WORDS = {400, 403, 404, 422}  # the others say by themselves what is wrong
CONTENT_REFUSALS = {400, 403, 422}  # a refusal of the prompt comes with one of these
# Or with one of these, if the words plainly say so; otherwise they mean something else: credit, the law.
CONTENT_REFUSALS_IN_WORDS = {402, 451}
# A refusal with one of these may name another order's job: one that it conflicts with, or that blocks it.
NAMES_OTHERS = {409, 429}


def read_answer(answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = "") -> Made | ClearNo | Unclear:
    """What the answer to the one paid call means.

    `refuses_429`: this provider sends a 429 before any work. `our_key`: the Idempotency-Key that was sent; it is not a
    job id. `prompt`: as ordered; a refusal may repeat it.
    """
    if answer.fault in {Fault.NEVER_SENT, Fault.NEVER_CONNECTED}:
        return ClearNo(answer.fault.value, storable(answer.body))
    if answer.fault is not None or answer.status is None:
        return Unclear("lost", storable(answer.body))
    made = 200 <= answer.status < 300
    job = read_job(answer.body) if made else read_job_in_refusal(answer.body, answer.status)
    if job and our_key and _letters(job.key) == _letters(our_key):
        return Unclear("echoes_our_key", storable(answer.body))
    if made:
        return _read_made(answer, job)
    if job and answer.status >= 400:
        return _read_job_refused(answer, answer.status, job)
    return _read_refusal(answer, answer.status, refuses_429, prompt)


def _read_made(answer: Answer, job: Job | None) -> Made | Unclear:
    if answer.cached:  # another request made the job that it names
        return Unclear("answer_from_a_cache", storable(answer.body))
    return Made(job) if job else Unclear("unreadable", storable(answer.body))


def _read_job_refused(answer: Answer, status: int, job: Job) -> Made | Unclear:
    """An error that names a job is no refusal: the job exists if its status says so, else it is unclear (rule 1)."""
    exists = job.running or job.status is JobStatus.COMPLETED
    if exists and status not in NAMES_OTHERS and not tells_of_another(answer.body):
        return Made(job)
    return Unclear("refusal_names_a_job", _detail(answer, status))


def _read_refusal(answer: Answer, status: int, refuses_429: bool, prompt: str) -> ClearNo | Unclear:
    detail = _detail(answer, status)
    reason = CLEAR_NO.get(status) or ("rate_limited" if status == 429 and refuses_429 else None)
    if answer.attempts:  # the refusal may answer a second attempt, after the first one made a job
        return Unclear("gateway_retried", detail)
    said = said_in(answer.body, prompt)
    if status in CONTENT_REFUSALS_IN_WORDS and blocks_content(said):
        reason = "prompt_refused"
    if reason is None:
        return Unclear("rate_limited" if status == 429 else f"http_{status}", detail)
    if why := _why_no_clear_no(answer.body, status, prompt, said):
        return Unclear(why, detail)
    return ClearNo(_why_refused(status, reason, said, answer.body), detail)


def _why_refused(status: int, reason: str, said: str, body: str) -> str:
    """Why the order was refused. A refused key, however worded, stops all orders. A code is clearer than words."""
    if status not in CONTENT_REFUSALS:
        return reason
    answer = error_object(body)
    code = (code_of(answer.get("error")) or code_of(answer) or "").replace("_", " ")
    if refuses_content(code) and not refuses_key(code):
        return "prompt_refused"
    if refuses_for_credit(said):
        return "no_credit"
    if refuses_key(said):
        return "forbidden" if reason == "forbidden" else "unauthorized"
    return "prompt_refused" if speaks_of_content(said) else reason


def _why_no_clear_no(body: str, status: int, prompt: str, said: str) -> str | None:
    if not is_error_form(body):  # a proxy's page may hide the answer of a provider that made the job (rule 2)
        return "refusal_unreadable"
    if names_job_within(body):
        return "refusal_names_a_job"
    if why := why_unclear(body, prompt, too_many=status == 429):
        return why
    says = status not in NEEDS_WORDS or says_what(body, prompt) or speaks_of_content(said)
    return None if says else "refusal_of_nothing"


def _detail(answer: Answer, status: int) -> str:
    return error_words(answer.body) or f"HTTP {status}"


def _letters(text: str) -> str:
    """An id without dashes, braces and case: one UUID may be written in several ways."""
    return re.sub(r"[^0-9a-z]", "", text.lower().removeprefix("urn:uuid:"))
