"""An update is confirmed only once it was handled; the ledger may be away, another process may poll."""

import asyncio
from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramConflictError, TelegramNetworkError
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.types import Update

from bot import polling
from bot.polling import Conflict, poll
from pipeline.road import LedgerUnavailable
from tests.bot.recording import TOKEN, Recording


class Source(Recording):
    """Hands out updates as Telegram does: again and again, until a greater offset comes."""

    def __init__(self, *updates: Update) -> None:
        super().__init__()
        self.waiting = list(updates)
        self.errors: list[Exception] = []

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
        if not isinstance(method, GetUpdates):
            return await super().make_request(bot, method, timeout)
        if self.errors:
            raise self.errors.pop(0)
        if method.offset is not None:
            self.waiting = [update for update in self.waiting if update.update_id >= method.offset]
        if not self.waiting and method.timeout:
            await asyncio.sleep(60)
        return list(self.waiting)


def update(number: int, chat: int = 1) -> Update:
    message = {"message_id": number, "date": 0, "chat": {"id": chat, "type": "private"}, "text": "x"}
    return Update.model_validate({"update_id": number, "message": message})


async def run_until(source: Source, feed: Any, done: asyncio.Event) -> None:
    stopping = asyncio.Event()
    task = asyncio.create_task(poll(Bot(TOKEN, session=source), feed, ["message"], stopping))
    async with asyncio.timeout(60):
        await done.wait()
    stopping.set()
    async with asyncio.timeout(60):
        await task


async def test_an_update_is_handled_again_until_the_ledger_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PAUSES_SECONDS", (0.01,))
    source, tries, done = Source(update(7)), [], asyncio.Event()

    async def feed(given: Update) -> None:
        assert source.waiting, "not confirmed before it was handled"
        tries.append(given.update_id)
        if len(tries) < 3:
            raise LedgerUnavailable("away")
        done.set()

    await run_until(source, feed, done)
    assert tries == [7, 7, 7]
    assert source.waiting == []


async def test_chats_do_not_wait_for_one_another_but_one_chats_updates_keep_their_order() -> None:
    source = Source(update(1, chat=1), update(2, chat=2), update(3, chat=1))
    order: list[int] = []
    released, done = asyncio.Event(), asyncio.Event()

    async def feed(given: Update) -> None:
        if given.update_id == 1:
            await released.wait()
        order.append(given.update_id)
        if given.update_id == 2:
            released.set()
        if len(order) == 3:
            done.set()

    await run_until(source, feed, done)
    assert order == [2, 1, 3]


async def test_a_network_that_comes_back_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PAUSES_SECONDS", (0.01,))
    source, done = Source(update(1)), asyncio.Event()
    source.errors = [TelegramNetworkError(GetUpdates(), "reset")] * 3

    async def feed(_: Update) -> None:
        done.set()

    await run_until(source, feed, done)


async def test_another_process_that_stays_ends_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "CONFLICT_SECONDS_MAX", -1.0)
    source = Source()
    source.errors = [TelegramConflictError(GetUpdates(), "terminated by other getUpdates request")]

    async def feed(_: Update) -> None:
        raise AssertionError("there is none")

    with pytest.raises(Conflict):
        await poll(Bot(TOKEN, session=source), feed, ["message"], asyncio.Event())
