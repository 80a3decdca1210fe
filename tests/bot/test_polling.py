"""An update is confirmed only once it was handled; the ledger may be away, another process may poll."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramConflictError, TelegramNetworkError
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.types import Update

from bot import polling
from bot.incoming import GetRawUpdates, Incoming
from bot.polling import Conflict, poll
from pipeline.road import Json, LedgerUnavailable
from tests.bot.recording import TOKEN, Recording


class Source(Recording):
    """Hands out updates as Telegram does: again and again, until a greater offset comes."""

    def __init__(self, *updates: Update | dict[str, Any]) -> None:
        super().__init__()
        self.waiting = list(updates)
        self.errors: list[Exception] = []

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
        if not isinstance(method, GetRawUpdates):
            return await super().make_request(bot, method, timeout)
        if self.errors:
            raise self.errors.pop(0)
        if method.offset is not None:
            self.waiting = [update for update in self.waiting if number_of(update) >= method.offset]
        if not self.waiting and method.timeout:
            await asyncio.sleep(60)
        return [update if isinstance(update, dict) else raw(update) for update in self.waiting]


def update(number: int, chat: int = 1) -> Update:
    message = {"message_id": number, "date": 0, "chat": {"id": chat, "type": "private"}, "text": "x"}
    return Update.model_validate({"update_id": number, "message": message})


def raw(update: Update) -> dict[str, Any]:
    return update.model_dump(mode="json", exclude_unset=True)


def number_of(update: Update | dict[str, Any]) -> int:
    return int(update["update_id"] if isinstance(update, dict) else update.update_id)


@dataclass
class Told:
    """The road to the ledger, as far as a poll needs it."""

    words: list[Any] = field(default_factory=list)

    async def rpc(self, name: str, args: Mapping[str, Json]) -> Json:
        self.words.append((name, args["words"]))
        return None


async def run_until(source: Source, feed: Any, done: asyncio.Event, told: Told | None = None) -> None:
    stopping, bot = asyncio.Event(), Bot(TOKEN, session=source)
    incoming = Incoming(bot, (told or Told()).rpc)
    task = asyncio.create_task(poll(bot, incoming.read, feed, ["message"], stopping))
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

    bot = Bot(TOKEN, session=source)
    with pytest.raises(Conflict):
        await poll(bot, Incoming(bot, Told().rpc).read, feed, ["message"], asyncio.Event())


def broken(number: int, **message: object) -> dict[str, Any]:
    chat = {"id": 1, "type": "private"}
    return {"update_id": number, "message": {"message_id": number, "date": 0, "chat": chat, "text": "x", **message}}


@pytest.mark.parametrize(
    "odd",
    [
        broken(2, forward_origin={"type": "hidden_user", "date": 1_422_450_181}),  # its sender_user_name is missing
        broken(2, date="yesterday"),
        {"update_id": 2, "message": "not an object"},
    ],
    ids=["no name", "a word for a date", "no message"],
)
async def test_one_update_that_cannot_be_read_keeps_no_other_waiting(odd: dict[str, Any]) -> None:
    source, handled, done, told = Source(update(1), odd, update(3)), [], asyncio.Event(), Told()

    async def feed(given: Update) -> None:
        handled.append(given.update_id)
        if given.update_id == 3:
            done.set()

    await run_until(source, feed, done, told)

    assert handled == [1, 3]
    assert source.waiting == [], "it does not come again"
    [(name, words)] = told.words
    assert name == "note_unreadable_update" and words.startswith("update 2: message")


async def test_a_batch_of_nothing_but_unreadable_updates_is_confirmed() -> None:
    source, done = Source(broken(5, date="never"), broken(6, date="never")), asyncio.Event()

    async def feed(_: Update) -> None:
        raise AssertionError("there is none to handle")

    async def until_confirmed() -> None:
        while source.waiting:
            await asyncio.sleep(0.01)
        done.set()

    await asyncio.gather(run_until(source, feed, done), until_confirmed())
