"""Reliable cancellation.

Python 3.11's `asyncio.wait_for` returns a value to a caller that is canceled at the same moment (gh-86296, fixed in
3.12), and psycopg's pool uses it: a database call may swallow a cancellation, and a loop around it goes on.
"""

import asyncio
from typing import Any

PATIENCE_SECONDS = 1.0


async def stop(task: "asyncio.Task[Any]") -> None:
    """Cancels the task, repeatedly, until it has ended; does not raise its exception."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not log it


class CancellationGuard:
    """Remembers how often the current task was canceled, to detect a later cancellation."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0

    def check(self) -> None:
        """Raises CancelledError if the task was canceled since, even if a call in between swallowed it."""
        if self._task is not None and self._task.cancelling() > self._before:
            raise asyncio.CancelledError
