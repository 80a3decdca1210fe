"""What fal shows of a request: in its queue, in its history, as its result, in its charges. Pure.

In       the JSON objects of fal's answers
Out      `Job`, micro-dollars, errors in words
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from net.caching import is_cached
from net.error_text import error_object, error_words, is_error_form, says_something, storable, without_links
from providers.job import Job, JobStatus
from providers.job_ids import id_of
from providers.json_numbers import epoch, number
from providers.openai_videos.job_links import clip_urls
from providers.openai_videos.job_rows import shown_text
from providers.port import ReadError, Reply

STATUS_WORDS = {
    "IN_QUEUE": JobStatus.QUEUED,
    "IN_PROGRESS": JobStatus.IN_PROGRESS,
    "COMPLETED": JobStatus.COMPLETED,
}
ADDRESSES = ("response_url", "status_url", "cancel_url")
REQUEST_IN_ADDRESS = re.compile(r"/requests/([^/?#]+)")
OF_A_JOB = (*ADDRESSES, "queue_position", "metrics")
CLIP_PLACES = ("video", "videos", "output", "data")
RESULT_IS_GONE = {404, 410}
MODEL_REFUSED = 422  # the model's own refusal, given as the result; other errors may be about the reading of it
MICRO, NANO_IN_MICRO = 1_000_000, 1000


def ids_in(row: Mapping[str, Any]) -> list[str]:
    """All that it calls the request: by name, and in its addresses."""
    addresses = (REQUEST_IN_ADDRESS.search(str(row.get(name))) for name in ADDRESSES)
    named = (row.get("request_id"), *(unquote(found[1]) for found in addresses if found))
    return [each for each in map(id_of, named) if each]


def job_of(row: Mapping[str, Any]) -> Job | None:
    """A request as the queue shows it; None if it names none, or two. A completed one may have failed."""
    ids = ids_in(row)
    if not ids or len(set(ids)) > 1:
        return None
    word, told = shown_text(row.get("status")), row.get("error")
    gateway = id_of(row.get("gateway_request_id"))
    return Job(
        job_id=ids[0],
        status=STATUS_WORDS.get((word or "").upper(), JobStatus.UNKNOWN),
        error=_words(told) if says_something(told) else None,
        error_code=shown_text(row.get("error_type")),
        word=word,
        described=any(row.get(name) not in (None, "", {}) for name in OF_A_JOB),
        also=(gateway,) if gateway and gateway != ids[0] else (),
    )


def with_result(job: Job, reply: Reply) -> Job | ReadError:
    """A request whose status is COMPLETED, and the answer to its result's address, which does not name it.

    It failed if its status has an error, or if the model refuses its input as the result. Any other error may be about
    the reading. A clip in the result is a clip, whatever else was said.
    """
    result = error_object(reply.body)
    if reply.status < 300 and result and (not is_error_form(reply.body) or _urls(result)):
        return replace(job, error=None, error_code=None, urls=_urls(result))
    refused = reply.status == MODEL_REFUSED and bool(result.get("detail")) and not is_cached(reply.headers)
    if not job.named or (job.error is None and not refused):
        return job if reply.status in RESULT_IS_GONE and result else read_error(reply)
    words, code = why(result) if reply.status >= 400 and is_error_form(reply.body) else ("", None)
    codes = " ".join(each for each in (job.error_code, code) if each)
    return replace(job, status=JobStatus.FAILED, error=words or job.error, error_code=codes or None)


def listed_job(row: object) -> Job | None:
    """A request in the history; one without its input is shown without a prompt."""
    named = id_of(row.get("request_id")) if isinstance(row, dict) else None
    if not isinstance(row, dict) or named is None:
        return None
    asked, output = (value if isinstance(value := row.get(f"json_{way}"), dict) else {} for way in ("input", "output"))
    status, seed = _listed_status(row), asked.get("seed")
    words, code = why(output) if status is JobStatus.FAILED else ("", None)
    return Job(
        job_id=named,
        status=status,
        prompt=shown_text(asked.get("prompt")),
        model=shown_text(row.get("endpoint_id")),
        created_at=epoch(row.get("sent_at")),
        done_at=epoch(row.get("ended_at")) if status is JobStatus.COMPLETED else None,
        error=words or None,
        error_code=code,
        word=storable(str(row["status_code"])) if row.get("status_code") is not None else None,
        described=any(row.get(name) for name in ("endpoint_id", "sent_at", "json_input")),
        urls=_urls(output),
        marker=str(seed) if isinstance(seed, int) and not isinstance(seed, bool) else None,
        request=asked or None,
    )


def charge_in(row: object, job_id: str) -> int | None:
    """Micro-dollars that a billing event charges for this request; None if it is of another, or cannot be read."""
    if not isinstance(row, dict) or row.get("request_id") != job_id:
        return None
    nano, usd = (number(row.get(name)) for name in ("cost_estimate_nano_usd", "cost_total"))
    charged = usd * MICRO if usd is not None else nano / NANO_IN_MICRO if nano is not None else math.nan
    return round(charged) if math.isfinite(charged) and charged >= 0 else None


def read_error(reply: Reply) -> ReadError:
    words = why(error_object(reply.body))[0] if is_error_form(reply.body) else ""
    return ReadError(reply.status, words or f"HTTP {reply.status} without what was asked for")


def _listed_status(row: Mapping[str, Any]) -> JobStatus:
    code = row.get("status_code")
    if isinstance(code, int) and not isinstance(code, bool):
        return JobStatus.COMPLETED if 200 <= code < 300 else JobStatus.FAILED if code >= 400 else JobStatus.UNKNOWN
    if row.get("ended_at"):
        return JobStatus.UNKNOWN
    return JobStatus.IN_PROGRESS if row.get("started_at") else JobStatus.QUEUED


def _urls(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Models call their clip `video`, or the first of `videos`: a file with its address, or the address alone."""
    named = (result.get(name) for name in CLIP_PLACES)
    files = [each for value in named for each in (value if isinstance(value, list) else [value])]
    return clip_urls({**result, "data": files, "output": [each for each in files if isinstance(each, str)]})


def why(error: Mapping[str, Any]) -> tuple[str, str | None]:
    """The words of an error, and its code. Of a list of what is wrong not the `input`, which repeats the prompt."""
    told = error.get("detail")
    wrong = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    if not wrong:
        return _words(error), shown_text(error.get("error_type"))
    codes = " ".join(text for each in wrong if (text := shown_text(each.get("type"))))
    return _shown("; ".join(str(each.get("msg") or "") for each in wrong)) or codes, codes or None


def _words(error: object) -> str:
    return error_words(json.dumps(error if isinstance(error, dict) else {"error": error}))


def _shown(words: str) -> str:
    return storable(without_links(words))
