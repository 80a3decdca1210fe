"""Cancellation of calls that swallow it, as Python 3.11's wait_for does: by a value, or by an error of their own."""

import asyncio
from collections.abc import Mapping

import pytest

from pipeline.cancellation import stop
from pipeline.ledger.transports.common import Json, LedgerUnavailable, asking_again


@pytest.mark.parametrize("instead", [None, LedgerUnavailable("the line broke")], ids=["value", "error"])
async def test_caller_is_canceled_even_if_its_ledger_call_swallows_the_cancellation(instead: Exception | None) -> None:
    asked: list[str] = []

    async def swallowing(name: str, args: Mapping[str, Json]) -> Json:
        asked.append(name)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            if instead:
                raise instead from None
        return "a value"

    async def ask() -> None:
        await asking_again(swallowing, first_pause_seconds=0)("say", {})

    caller = asyncio.create_task(ask())
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert asked == ["say"]


async def test_canceled_task_can_still_make_a_ledger_call_in_its_finally_block() -> None:
    async def plain(name: str, args: Mapping[str, Json]) -> Json:
        return "a value"

    heard: list[Json] = []

    async def caller() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            heard.append(await asking_again(plain)("say", {}))

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    await stop(task)
    assert heard == ["a value"]
    assert task.cancelled()


async def test_stop_repeats_the_cancellation_until_the_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cancellation.PATIENCE_SECONDS", 0.01)
    turns = 0

    async def loop() -> None:
        nonlocal turns
        while True:
            turns += 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if turns == 3:
                    raise

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    await asyncio.wait_for(stop(task), 60)
    assert task.cancelled()
    assert turns == 3


async def test_stop_leaves_a_failed_tasks_exception_in_the_task() -> None:
    async def failing() -> None:
        raise ValueError("why")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await stop(task)
    assert str(task.exception()) == "why"
