"""Cancellation that holds.

Python 3.11's `asyncio.wait_for` hands a value to a caller that is canceled in the same moment (gh-86296, mended in
3.12), and psycopg's pool waits with it: a database call may swallow a cancellation, and a loop around it goes on.
"""

import asyncio
from typing import Any

PATIENCE_SECONDS = 1.0


async def stop(task: "asyncio.Task[Any]") -> None:
    """Cancels the task until it has ended; what it ended with stays in it."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    if not task.cancelled():
        task.exception()  # seen: asyncio need not complain of it


class CancellationGuard:
    """Notes how often the present task was canceled, to say later whether it was again."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0

    def check(self) -> None:
        """Raises CancelledError if the task was canceled since, whatever a call in between made of it."""
        if self._task is not None and self._task.cancelling() > self._before:
            raise asyncio.CancelledError
