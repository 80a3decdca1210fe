"""An update is confirmed only once it was handled; the ledger may be away, another process may poll."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import TelegramConflictError, TelegramNetworkError
from aiogram.methods import GetUpdates, TelegramMethod
from aiogram.types import Update

from bot.transport import polling
from bot.transport.client import Time
from bot.transport.polling import REAL_TIME, Conflict, poll
from bot.transport.updates import GetRawUpdates, Incoming
from pipeline.ledger.transports.common import Json, LedgerUnavailable
from tests.bot.recording import TOKEN, Recording


class Source(Recording):
    """Hands out updates as Telegram does: again and again, until a greater offset comes."""

    def __init__(self, *updates: Any) -> None:
        super().__init__()
        self.waiting = list(updates)
        self.errors: list[Exception] = []
        self.instead: list[Any] = []

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
        if not isinstance(method, GetRawUpdates):
            return await super().make_request(bot, method, timeout)
        if self.errors:
            raise self.errors.pop(0)
        if self.instead:
            return self.instead.pop(0)
        if method.offset is not None:
            self.waiting = [each for each in self.waiting if (number_of(each) or 0) >= method.offset]
        if not self.waiting and method.timeout:
            await asyncio.sleep(60)
        return [raw(each) if isinstance(each, Update) else each for each in self.waiting]


def update(number: int, chat: int = 1) -> Update:
    message = {"message_id": number, "date": 0, "chat": {"id": chat, "type": "private"}, "text": "x"}
    return Update.model_validate({"update_id": number, "message": message})


def raw(update: Update) -> dict[str, Any]:
    return update.model_dump(mode="json", exclude_unset=True)


def number_of(given: Any) -> int | None:
    """None for what Telegram would have no number for: it is gone with the first confirmation."""
    number = given.update_id if isinstance(given, Update) else given.get("update_id") if isinstance(given, dict) else 0
    return number if isinstance(number, int) else None


@dataclass
class Told:
    """The transport to the ledger, as far as a poll needs it."""

    words: list[Any] = field(default_factory=list)

    async def rpc(self, name: str, args: Mapping[str, Json]) -> Json:
        self.words.append((name, args["words"]))
        return None


async def run_until(
    source: BaseSession, feed: Any, done: asyncio.Event, told: Told | None = None, time: Time = REAL_TIME
) -> None:
    stopping, bot = asyncio.Event(), Bot(TOKEN, session=source)
    incoming = Incoming(bot, (told or Told()).rpc)
    task = asyncio.create_task(poll(bot, incoming.read, feed, ["message"], stopping, time))
    async with asyncio.timeout(60):
        await done.wait()
    stopping.set()
    async with asyncio.timeout(60):
        await task


@dataclass
class Standing:
    """A clock that stands still but for the waits, which are over at once."""

    waits: list[float] = field(default_factory=list)

    def time(self) -> Time:
        return Time(lambda: sum(self.waits), self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


async def test_update_is_retried_until_the_ledger_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_updates_run_concurrently_across_chats_and_in_order_within_a_chat() -> None:
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


async def test_polling_continues_after_network_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PAUSES_SECONDS", (0.01,))
    source, done = Source(update(1)), asyncio.Event()
    source.errors = [TelegramNetworkError(GetUpdates(), "reset")] * 3

    async def feed(_: Update) -> None:
        done.set()

    await run_until(source, feed, done)


async def test_polling_ends_when_another_process_keeps_polling(monkeypatch: pytest.MonkeyPatch) -> None:
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


ODD: list[Any] = [
    broken(2, forward_origin={"type": "hidden_user", "date": 1_422_450_181}),  # its sender_user_name is missing
    broken(2, date="yesterday"),
    {"update_id": 2, "message": "not an object"},
    {"update_id": "two", "message": {}},
    {"message": {}},
    None,
    "x",
    5,
    [],
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("last", [False, True], ids=["between", "last"])
async def test_unreadable_update_is_recorded_and_does_not_block_the_others(odd: Any, last: bool) -> None:
    batch = [update(1), update(3), odd] if last else [update(1), odd, update(3)]
    source, handled, done, told = Source(*batch), [], asyncio.Event(), Told()

    async def feed(given: Update) -> None:
        handled.append(given.update_id)
        if given.update_id == 3:
            done.set()

    await run_until(source, feed, done, told)

    assert handled == [1, 3]
    assert source.waiting == [], "it does not come again"
    [(name, words)] = told.words
    number = 2 if isinstance(odd, dict) and odd.get("update_id") == 2 else None
    assert name == "note_unreadable_update" and words.startswith(f"update {number}: ")


@pytest.mark.parametrize("answer", [[None], ["x", {}], True, {"update_id": 1}], ids=range(4))
async def test_polling_continues_after_an_answer_without_usable_update_ids(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(polling, "PAUSES_SECONDS", (0.01,))
    source, done = Source(update(1)), asyncio.Event()
    source.instead = [answer, answer]

    async def feed(given: Update) -> None:
        done.set()

    await run_until(source, feed, done)
    assert source.instead == []


@pytest.mark.parametrize(
    "answer",
    [[], None, [{"update_id": True}], [{"update_id": -1}], [{"update_id": 2**60}], [raw(update(1))]],
    ids=["empty", "null", "true", "negative", "large", "repeated"],
)
async def test_polling_backs_off_while_immediate_answers_bring_nothing_new(answer: Any) -> None:
    source, handled, done, standing = Source(update(1), update(2)), [], asyncio.Event(), Standing()
    source.instead = [[raw(update(1))], *[answer] * 7]

    async def feed(given: Update) -> None:
        handled.append(given.update_id)
        if given.update_id == 2:
            done.set()

    await run_until(source, feed, done, time=standing.time())
    assert handled == [1, 2], "each once"
    assert standing.waits[:7] == [0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0]


async def test_polling_continues_at_once_after_an_empty_long_poll() -> None:
    class Patient(Source):
        async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
            standing.waits += [25.0] if self.instead and isinstance(method, GetRawUpdates) else []
            return await super().make_request(bot, method, timeout)

    source, done, standing = Patient(update(1)), asyncio.Event(), Standing()
    source.instead = [[], [], []]

    async def feed(_: Update) -> None:
        done.set()

    await run_until(source, feed, done, time=standing.time())
    assert standing.waits == [25.0] * 3


async def test_batch_of_only_unreadable_updates_is_confirmed() -> None:
    source, done = Source(broken(5, date="never"), broken(6, date="never")), asyncio.Event()

    async def feed(_: Update) -> None:
        raise AssertionError("there is none to handle")

    async def until_confirmed() -> None:
        while source.waiting:
            await asyncio.sleep(0.01)
        done.set()

    await asyncio.gather(run_until(source, feed, done), until_confirmed())
