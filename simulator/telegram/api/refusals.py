"""How Telegram says no.

In       a code, Telegram's own words, seconds to wait
Out      `Refused`, raised by a method and answered by the door; `bad_request` for the usual kind

An exception, not a value: a method refuses from the depth of its arguments, and the answer is always the same.
"""

from typing import Any


class Refused(Exception):
    """A call that is answered with `"ok": false`."""

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
    """A 400 in Telegram's words."""
    return Refused(400, f"Bad Request: {words}")


def flooded(retry_after: int) -> Refused:
    """A 429 with the seconds to wait."""
    return Refused(429, f"Too Many Requests: retry after {retry_after}", retry_after)
