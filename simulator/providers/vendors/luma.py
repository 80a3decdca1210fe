"""Luma's Dream Machine API, its list and its callbacks, below `/luma`.

In       `POST /luma/dream-machine/v1/generations/video`; one at `/luma/dream-machine/v1/generations/{id}`
Out      Luma's shapes: lumaai 1.21.0, https://github.com/lumalabs/lumaai-api openapi.yaml
Effects  those of the core
"""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from simulator.providers.orders import key_after, order_of, read_object, seconds_of, size_of
from simulator.providers.routes import Rows, create, list_page, retrieve
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos.errors import json_answer
from simulator.videos.listing import Query
from simulator.videos.orders import Order

NAME = "luma"
GENERATIONS = f"/{NAME}/dream-machine/v1/generations"
LIMIT_DEFAULT = LIMIT_MAX = 100
PROMPT_CHARACTERS_MIN, PROMPT_CHARACTERS_MAX = 3, 5_000
WORDS: Mapping[str, str] = {
    "queued": "queued",
    "in_progress": "dreaming",
    "completed": "completed",
    "failed": "failed",
}


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount api.lumalabs.ai."""
    router.add_post(f"{GENERATIONS}/video", submit)
    router.add_get(GENERATIONS, listed)
    router.add_get(f"{GENERATIONS}/{{id}}", shown)


def refusal(code: int, words: str) -> web.Response:
    """An error of Luma."""
    return json_answer({"detail": words}, code)


def moderation() -> web.Response:
    """A refusal of the prompt."""
    return refusal(400, "Advanced prompt moderation failed")


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order, with what Luma says before it takes one."""
    sent = read_object(body)
    model = (sent or {}).get("model")
    if sent is None or not isinstance(model, str):
        missing = {"loc": ["body", *([] if sent is None else ["model"])], "msg": "Field required", "type": "missing"}
        return json_answer({"detail": [missing]}, 422)
    prompt = sent.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        return refusal(400, "Prompt is required")
    if len(prompt) < PROMPT_CHARACTERS_MIN:
        return refusal(400, "Prompt is too short, minimum length is 3 characters")
    if len(prompt) > PROMPT_CHARACTERS_MAX:
        return refusal(400, "Prompt is too long, maximum length is 5000 characters")
    return order_of(
        request.app[STATE].settings,
        NAME,
        prompt=prompt,
        model=model,
        seconds=seconds_of(sent.get("duration")),
        size=size_of(sent.get("aspect_ratio"), sent.get("resolution")),
        sent={"generation_type": "video", **sent},
        callback_url=sent.get("callback_url"),
    )


def generation(view: View) -> dict[str, Any]:
    """A generation, as all answers show it."""
    return {
        "id": view.id,
        "generation_type": "video",
        "state": view.word(WORDS),
        "failure_reason": view.error_message if view.status == "failed" else None,
        "created_at": _iso(view.created_at),
        "assets": {"video": view.clip_url, "image": None, "progress_video": None} if view.clip_url else None,
        "model": view.model,
        "request": view.input,
    }


def report(view: View, _: bool) -> Report:
    """The callback at the end: the generation. Luma signs nothing, so there is no wrong signature either."""
    return Report(json.dumps(generation(view)).encode(), {"Content-Type": "application/json"})


VENDOR = Vendor(
    name=NAME,
    key_of=key_after("Bearer"),
    read_order=read_order,
    made=generation,
    refusal=refusal,
    moderation=moderation,
    new_id=lambda: str(uuid.uuid4()),
    made_status=201,
    callback=report,
)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /luma/dream-machine/v1/generations/video`."""
    return await create(request, VENDOR)


async def shown(request: web.Request) -> web.StreamResponse:
    """One generation."""
    return await retrieve(request, VENDOR, request.match_info["id"], lambda view: json_answer(generation(view)))


async def listed(request: web.Request) -> web.StreamResponse:
    """All generations, newest first, by offset."""
    limit = request.query.get("limit", str(LIMIT_DEFAULT))
    offset = request.query.get("offset", "0")
    for name, value in (("limit", limit), ("offset", offset)):
        if not value.isdecimal():
            wrong = {"loc": ["query", name], "msg": "Input should be a valid integer", "type": "int_parsing"}
            return json_answer({"detail": [wrong]}, 422)
    rows_max = max(min(int(limit), LIMIT_MAX), 1)

    def body(rows: Rows) -> dict[str, Any]:
        more = {} if rows.more is None else {"has_more": rows.more}
        told = {"count": len(rows.rows), "limit": rows_max, "offset": int(offset)}
        return {**more, **told, "generations": rows.rows}

    return await list_page(request, VENDOR, Query(rows_max, provider=NAME, offset=int(offset)), generation, body)


def _iso(moment: Any) -> Any:
    """As Luma writes times; what a habit has bent stays as it is."""
    if not isinstance(moment, int | float):
        return moment
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
