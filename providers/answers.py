"""What the answer to the one paid request means, the same for all providers. Pure: no I/O, no clock.

A provider says how its own answers show a job (`Reader`); what a refusal, a lost or an unreadable answer means does not
depend on it. So a refusal that speaks of a timeout leaves the run in doubt at every provider.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from net.error_text import error_object, error_words, is_error_form, storable
from providers.job import Job, JobStatus
from providers.openai_videos.job_failure import code_of
from providers.openai_videos.jobs import names_job_within, read_job_in_refusal
from providers.orders import Answer, ClearNo, Fault, Made, Unclear
from providers.refusals.content import blocks_content, refuses_for_credit, refuses_key, said_in, speaks_of_content
from providers.refusals.words import refuses_content, says_what, tells_of_another, why_unclear

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


@dataclass(frozen=True)
class Reader:
    """How one provider's answers to a create are read.

    `made`: the job in the body of a 2xx. `in_refusal`: the job that an error with this status names; None if it names
    none. `refuses_with`: the HTTP status that a refusal in a 2xx stands for, for providers that refuse so.
    `is_refusal`: whether an error body has the provider's own form. `names_our_request`: whether such a body names, in
    a way of the provider's own, the part of our request that is wrong. `may_bill`: refusals that may be billed.
    `our_id`: the job's id is ours, so that an answer with our key names the job.
    """

    made: Callable[[str], Job | None]
    in_refusal: Callable[[str, int], Job | None] = read_job_in_refusal
    refuses_with: Callable[[str], int | None] = lambda _: None
    is_refusal: Callable[[str], bool] = is_error_form
    names_our_request: Callable[[str], bool] = lambda _: False
    may_bill: frozenset[int] = frozenset()
    our_id: bool = False


def read_answer(
    answer: Answer, reader: Reader, *, refuses_429: bool, our_key: str = "", prompt: str = ""
) -> Made | ClearNo | Unclear:
    """What the answer to the one paid call means.

    `refuses_429`: this provider sends a 429 before any work. `our_key`: the Idempotency-Key that was sent; it is not a
    job id. `prompt`: as ordered; a refusal may repeat it.
    """
    if answer.fault in {Fault.NEVER_SENT, Fault.NEVER_CONNECTED}:
        return ClearNo(answer.fault.value, storable(answer.body))
    if answer.fault is not None or answer.status is None:
        return Unclear("lost", storable(answer.body))
    made = 200 <= answer.status < 300
    job = reader.made(answer.body) if made else reader.in_refusal(answer.body, answer.status)
    if job and our_key and not reader.our_id and _letters(job.key) == _letters(our_key):
        return Unclear("echoes_our_key", storable(answer.body))
    refused_with = reader.refuses_with(answer.body) if made and job is None else None
    if made and refused_with is None:
        return _read_made(answer, job)
    if job and answer.status >= 400:
        return _read_job_refused(answer, answer.status, job)
    return _read_refusal(answer, refused_with or answer.status, refuses_429, prompt, reader)


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


def _read_refusal(answer: Answer, status: int, refuses_429: bool, prompt: str, reader: Reader) -> ClearNo | Unclear:
    detail = _detail(answer, status)
    reason = CLEAR_NO.get(status) or ("rate_limited" if status == 429 and refuses_429 else None)
    if answer.attempts:  # the refusal may answer a second attempt, after the first one made a job
        return Unclear("gateway_retried", detail)
    said = said_in(answer.body, prompt)
    if status in CONTENT_REFUSALS_IN_WORDS and blocks_content(said):
        reason = "prompt_refused"
    if reason is None:
        return Unclear("rate_limited" if status == 429 else f"http_{status}", detail)
    if why := _why_no_clear_no(answer.body, status, prompt, said, reader):
        return Unclear(why, detail)
    return ClearNo(_why_refused(status, reason, said, answer.body), detail, may_bill=status in reader.may_bill)


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


def _why_no_clear_no(body: str, status: int, prompt: str, said: str, reader: Reader) -> str | None:
    if not reader.is_refusal(body):  # a proxy's page may hide the answer of a provider that made the job (rule 2)
        return "refusal_unreadable"
    if names_job_within(body):
        return "refusal_names_a_job"
    if why := why_unclear(body, prompt, too_many=status == 429):
        return why
    if status not in NEEDS_WORDS or reader.names_our_request(body):
        return None
    return None if says_what(body, prompt) or speaks_of_content(said) else "refusal_of_nothing"


def _detail(answer: Answer, status: int) -> str:
    return error_words(answer.body) or f"HTTP {status}"


def _letters(text: str) -> str:
    """An id without dashes, braces and case: one UUID may be written in several ways."""
    return re.sub(r"[^0-9a-z]", "", text.lower().removeprefix("urn:uuid:"))
