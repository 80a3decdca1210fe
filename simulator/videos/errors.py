"""Answers of the simulated provider that are not videos: JSON bodies and OpenAI-style errors."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

Refuse = Callable[[int, str], web.Response]

REFUSALS: Mapping[str, tuple[int, Any]] = {
    "budget_exceeded": (
        429,
        {
            "error": {
                "message": "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0",
                "type": "budget_exceeded",
                "param": None,
                "code": "budget_exceeded",
            }
        },
    ),
    "content_policy_violation": (
        422,
        {
            "detail": [
                {
                    "loc": ["body", "prompt"],
                    "msg": "The content could not be processed because it was flagged by a content checker.",
                    "type": "content_policy_violation",
                }
            ]
        },
    ),
    "sensitive_content": (
        400,
        {
            "error": {
                "code": "InputTextSensitiveContentDetected",
                "message": "The request failed because the input text may contain sensitive information.",
                "param": "",
                "type": "BadRequest",
            }
        },
    ),
    "moderation": (
        403,
        {
            "error": {
                "code": 403,
                "message": "The prompt requires moderation and was flagged for violence.",
                "metadata": {"reasons": ["violence"]},
            }
        },
    ),
    "idempotency_key_reuse": (
        422,
        {
            "error": {
                "code": "idempotency_key_reuse",
                "message": "Idempotency-Key was already used by another request; list your jobs to find it.",
            }
        },
    ),
    "broken_inside": (400, {"error": {"message": "'id'", "type": "invalid_request_error", "code": "bad_request"}}),
    "job_not_found": (404, {"error": {"code": "video_not_found", "message": "Video 'video_4711' not found."}}),
    "response_invalid": (
        422,
        {"detail": [{"loc": ["response", "created_at"], "msg": "Field required", "type": "missing"}]},
    ),
    "deep_job": (
        402,
        {"error": {"message": "Limit reached", "metadata": {"video": {"id": "v_1", "status": "queued"}}}},
    ),
    "lost_answer": (
        400,
        {"detail": "HTTPSConnectionPool(host='api.upstream.ai', port=443): Read timed out. (read timeout=30)"},
    ),
}
"""Refusals of other vendors, by the name that a fault uses: status and body."""


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer; compact, because benchmarks measure microseconds."""
    try:
        raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # JSON can hold a lone surrogate only as an escape.
        raw = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(body=raw, status=status, content_type="application/json", headers=headers)


def whole_text(text: object) -> bytes:
    """Text as bytes, lone surrogates included, as some servers send them."""
    return str(text).encode(errors="surrogatepass")


def error_body(
    message: str, *, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """The error body used across the protocol."""
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


def refused_as(name: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The refusal of an order in another vendor's format."""
    status, body = REFUSALS[name]
    return json_answer(body, status, headers)


def openai_refusal(status: int, words: str) -> web.Response:
    """An error answer whose type follows from its status."""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    return json_answer(error_body(words, kind=kind), status)


def status_answer(
    status: int,
    retry_after: object = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    refuse: Refuse = openai_refusal,
) -> web.Response:
    """The answer of a fault that only gives a status; without a body, as the protocol refuses."""
    headers = dict(headers or {}) | ({} if retry_after is None else {"Retry-After": str(retry_after)})
    words = f"This request is refused: the account of the simulated provider was told to answer {status}."
    if isinstance(body, str):
        plain = {"Content-Type": "text/plain; charset=utf-8"}
        return web.Response(body=whole_text(body), status=status, headers=plain | headers)
    if body is not None:
        return json_answer(body, status, headers)
    refused = refuse(status, words)
    refused.headers.update(headers)
    return refused
