"""Long polling that confirms an update only after it is handled: if the process is killed, the update comes again.

aiogram's own loop confirms an update even if its handler failed, and handles one update at a time. Here, updates of
different chats are handled concurrently, those of one chat in order; the next batch is requested when all are handled.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramConflictError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import DeleteWebhook
from aiogram.types import Update

from bot.transport.client import Time
from bot.transport.updates import GetRawUpdates, number_of
from pipeline.ledger.transports.common import LedgerUnavailable

POLL_SECONDS = 25
ANSWER_SECONDS = 15  # timeout beyond the poll itself
BATCH = 100
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
EMPTY_SECONDS_MIN = 1.0  # Telegram answers a long poll sooner only if it has updates
REAL_TIME = Time()
CONFLICT_SECONDS_MAX = 30.0  # how long a previous process may take to stop

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Read = Callable[[object], Awaitable[Update | None]]
Feed = Callable[[Update], Awaitable[None]]


class Conflict(Exception):
    """Another process polls with this token."""


async def poll(
    bot: Bot,
    read: Read,
    feed: Feed,
    allowed_updates: Sequence[str],
    stopping: asyncio.Event,
    time: Time = REAL_TIME,
) -> None:
    """Polls until `stopping` is set. Updates received by then are handled and confirmed, or skipped by `read`.

    Raises Conflict; TelegramUnauthorizedError or TelegramNotFound if the token is no longer valid.
    """
    asking = _Asking(bot, stopping, time)
    await asking.patiently(lambda: bot(DeleteWebhook(drop_pending_updates=False)))
    offset: int | None = None
    handled: set[int] = set()  # ids of the last batch, which comes again if its confirmation was lost
    idle = 0  # consecutive answers with nothing new; an empty one after 1 s or more does not count
    while not stopping.is_set():
        asked = time.clock()
        batch = await asking.next_batch(offset, allowed_updates)
        fresh = [raw for raw in batch if number_of(raw) not in handled]
        updates = [update for raw in fresh if (update := await read(raw)) is not None]
        await _handle(updates, feed)
        numbers = {number for raw in batch if (number := number_of(raw)) is not None}
        moved = not numbers <= handled
        if numbers:
            offset, handled = max(numbers) + 1, numbers
        idle = 0 if moved or (not batch and time.clock() - asked >= EMPTY_SECONDS_MIN) else idle + 1
        if idle:
            await asking.pause(idle)
    if offset is not None:
        await _confirm(bot, offset)


class _Asking:
    """Retries calls until Telegram answers, or until `stopping` is set."""

    def __init__(self, bot: Bot, stopping: asyncio.Event, time: Time) -> None:
        self._bot, self._stopping, self._time = bot, stopping, time

    async def next_batch(self, offset: int | None, allowed: Sequence[str]) -> Sequence[object]:
        """The next batch, undecoded; empty if stopping."""

        async def ask() -> object:
            method = GetRawUpdates(offset=offset, limit=BATCH, timeout=POLL_SECONDS, allowed_updates=list(allowed))
            return await self._bot(method, request_timeout=POLL_SECONDS + ANSWER_SECONDS)

        batch = await self.patiently(ask)
        return batch if isinstance(batch, list) else [] if batch is None else [batch]

    async def patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Retries until Telegram answers; None if stopping."""
        turn, conflict_since = 0, None
        while not self._stopping.is_set():
            turn += 1
            try:
                return await self._unless_stopped(ask())
            except TelegramConflictError as error:
                now = self._time.clock()
                conflict_since = conflict_since or now
                if now - conflict_since > CONFLICT_SECONDS_MAX:
                    raise Conflict(error.message) from error
                log.warning("polling", extra={"action": "another_process_polls"})
                await self._sleep(2.0)
            except TelegramRetryAfter as error:
                await self._sleep(float(error.retry_after))
            except (TelegramUnauthorizedError, TelegramNotFound):
                raise
            except (TelegramAPIError, ClientDecodeError) as error:
                log.warning("polling", extra={"action": "poll_failed", "error": type(error).__name__})
                await self.pause(turn)
        return None

    async def pause(self, turn: int) -> None:
        """Sleeps, longer with each turn; turns count from 1."""
        await self._sleep(PAUSES_SECONDS[min(turn, len(PAUSES_SECONDS)) - 1])

    async def _sleep(self, seconds: float) -> None:
        await self._unless_stopped(self._time.sleep(seconds))

    async def _unless_stopped(self, work: Awaitable[Answer]) -> Answer | None:
        """The result of `work`; None if stopping first. Canceling a poll confirms no update that is not handled."""
        asking, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([asking, stopped], return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for task in (asking, stopped):
                task.cancel()
            await asyncio.gather(asking, stopped, return_exceptions=True)


async def _handle(updates: Sequence[Update], feed: Feed) -> None:
    """Handles the updates of one chat in order, and different chats concurrently."""
    chats: dict[int, list[Update]] = {}
    for update in updates:
        chats.setdefault(_chat(update), []).append(update)
    await asyncio.gather(*(_handle_in_order(updates, feed) for updates in chats.values()))


async def _handle_in_order(updates: Sequence[Update], feed: Feed) -> None:
    for update in updates:
        for turn in range(1_000_000):
            try:
                await feed(update)
                break
            except LedgerUnavailable as error:
                # Not confirmed while the ledger is unavailable: if this process dies, Telegram sends the update again.
                log.warning("polling", extra={"action": "ledger_away", "error": str(error)})
                await asyncio.sleep(PAUSES_SECONDS[min(turn, len(PAUSES_SECONDS) - 1)])


def _chat(update: Update) -> int:
    said = update.message or (update.callback_query.message if update.callback_query else None)
    return said.chat.id if said else 0


async def _confirm(bot: Bot, offset: int) -> None:
    """Confirms the handled updates at once, so that the next process does not receive them again."""
    with contextlib.suppress(TelegramAPIError, ClientDecodeError):
        await bot(GetRawUpdates(offset=offset, limit=1, timeout=0), request_timeout=5)
