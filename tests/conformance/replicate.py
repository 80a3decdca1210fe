"""Replicate's own client against the double. Runs where only that client is installed: nothing of ours is imported.

Written for replicate 1.0.7, which never repeats a POST.
"""

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

KEY = "test-key"
MODEL = "google/veo-3.1-fast"
INPUT = {"prompt": "A lighthouse", "duration": 8, "resolution": "720p", "aspect_ratio": "9:16", "seed": 7}
CALLBACK = "https://bot.example/callbacks/replicate/token"
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
UNKNOWN_ID = "aaaaaaaaaaaaaaaaaaaaaaaaaa"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys two videos and fetches one, reads the list, then asks for what there is not. Returns what was done.

    Raises AssertionError where the double is not what the client takes for Replicate.
    """
    client = _client(base_url)
    made = client.models.predictions.create(model=MODEL, input=INPUT)
    assert (made.status, made.model, made.input, made.output) == ("starting", MODEL, INPUT, None), made
    assert made.urls["get"] == f"{base_url}/v1/predictions/{made.id}", made.urls
    words = [made.status]
    job = made
    for _ in range(LOOKS_MAX):
        job = client.predictions.get(made.id)
        words.append(job.status)
        if job.status not in {"starting", "processing"}:
            break
        time.sleep(LOOK_SECONDS)
    assert (job.status, job.id, job.error) == ("succeeded", made.id, None), job
    assert job.completed_at and job.metrics["predict_time"] > 0, job
    clip = client._client.get(job.output)
    assert clip.status_code == 200 and clip.content[MP4_BRAND] == b"ftyp", clip
    second = client.predictions.create(model=MODEL, input=INPUT, webhook=CALLBACK, webhook_events_filter=["completed"])
    pages = list(import_module("replicate.pagination").paginate(client.predictions.list))
    rows = [row for page in pages for row in page]
    assert [row.id for row in rows] == [second.id, made.id], rows
    assert all(row.input == INPUT for row in rows), rows
    secret = client.webhooks.default.secret()
    assert secret.key.startswith("whsec_"), "no secret"
    models = client.models.predictions
    return [
        f"submit: {made.id}",
        f"status: {', '.join(dict.fromkeys(words))}",
        f"result: {len(clip.content)} bytes",
        f"list: {len(rows)} on {len(pages)} page",
        f"submit without input: {_refusal(422, lambda: models.create(model=MODEL, input={}))}",
        f"status of an unknown prediction: {_refusal(404, lambda: client.predictions.get(UNKNOWN_ID))}",
        f"submit with a wrong key: {_refusal(401, lambda: _buy(_client(base_url, 'wrong')))}",
    ]


def sdk_create(base_url: str, order_fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours.

    `order_fields`: `model`, `prompt`, `params` (the model's other inputs), `callback_url` (may be None).
    """
    url = order_fields.get("callback_url")
    callback = {"webhook": url, "webhook_events_filter": ["completed"]} if url else {}
    asked = {**order_fields["params"], "prompt": order_fields["prompt"]}
    _client(base_url).models.predictions.create(model=order_fields["model"], input=asked, **callback)


def _buy(client: Any) -> Any:
    return client.models.predictions.create(model=MODEL, input=INPUT)


def _client(base_url: str, key: str = KEY) -> Any:
    return import_module("replicate").Client(api_token=key, base_url=base_url)


def _refusal(status: int, call: Callable[[], object]) -> str:
    """What the client raises, in the words of the answer."""
    error = None
    try:
        call()
    except import_module("replicate.exceptions").ReplicateError as raised:
        error = raised
    assert error is not None and error.status == status and error.detail, f"no such refusal: {error}"
    return str(error.detail).strip()
