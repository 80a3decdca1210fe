"""OpenRouter's videos, its table of models, its signed callbacks, below `/openrouter`.

In       `POST /openrouter/videos`; jobs at `/openrouter/videos/{id}`, their clips at `/content` behind the key
Out      OpenRouter's shapes: openrouter 1.3.84, https://openrouter.ai/docs/guides/overview/multimodal/video-generation.
         That an unfinished clip is a 409 and a clip that is gone a 410 is read from the client's list of errors.
Effects  those of the core
"""

import hashlib
import hmac
import json
import secrets
import string
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from simulator.faults.bodies import body_of
from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import content, create, job_of, retrieve
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos import jobs
from simulator.videos.errors import json_answer
from simulator.videos.orders import Order

NAME = "openrouter"
WORDS: Mapping[str, str] = {"queued": "pending"}
MODELS = ("google/veo-3.1", "google/veo-3.1-fast", "minimax/hailuo-3", "alibaba/wan-2.7")
ID_CHARACTERS = 20
MICROUSD = 1_000_000
CLIP_SECONDS = 86_400
SIGNING_SECRET = hashlib.sha256(b"simulated openrouter").hexdigest()


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount the API."""
    router.add_post(f"/{NAME}/videos", submit)
    router.add_get(f"/{NAME}/videos/models", models)
    router.add_get(f"/{NAME}/videos/{{id}}", status)
    router.add_get(f"/{NAME}/videos/{{id}}/content", clip)


def refusal(code: int, words: str) -> web.Response:
    """An error of OpenRouter."""
    return json_answer({"error": {"code": code, "message": words}, "user_id": "user_simulated"}, code)


def moderation() -> web.Response:
    """A refusal of the prompt by a vendor's moderation."""
    metadata = {"reasons": ["violence"], "flagged_input": "...", "provider_name": "Simulated"}
    return json_answer({"error": {"code": 403, "message": "Your input was flagged.", "metadata": metadata}}, 403)


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order: JSON with the model in it. Every name of the form `vendor/model` is taken for a model."""
    sent = read_object(body)
    if sent is None:
        return refusal(400, "Invalid JSON")
    model, prompt, callback_url = sent.get("model"), sent.get("prompt"), sent.get("callback_url")
    if not isinstance(model, str) or "/" not in model:
        return refusal(404, f"Model {model} not found")
    if not isinstance(prompt, str) or not prompt.strip():
        return refusal(400, "prompt: Required for this model")
    if not isinstance(sent.get("duration", 5), int):
        return refusal(400, "duration: Expected a whole number")
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=prompt,
        model=model,
        seconds=seconds_of(sent.get("duration")),
        size=size_of(sent.get("size") or sent.get("aspect_ratio"), sent.get("resolution")),
        sent=sent,
        callback_url=callback_url if isinstance(callback_url, str) else None,
    )


def made(view: View) -> dict[str, Any]:
    """What a submission is answered with."""
    failed = view.status == "failed"
    error = {"error": view.error_message} if failed else {}
    return {**_head(view), "status": "failed" if failed else "pending", **error}


def report(view: View, wrong: bool) -> Report:
    """The callback at the end, signed over its time and body."""
    shown = {name: value for name, value in _shown(view).items() if name not in {"polling_url", "urls", "expires_at"}}
    event = {
        "type": f"video.generation.{shown['status']}",
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {"generation_id": None, "model": view.model, **shown},
    }
    body, at = json.dumps(event).encode(), str(int(time.time()))
    secret = b"another" if wrong else SIGNING_SECRET.encode()
    headers = {
        "Content-Type": "application/json",
        "X-OpenRouter-Idempotency-Key": f"{view.id}-{shown['status']}",
        "X-OpenRouter-Signature": f"t={at},v1={hmac.digest(secret, f'{at},'.encode() + body, 'sha256').hex()}",
    }
    return Report(body, headers)


def new_id() -> str:
    """`gen-vid-<epoch seconds>-<20 letters and digits>`."""
    letters = string.ascii_letters + string.digits
    return f"gen-vid-{int(time.time())}-{''.join(secrets.choice(letters) for _ in range(ID_CHARACTERS))}"


VENDOR = Vendor(
    name=NAME,
    key_of=key_after("Bearer"),
    read_order=read_order,
    made=made,
    refusal=refusal,
    moderation=moderation,
    new_id=new_id,
    id_names=("id", "polling_url"),
    made_status=202,
    callback=report,
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /openrouter/videos`."""
    return await create(request, VENDOR)


async def status(request: web.Request) -> web.StreamResponse:
    """One job."""
    charge_for, now = request.app[STATE].books.charge_for, request.app[STATE].now()

    def answer(view: View) -> web.Response:
        return json_answer(_shown(view, charge_for(view.job.id, now)))

    return await retrieve(request, VENDOR, request.match_info["id"], answer)


async def clip(request: web.Request) -> web.StreamResponse:
    """The clip behind the key."""
    state, job_id = request.app[STATE], request.match_info["id"]
    answer = await content(request, VENDOR, job_id)
    code = _code(answer)
    if code == "video_not_ready" and (job := job_of(state, VENDOR, job_id)) is not None:
        status = jobs.status_of(job, state.now())
        return refusal(409, f"Video generation is not complete: {WORDS.get(status, status)}")
    return refusal(410, "The video is no longer available") if code == "video_expired" else answer


async def models(request: web.Request) -> web.Response:
    """The table of models, which needs no key."""
    state = request.app[STATE]
    state.books.reads += 1
    price = str(state.settings.unknown_model_microusd_per_second / MICROUSD)
    return json_answer({"data": [_model(name, price) for name in MODELS]})


def _code(answer: web.StreamResponse) -> str:
    """Why the core has no clip, by the code of its own refusal."""
    if not isinstance(answer, web.Response) or answer.content_type != "application/json":
        return ""
    told = read_object(body_of(answer)) or {}
    error = told.get("error")
    return str(error.get("code")) if isinstance(error, dict) else ""


def _shown(view: View, charged_microusd: int | None = None) -> dict[str, Any]:
    """A job; what it cost and where its clip is only once it is completed."""
    shown = {**_head(view), "status": view.word(WORDS)}
    if view.status == "failed":
        shown["error"] = view.error_message
    if view.clip_url is not None:
        shown |= {
            "generation_id": f"gen-{view.job.sequence}-{view.job.id[-ID_CHARACTERS:]}",
            "unsigned_urls": [f"{view.base}/videos/{view.id}/content?index=0"],
            "urls": [view.clip_url],
            "expires_at": int(view.job.ready_at) + CLIP_SECONDS,
        }
        if charged_microusd is not None:
            shown["usage"] = {"cost": charged_microusd / MICROUSD, "is_byok": False}
    return shown


def _head(view: View) -> dict[str, Any]:
    return {"id": view.id, "polling_url": f"/{NAME}/videos/{view.id}"}


def _model(name: str, price: str) -> dict[str, Any]:
    return {
        "id": name,
        "canonical_slug": name,
        "name": name,
        "created": 1_760_000_000,
        "supported_durations": [4, 6, 8],
        "supported_resolutions": ["720p", "1080p"],
        "supported_aspect_ratios": ["16:9", "9:16"],
        "supported_sizes": None,
        "supported_frame_images": ["first_frame", "last_frame"],
        "generate_audio": True,
        "seed": True,
        "creativity": None,
        "upscale_factor": None,
        "allowed_passthrough_parameters": [],
        "pricing_skus": {"per-video-second": price},
    }
