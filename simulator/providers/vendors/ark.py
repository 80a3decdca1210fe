"""BytePlus and Volcengine Ark: tasks, their list by page numbers, unsigned callbacks, below `/ark`.

In       `POST /ark/contents/generations/tasks`; the task and the list at the same path
Out      Ark's shapes: https://docs.byteplus.com/en/docs/ModelArk/1520757, 1521309 and 1521675, and answers of the real
         service that users have published: only a task that succeeded shows its seed, its length and its resolution
Effects  those of the core; options in the text of a prompt (`--dur 12`) set what is made and charged, as at Ark
"""

import json
import re
import uuid
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import Rows, create, list_page, retrieve
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos import jobs
from simulator.videos.books import Job
from simulator.videos.errors import json_answer
from simulator.videos.listing import Query
from simulator.videos.orders import Order

NAME = "ark"
TASKS = f"/{NAME}/contents/generations/tasks"
PAGE_ROWS, PAGE_ROWS_MAX = 20, 500
EXPIRES, EXPIRES_MIN, EXPIRES_MAX = 172_800, 3_600, 259_200
OWN_SEEDS = 100_000  # all seeds that Ark chose in published answers are below
TIERS = ("default", "flex")
WORDS: Mapping[str, str] = {"in_progress": "running", "completed": "succeeded"}
CODES: Mapping[int, tuple[str, str]] = {
    400: ("InvalidParameter", "BadRequest"),
    401: ("AuthenticationError", "Unauthorized"),
    404: ("NotFound", "NotFound"),
    429: ("RateLimitExceeded", "TooManyRequests"),
}
FAILURES: Mapping[str, str] = {"generation_failed": "InternalServiceError"}
OPTION = re.compile(r"--(dur|duration|rs|resolution|rt|ratio)\s+(\S+)")
OPTIONS: Mapping[str, str] = {"dur": "duration", "rs": "resolution", "rt": "ratio"}


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount the path of tasks."""
    router.add_post(TASKS, submit)
    router.add_get(TASKS, listed)
    router.add_get(TASKS + "/{id}", task)


def refusal(code: int, words: str) -> web.Response:
    """An error of Ark."""
    name, kind = CODES.get(code, ("InternalServiceError", "InternalServerError"))
    return _error(code, name, kind, words)


def moderation() -> web.Response:
    """A refusal of the prompt."""
    words = "The request failed because the input text may contain sensitive information."
    return _error(400, "InputTextSensitiveContentDetected", "BadRequest", words)


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order: a text in `content`, the rest beside it."""
    sent = read_object(body)
    if sent is None:
        return refusal(400, "The request body is not a JSON object.")
    sent = {
        name: value for name, value in sent.items() if value is not None
    }  # its client sends null for what is not set
    content, model = sent.get("content"), sent.get("model")
    texts = [each.get("text") for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    text = next((each for each in texts if isinstance(each, str) and each.strip()), None)
    if not isinstance(model, str) or not model or text is None:
        return refusal(400, "The request failed because it is missing one or multiple required parameters.")
    expires = sent.get("execution_expires_after", EXPIRES)
    if not isinstance(expires, int) or not EXPIRES_MIN <= expires <= EXPIRES_MAX:
        return refusal(400, "The parameter `execution_expires_after` is not valid.")
    if sent.get("service_tier", TIERS[0]) not in TIERS:
        return refusal(400, "The parameter `service_tier` is not valid.")
    said = {OPTIONS.get(name, name): value for name, value in OPTION.findall(text)}
    asked = {**sent, **said}
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=text,
        model=model,
        seconds=seconds_of(asked.get("duration")),
        size=size_of(asked.get("ratio"), asked.get("resolution")),
        sent=asked,
        callback_url=sent.get("callback_url"),
    )


def made(view: View) -> dict[str, Any]:
    """What an order is answered with."""
    return {"id": view.id}


def report(view: View) -> Report:
    """The callback at the end: the task as it is read, not signed."""
    return Report(json.dumps(row(view)).encode(), {"Content-Type": "application/json"})


def new_id() -> str:
    """An id as Ark writes them: the time, and a few letters."""
    return f"cgt-{datetime.now(UTC):%Y%m%d%H%M%S}-{uuid.uuid4().hex[:8]}"


VENDOR = Vendor(
    name=NAME,
    key_of=key_after("Bearer"),
    read_order=read_order,
    made=made,
    refusal=refusal,
    moderation=moderation,
    new_id=new_id,
    callback=lambda view, _: report(view),
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /ark/contents/generations/tasks`."""
    return await create(request, VENDOR)


async def task(request: web.Request) -> web.StreamResponse:
    """One task."""
    return await retrieve(request, VENDOR, request.match_info["id"], lambda view: json_answer(row(view)))


async def listed(request: web.Request) -> web.StreamResponse:
    """The tasks of one service tier, newest first, by page number; filters by status, model and ids."""
    asked, state = request.query, request.app[STATE]
    number, size = asked.get("page_num", "1"), asked.get("page_size", str(PAGE_ROWS))
    if not number.isdigit() or not size.isdigit() or not 1 <= int(size) <= PAGE_ROWS_MAX or int(number) < 1:
        return refusal(400, "The parameter `page_num` or `page_size` is not valid.")
    limit = min(int(size), state.habits.page_size or PAGE_ROWS_MAX)
    ids, status, model = asked.getall("filter.task_ids", []), asked.get("filter.status"), asked.get("filter.model")
    tier = asked.get("filter.service_tier", TIERS[0])

    def wanted(job: Job) -> bool:
        word = jobs.status_of(job, state.now())
        fits = (not ids or job.id in ids) and model in (None, job.model) and status in (None, WORDS.get(word, word))
        return fits and job.input.get("service_tier", TIERS[0]) == tier

    def body(rows: Rows) -> dict[str, Any]:
        return {"total": rows.total, "items": rows.rows}

    query = Query(limit, provider=NAME, offset=(int(number) - 1) * limit, wanted=wanted)
    return await list_page(request, VENDOR, query, row, body)


def row(view: View) -> dict[str, Any]:
    """A task as it is read, listed and reported: without the prompt, and with what was made only once it is there."""
    sent = view.input or {}
    shown: dict[str, Any] = {
        "id": view.id,
        "model": view.model,
        "status": view.word(WORDS),
        "created_at": view.created_at,
        "updated_at": view.completed_at or view.created_at,
        "service_tier": sent.get("service_tier", TIERS[0]),
        "execution_expires_after": sent.get("execution_expires_after", EXPIRES),
        "generate_audio": sent.get("generate_audio", True),
        "draft": False,
    }
    if view.error is not None:
        code = str(view.error.get("code", "")) if isinstance(view.error, Mapping) else ""
        shown["error"] = {"code": FAILURES.get(code, code), "message": view.error_message}
    if view.clip_url is None:
        return shown
    tokens = view.job.seconds * 21_780
    return shown | {
        "content": {"video_url": view.clip_url},
        "usage": {"completion_tokens": tokens, "total_tokens": tokens},
        "seed": _seed(view, sent),
        "resolution": sent.get("resolution", "720p"),
        "ratio": sent.get("ratio", "16:9"),
        "duration": int(view.seconds) if str(view.seconds).isdigit() else view.seconds,
        "framespersecond": 24,
    }


def _seed(view: View, sent: Mapping[str, Any]) -> Any:
    """The one of the order at Seedance 1.x; since 2.0 one that Ark chooses."""
    asked = sent.get("seed", -1)
    takes_it = "seedance-1-" in str(view.model) and asked != -1
    return asked if takes_it else zlib.crc32(view.job.id.encode()) % OWN_SEEDS


def _error(code: int, name: str, kind: str, words: str) -> web.Response:
    message = f"{words} Request id: {uuid.uuid4().hex}"
    return json_answer({"error": {"code": name, "message": message, "param": "", "type": kind}}, code)
