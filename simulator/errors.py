"""Answers of the simulated provider that are not videos: JSON bodies and OpenAI-shaped errors."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer; compact, because benchmarks count every microsecond."""
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return web.Response(body=raw, status=status, content_type="application/json", headers=headers)


def error_body(
    message: str, *, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """The error shape every part of the protocol shares."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
) -> web.Response:
    """An error answer."""
    return json_answer(error_body(message, kind=kind, code=code, param=param), status)


def status_answer(status: int, retry_after: object = None, body: object = None) -> web.Response:
    """The answer of a fault that only names a status."""
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    words = f"The simulated provider was told to answer {status}."
    if isinstance(body, str):
        return web.Response(text=body, status=status, headers=headers)
    return json_answer(body if body is not None else error_body(words, kind=kind), status, headers)
