"""Kling's own API: signed tokens, an id of the client's own, a list without totals, unsigned callbacks, below `/kling`.

In       `POST /kling/v1/videos/text2video`; the task, by its id or by ours, and the list at the same path
Out      Kling's shapes: https://app.klingai.com/global/dev/document-api/apiReference/model/textToVideo, /commonInfo
         (codes, tokens) and /callbackProtocol. What an unknown or a repeated `external_task_id` answers is not
         published: here the one is not found, and the other makes a second task.
Effects  those of the core
"""

import base64
import binascii
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import Rows, create, list_page, retrieve
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos.errors import json_answer
from simulator.videos.listing import Query
from simulator.videos.orders import Order

NAME = "kling"
TASKS = f"/{NAME}/v1/videos/text2video"
PAGE_ROWS, PAGE_ROWS_MAX, PAGES_MAX = 30, 500, 1000
PROMPT_CHARACTERS_MAX = 2500
WORDS: Mapping[str, str] = {"queued": "submitted", "in_progress": "processing", "completed": "succeed"}
SHORT_SIDES: Mapping[str, str] = {"std": "720p", "pro": "1080p"}
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "mode": tuple(SHORT_SIDES),
    "aspect_ratio": ("16:9", "9:16", "1:1"),
    "duration": tuple(str(seconds) for seconds in range(3, 16)),
}
CODES: Mapping[int, int] = {400: 1201, 401: 1002, 402: 1102, 403: 1103, 404: 1203, 429: 1302, 503: 5001, 504: 5002}


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount the path of tasks."""
    router.add_post(TASKS, submit)
    router.add_get(TASKS, listed)
    router.add_get(TASKS + "/{id}", task)


def refusal(code: int, words: str) -> web.Response:
    """An error of Kling."""
    return _refused(code, CODES.get(code, 1200 if 400 <= code < 500 else 5000), words)


def moderation() -> web.Response:
    """A refusal of the prompt."""
    return _refused(400, 1301, "Failure to pass the risk control system")


def key_of(request: web.Request) -> str | None:
    """The pair of keys that signed the token (RFC 7519, HS256); None outside its time; another token is a plain key."""
    token = key_after("Bearer")(request)
    signed, _, signature = (token or "").rpartition(".")
    head, _, claims = signed.partition(".")
    read, given = _decoded(claims), _bytes(signature)
    if token is None or _decoded(head) is None or read is None or given is None:
        return token
    if not _number(read.get("nbf")) <= time.time() < _number(read.get("exp")):
        return None
    access, known = str(read.get("iss")), request.app[STATE].settings.api_keys or ()
    pairs = [pair for pair in known if pair.partition(":")[0] == access]
    rights = (hmac.digest(pair.partition(":")[2].encode(), signed.encode(), "sha256") for pair in pairs)
    right = next((pair for pair, own in zip(pairs, rights, strict=True) if hmac.compare_digest(own, given)), None)
    return right if known else access


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order; lengths are strings."""
    sent = read_object(body)
    if sent is None:
        return _refused(400, 1200, "The request body is not valid JSON")
    model, prompt = sent.get("model_name", "kling-v1"), sent.get("prompt")
    if not isinstance(model, str) or not model.startswith("kling-"):
        return _refused(404, 1203, f"model {model} does not exist")
    if not isinstance(prompt, str) or not 0 < len(prompt) <= PROMPT_CHARACTERS_MAX:
        return refusal(400, "prompt: invalid length")
    if wrong := next((name for name, values in ALLOWED.items() if sent.get(name, values[0]) not in values), None):
        return refusal(400, f"{wrong}: invalid value")
    own_id, callback_url = sent.get("external_task_id"), sent.get("callback_url")
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=prompt,
        model=model,
        seconds=seconds_of(sent.get("duration")),
        size=size_of(sent.get("aspect_ratio", "16:9"), SHORT_SIDES[sent.get("mode", "std")]),
        sent=sent,
        own_id=own_id if isinstance(own_id, str) and own_id else None,
        callback_url=callback_url if isinstance(callback_url, str) else None,
    )


def made(view: View) -> dict[str, Any]:
    """What an order is answered with."""
    return _fine(_head(view))


def row(view: View) -> dict[str, Any]:
    """A task as it is read, listed and reported: it shows nothing of what was asked for but the client's own id."""
    shown = {**_head(view), "task_status_msg": view.error_message}
    if view.clip_url is None:
        return shown
    clip = {"id": f"{view.id}-1", "url": view.clip_url, "watermark_url": "", "duration": f"{view.seconds}.041"}
    units = f"{view.job.seconds / 5:g}"
    return {**shown, "task_result": {"videos": [clip]}, "final_unit_deduction": units}


VENDOR = Vendor(
    name=NAME,
    key_of=key_of,
    read_order=read_order,
    made=made,
    refusal=refusal,
    moderation=moderation,
    new_id=lambda: f"8{secrets.randbelow(10**17):017d}",
    id_names=("task_id",),
    callback=lambda view, _: Report(json.dumps(row(view)).encode(), {"Content-Type": "application/json"}),
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /kling/v1/videos/text2video`."""
    return await create(request, VENDOR)


async def task(request: web.Request) -> web.StreamResponse:
    """One task, by Kling's id or by the client's."""
    return await retrieve(request, VENDOR, request.match_info["id"], lambda view: json_answer(_fine(row(view))))


async def listed(request: web.Request) -> web.StreamResponse:
    """The tasks, newest first, by page number; nothing says how many there are."""
    number, size = request.query.get("pageNum", "1"), request.query.get("pageSize", str(PAGE_ROWS))
    if not (_is_from_1_to(PAGES_MAX, number) and _is_from_1_to(PAGE_ROWS_MAX, size)):
        return refusal(400, "pageNum or pageSize: invalid value")
    limit = min(int(size), request.app[STATE].habits.page_size or PAGE_ROWS_MAX)

    def body(rows: Rows) -> dict[str, Any]:
        return _fine(rows.rows)

    query = Query(limit, provider=NAME, offset=(int(number) - 1) * limit)
    return await list_page(request, VENDOR, query, row, body)


def _head(view: View) -> dict[str, Any]:
    own_id = view.job.own_id  # no habit bends it, and another client's equal input does not have it
    return {
        "task_id": view.id,
        "task_status": view.word(WORDS),
        "task_info": {} if own_id is None else {"external_task_id": own_id},
        "created_at": _milliseconds(view.created_at),
        "updated_at": _milliseconds(view.completed_at or view.created_at),
    }


def _fine(data: object) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": str(uuid.uuid4()), "data": data}


def _refused(status: int, code: int, words: str) -> web.Response:
    return json_answer({"code": code, "message": words, "request_id": str(uuid.uuid4())}, status)


def _milliseconds(moment: Any) -> Any:
    """As Kling writes times; what a habit has bent stays as it is."""
    return int(moment * 1000) if isinstance(moment, int | float) else moment


def _is_from_1_to(most: int, text: str) -> bool:
    return text.isascii() and text.isdecimal() and 1 <= int(text) <= most


def _bytes(part: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        return None


def _decoded(part: str) -> dict[str, Any] | None:
    """A part of a token: an object."""
    data = _bytes(part)
    return read_object(data) if data else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
