"""How a command leaves: with everything put away, whatever else is going on in it."""

import asyncio
import contextlib

from app.exits import run_async


def test_a_task_that_swallows_a_cancellation_does_not_keep_the_process() -> None:
    """As a worker of psycopg's pool does when it is canceled while it connects."""
    ended: list[str] = []

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        ended.append("swallowed one")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("gone")

    async def work() -> str:
        asyncio.get_running_loop().call_soon(keep.append, asyncio.ensure_future(stubborn()))
        await asyncio.sleep(0.01)
        return "done"

    keep: list[asyncio.Future[None]] = []
    assert run_async(work()) == "done"
    assert ended == ["swallowed one", "gone"]
