"""Several processes speak for one bot: its budget of calls in a chat, and in all, is one."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from aiogram.exceptions import TelegramRetryAfter
from aiogram.methods import SendMessage

from bot.meter import CHAT_GAP_SECONDS, Meter, Urgency
from bot.outbox import Later, Outbox, Time
from pipeline.road import Json, LedgerUnavailable
from pipeline.road_psycopg import open_road
from pipeline.turns import Turns
from tests.bot.recording import make_bot


def said(chat: int = 1) -> SendMessage:
    return SendMessage(chat_id=chat, text="x")


async def test_two_processes_keep_one_gap_in_a_chat(ledger_dsn: str) -> None:
    async with open_road(ledger_dsn) as rpc:
        boxes = [Outbox(make_bot()[0], Meter(time.monotonic), Time(), Turns(rpc)) for _ in range(2)]
        began = time.monotonic()
        await asyncio.gather(*(box.say(said(), 1) for box in boxes))
        assert time.monotonic() - began >= CHAT_GAP_SECONDS
        with pytest.raises(Later):
            await boxes[0].say(said(), 1, Urgency.TICK)
        await boxes[1].say(said(2), 2)  # another chat does not wait for this one


async def test_all_processes_are_silent_when_one_was_told_to_be(ledger_dsn: str) -> None:
    async with open_road(ledger_dsn) as rpc:
        (first, session), (second, _) = make_bot(), make_bot()
        boxes = [Outbox(bot, Meter(time.monotonic), Time(), Turns(rpc)) for bot in (first, second)]
        session.meets(SendMessage, TelegramRetryAfter(said(), "slow", 30))
        with pytest.raises(Later):
            await boxes[0].say(said(), 1)
        with pytest.raises(Later) as later:
            await boxes[1].say(said(), 1, patience=5)
        assert 20 < later.value.seconds <= 30


async def test_an_outage_of_the_ledger_silences_nobody() -> None:
    async def away(name: str, args: Mapping[str, Json]) -> Json:
        raise LedgerUnavailable(name)

    bot, session = make_bot()
    box = Outbox(bot, Meter(time.monotonic), Time(), Turns(away))
    await box.say(said(), 1)
    with pytest.raises(Later):
        await box.say(said(), 1, Urgency.TICK)  # our own meter goes on
    assert len(session.of(SendMessage)) == 1
