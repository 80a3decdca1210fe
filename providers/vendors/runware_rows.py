"""What Runware's answers say of one task. Pure.

Of `data` and `errors`, only what names the task's own `taskUUID` is about it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from net.error_text import error_words, json_object, storable
from providers.job import Job, JobStatus
from providers.json_numbers import percent, whole
from providers.openai_videos.job_links import clip_urls
from providers.port import ReadError, Reply

Row = Mapping[str, Any]
VIDEO = "videoInference"
CONFLICT = "conflictTaskUUID"  # the task that it names was taken before
USD_MAX = 1_000_000
STATUS_WORDS = {  # of several rows of one task, the first in this order speaks for it
    "success": JobStatus.COMPLETED,
    "processing": JobStatus.IN_PROGRESS,
    "pending": JobStatus.QUEUED,
    "": JobStatus.UNKNOWN,  # an acknowledgement has no status
    "error": JobStatus.FAILED,
}
# Codes of errors that end no task: its record is gone (`taskFailedOrNotFound` may mean that), or a copy of its order
# was refused.
NO_END = re.compile(r"NotFound|Expired|^conflict")
# Codes of errors that may come from a task that was taken, or that say nothing of it.
AFTER_WORK = re.compile(
    r"[Tt]imeout|ProviderContent|^(?:provider|conflict|task|inference|processing|download|upload|internal|serv|standard"
    r"|default|undefined|unrecognized|unknownError)"
)
# Codes by which Runware refuses a task. Where they come with a 2xx, they stand for a 400.
REFUSES = re.compile(
    r"^(?:invalid|missing|duplicate|unsupported|value|array|max|incompatible|mismatch|validation|unknownParameter"
    r"|content|sensitive|unsafe|nsfw|unauthorized|forbidden|permission|auth|token|account|organization|workspace)"
    r"|Blocked$|ApiKey|Credits|Quota|Balance|^paymentRequired$"
)
WITHHELD = re.compile(r"[Cc]ontent|Blocked$|^moderation")  # codes about what the clip would show


def ours(answer: Row, job_id: str) -> tuple[list[Row], list[Row]]:
    """The rows of a video, and the errors, that name this task."""
    rows = [row for row in _rows(answer, "data") if row.get("taskType", VIDEO) == VIDEO]
    return [row for row in rows if _names(row, job_id)], [e for e in _rows(answer, "errors") if _names(e, job_id)]


def refusal_codes(body: str, our_key: str) -> list[str]:
    """The codes of an error in Runware's own form that came before any work; none if one is about another task."""
    answer = json_object(body)
    codes = [
        code
        for each in _rows(answer, "errors")
        if isinstance(code := each.get("code"), str)
        and isinstance(each.get("message"), str)
        and (each.get("taskUUID") is None or _names(each, our_key))
        and not AFTER_WORK.search(code)
    ]
    return codes if codes and len(codes) == len(answer["errors"]) else []


def state_in(reply: Reply, job_id: str) -> Job | ReadError | None:
    """What getResponse shows. An error counts if it is one of the video: one of this very request may name the task."""
    answer = json_object(reply.body)
    rows, errors = ours(answer, job_id)
    ended = [each for each in errors if each.get("taskType", VIDEO if each.get("status") == "error" else "") == VIDEO]
    if rows or (ended and reply.status < 300):
        return job_in(rows or [{"status": "error", "error": ended[0]}], job_id)
    return _no_word(reply, answer)


def task_in(reply: Reply, job_id: str) -> Job | ReadError | None:
    """What getTaskDetails shows: the array that was sent, which proves that there is a task, and its answer."""
    answer = json_object(reply.body)
    for row in _rows(answer, "data"):
        own = [each for each in _rows(row, "request") if _names(each, job_id) and each.get("taskType") == VIDEO]
        if _names(row, job_id) and len(own) == 1:
            response = row["response"] if isinstance(row.get("response"), dict) else {}
            rows, errors = ours(response, job_id)
            ended = [{"status": "error", "error": each} for each in errors[:1]]
            return replace(job_in(rows or ended, job_id), described=True, **_order_in(own[0]))
    return _no_word(reply, answer)


def job_in(rows: Sequence[Row], job_id: str) -> Job:
    """`rows`: what names this task; several if it has several results, none if only its request is known."""
    states = {_status(row): row for row in reversed(rows or [{}])}
    status = next(each for each in STATUS_WORDS.values() if each in states)
    row = states[status]
    code = storable(_code(row)) or None
    urls = tuple(url for each in rows for url in _urls(each))
    return Job(
        job_id=job_id,
        status=status,
        progress=percent(row.get("progress")),
        error=error_words(json.dumps({"error": row["error"]})) if row.get("error") else None,
        error_code=code,
        word=_word(row) or None,
        described=any(row.get(name) for name in ("videoUUID", "mediaUUID", "cost", "progress")) or bool(urls),
        kept_back=code if code and WITHHELD.search(code) else None,
        urls=urls,
        marker=job_id,
        cost_microusd=sum(map(_microusd, rows)) or None,
    )


def _no_word(reply: Reply, answer: Row) -> ReadError | None:
    """None: a whole answer without a word on the task."""
    if reply.status == 200 and isinstance(answer.get("data"), list) and not answer.get("errors"):
        return None
    said = (f"HTTP {reply.status}", error_words(reply.body) or "no word on the task")
    return ReadError(reply.status, storable(": ".join(said)))


def _status(row: Row) -> JobStatus:
    status = STATUS_WORDS.get(_word(row), JobStatus.UNKNOWN)
    return JobStatus.UNKNOWN if status is JobStatus.FAILED and NO_END.search(_code(row)) else status


def _word(row: Row) -> str:
    """A stored result may have no status."""
    return storable(str(row.get("status", "success" if _urls(row) else "")))


def _code(row: Row) -> str:
    error = row.get("error")
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def _urls(row: Row) -> tuple[str, ...]:
    return clip_urls({"url": row.get("videoURL"), "video_url": row.get("mediaURL")})


def _microusd(row: Row) -> int:
    """Rounded up; 0 if it shows none."""
    cost = row.get("cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 < cost < USD_MAX:
        return 0
    return int(Decimal(str(cost)).scaleb(6).to_integral_value(ROUND_CEILING))


def _order_in(sent: Row) -> dict[str, Any]:
    """What the request of a task asked for."""
    prompt, model = (sent[name] if isinstance(sent.get(name), str) else None for name in ("positivePrompt", "model"))
    size = f"{sent['width']}x{sent['height']}" if "width" in sent and "height" in sent else None
    seconds = whole(sent.get("duration"))
    return {"prompt": prompt, "model": model, "seconds": seconds, "size": size, "request": sent}


def _rows(answer: Row, name: str) -> list[Row]:
    return [row for row in answer[name] if isinstance(row, dict)] if isinstance(answer.get(name), list) else []


def _names(row: Row, job_id: str) -> bool:
    named = row.get("taskUUID")
    return isinstance(named, str) and job_id != "" and named.lower() == job_id.lower()
