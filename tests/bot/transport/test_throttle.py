"""A chatty user is stopped before the database, with one word about it; others are not."""

import asyncio
from typing import Any

import pytest
from aiogram.methods import AnswerCallbackQuery
from aiogram.types import Update, User

from bot.transport.throttle import BURST, PER_SECOND, Throttle
from pipeline.ledger.transports.common import LedgerUnavailable
from tests.bot.harness import BotHarness


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_each_user_may_send_a_burst_and_then_a_steady_rate() -> None:
    handled: list[int] = []
    noticed: list[object] = []

    async def handler(_: Any, data: dict[str, Any]) -> None:
        handled.append(data["event_from_user"].id)

    async def notice(said: object) -> None:
        noticed.append(said)

    clock = Clock()
    throttle = Throttle(notice, clock)
    update = Update.model_construct(update_id=1, message=None, callback_query=None)
    for _ in range(50):
        await throttle(handler, update, {"event_from_user": User(id=1, is_bot=False, first_name="x")})
    assert len(handled) == BURST
    await throttle(handler, update, {"event_from_user": User(id=2, is_bot=False, first_name="y")})
    assert handled[-1] == 2
    clock.now += 4 / PER_SECOND
    for _ in range(10):
        await throttle(handler, update, {"event_from_user": User(id=1, is_bot=False, first_name="x")})
    assert len(handled) == BURST + 1 + 4


async def test_throttled_user_is_notified_once(harness: BotHarness) -> None:
    await asyncio.gather(*(harness.say(f"hello {number}", user=5) for number in range(30)))
    await harness.until_said("too many messages at once")
    assert sum("too many messages at once" in text for text in harness.texts()) == 1


async def test_every_tap_of_a_burst_is_answered(harness: BotHarness) -> None:
    said = await harness.say("/help", user=5)
    await asyncio.gather(*(harness.press("v:0", said, user=5) for _ in range(30)))
    assert len(harness.session.of(AnswerCallbackQuery)) == 30


async def test_update_retried_because_of_a_ledger_outage_is_throttled_once() -> None:
    tries = 0

    async def handler(_: Any, __: dict[str, Any]) -> None:
        nonlocal tries
        tries += 1
        raise LedgerUnavailable("away")

    async def notice(_: object) -> None:
        raise AssertionError("nobody wrote too much")

    throttle = Throttle(notice, Clock())
    update = Update.model_construct(update_id=1, message=None, callback_query=None)
    for _ in range(3 * int(BURST)):
        with pytest.raises(LedgerUnavailable):
            await throttle(handler, update, {"event_from_user": User(id=1, is_bot=False, first_name="x")})
    assert tries == 3 * int(BURST)
