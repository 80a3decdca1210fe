"""Cancellation of calls that swallow it, as Python 3.11's wait_for does: by a value, or by an error of their own."""

import asyncio
from collections.abc import Mapping

import pytest

from pipeline.cancellation import stop
from pipeline.ledger.transports.common import Json, LedgerUnavailable, asking_again


@pytest.mark.parametrize("instead", [None, LedgerUnavailable("the line broke")], ids=["value", "error"])
async def test_a_call_that_swallows_the_cancellation_does_not_keep_its_caller(instead: Exception | None) -> None:
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


async def test_what_a_canceled_caller_still_asks_on_its_way_out_is_answered() -> None:
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


async def test_a_loop_that_swallows_one_cancellation_is_canceled_again(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_what_a_stopped_task_failed_with_stays_in_it() -> None:
    async def failing() -> None:
        raise ValueError("why")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await stop(task)
    assert str(task.exception()) == "why"
