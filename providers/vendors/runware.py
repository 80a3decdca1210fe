"""Runware: many vendors' models at one address, and tasks with an id of ours. Pure: no I/O, no clock.

Every request is a POST of an array of tasks; only a `videoInference` task buys. Of an answer's `data` and `errors`,
only what names our own `taskUUID` is about us.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_words, json_object, storable
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.json_numbers import percent, whole
from providers.openai_videos.job_links import clip_urls
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope

Row = Mapping[str, Any]
VIDEO, RESPONSE, DETAILS = "videoInference", "getResponse", "getTaskDetails"
CONFLICT = "conflictTaskUUID"  # the task that it names was taken before
ORDERED = {"prompt": "positivePrompt", "model": "model"}
STATUS_WORDS = {  # of several rows of one task, the first in this order speaks for it
    "success": JobStatus.COMPLETED,
    "processing": JobStatus.IN_PROGRESS,
    "pending": JobStatus.QUEUED,
    "": JobStatus.UNKNOWN,  # an acknowledgement has no status
    "error": JobStatus.FAILED,
}
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
FACTS = Facts(
    name="runware",
    title="Runware",
    base_url="https://api.runware.ai/v1",
    key_names=("RUNWARE_API_KEY",),
    marker=Marker.OWN_ID,
    has_list=False,
    echoes_prompts=True,
    callback=Callback.UNSIGNED,
    image_input="`inputs.frameImages` of the model: addresses, data URIs, or ids of uploaded pictures",
    charge="`cost` of the result, in USD",
    sdk_repeats="runware-sdk 1.8.0: 4 tries on 408, 429, 5xx, timeouts and lost connections, same taskUUID",
    unknown=(
        "whether getTaskDetails tells an unknown task from a running one: ask for a random UUID and for a running task",
        "whether a refused task keeps its UUID: send an invalid order twice",
        "how long a task can be read, and its clip fetched: getTaskDetails of an old one",
        "whether failed tasks are billed: the balance before and after one",
    ),
    sources={
        "shapes": "runware-sdk 1.8.0 client.py, types/task_map.py; https://runware.ai/docs/platform/task-polling",
        "details": "https://runware.ai/docs/platform/task-details",
        "errors": "https://runware.ai/docs/platform/errors; codes: runware-sdk 1.8.0; conflict: runware 0.5.24 base.py",
        "callback": "https://runware.ai/docs/platform/webhooks: a secret can only be in the address",
    },
)


@dataclass(frozen=True)
class Runware:
    """The API at one base URL."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def create(self, order: Order) -> Request:
        """Raises ValueError if the input asks for more than one clip."""
        if order.params.get("numberResults", 1) != 1:
            raise ValueError("an order is for one clip")
        task = {"taskType": VIDEO, "taskUUID": order.run_id, "deliveryMethod": "async", "includeCost": True}
        task |= {"model": order.model, "positivePrompt": order.prompt}
        task |= {"webhookURL": order.callback_url} if order.callback_url else {}
        return self._post(order.params | task, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        """A conflict over our own id proves that Runware has the task: it was sent once, and something repeated it."""
        rows, errors = _ours(json_object(answer.body), our_key)
        if answer.status is not None and any(each.get("code") == CONFLICT for each in errors):
            return Made(Job(our_key, JobStatus.UNKNOWN, marker=our_key))
        job, codes = _job(rows, our_key) if rows else None, _refusal(answer.body, our_key)
        reader = answers.Reader(
            made=lambda _: job,
            in_refusal=lambda _body, _status: job,
            refuses_with=lambda _: 400 if codes and all(map(REFUSES.search, codes)) else None,
            is_refusal=lambda _: bool(codes),
            our_id=True,
        )
        return answers.read_answer(answer, reader, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """The state, and, where that is missing or a failure, the whole task: its request proves that there is one."""
        return (yield from self._look(job_id)) or ReadError(200, "Runware shows nothing of this task")

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        return ReadError(None, "Runware has no list")
        yield

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        """None proves nothing: a task that runs may be shown as little as one that does not exist."""
        return (yield from self._look(order.run_id))

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        return order.run_id

    def _look(self, job_id: str) -> Reading[Job | ReadError | None]:
        reply = yield self._post({"taskType": RESPONSE, "taskUUID": job_id})
        state = _state(reply, job_id)
        if isinstance(state, Job) and state.status is not JobStatus.FAILED:
            return state
        told = yield self._post({"taskType": DETAILS, "taskUUID": job_id})
        task = _task(told, job_id)
        if isinstance(task, Job) and isinstance(state, Job) and task.status is not JobStatus.COMPLETED:
            end = {name: getattr(state, name) for name in ("status", "word", "error", "error_code", "kept_back")}
            task = replace(task, **end)
        shown = task if isinstance(task, Job) else state or task
        failed = isinstance(shown, Job) and shown.status is JobStatus.FAILED
        is_old = is_cached(reply.headers) or is_cached(told.headers)
        return ReadError(reply.status, FROM_A_CACHE) if failed and is_old else shown

    def _post(self, task: Row, *, pays: bool = False) -> Request:
        body = json.dumps([task], ensure_ascii=False, separators=(",", ":")).encode()
        return Request("POST", self.base_url.rstrip("/"), {"Content-Type": "application/json"}, body, pays=pays)


def _state(reply: Reply, job_id: str) -> Job | ReadError | None:
    """What getResponse shows. An error is a failure if it is one of the video, not of this request."""
    answer = json_object(reply.body)
    rows, errors = _ours(answer, job_id)
    ended = [each for each in errors if each.get("taskType", VIDEO if each.get("status") == "error" else "") == VIDEO]
    if rows or (ended and reply.status < 300):
        return _job(rows or [{"status": "error", "error": ended[0]}], job_id)
    return _no_word(reply, answer)


def _task(reply: Reply, job_id: str) -> Job | ReadError | None:
    """What getTaskDetails shows: the array that was sent, and its answer."""
    answer = json_object(reply.body)
    for row in _rows(answer, "data"):
        own = [each for each in _rows(row, "request") if _names(each, job_id) and each.get("taskType") == VIDEO]
        if _names(row, job_id) and len(own) == 1:
            response = row["response"] if isinstance(row.get("response"), dict) else {}
            rows, errors = _ours(response, job_id)
            ended = [{"status": "error", "error": each} for each in errors if each.get("code") != CONFLICT]
            return replace(_job(rows or ended[:1], job_id), described=True, **_order_in(own[0]))
    return _no_word(reply, answer)


def _no_word(reply: Reply, answer: Row) -> ReadError | None:
    """None: a whole answer without a word on the task."""
    if reply.status == 200 and isinstance(answer.get("data"), list) and not answer.get("errors"):
        return None
    return ReadError(reply.status, error_words(reply.body) or f"HTTP {reply.status} without a word on the task")


def _job(rows: Sequence[Row], job_id: str) -> Job:
    """`rows`: what names this task; several if it has several results, none if only its request is known."""
    states = {STATUS_WORDS.get(_word(row), JobStatus.UNKNOWN): row for row in reversed(rows or [{}])}
    status = next(each for each in STATUS_WORDS.values() if each in states)
    row = states[status]
    error = row["error"] if isinstance(row.get("error"), dict) else {}
    code = storable(error["code"]) if isinstance(error.get("code"), str) else None
    urls = tuple(url for each in rows for url in _urls(each))
    return Job(
        job_id=job_id,
        status=status,
        progress=percent(row.get("progress")),
        error=error_words(json.dumps({"error": error})) if error else None,
        error_code=code,
        word=_word(row) or None,
        described=any(row.get(name) for name in ("videoUUID", "mediaUUID", "cost", "progress")) or bool(urls),
        kept_back=code if code and WITHHELD.search(code) else None,
        urls=urls,
        marker=job_id,
        cost_microusd=sum(map(_microusd, rows)) or None,
    )


def _word(row: Row) -> str:
    """A stored result may have no status."""
    return storable(str(row.get("status", "success" if _urls(row) else "")))


def _urls(row: Row) -> tuple[str, ...]:
    return clip_urls({"url": row.get("videoURL"), "video_url": row.get("mediaURL")})


def _microusd(row: Row) -> int:
    """Rounded up; 0 if it shows none."""
    cost = row.get("cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 < cost < 1e6:
        return 0
    return int(Decimal(str(cost)).scaleb(6).to_integral_value(ROUND_CEILING))


def _order_in(sent: Row) -> dict[str, Any]:
    """What the request of a task asked for."""
    texts = {name: sent[key] for name, key in ORDERED.items() if isinstance(sent.get(key), str)}
    size = f"{sent['width']}x{sent['height']}" if "width" in sent and "height" in sent else None
    return texts | {"seconds": whole(sent.get("duration")), "size": size, "request": sent}


def _rows(answer: Row, name: str) -> list[Row]:
    return [row for row in answer[name] if isinstance(row, dict)] if isinstance(answer.get(name), list) else []


def _names(row: Row, job_id: str) -> bool:
    named = row.get("taskUUID")
    return isinstance(named, str) and job_id != "" and named.lower() == job_id.lower()


def _ours(answer: Row, job_id: str) -> tuple[list[Row], list[Row]]:
    """The rows of a video, and the errors, that name this task."""
    rows = [row for row in _rows(answer, "data") if row.get("taskType", VIDEO) == VIDEO]
    return [row for row in rows if _names(row, job_id)], [e for e in _rows(answer, "errors") if _names(e, job_id)]


def _refusal(body: str, our_key: str) -> list[str]:
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
