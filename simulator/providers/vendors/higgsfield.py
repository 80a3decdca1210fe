"""Higgsfield's queue, its idempotency keys, its signed callbacks, below `/higgsfield`.

In       `POST /higgsfield/{model}[?hf_webhook=...]`; requests at `/higgsfield/requests/{id}/status` and `/cancel`
Out      Higgsfield's shapes: https://docs.higgsfield.ai/docs/concepts/requests, `/errors`, `/idempotency`, and its
         callbacks: https://docs.higgsfield.ai/docs/enterprise/webhook-security
Effects  those of the core; cancelling a queued request ends its job, which costs nothing where failures cost nothing
"""

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import create, job_of, retrieve, turned_away
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos import jobs
from simulator.videos.books import Job
from simulator.videos.errors import json_answer
from simulator.videos.orders import Order

NAME = "higgsfield"
KEY = re.compile(r"[!-~]{1,255}")
CANCELED = "canceled"
OF_CONTENT = frozenset({"nsfw", "content_policy_violation", "moderation_blocked"})
"""Codes of failed renders that Higgsfield calls `nsfw`."""
SIGNING_SECRET = "whsec_" + base64.b64encode(hashlib.sha256(b"simulated higgsfield").digest()).decode()


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount the queue."""
    router.add_get(f"/{NAME}/requests/{{id}}/status", status)
    router.add_post(f"/{NAME}/requests/{{id}}/cancel", cancel)
    router.add_post(f"/{NAME}/{{model:.+}}", submit)


def refusal(code: int, words: str) -> web.Response:
    """An error in FastAPI's form, with the id of the exchange in a header."""
    return json_answer({"detail": words}, code, {"X-Correlation-ID": str(uuid.uuid4())})


def moderation() -> web.Response:
    """A refusal of the prompt before the request is accepted."""
    return refusal(400, "The prompt was rejected by content moderation.")


def read_order(request: web.Request, body: bytes) -> Order | Job | web.Response:
    """An order: the whole body is the model's own input. A key that was used leads to the request that used it."""
    sent, model = read_object(body), request.match_info["model"]
    if sent is None:
        return refusal(422, "The body is not a JSON object.")
    prompt = sent.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        missing = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
        return json_answer({"detail": [missing]}, 422)
    key = request.headers.get("Idempotency-Key")
    if key is not None and KEY.fullmatch(key) is None:
        return refusal(422, "Invalid Idempotency-Key header.")
    callback_url = request.query.get("hf_webhook")
    if (job := _made_with(request, key)) is not None:
        same = (job.input, job.model, job.callback_url) == (sent, model, callback_url)
        return job if same else refusal(422, "Idempotency-Key was already used with different request parameters.")
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=prompt,
        model=model,
        seconds=seconds_of(sent.get("duration")),
        size=size_of(sent.get("aspect_ratio"), sent.get("resolution")),
        sent=sent,
        callback_url=callback_url,
    )


def made(view: View) -> dict[str, Any]:
    """What a submission is answered with."""
    return {"status": _word(view) if view.status == "failed" else "queued", **_addresses(view), **_error(view)}


def report(view: View, wrong: bool) -> Report:
    """The callback at the end, signed as Standard Webhooks says."""
    ended: dict[str, Any] = {"status": _word(view), "request_id": view.id, **_error(view)}
    if view.clip_url is not None:
        ended |= {**_addresses(view), "video": {"url": view.clip_url}}
    body, at, event = json.dumps(ended).encode(), str(int(time.time())), f"evt_{uuid.uuid4().hex}"
    key = base64.b64decode(SIGNING_SECRET.removeprefix("whsec_"))
    signature = hmac.digest(b"another" if wrong else key, f"{event}.{at}.".encode() + body, "sha256")
    headers = {
        "Content-Type": "application/json",
        "webhook-id": event,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
    return Report(body, headers)


VENDOR = Vendor(
    name=NAME,
    key_of=key_after("Key"),
    read_order=read_order,
    made=made,
    refusal=refusal,
    moderation=moderation,
    new_id=lambda: str(uuid.uuid4()),
    id_names=("request_id", "status_url", "cancel_url"),
    callback=report,
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /higgsfield/{model}`."""
    return await create(request, VENDOR)


async def status(request: web.Request) -> web.StreamResponse:
    """The state of one request, its clip at the end."""

    def answer(view: View) -> web.Response:
        video = {} if view.clip_url is None else {"video": {"url": view.clip_url}}
        return json_answer({"status": _word(view), **_addresses(view), **_error(view), **video})

    return await retrieve(request, VENDOR, request.match_info["id"], answer)


async def cancel(request: web.Request) -> web.StreamResponse:
    """202 without a body while the request is queued, else 400."""
    state = request.app[STATE]
    state.books.reads += 1
    if (away := turned_away(request, VENDOR)) is not None:
        return away
    job = job_of(state, VENDOR, request.match_info["id"])
    if job is None:
        return refusal(404, "Request not found.")
    if jobs.status_of(job, now := state.now()) != "queued":
        return refusal(400, "The request has already started and cannot be canceled.")
    job.fate, job.error_code, job.ready_at = "fails", CANCELED, now
    state.books.record_job(job)
    return web.Response(status=202)


def _made_with(request: web.Request, key: str | None) -> Job | None:
    """The request that was accepted with this key; a refused one does not use it up."""
    books = request.app[STATE].books
    used = (each.job_id for each in books.creates if key and each.provider == NAME and each.key == key)
    return next((books.jobs[job_id] for job_id in used if job_id in books.jobs), None)


def _word(view: View) -> Any:
    code = view.error.get("code") if view.status == "failed" and isinstance(view.error, Mapping) else None
    if code == CANCELED:
        return CANCELED
    return "nsfw" if code in OF_CONTENT else view.status


def _error(view: View) -> dict[str, Any]:
    return {"error": view.error_message} if view.status == "failed" and _word(view) == "failed" else {}


def _addresses(view: View) -> dict[str, Any]:
    base = f"{view.base}/requests/{view.id}"
    return {"request_id": view.id, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}
