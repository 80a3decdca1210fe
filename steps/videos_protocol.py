"""What is sent to buy a video, and what the answer to that one paid call means. Pure: no input, no output, no clock.

The protocol is OpenAI's `/videos` as gateways and self-hosted servers speak it today. What a job says of itself is read
in `steps/video_jobs.py`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from steps.video_jobs import Job, error_words, read_job, storable


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
    """The raw answer to a create request: a status with a body, or the fault that stands for both.

    `attempts`: further requests that a gateway says it sent for ours (retries and fallbacks).
    """

    status: int | None
    body: str
    fault: Fault | None = None
    attempts: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Answer":
        """Raises what a damaged file can be wrong by: KeyError, TypeError, ValueError."""
        status, body, fault, attempts = kept["status"], kept["body"], kept.get("fault"), kept.get("attempts", 0)
        if not isinstance(status, int | None) or not isinstance(body, str) or not isinstance(attempts, int):
            raise TypeError("not an answer")
        return cls(status, body, Fault(fault) if fault else None, attempts)


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
# A refusal of the prompt comes with one of these statuses and one of these words (letters only, lower case).
CONTENT_REFUSALS = {400, 403, 422}
REFUSAL_WORDS = ("moderation", "contentpolicy", "contentviolation", "safety", "sentinel", "sensitivecontent", "nsfw")


def read_answer(answer: Answer, *, refuses_429: bool) -> Made | ClearNo | Unclear:
    """What the answer to the one paid call means. `refuses_429`: here a 429 comes before any work."""
    if answer.fault in {Fault.NEVER_SENT, Fault.NEVER_CONNECTED}:
        return ClearNo(answer.fault.value, storable(answer.body))
    if answer.fault is not None or answer.status is None:
        return Unclear("lost", storable(answer.body))
    if 200 <= answer.status < 300:
        job = read_job(answer.body)
        return Made(job) if job else Unclear("unreadable", storable(answer.body))
    return _read_refusal(answer, answer.status, refuses_429)


def _read_refusal(answer: Answer, status: int, refuses_429: bool) -> ClearNo | Unclear:
    detail = error_words(answer.body) or f"HTTP {status}"
    if answer.attempts:  # the refusal may be that of a second try, and the first one was made
        return Unclear("gateway_retried", detail)
    if reason := CLEAR_NO.get(status):
        return ClearNo("prompt_refused" if _refuses_content(answer) else reason, detail)
    if status == 429:
        return ClearNo("rate_limited", detail) if refuses_429 else Unclear("rate_limited", detail)
    return Unclear(f"http_{status}", detail)


def _refuses_content(answer: Answer) -> bool:
    letters = re.sub(r"[^a-z]", "", answer.body.lower())
    return answer.status in CONTENT_REFUSALS and any(word in letters for word in REFUSAL_WORDS)
