"""What of a conversation is kept, and which two requests are the same. Pure but for reading the tiny clip.

Where it was held does not matter: the base URL becomes a constant, so that a recording made at any provider,
or at a simulator on any port, answers. Chance is taken out (multipart boundaries), and so are secrets.
"""

import contextlib
import copy
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evals.secrets import KEY_IN_TEXT

REPLAY_URL = "http://127.0.0.1:9/v1"  # the discard port: nothing answers there
TINY_CLIP = Path(__file__).parents[2] / "cassettes" / "tiny.mp4"
BOUNDARY = "boundary"
KEPT_REQUEST_HEADERS = frozenset({"authorization", "content-type", "idempotency-key"})
KEPT_RESPONSE_HEADERS = frozenset({"content-type", "content-length", "retry-after", "location"})
BOT_TOKEN = re.compile(r"/bot\d+:[\w-]+/")
PYDANTIC_VERSION = re.compile(r"errors\.pydantic\.dev/[\d.]+/")


def recorded_bases() -> list[str]:
    """The base URLs of a recording under way."""
    return [url for name in ("TEXT", "VIDEO", "LEDGER") if (url := os.environ.get(f"ONETAKE_RECORD_{name}_URL"))]


def scrub_request(request: Any) -> Any:
    """None for a call to the simulator's control door, which is no part of the conversation."""
    if urlsplit(request.uri).path.startswith("/_sim/"):
        return None
    request = copy.copy(request)
    for base in recorded_bases():
        if request.uri.startswith(base):
            request.uri = REPLAY_URL + request.uri.removeprefix(base)
    request.uri = BOT_TOKEN.sub("/bot0:TOKEN/", request.uri)
    body, content_type = _as_bytes(request.body), str(request.headers.get("content-type", ""))
    if found := re.search(r"boundary=([^\s;]+)", content_type):
        body = body.replace(found[1].encode(), BOUNDARY.encode())
        content_type = content_type.replace(found[1], BOUNDARY)
    request.body = _pretty(body, content_type)
    kept = {k.lower(): v for k, v in request.headers.items() if k.lower() in KEPT_REQUEST_HEADERS}
    request.headers = kept | ({"content-type": content_type} if content_type else {})
    return request


def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    headers = {k.lower(): v for k, v in response["headers"].items() if k.lower() in KEPT_RESPONSE_HEADERS}
    content_type = "".join(headers.get("content-type", []))
    body = _as_bytes(response["body"]["string"])
    body = TINY_CLIP.read_bytes() if body[4:8] == b"ftyp" else _pretty(body, content_type) or b""
    headers["content-length"] = [str(len(body))]
    return response | {"headers": headers, "body": {"string": body}}


def path_below_base(one: Any, other: Any) -> None:
    assert urlsplit(one.uri).path == urlsplit(other.uri).path, f"{one.path} is not {other.path}"


def normal_body(one: Any, other: Any) -> None:
    assert read_body(one) == read_body(other), "the bodies differ"


MATCHERS = (path_below_base, normal_body)


def read_body(request: Any) -> Any:
    """JSON as values, multipart as its fields, anything else as text."""
    request = scrub_request(request)
    text = PYDANTIC_VERSION.sub("errors.pydantic.dev/", _as_bytes(request.body).decode("utf-8", "replace"))
    if BOUNDARY in str(request.headers.get("content-type", "")):
        return dict(re.findall(r'name="(\w+)".*?\r?\n\r?\n(.*?)\r?\n--' + BOUNDARY, text, re.DOTALL))
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pretty(body: bytes, content_type: str) -> bytes | None:
    if not body:
        return None
    text = KEY_IN_TEXT.sub("REDACTED", body.decode("utf-8", "surrogateescape"))
    if "json" in content_type:
        with contextlib.suppress(ValueError):  # half an answer is recorded as it came
            text = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def _as_bytes(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else bytes(body)
