"""Replicate's predictions, their list, and its signed callbacks, below `/replicate`.

In       `POST /replicate/v1/models/{owner}/{name}/predictions`; one at `/replicate/v1/predictions/{id}`
Out      Replicate's shapes: replicate 1.0.7, and the docstrings of 2.0.0b4. Inputs and outputs are removed after the
         habit `input_seconds`, which is 3600 at Replicate
Effects  those of the core
"""

import base64
import hashlib
import hmac
import json
import secrets
import string
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import Rows, create, list_page, retrieve, turned_away
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos.errors import json_answer
from simulator.videos.listing import Query
from simulator.videos.orders import Order
from simulator.videos.views import root_of

NAME = "replicate"
BASE = f"/{NAME}/v1"
PAGE_ROWS = 100
ID_CHARACTERS = 26
ALPHABET = string.ascii_lowercase + string.digits
WORDS: Mapping[str, str] = {
    "queued": "starting",
    "in_progress": "processing",
    "completed": "succeeded",
    "failed": "failed",
}
ENDED = frozenset({"completed", "failed"})
TOP_LEVEL = {"input", "webhook", "webhook_events_filter", "stream"}
SIGNING_KEY = hashlib.sha256(b"simulated replicate").digest()
WRONG_KEY = hashlib.sha256(b"somebody else").digest()


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount api.replicate.com."""
    router.add_post(f"{BASE}/models/{{owner}}/{{name}}/predictions", submit)
    router.add_get(f"{BASE}/predictions", listed)
    router.add_get(f"{BASE}/predictions/{{id}}", shown)
    router.add_get(f"{BASE}/webhooks/default/secret", secret)


def refusal(code: int, words: str) -> web.Response:
    """An error of Replicate; one that throttles has no title."""
    title = {} if code == HTTPStatus.TOO_MANY_REQUESTS else {"title": HTTPStatus(code).phrase, "status": code}
    return json_answer({**title, "detail": words}, code)


def moderation() -> web.Response:
    """A refusal of the prompt, in the form of a refused input."""
    return _invalid("prompt", "The input was flagged as sensitive. Please try again with different inputs. (E005)")


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order: the model is in the path, and its own input below `input`."""
    sent = read_object(body)
    if sent is None:
        return refusal(400, "The request body is not a JSON object.")
    unknown = sorted(set(sent) - TOP_LEVEL)
    if unknown:
        return _invalid("", f"Additional property {unknown[0]} is not allowed")
    asked = sent.get("input")
    if not isinstance(asked, dict):
        return _invalid("", "input is required")
    prompt = asked.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        return _invalid("input", "prompt is required")
    at_the_end = "completed" in sent.get("webhook_events_filter", ["completed"])
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=prompt,
        model="{owner}/{name}".format(**request.match_info),
        seconds=seconds_of(asked.get("duration")),
        size=size_of(asked.get("aspect_ratio"), asked.get("resolution")),
        sent=asked,
        callback_url=sent.get("webhook") if at_the_end else None,
    )


def prediction(view: View) -> dict[str, Any]:
    """A prediction, as all answers show it."""
    ended, failed = view.status in ENDED, view.status == "failed"
    removed = view.input is None
    address = f"{view.base}/v1/predictions/{view.id}"
    took = view.job.ready_at - view.job.started_at
    return {
        "id": view.id,
        "model": view.model,
        "version": "hidden",
        "input": {} if removed or view.prompt is None else view.input,
        "logs": None if removed else "",
        "output": view.clip_url,
        "data_removed": removed,
        "error": view.error_message if failed else None,
        "source": "api",
        "status": view.word(WORDS),
        "created_at": _iso(view.created_at),
        "started_at": None if view.status == "queued" else _iso(view.job.started_at),
        "completed_at": _iso(view.completed_at or view.job.ready_at) if ended else None,
        "metrics": {"predict_time": took, "total_time": took} if ended else {},
        "urls": {"get": address, "cancel": f"{address}/cancel", "web": f"https://replicate.com/p/{view.id}"},
    }


def report(view: View, wrong: bool) -> Report:
    """The callback at the end: the prediction, signed over the message's id, its time and its body."""
    body = json.dumps(prediction(view)).encode()
    sent_as = f"msg_{hashlib.sha256(view.job.id.encode()).hexdigest()[:27]}"
    at = str(int(time.time()))
    signature = hmac.digest(WRONG_KEY if wrong else SIGNING_KEY, f"{sent_as}.{at}.".encode() + body, "sha256")
    headers = {
        "Content-Type": "application/json",
        "webhook-id": sent_as,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
    return Report(body, headers)


def new_id() -> str:
    """An id in Replicate's form."""
    return "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARACTERS))


VENDOR = Vendor(
    name=NAME,
    key_of=key_after("Bearer"),
    read_order=read_order,
    made=prediction,
    refusal=refusal,
    moderation=moderation,
    new_id=new_id,
    made_status=201,
    callback=report,
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /replicate/v1/models/{owner}/{name}/predictions`."""
    return await create(request, VENDOR)


async def shown(request: web.Request) -> web.StreamResponse:
    """One prediction."""
    return await retrieve(request, VENDOR, request.match_info["id"], lambda view: json_answer(prediction(view)))


async def listed(request: web.Request) -> web.StreamResponse:
    """All predictions, newest first; `next` is the whole address of the next page, whose cursor names a row."""

    def body(rows: Rows) -> dict[str, Any]:
        more = rows.start + len(rows.rows) < rows.total if rows.more is None else rows.more
        last = next((row["id"] for row in reversed(rows.rows) if isinstance(row, dict) and "id" in row), "")
        cursor = base64.urlsafe_b64encode(str(last).encode()).decode()
        address = f"{root_of(request)}{BASE}/predictions?cursor={cursor}"
        return {"next": address if more else None, "previous": None, "results": rows.rows}

    cursor = request.query.get("cursor")
    query = Query(PAGE_ROWS, provider=NAME, after=None if cursor is None else _row_of(cursor))
    return await list_page(request, VENDOR, query, prediction, body)


async def secret(request: web.Request) -> web.StreamResponse:
    """The secret of the account's callbacks."""
    away = turned_away(request, VENDOR)
    return away or json_answer({"key": f"whsec_{base64.b64encode(SIGNING_KEY).decode()}"})


def _invalid(field: str, words: str) -> web.Response:
    wrong = [{"type": "invalid", "field": field, "description": words}]
    told = {"detail": f"- {words}\n", "invalid_fields": wrong}
    return json_answer({"title": "Input validation failed", "status": 422, **told}, 422)


def _row_of(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except ValueError:
        return ""


def _iso(moment: Any) -> Any:
    """As Replicate writes times; what a habit has bent stays as it is."""
    if not isinstance(moment, int | float):
        return moment
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
