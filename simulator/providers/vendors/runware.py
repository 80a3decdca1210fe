"""Runware: arrays of tasks at one address, each under an id of the client's own, below `/runware`.

In       `POST /runware` with one task: `videoInference`, `getResponse` or `getTaskDetails`
Out      Runware's shapes: runware-sdk 1.8.0 (`types/task_map.py`), https://runware.ai/docs/platform/task-polling,
         /task-details and /errors. An unknown task and one that waits are both shown as nothing. How the conflict over
         an id that was used is worded is not published.
Effects  those of the core; a second order under one id makes no job
"""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from simulator.providers.orders import key_after, order_of, seconds_of, size_of
from simulator.providers.routes import create, retrieve
from simulator.providers.vendor import Report, Vendor, View
from simulator.state import STATE
from simulator.videos import jobs
from simulator.videos.errors import json_answer
from simulator.videos.orders import Order

NAME = "runware"
VIDEO, RESPONSE, DETAILS = "videoInference", "getResponse", "getTaskDetails"
WORDS: Mapping[str, str] = {"in_progress": "processing", "completed": "success", "failed": "error"}
CODES: Mapping[int, str] = {
    401: "invalidApiKey",
    402: "insufficientCredits",
    403: "permissionDenied",
    404: "modelNotFound",
    429: "rateLimitExceeded",
}
FAILURES: Mapping[str, str] = {"generation_failed": "inferenceError"}
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
MICROUSD = 1_000_000


def add_routes(router: web.UrlDispatcher) -> None:
    """Mount the one address."""
    router.add_post(f"/{NAME}", tasks)


def refusal(code: int, words: str) -> web.Response:
    """An error of Runware."""
    name = CODES.get(code, "validationFailed" if 400 <= code < 500 else "internalServerError")
    return _errors(code, {"code": name, "message": words})


def moderation() -> web.Response:
    """A refusal of the prompt."""
    words = "Invalid content: the positivePrompt violates our content policy."
    return _errors(400, {"code": "contentPolicyViolation", "message": words, "parameter": "positivePrompt"})


def read_order(request: web.Request, body: bytes) -> Order | web.Response:
    """An order: an array of one task, with an id that was never used."""
    task = _task(body)
    if task is None:
        return refusal(400, "The request is not an array of one task.")
    named = task.get("taskUUID")
    if not isinstance(named, str) or UUID4.fullmatch(named) is None:
        return _wrong(task, "invalidTaskUUID", "taskUUID", "Invalid value for 'taskUUID': it must be a UUID v4.")
    if task.get("taskType") != VIDEO:
        return _wrong(task, "unsupportedTaskType", "taskType", "Unsupported value for 'taskType'.")
    model, prompt, count = task.get("model"), task.get("positivePrompt"), task.get("numberResults", 1)
    if not isinstance(model, str) or ":" not in model or "@" not in model:
        return _wrong(task, "invalidModel", "model", "Invalid value for 'model': it must be an AIR identifier.")
    if not isinstance(prompt, str) or not prompt.strip():
        return _wrong(task, "missingPositivePrompt", "positivePrompt", "Missing required parameter 'positivePrompt'.")
    if task.get("deliveryMethod") != "async":
        return _wrong(task, "invalidDeliveryMethod", "deliveryMethod", "Videos need 'deliveryMethod' to be 'async'.")
    if not isinstance(count, int) or count < 1:
        return _wrong(task, "invalidNumberResults", "numberResults", "Invalid value for 'numberResults'.")
    state, callback_url = request.app[STATE], task.get("webhookURL")
    if named.lower() in state.books.jobs:
        return _conflict(task)
    width, height = task.get("width"), task.get("height")
    return order_of(
        state.settings,
        NAME,
        prompt=prompt,
        model=model,
        seconds=seconds_of(task.get("duration")),
        size=size_of(f"{width}x{height}" if width and height else None),
        sent=task,
        microusd_per_second=state.settings.unknown_model_microusd_per_second * count,
        job_id=named.lower(),
        callback_url=callback_url if isinstance(callback_url, str) else None,
    )


def made(view: View) -> dict[str, Any]:
    """The acknowledgement of an order."""
    return {"data": [{"taskType": VIDEO, "taskUUID": view.id}]}


VENDOR = Vendor(
    name=NAME,
    key_of=key_after("Bearer"),
    read_order=read_order,
    made=made,
    refusal=refusal,
    moderation=moderation,
    new_id=lambda: str(uuid.uuid4()),
    id_names=("taskUUID",),
    repeated=lambda view: _conflict({"taskType": VIDEO, "taskUUID": view.id}),
    callback=lambda view, _: Report(json.dumps(_response(view)).encode(), {"Content-Type": "application/json"}),
)


async def tasks(request: web.Request) -> web.StreamResponse:
    """`POST /runware`: whatever does not read is taken for an order."""
    task = _task(await request.read()) or {}
    kind, state = task.get("taskType"), request.app[STATE]
    if kind not in {RESPONSE, DETAILS}:
        return await create(request, VENDOR)

    def answer(view: View) -> web.Response:
        charged = state.books.charge_for(view.job.id, state.now())
        progress = {"progress": jobs.progress_of(view.job, state.now())}
        return json_answer(_response(view, charged, progress) if kind == RESPONSE else _details(view, charged))

    return await retrieve(
        request, VENDOR, str(task.get("taskUUID")).lower(), answer, part=str(kind), unknown=json_answer({"data": []})
    )


def _response(
    view: View, charged_microusd: int | None = None, progress: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The state of a task; nothing while it waits."""
    if view.status == "queued":
        return {"data": []}
    if view.status == "failed":
        return {"data": [], "errors": [{**_failure(view), "status": "error"}]}
    row = _result(view, charged_microusd)
    return {"data": [{**row, "status": view.word(WORDS), **((progress or {}) if view.clip_url is None else {})}]}


def _details(view: View, charged_microusd: int | None) -> dict[str, Any]:
    """The array that was sent, and its answer: the acknowledgement until the task has ended."""
    if view.input is None:
        return {"data": []}
    sent = {**view.input, "taskUUID": view.id}
    ended = {"errors": [_failure(view)]} if view.status == "failed" else {"data": [_result(view, charged_microusd)]}
    row = {"taskType": DETAILS, "taskUUID": view.id, "request": [sent], "response": ended}
    return {"data": [row]}


def _result(view: View, charged_microusd: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"taskType": VIDEO, "taskUUID": view.id}
    if view.clip_url is None:
        return row
    cost = {}
    if charged_microusd is not None and (view.input or {}).get("includeCost") is True:
        cost = {"cost": charged_microusd / MICROUSD}
    return {**row, "videoUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, view.clip_url)), "videoURL": view.clip_url, **cost}


def _failure(view: View) -> dict[str, Any]:
    code = str(view.error.get("code", "")) if isinstance(view.error, Mapping) else ""
    return {
        "code": FAILURES.get(code, code),
        "message": view.error_message,
        "taskType": VIDEO,
        "taskUUID": view.id,
    }


def _task(body: bytes) -> dict[str, Any] | None:
    """The only task of an array."""
    try:
        sent = json.loads(body)
    except ValueError:
        return None
    return sent[0] if isinstance(sent, list) and len(sent) == 1 and isinstance(sent[0], dict) else None


def _conflict(task: Mapping[str, Any]) -> web.Response:
    return _wrong(task, "conflictTaskUUID", "taskUUID", "The 'taskUUID' was already used by another task.")


def _wrong(task: Mapping[str, Any], code: str, parameter: str, words: str) -> web.Response:
    of_task = {name: task[name] for name in ("taskType", "taskUUID") if name in task}
    return _errors(400, {"code": code, "message": words, "parameter": parameter, **of_task})


def _errors(status: int, error: dict[str, Any]) -> web.Response:
    return json_answer({"data": [], "errors": [error]}, status)
