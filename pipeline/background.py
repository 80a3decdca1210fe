"""Background tasks that run for as long as a block lasts."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from pipeline.cancellation import stop


class Background:
    """Runs the coroutines until the block exits. An exception in one is a bug: it is raised at exit, not lost."""

    def __init__(self, *works: Coroutine[Any, Any, None]) -> None:
        self._works = works
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(work) for work in self._works]

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        fallen = [task.exception() for task in self._tasks if task.done() and not task.cancelled()]
        for task in self._tasks:
            await stop(task)
        for error in fallen:
            if error is not None and kind is None:
                raise error
