"""Several processes speak for one bot: its budget of calls in a chat, and in all, is one."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramRetryAfter
from aiogram.methods import SendMessage
from aiogram.types import Message

from bot.transport.client import RateLimited, TelegramClient, Time
from bot.transport.rate_limiter import ALL_GAP_SECONDS, CHAT_GAP_SECONDS, RateLimiter, Urgency
from bot.transport.shared_rate_limit import AT_ONCE, SharedRateLimit
from pipeline.ledger.rate_limits import RateLimits
from pipeline.ledger.transports.common import Json, LedgerCall, LedgerUnavailable
from pipeline.ledger.transports.over_psycopg import open_transport
from tests.bot.recording import make_bot


def said(chat: int = 1) -> SendMessage:
    return SendMessage(chat_id=chat, text="x")


def box_of(bot: Bot, rpc: LedgerCall) -> TelegramClient:
    return TelegramClient(bot, RateLimiter(time.monotonic), Time(), SharedRateLimit(RateLimits(rpc), time.monotonic))


async def test_two_processes_share_the_gap_between_calls_in_a_chat(ledger_dsn: str) -> None:
    async with open_transport(ledger_dsn) as rpc:
        boxes = [box_of(make_bot()[0], rpc) for _ in range(2)]
        began = time.monotonic()
        await asyncio.gather(*(box.say(said(), 1) for box in boxes))
        assert time.monotonic() - began >= CHAT_GAP_SECONDS
        with pytest.raises(RateLimited):
            await boxes[0].say(said(), 1, Urgency.TICK)
        await boxes[1].say(said(2), 2)  # another chat does not wait for this one


async def test_flood_wait_received_by_one_process_applies_to_all(ledger_dsn: str) -> None:
    async with open_transport(ledger_dsn) as rpc:
        (first, session), (second, _) = make_bot(), make_bot()
        boxes = [box_of(bot, rpc) for bot in (first, second)]
        session.meets(SendMessage, TelegramRetryAfter(said(), "slow", 30))
        with pytest.raises(RateLimited):
            await boxes[0].say(said(), 1)
        with pytest.raises(RateLimited) as later:
            await boxes[1].say(said(), 1, patience=5)
        assert 20 < later.value.seconds <= 30


async def test_ledger_outage_leaves_the_local_rate_limit_in_force() -> None:
    async def away(name: str, args: Mapping[str, Json]) -> Json:
        raise LedgerUnavailable(name)

    bot, session = make_bot()
    box = box_of(bot, away)
    await box.say(said(), 1)
    with pytest.raises(RateLimited):
        await box.say(said(), 1, Urgency.TICK)  # our own meter goes on
    assert len(session.of(SendMessage)) == 1


async def test_slow_ledger_gets_few_concurrent_calls_and_the_shared_limit_holds() -> None:
    """Three processes with many chats each: a far ledger (80 ms) makes them slow, and never faster than they may be."""
    asking, most, taken = 0, 0, list[float]()

    async def far(name: str, args: Mapping[str, Json]) -> Json:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0.08)
        asking -= 1
        now = time.monotonic()
        if taken and now - taken[-1] < ALL_GAP_SECONDS:
            return taken[-1] + ALL_GAP_SECONDS - now
        taken.append(now)
        return 0

    bots = [make_bot() for _ in range(3)]
    boxes = [box_of(bot, far) for bot, _ in bots]
    said_all = (box.say(said(chat), chat, patience=3) for box in boxes for chat in range(1, 61))
    outcomes = await asyncio.gather(*said_all, return_exceptions=True)
    calls = sum(len(session.of(SendMessage)) for _, session in bots)
    assert {type(each) for each in outcomes} <= {RateLimited, Message}
    assert calls == len(taken), "nobody spoke without a turn, and no turn was thrown away"
    assert calls > 20
    assert most <= 3 * AT_ONCE


async def test_unavailable_ledger_is_not_asked_again_for_a_while() -> None:
    asked = 0

    async def away(name: str, args: Mapping[str, Json]) -> Json:
        nonlocal asked
        asked += 1
        raise LedgerUnavailable(name)

    bot, session = make_bot()
    box = box_of(bot, away)
    for chat in range(1, 6):
        await box.say(said(chat), chat)
    assert (asked, len(session.of(SendMessage))) == (1, 5)
