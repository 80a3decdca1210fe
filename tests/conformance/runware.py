"""Runware's own client against the double. Runs where only that client is installed: nothing of ours is imported.

Written for runware-sdk 1.8.0, over HTTP; by default it sends the same tasks over a WebSocket, which the double and our
module do not speak. (The older client, runware 0.5.24, can do nothing else.) Its repeats are switched off: one call is
one request here.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any

KEY = "test-key-of-runware"
MODEL = "google:3@3"
INPUT = {"prompt": "A lighthouse", "duration": 8, "width": 720, "height": 1280}
UNKNOWN_ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`

Call = Callable[[], Awaitable[object]]


def walk(base_url: str) -> list[str]:
    """Buys one video and fetches it, reads its task, then asks for what there is not. Returns what was done.

    Raises AssertionError where the double is not what the client takes for Runware.
    """
    return asyncio.run(_walk(base_url))


def sdk_create(base_url: str, order_fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours.

    `order_fields`: `run_id`, `model`, `prompt`, `params` (the model's other inputs), `callback_url` (may be None).
    """
    callback = {"webhookURL": url} if (url := order_fields.get("callback_url")) else {}
    asked = {**order_fields["params"], "prompt": order_fields["prompt"]}
    sent = _task(order_fields["run_id"], asked, model=order_fields["model"], **callback)

    async def create() -> None:
        async with _client(base_url) as client:
            await client.run(sent)

    asyncio.run(create())


async def _walk(base_url: str) -> list[str]:
    options = import_module("runware.types.sdk").RunOptions
    seen: list[int] = []
    task_id, failed_id = str(uuid.uuid4()), str(uuid.uuid4())
    async with _client(base_url) as client, _client(base_url, "wrong") as stranger:
        watch = options(on_progress=lambda item: seen.append(item["progress"]))
        (result,) = await client.run(_task(task_id, INPUT), watch)
        assert (result["taskUUID"], result["taskType"]) == (task_id, "videoInference"), result
        assert result["cost"] > 0 and result["videoUUID"], result
        assert seen and all(0 <= each <= 100 for each in seen), f"never seen running: {seen}"
        async with import_module("aiohttp").ClientSession() as session, session.get(result["videoURL"]) as answer:
            clip = await answer.read()
        assert clip[MP4_BRAND] == b"ftyp", clip[:20]
        (state,) = await client.get_response({"taskUUID": task_id})
        assert (state["status"], state["videoURL"]) == ("success", result["videoURL"]), state
        (details,) = await client.get_task_details({"taskUUID": task_id})
        assert details["request"] == [_task(task_id, INPUT)], details
        assert details["response"]["data"][0]["videoURL"] == result["videoURL"], details
        assert await client.get_response({"taskUUID": UNKNOWN_ID}) == []
        assert await client.get_task_details({"taskUUID": UNKNOWN_ID}) == []
        again = await _refusal("validation", lambda: client.run(_task(task_id, INPUT)), named=task_id)
        empty = await _refusal("validation", lambda: client.run(_task(str(uuid.uuid4()), {"prompt": ""})))
        refused = {"prompt": "A lighthouse, render-fails"}
        failed = await _refusal("provider", lambda: client.run(_task(failed_id, refused)), named=failed_id)
        unpaid = await _refusal("auth", lambda: stranger.run(_task(str(uuid.uuid4()), INPUT)))
    return [
        f"create: {task_id}",
        f"status: processing, {len(dict.fromkeys(seen))} percentages",
        f"result: {len(clip)} bytes, {result['cost']} USD",
        "details: the whole request and its answer",
        "status and details of an unknown task: nothing",
        f"create under a used id: {again}",
        f"create without a prompt: {empty}",
        f"result of a failed task: {failed}",
        f"create with a wrong key: {unpaid}",
    ]


def _task(task_id: str, asked: Mapping[str, Any], *, model: str = MODEL, **more: Any) -> dict[str, Any]:
    rest = {name: value for name, value in asked.items() if name != "prompt"}
    ours = {"taskType": "videoInference", "taskUUID": task_id, "deliveryMethod": "async", "includeCost": True}
    return {**rest, **ours, "model": model, "positivePrompt": asked["prompt"], **more}


def _client(base_url: str, key: str = KEY) -> Any:
    return import_module("runware").Runware(api_key=key, transport="rest", http_base_url=base_url, max_retries=0)


async def _refusal(kind: str, call: Call, *, named: str | None = None) -> str:
    """What the client raises, with Runware's words; `named`: the task that they must be about."""
    said = None
    try:
        await call()
    except import_module("runware").RunwareError as error:
        said = error
    assert said is not None and said.message, "no refusal, or one without words"
    assert said.code == kind and named in (None, said.task_uuid), repr(said)
    return str(said.message)
