"""OpenRouter's own client against the double. Runs where only that client is installed: nothing of ours is imported.

Written for openrouter 1.3.84. Its repeats are switched off: one call is one request here.
"""

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

KEY = "test-key"
MODEL = "google/veo-3.1-fast"
INPUT = {"prompt": "A lighthouse", "duration": 8, "resolution": "720p", "aspect_ratio": "9:16"}
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
UNKNOWN_ID = "gen-vid-1700000000-aaaaaaaaaaaaaaaaaaaa"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys one video and fetches it, then asks for what there is not. Returns what was done.

    Raises AssertionError where the double is not what the client takes for OpenRouter.
    """
    videos, errors = _videos(base_url), import_module("openrouter.errors")
    models = {row.id: row for row in videos.list_videos_models().data}
    assert models[MODEL].supported_durations and models[MODEL].pricing_skus, models
    made = videos.generate(model=MODEL, **INPUT)
    assert (made.status, made.polling_url.rpartition("/")[2]) == ("pending", made.id), made
    words, early, job = [made.status], "", made
    for _ in range(LOOKS_MAX):
        job = videos.get_generation(job_id=made.id)
        words.append(job.status)
        if job.status not in {"pending", "in_progress"}:
            break
        early = early or _refusal(errors.ConflictResponseError, lambda: videos.get_video_content(job_id=made.id))
        time.sleep(LOOK_SECONDS)
    assert (job.status, job.id, job.error) == ("completed", made.id, None), job
    assert job.usage.cost > 0 and not job.usage.is_byok and job.generation_id, job
    assert job.unsigned_urls == [f"{base_url}/videos/{made.id}/content?index=0"], job
    clip = videos.get_video_content(job_id=made.id).read()
    assert clip[MP4_BRAND] == b"ftyp", clip[:16]
    signed = import_module("httpx").get(job.urls[0]).content
    assert signed == clip, "another file at the signed address"
    nothing = _refusal(errors.NotFoundResponseError, lambda: videos.generate(model="no-such-model", **INPUT))
    unasked = _refusal(errors.BadRequestResponseError, lambda: videos.generate(model=MODEL))
    unknown = _refusal(errors.NotFoundResponseError, lambda: videos.get_generation(job_id=UNKNOWN_ID))
    return [
        f"models: {len(models)}",
        f"submit: {made.id}",
        f"content before the end: {early or 'not asked for'}",
        f"status: {', '.join(dict.fromkeys(words))}",
        f"result: {len(clip)} bytes, {job.usage.cost} USD",
        f"submit of an unknown model: {nothing}",
        f"submit without a prompt: {unasked}",
        f"status of an unknown job: {unknown}",
    ]


def sdk_create(base_url: str, order_fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours.

    `order_fields`: `run_id`, `model`, `prompt`, `params` (the model's other inputs), `callback_url` (may be missing).
    """
    callback = {"callback_url": url} if (url := order_fields.get("callback_url")) else {}
    _videos(base_url).generate(
        model=order_fields["model"],
        prompt=order_fields["prompt"],
        session_id=order_fields["run_id"],
        **order_fields["params"],
        **callback,
    )


def _videos(base_url: str) -> Any:
    package, utils = import_module("openrouter"), import_module("openrouter.utils")
    once = utils.RetryConfig("none", utils.BackoffStrategy(1, 1, 1.0, 1), False)
    return package.OpenRouter(server_url=base_url, api_key=KEY, retry_config=once).video_generation


def _refusal(kind: Any, call: Any) -> str:
    """What the client raises, in the words of the answer."""
    words = None
    try:
        call()
    except kind as error:
        words = str(error)
    assert words, "no refusal, or one without words"
    return words
