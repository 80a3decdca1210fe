"""fal's queue, its history of requests, its billing events, its signed callbacks, below `/fal`.

In       `POST /fal/{owner}/{app}/...`; status and result at `/fal/{owner}/{app}/requests/{id}`
Out      fal's shapes: https://fal.ai/docs/documentation/model-apis/inference/queue, and its Platform API below
         `/fal/api/v1`: https://fal.ai/docs/platform-apis/v1/models/requests/by-endpoint
Effects  those of the core
"""

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import Rows, create, list_page, retrieve, turned_away
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos.books import Job
from simulator.videos.errors import json_answer
from simulator.videos.listing import Query
from simulator.videos.orders import Order

NAME = "fal"
LIMIT_DEFAULT, LIMIT_MAX = 50, 100
WINDOW_SECONDS = 86_400.0
WORDS: Mapping[str, str] = {
    "queued": "IN_QUEUE",
    "in_progress": "IN_PROGRESS",
    "completed": "COMPLETED",
    "failed": "COMPLETED",
}
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"simulated fal").digest())
WRONG_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"somebody else").digest())
USER_ID = "user-simulated"
APP = r"/{app:(?:(?:workflows|comfy)/)?[^/]+/[^/]+}/requests/{id}"


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount fal's hosts: queue.fal.run at the root, api.fal.ai below `/api`, the key set of rest.fal.ai."""
    router.add_get(f"/{NAME}/.well-known/jwks.json", key_set)
    router.add_get(f"/{NAME}/api/v1/models/requests/by-endpoint", by_endpoint)
    router.add_get(f"/{NAME}/api/v1/models/billing-events", billing_events)
    router.add_get(f"/{NAME}{APP}/status", status)
    router.add_get(f"/{NAME}{APP}", result)
    router.add_post(f"/{NAME}/{{model:.+}}", submit)


def refusal(code: int, words: str) -> web.Response:
    """An error of fal: `detail` in words."""
    return json_answer({"detail": words}, code)


def moderation() -> web.Response:
    """A refusal of the prompt, in the form of the model's own validation."""
    return json_answer(_detail("content_policy_violation", "The content could not be processed: flagged."), 422)


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order: the whole body is the model's own input."""
    sent = read_object(body)
    if sent is None:
        return refusal(422, "The body is not a JSON object.")
    prompt = sent.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        missing = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
        return json_answer({"detail": [missing]}, 422)
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=prompt,
        model=request.match_info["model"],
        seconds=seconds_of(sent.get("duration")),
        size=size_of(sent.get("aspect_ratio"), sent.get("resolution")),
        sent=sent,
        callback_url=request.query.get("fal_webhook"),
    )


def made(view: View) -> dict[str, Any]:
    """What a submission is answered with."""
    return {"status": "IN_QUEUE", "queue_position": 0, **_addresses(view)}


def report(view: View, wrong: bool) -> Report:
    """The callback at the end, signed over its ids, its time and the digest of its body."""
    failed = view.status == "failed"
    payload: dict[str, Any] = _output(view) if not failed else _detail(*_error(view))
    words = {"error": view.error_message} if failed else {}
    head = {"request_id": view.id, "gateway_request_id": view.id, "status": "ERROR" if failed else "OK"}
    body = json.dumps({**head, **words, "payload": payload}).encode()
    at = str(int(time.time()))
    signed = "\n".join((str(view.id), USER_ID, at, hashlib.sha256(body).hexdigest())).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Fal-Webhook-Request-Id": str(view.id),
        "X-Fal-Webhook-User-Id": USER_ID,
        "X-Fal-Webhook-Timestamp": at,
        "X-Fal-Webhook-Signature": (WRONG_KEY if wrong else SIGNING_KEY).sign(signed).hex(),
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
    id_names=("request_id", "status_url", "response_url", "cancel_url"),
    callback=report,
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /fal/{owner}/{app}/...`."""
    return await create(request, VENDOR)


async def status(request: web.Request) -> web.StreamResponse:
    """The status of one request: 202 until it is completed."""

    def answer(view: View) -> web.Response:
        if not _is_of(view.job, request.match_info["app"]):
            return refusal(404, "Not found.")
        shown = {"status": view.word(WORDS), **_addresses(view)}
        if view.status == "queued":
            return json_answer({**shown, "queue_position": 0}, 202)
        if shown["status"] != "COMPLETED":
            return json_answer({**shown, "logs": None}, 202)
        kind, words = _error(view) if view.status == "failed" else ("", "")
        error = {"error": words, "error_type": kind} if view.status == "failed" else {}
        return json_answer({**shown, "logs": None, "metrics": {"inference_time": 7.5}, **error})

    return await retrieve(request, VENDOR, request.match_info["id"], answer, part="status")


async def result(request: web.Request) -> web.StreamResponse:
    """The model's own output, which does not name the request."""

    def answer(view: View) -> web.Response:
        if not _is_of(view.job, request.match_info["app"]):
            return refusal(404, "Not found.")
        if view.status == "failed":
            return json_answer(_detail(*_error(view)), 422)
        if view.clip_url is None:
            return refusal(400, "Request is still in progress")
        return json_answer(_output(view))

    return await retrieve(request, VENDOR, request.match_info["id"], answer, part="result")


async def by_endpoint(request: web.Request) -> web.StreamResponse:
    """The history of requests of some models, the last to end first; the cursor encodes the page's number."""
    models = [name for value in request.query.getall("endpoint_id", []) for name in value.split(",") if name]
    limit, cursor = request.query.get("limit", str(LIMIT_DEFAULT)), request.query.get("cursor")
    if not models or not limit.isdigit() or not 1 <= int(limit) <= LIMIT_MAX:
        return json_answer({"error": {"type": "validation_error", "message": "Invalid query."}}, 400)
    page = _page_number(cursor)
    start = _seconds_of_iso(request.query.get("start"), request.app[STATE].now() - WINDOW_SECONDS)
    only = request.query.get("request_id")

    def wanted(job: Job) -> bool:
        return job.model in models and job.ready_at >= start and (only is None or job.id == only)

    def body(rows: Rows) -> dict[str, Any]:
        following = base64.b64encode(str(page + 1).encode()).decode() if rows.more else None
        more = {} if rows.more is None else {"has_more": rows.more}
        return {"items": rows.rows, "next_cursor": following, **more}

    query = Query(
        int(limit), provider=NAME, offset=(page - 1) * int(limit), wanted=wanted, sort=lambda job: job.ready_at
    )
    payloads = "payloads" in request.query.getall("expand", [])
    return await list_page(request, VENDOR, query, lambda view: _row(view, payloads), body)


async def billing_events(request: web.Request) -> web.StreamResponse:
    """What one request cost; no row for what was not billed."""
    if (away := turned_away(request, VENDOR)) is not None:
        return away
    state, job_id = request.app[STATE], request.query.get("request_id", "")
    state.books.reads += 1
    job = state.books.jobs.get(job_id)
    cost = state.books.charge_for(job_id, state.now())
    rows = []
    if job is not None and cost and job.provider == NAME:
        rows = [
            {
                "request_id": job_id,
                "endpoint_id": job.model,
                "timestamp": _iso(job.ready_at),
                "output_units": job.seconds,
                "cost_total": cost / 1_000_000,
                "cost_estimate_nano_usd": cost * 1000,
            }
        ]
    return json_answer({"billing_events": rows, "next_cursor": None, "has_more": False})


async def key_set(_: web.Request) -> web.Response:
    """The public key of the callbacks."""
    public = base64.urlsafe_b64encode(SIGNING_KEY.public_key().public_bytes_raw()).decode().rstrip("=")
    return json_answer({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "simulated", "x": public}]})


def _addresses(view: View) -> dict[str, str]:
    """Where a request is asked for: the model's sub-path is not part of it."""
    base = f"{view.base}/{_app_of(view.job.model)}/requests/{view.id}"
    return {
        "request_id": view.id,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
    }


def _app_of(model: str) -> str:
    parts = model.split("/")
    return "/".join(parts[: 3 if parts[0] in {"workflows", "comfy"} else 2])


def _is_of(job: Job, app: str) -> bool:
    return _app_of(job.model) == app


def _output(view: View) -> dict[str, Any]:
    file = {"url": view.clip_url, "content_type": "video/mp4", "file_name": "output.mp4", "file_size": None}
    return {"video": file, **({"seed": view.input["seed"]} if view.input and "seed" in view.input else {})}


def _error(view: View) -> tuple[str, str]:
    code = view.error.get("code", "") if isinstance(view.error, Mapping) else ""
    return str(code), view.error_message


def _detail(kind: str, words: str) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", "prompt"], "msg": words, "type": kind}]}


def _row(view: View, payloads: bool) -> dict[str, Any]:
    ended = view.status in {"completed", "failed"}
    row: dict[str, Any] = {
        "request_id": view.id,
        "endpoint_id": view.model,
        "sent_at": _iso(view.created_at),
        "started_at": None if view.status == "queued" else _iso(view.job.started_at),
    }
    if ended:
        failed = view.status == "failed"
        row |= {"ended_at": _iso(view.completed_at or view.job.ready_at), "status_code": 422 if failed else 200}
        row |= {"duration": view.job.ready_at - view.job.started_at}
    if payloads and view.input is not None and view.prompt is not None:
        row["json_input"] = view.input
    if payloads and view.clip_url is not None:
        row["json_output"] = _output(view)
    return row


def _iso(moment: Any) -> Any:
    """As fal writes times; what a habit has bent stays as it is."""
    return datetime.fromtimestamp(moment, UTC).isoformat() if isinstance(moment, int | float) else moment


def _seconds_of_iso(text: str | None, default: float) -> float:
    try:
        return datetime.fromisoformat(text).timestamp() if text else default
    except ValueError:
        return default


def _page_number(cursor: str | None) -> int:
    try:
        return int(base64.b64decode(cursor)) if cursor else 1
    except ValueError:
        return 1
