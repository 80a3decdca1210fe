"""Luma's own client against the double. Runs where only that client is installed: nothing of ours is imported.

Written for lumaai 1.21.0. Its repeats are switched off: one call is one request here.
"""

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

KEY = "test-key"
MODEL = "ray-2"
INPUT = {"prompt": "A lighthouse", "duration": "5s", "resolution": "720p", "aspect_ratio": "9:16"}
CALLBACK = "https://bot.example/callbacks/luma/token"
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys two videos and fetches one, reads the list, then asks for what there is not. Returns what was done.

    Raises AssertionError where the double is not what the client takes for Luma.
    """
    generations = _generations(base_url)
    made = generations.video.create(model=MODEL, **INPUT)
    assert (made.state, made.model, made.assets, made.generation_type) == ("queued", MODEL, None, "video"), made
    asked = made.request.to_dict()
    assert asked == {"generation_type": "video", "model": MODEL, **INPUT}, asked
    words = [made.state]
    job = made
    for _ in range(LOOKS_MAX):
        job = generations.get(made.id)
        words.append(job.state)
        if job.state not in {"queued", "dreaming"}:
            break
        time.sleep(LOOK_SECONDS)
    assert (job.state, job.id, job.failure_reason) == ("completed", made.id, None), job
    assert job.created_at.tzinfo is not None and job.created_at == made.created_at, job
    clip = import_module("httpx").get(job.assets.video)
    assert clip.status_code == 200 and clip.content[MP4_BRAND] == b"ftyp", clip
    second = generations.video.create(model=MODEL, callback_url=CALLBACK, **INPUT)
    first_page, last_page = generations.list(limit=1, offset=0), generations.list(limit=1, offset=1)
    rows = [*first_page.generations, *last_page.generations]
    assert [row.id for row in rows] == [second.id, made.id], rows
    assert (first_page.has_more, last_page.has_more, last_page.offset) == (True, False, 1), last_page
    assert rows[0].request.callback_url == CALLBACK, rows[0]
    errors = import_module("lumaai")
    stranger = _generations(base_url, "wrong")
    nothing = _refusal(errors.BadRequestError, lambda: generations.video.create(model=MODEL, duration="5s"))
    unknown = _refusal(errors.NotFoundError, lambda: generations.get(UNKNOWN_ID))
    unpaid = _refusal(errors.AuthenticationError, lambda: stranger.video.create(model=MODEL, **INPUT))
    return [
        f"submit: {made.id}",
        f"status: {', '.join(dict.fromkeys(words))}",
        f"result: {len(clip.content)} bytes",
        f"list: {len(rows)} on 2 pages",
        f"submit without a prompt: {nothing}",
        f"status of an unknown generation: {unknown}",
        f"submit with a wrong key: {unpaid}",
    ]


def sdk_create(base_url: str, order_fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours.

    `order_fields`: `model`, `prompt`, `params` (the model's other inputs), `callback_url` (may be None).
    """
    callback = {"callback_url": url} if (url := order_fields.get("callback_url")) else {}
    _generations(base_url).video.create(
        model=order_fields["model"], prompt=order_fields["prompt"], **order_fields["params"], **callback
    )


def _generations(base_url: str, key: str = KEY) -> Any:
    client = import_module("lumaai").LumaAI(auth_token=key, base_url=f"{base_url}/dream-machine/v1", max_retries=0)
    return client.generations


def _refusal(kind: type[Exception], call: Callable[[], object]) -> str:
    """What the client raises, in the words of the answer."""
    words = None
    try:
        call()
    except kind as error:
        words = error.body["detail"]  # type: ignore[attr-defined]  # the client's own class
    assert words, "no refusal, or one without words"
    return str(words)
