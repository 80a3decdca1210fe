"""Higgsfield's own client against the double. Runs where only that client is installed: nothing of ours is imported.

Written for higgsfield-client 0.2.0, whose `status(request_id)` asks the real host whatever its base URL is: requests
are read by the addresses that the double gives.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

KEY = "test-id:test-secret"
MODEL = "bytedance/seedance-2.5/text-to-video"
INPUT = {"prompt": "A lighthouse", "duration": 5, "resolution": "720p", "aspect_ratio": "9:16"}
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys one video and fetches it, then asks for what there is not. Returns what was done.

    Raises AssertionError where the double is not what the client takes for Higgsfield.
    """
    client = _client(base_url)
    request = client.submit(MODEL, INPUT)
    assert request.status_url == f"{base_url}/requests/{request.request_id}/status", request.status_url
    assert request.cancel_url == f"{base_url}/requests/{request.request_id}/cancel", request.cancel_url
    words = []
    for look, status in enumerate(request.poll_request_status(delay=LOOK_SECONDS)):
        words.append(type(status).__name__)
        assert look < LOOKS_MAX, f"no end after {LOOKS_MAX} looks: {words[-1]}"
    assert words[-1] == "Completed" and set(words) <= {"Queued", "InProgress", "Completed"}, words
    result = request.get()
    assert (result["status"], result["request_id"]) == ("completed", request.request_id), result
    clip = import_module("httpx").get(result["video"]["url"])
    assert clip.status_code == 200 and clip.content[MP4_BRAND] == b"ftyp", clip
    late = _refusal(request.cancel)
    nothing = _refusal(lambda: client.submit(MODEL, {"duration": 5}))
    request.status_url = f"{base_url}/requests/{UNKNOWN_ID}/status"
    unknown = _refusal(request.status)
    return [
        f"submit: {request.request_id}",
        f"status: {', '.join(dict.fromkeys(words))}",
        f"result: {len(clip.content)} bytes",
        f"cancel of a completed request: {late}",
        f"submit without a prompt: {nothing}",
        f"status of an unknown request: {unknown}",
    ]


def sdk_create(base_url: str, order_fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours.

    `order_fields`: `model`, `prompt`, `params` (the model's other inputs), `callback_url` (may be missing).
    """
    asked = {**order_fields["params"], "prompt": order_fields["prompt"]}
    _client(base_url).submit(order_fields["model"], asked, webhook_url=order_fields.get("callback_url"))


def _client(base_url: str) -> Any:
    return import_module("higgsfield_client").SyncClient(base_url=base_url, api_key=KEY)


def _refusal(call: Any) -> str:
    """What the client raises, in the words of the answer."""
    package = import_module("higgsfield_client")
    words = None
    try:
        call()
    except package.HiggsfieldClientError as error:
        words = str(error)
    assert words, "no refusal, or one without words"
    return words
