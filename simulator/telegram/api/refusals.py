"""Errors as Telegram answers them.

In       a code, Telegram's own error message, seconds to wait
Out      `Refused`, raised by methods and answered by the routes; `bad_request` for the usual kind

An exception, not a value: methods refuse deep inside argument parsing, and the answer always has the same shape.
"""

from typing import Any


class Refused(Exception):
    """A call answered with `"ok": false`."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            body["parameters"] = {"retry_after": self.retry_after}
        return body


def bad_request(words: str) -> Refused:
    """A 400 with Telegram's message."""
    return Refused(400, f"Bad Request: {words}")


def flooded(retry_after: int) -> Refused:
    """A 429 with the seconds to wait."""
    return Refused(429, f"Too Many Requests: retry after {retry_after}", retry_after)
