"""fal's own client against the double.

Written for fal-client 1.0.3, which has no setting for a base URL: its constant with the queue's host is replaced.
"""

from collections.abc import Mapping
from typing import Any

import fal_client
import httpx
from fal_client import client as constants

KEY = "test-fal-key"
MODEL = "fal-ai/veo3.1/fast"
INPUT = {"prompt": "A lighthouse", "duration": "8s", "aspect_ratio": "9:16", "resolution": "720p", "seed": 7}
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`
LOOKS_MAX = 600


def walk(base_url: str) -> list[str]:
    """Buys one video, fetches it, finds it in the history, then asks for what there is not."""
    client = _client(base_url)
    handle = client.submit(MODEL, INPUT)
    assert handle.status_url == f"{base_url}/fal-ai/veo3.1/requests/{handle.request_id}/status", handle.status_url
    words = []
    for event in handle.iter_events(with_logs=True):
        words.append(type(event).__name__)
        assert len(words) < LOOKS_MAX, f"no end after {LOOKS_MAX} looks: {words[-1]}"
    assert words[-1] == "Completed" and set(words) <= {"Queued", "InProgress", "Completed"}, words
    result = handle.get()
    assert result["seed"] == INPUT["seed"], result
    clip = httpx.get(result["video"]["url"])
    assert clip.status_code == 200 and clip.content[MP4_BRAND] == b"ftyp", clip
    again = client.result(MODEL, handle.request_id)
    assert again == result, again
    history = f"{base_url}/api/v1/models/requests/by-endpoint"
    asked = {"endpoint_id": MODEL, "expand": "payloads"}
    listed = httpx.get(history, params=asked, headers={"Authorization": f"Key {KEY}"}).json()["items"]
    assert [row["json_input"] for row in listed if row["request_id"] == handle.request_id] == [INPUT], listed
    return [
        f"submit: {handle.request_id}",
        f"status: {', '.join(dict.fromkeys(words))}",
        f"result: {len(clip.content)} bytes",
        f"history: {len(listed)} with its input",
        f"submit without a prompt: {_refusal(lambda: client.submit(MODEL, {'duration': '8s'}), 422)}",
        f"status of an unknown request: {_refusal(lambda: client.status(MODEL, UNKNOWN_ID), 404)}",
        f"submit with a wrong key: {_refusal(lambda: _client(base_url, 'wrong').submit(MODEL, INPUT), 401)}",
    ]


def sdk_create(base_url: str, fields: Mapping[str, Any]) -> None:
    """Sends the client's create for an order of ours."""
    _client(base_url).submit(
        fields["model"], {**fields["params"], "prompt": fields["prompt"]}, webhook_url=fields["callback_url"]
    )


def _client(base_url: str, key: str = KEY) -> Any:
    constants.QUEUE_URL_FORMAT = base_url + "/"
    return fal_client.SyncClient(key=key)


def _refusal(call: Any, status: int) -> str:
    """What the client raises, in the words of the answer."""
    refused = None
    try:
        call()
    except fal_client.FalClientHTTPError as error:
        refused = error
    assert refused is not None, "no refusal"
    assert refused.status_code == status, refused
    return str(refused)
