"""Telegram's flood control, when switched on.

In       a chat, and the time
Out      seconds to wait, or None for a call that may pass and is counted
"""

import math
from collections import deque

PRIVATE = (3, 3.0)
"""A burst of three is let through; over time it is one a second."""

GROUP = (20, 60.0)
ALL = (30, 1.0)


class Window:
    """At most N calls in a sliding window of seconds."""

    def __init__(self, calls_max: int, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=calls_max)

    def wait(self, now: float) -> float:
        """Seconds until another call fits; zero or less means now."""
        if len(self._times) < (self._times.maxlen or 0):
            return 0.0
        return self._times[0] + self._seconds - now

    def count(self, now: float) -> None:
        """Count one call; drops the oldest of a full window."""
        self._times.append(now)


class FloodControl:
    """The windows of one bot: one per chat, and one for all chats together."""

    def __init__(self) -> None:
        self._all = Window(*ALL)
        self._chats: dict[int, Window] = {}

    def retry_after(self, chat_id: int, now: float) -> int | None:
        """Whole seconds to wait, or None to proceed."""
        chat = self._chats.get(chat_id)
        if chat is None:
            chat = self._chats[chat_id] = Window(*(GROUP if chat_id < 0 else PRIVATE))
        wait = max(chat.wait(now), self._all.wait(now))
        if wait > 0:
            return max(1, math.ceil(wait))
        chat.count(now)
        self._all.count(now)
        return None
