"""Runway's own client against the double. Runs where only that client is installed: nothing of ours is imported.

Written for runwayml 5.24.0. Its repeats are switched off: one call is one request here.
"""

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

KEY = "key_test"
MODEL = "gen4.5"
INPUT = {"prompt": "A lighthouse", "duration": 5, "ratio": "720:1280", "seed": 7}
PICTURE = "https://example.com/lighthouse.png"
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys one video and fetches it, then asks for what there is not. Returns what was done.

    Raises AssertionError where the double is not what the client takes for Runway.
    """
    client, package = _client(base_url), import_module("runwayml")
    made = _create(client, INPUT)
    assert made.estimated_cost.credits > 0, made
    task = client.tasks.retrieve(made.id)
    words = [task.status]
    while task.status in {"PENDING", "THROTTLED", "RUNNING"}:
        assert len(words) < LOOKS_MAX, f"no end after {LOOKS_MAX} looks: {task.status}"
        assert task.estimated_cost.credits == made.estimated_cost.credits, task
        assert task.status != "RUNNING" or 0 <= task.progress <= 1, task
        time.sleep(LOOK_SECONDS)
        task = client.tasks.retrieve(made.id)
        words.append(task.status)
    assert (task.id, task.status, type(task).__name__) == (made.id, "SUCCEEDED", "AwaitableSucceeded"), task
    assert (task.cost.credits, task.created_at.tzinfo is None) == (made.estimated_cost.credits, False), task
    clip = import_module("httpx").get(task.output[0])
    assert clip.status_code == 200 and clip.content[MP4_BRAND] == b"ftyp", clip
    pictured = client.image_to_video.create(
        model=MODEL, prompt_image=PICTURE, prompt_text="A lighthouse", ratio="720:1280", duration=5
    )
    assert pictured.id != made.id, pictured
    too_long = _refusal(package.BadRequestError, lambda: _create(client, {**INPUT, "prompt": "x" * 1001}))
    unknown = _refusal(package.NotFoundError, lambda: client.tasks.retrieve(UNKNOWN_ID))
    stranger = _refusal(package.AuthenticationError, lambda: _create(_client(base_url, "wrong"), INPUT))
    return [
        f"create: {made.id}",
        f"status: {', '.join(dict.fromkeys(words))}",
        f"result: {len(clip.content)} bytes, {task.cost.credits} credits",
        f"create with a picture: {pictured.id}",
        f"create with a prompt that is too long: {too_long}",
        f"status of an unknown task: {unknown}",
        f"create with a wrong key: {stranger}",
    ]


def sdk_create(base_url: str, order_fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours, which Runway has no place to report back for.

    `order_fields`: `model`, `prompt`, `params` (the model's other inputs, by Runway's names).
    """
    asked = {**order_fields["params"], "prompt": order_fields["prompt"]}
    _create(_client(base_url), asked, model=order_fields["model"])


def _create(client: Any, asked: Mapping[str, Any], *, model: str = MODEL) -> Any:
    rest = {name: value for name, value in asked.items() if name != "prompt"}
    return client.text_to_video.create(model=model, prompt_text=asked["prompt"], **rest)


def _client(base_url: str, key: str = KEY) -> Any:
    return import_module("runwayml").RunwayML(base_url=base_url, api_key=key, max_retries=0)


def _refusal(kind: Any, call: Any) -> str:
    """What the client raises, with Runway's words."""
    said = ""
    try:
        call()
    except kind as error:
        said = str(error.body["error"])
    assert said, "no refusal, or one without words"
    return said
