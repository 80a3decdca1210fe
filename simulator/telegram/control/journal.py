"""Every Bot API call in order of arrival, and every answered button press: the tests' evidence.

In       calls as they arrive, and their answers
Out      entries; never a token
"""

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Call:
    """One call. `ok` is None while it is in progress."""

    n: int
    at: float
    method: str
    chat_id: int | None = None
    message_id: int | None = None
    text: str | None = None
    ok: bool | None = None
    error_code: int | None = None
    retry_after: int | None = None
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry, without empty fields."""
        always = {"n", "at", "method", "chat_id", "ok", "error_code", "retry_after"}
        return {name: value for name, value in asdict(self).items() if value is not None or name in always}


@dataclass(frozen=True, slots=True)
class Answer:
    """A bot's answer to a button press."""

    callback_query_id: str
    sender: int
    chat_id: int
    text: str
    show_alert: bool
    at: float

    def as_json(self) -> dict[str, Any]:
        """As the page and the tests see it."""
        return {
            "callback_query_id": self.callback_query_id,
            "from": self.sender,
            "chat_id": self.chat_id,
            "text": self.text,
            "show_alert": self.show_alert,
            "at": self.at,
        }


@dataclass(slots=True)
class Journal:
    """The record of one simulated Telegram."""

    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def begin(self, method: str) -> Call:
        """Open an entry for a call whose request was read completely."""
        call = Call(len(self.calls), time.time(), method)
        self.calls.append(call)
        return call
