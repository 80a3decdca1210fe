"""BytePlus' own client against the double. Runs where only that client is installed: nothing of ours is imported.

Written for byteplus-python-sdk-v2 3.0.63. Its repeats are switched off: one call is one request here.
"""

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

KEY = "test-ark-key"
MODEL = "dreamina-seedance-2-0-260128"
INPUT = {
    "prompt": "A lighthouse",
    "duration": 5,
    "resolution": "720p",
    "ratio": "9:16",
    "generate_audio": True,
    "watermark": False,
}
EXPIRES = 4_001  # anything but the default, to see it again
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
UNKNOWN_ID = "cgt-20260101000000-aaaaa"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys one video and fetches it, finds it in the list, then asks for what there is not. Returns what was done.

    Raises AssertionError where the double is not what the client takes for Ark.
    """
    tasks, package = _tasks(base_url), import_module("byteplussdkarkruntime._exceptions")
    made = _create(tasks, INPUT, execution_expires_after=EXPIRES)
    job = tasks.get(task_id=made.id)
    assert (job.id, job.model, job.execution_expires_after) == (made.id, MODEL, EXPIRES), job
    words = [job.status]
    while job.status in {"queued", "running"}:
        assert len(words) < LOOKS_MAX, f"no end after {LOOKS_MAX} looks: {job.status}"
        assert job.content is None and job.seed is None, job
        time.sleep(LOOK_SECONDS)
        job = tasks.get(task_id=made.id)
        words.append(job.status)
    assert (job.status, job.error, job.usage.completion_tokens > 0) == ("succeeded", None, True), job
    assert (job.duration, job.ratio, job.resolution, job.framespersecond) == (5, "9:16", "720p", 24), job
    assert isinstance(job.seed, int) and isinstance(job.created_at, int), job
    clip = import_module("httpx").get(job.content.video_url)
    assert clip.status_code == 200 and clip.content[MP4_BRAND] == b"ftyp", clip
    second = _create(tasks, INPUT)
    page = tasks.list(page_num=1, page_size=1)
    assert (page.total, [row.id for row in page.items]) == (2, [second.id]), page
    page = tasks.list(page_num=2, page_size=1)
    assert [(row.id, row.execution_expires_after) for row in page.items] == [(made.id, EXPIRES)], page
    found = tasks.list(page_size=500, task_ids=[made.id], status="succeeded", model=MODEL)
    assert (found.total, found.items[0].content.video_url) == (1, job.content.video_url), found
    nothing = _refusal(package.ArkBadRequestError, lambda: _create(tasks, {"prompt": ""}))
    too_soon = _refusal(package.ArkBadRequestError, lambda: _create(tasks, INPUT, execution_expires_after=1))
    unknown = _refusal(package.ArkNotFoundError, lambda: tasks.get(task_id=UNKNOWN_ID))
    stranger = _refusal(package.ArkAuthenticationError, lambda: _create(_tasks(base_url, "wrong"), INPUT))
    return [
        f"create: {made.id}",
        f"status: {', '.join(dict.fromkeys(words))}",
        f"result: {len(clip.content)} bytes, {job.usage.completion_tokens} tokens",
        "list: two pages of one, and one found by its id",
        f"create without a prompt: {nothing}",
        f"create with a time that is too short: {too_soon}",
        f"status of an unknown task: {unknown}",
        f"create with a wrong key: {stranger}",
    ]


def sdk_create(base_url: str, order_fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours.

    `order_fields`: `model`, `prompt`, `params` (the model's other inputs), `callback_url` (may be missing or None).
    """
    callback = {"callback_url": url} if (url := order_fields.get("callback_url")) else {}
    asked = {**order_fields["params"], "prompt": order_fields["prompt"]}
    _create(_tasks(base_url), asked, model=order_fields["model"], **callback)


def _create(tasks: Any, asked: Mapping[str, Any], *, model: str = MODEL, **more: Any) -> Any:
    rest = {name: value for name, value in asked.items() if name != "prompt"}
    return tasks.create(model=model, content=[{"type": "text", "text": asked["prompt"]}], **rest, **more)


def _tasks(base_url: str, key: str = KEY) -> Any:
    ark = import_module("byteplussdkarkruntime").Ark(base_url=base_url, api_key=key, max_retries=0)
    return ark.content_generation.tasks


def _refusal(kind: Any, call: Any) -> str:
    """What the client raises, with Ark's code and words."""
    said = ""
    try:
        call()
    except kind as error:
        said = f"{error.code}: {error.message}" if error.code else ""
    assert said, "no refusal, or one without a code"
    return said
