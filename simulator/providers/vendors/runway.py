"""Runway's developer API: tasks that show nothing of their order and cannot be listed, below `/runway`.

In       `POST /runway/v1/text_to_video` or `/runway/v1/image_to_video`; the task at `/runway/v1/tasks/{id}`
Out      Runway's shapes, as in runwayml 5.24.0 (`types/task_retrieve_response.py`) and
         https://docs.dev.runwayml.com/errors/troubleshooting
Effects  those of the core; every model costs CREDITS_PER_SECOND
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import create, retrieve
from simulator.providers.vendor import Vendor, View
from simulator.state import STATE
from simulator.videos import jobs
from simulator.videos.errors import json_answer
from simulator.videos.orders import Order

NAME = "runway"
VERSION = "2024-11-06"
DOCS = "https://docs.dev.runwayml.com/api"
CREDITS_PER_SECOND, MICROUSD_PER_CREDIT = 12, 10_000
PROMPT_UNITS_MAX = 1_000  # UTF-16 code units; of gen4.5 and veo3.1, the fewest that a model takes
WORDS: Mapping[str, str] = {
    "queued": "PENDING",
    "in_progress": "RUNNING",
    "completed": "SUCCEEDED",
    "failed": "FAILED",
    "expired": "FAILED",
}
FAILURES: Mapping[str, str] = {"generation_failed": "INTERNAL.BAD_OUTPUT.CODE01"}


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount both ways to order, and the task."""
    router.add_post(f"/{NAME}/v1/text_to_video", submit)
    router.add_post(f"/{NAME}/v1/image_to_video", submit)
    router.add_get(f"/{NAME}/v1/tasks/{{id}}", task)


def refusal(code: int, words: str) -> web.Response:
    """An error of Runway."""
    return json_answer({"error": words, "docUrl": DOCS}, code)


def moderation() -> web.Response:
    """A refusal of the prompt."""
    return refusal(400, "The prompt was rejected by content moderation.")


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order; the version of the API is required."""
    if request.headers.get("X-Runway-Version") != VERSION:
        return refusal(400, "The X-Runway-Version header is missing or not supported.")
    sent = read_object(body)
    if sent is None:
        return refusal(400, "The request body is not a JSON object.")
    prompt, model, ratio = (sent.get(name) for name in ("promptText", "model", "ratio"))
    units = len(prompt.encode("utf-16-le", "surrogatepass")) // 2 if isinstance(prompt, str) else 0
    needs_picture = request.path.endswith("/image_to_video") and not sent.get("promptImage")
    wrong = {
        "model": not isinstance(model, str) or not model,
        "promptText": not 0 < units <= PROMPT_UNITS_MAX,
        "ratio": not isinstance(ratio, str) or ":" not in ratio,
        "promptImage": needs_picture,
    }
    if issues := [{"code": "invalid_value", "path": [name], "message": "Invalid"} for name in wrong if wrong[name]]:
        return json_answer({"error": "Validation of body failed", "issues": issues, "docUrl": DOCS}, 400)
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=str(prompt),
        model=str(model),
        seconds=seconds_of(sent.get("duration")),
        size=size_of(ratio),
        sent=sent,
        microusd_per_second=CREDITS_PER_SECOND * MICROUSD_PER_CREDIT,
    )


def made(view: View) -> dict[str, Any]:
    """What an order is answered with: the id, and the most that it may cost."""
    return {"id": view.id, "estimatedCost": _estimate(view)}


VENDOR = Vendor(
    name=NAME,
    key_of=key_after("Bearer"),
    read_order=read_order,
    made=made,
    refusal=refusal,
    moderation=moderation,
    new_id=lambda: str(uuid.uuid4()),
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /runway/v1/text_to_video` or `/runway/v1/image_to_video`."""
    return await create(request, VENDOR)


async def task(request: web.Request) -> web.StreamResponse:
    """One task; once it has ended, with what it cost."""
    state = request.app[STATE]

    def answer(view: View) -> web.Response:
        word, now = view.word(WORDS), state.now()
        shown = {"id": view.id, "status": word, "createdAt": _iso(view.created_at)}
        if word in {"PENDING", "RUNNING"}:
            progress = {"progress": jobs.progress_of(view.job, now) / 100} if word == "RUNNING" else {}
            return json_answer({**shown, "estimatedCost": _estimate(view), **progress})
        shown["cost"] = {"credits": (state.books.charge_for(view.job.id, now) or 0) // MICROUSD_PER_CREDIT}
        if view.clip_url is not None:
            return json_answer({**shown, "output": [view.clip_url]})
        if word == "FAILED":
            code = str(view.error.get("code", "")) if isinstance(view.error, Mapping) else ""
            shown |= {"failure": view.error_message, "failureCode": FAILURES.get(code, code)}
        return json_answer(shown)

    return await retrieve(request, VENDOR, request.match_info["id"], answer)


def _estimate(view: View) -> dict[str, int]:
    return {"credits": view.job.seconds * CREDITS_PER_SECOND}


def _iso(moment: Any) -> Any:
    """As Runway writes times; what a habit has bent stays as it is."""
    if not isinstance(moment, int | float):
        return moment
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
