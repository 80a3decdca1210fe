"""Long polling that confirms an update only once it is handled: killed at any point, the same update comes again.

aiogram's own loop confirms an update whose handler failed, and handles one update at a time; here those of different
chats are handled at once, those of one chat in their order, and the next batch is asked for when all are done.
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
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import DeleteWebhook
from aiogram.types import Update

from bot.transport.updates import GetRawUpdates, number_of
from pipeline.ledger.transports.common import LedgerUnavailable

POLL_SECONDS = 25
ANSWER_SECONDS = 15  # beyond the poll itself
BATCH = 100
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
CONFLICT_SECONDS_MAX = 30.0  # so long a predecessor may take to stop

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Read = Callable[[object], Awaitable[Update | None]]
Feed = Callable[[Update], Awaitable[None]]


class Conflict(Exception):
    """Another process polls this token."""


async def poll(bot: Bot, read: Read, feed: Feed, allowed_updates: Sequence[str], stopping: asyncio.Event) -> None:
    """Until `stopping`: what was handed out by then is handled and confirmed, or skipped by `read`. Raises Conflict."""
    await _patiently(lambda: bot(DeleteWebhook(drop_pending_updates=False)), stopping)
    offset: int | None = None
    while not stopping.is_set():
        batch = await _next(bot, offset, allowed_updates, stopping)
        updates = [update for raw in batch if (update := await read(raw)) is not None]
        await _handle(updates, feed)
        numbers = [number for raw in batch if (number := number_of(raw)) is not None]
        if numbers:
            offset = max(numbers) + 1
        elif batch:  # none of it can be confirmed, so it comes again at once
            await _sleep(PAUSES_SECONDS[-1], stopping)
    if offset is not None:
        await _confirm(bot, offset)


async def _next(bot: Bot, offset: int | None, allowed: Sequence[str], stopping: asyncio.Event) -> Sequence[object]:
    """The next batch, as it came; empty when told to stop."""

    async def ask() -> object:
        method = GetRawUpdates(offset=offset, limit=BATCH, timeout=POLL_SECONDS, allowed_updates=list(allowed))
        return await bot(method, request_timeout=POLL_SECONDS + ANSWER_SECONDS)

    batch = await _patiently(ask, stopping)
    return batch if isinstance(batch, list) else [] if batch is None else [batch]


async def _patiently(ask: Callable[[], Awaitable[Answer]], stopping: asyncio.Event) -> Answer | None:
    """Asks until an answer comes; None when told to stop."""
    turn, conflict_since = 0, None
    while not stopping.is_set():
        try:
            return await _unless_stopped(ask(), stopping)
        except TelegramConflictError as error:
            now = asyncio.get_running_loop().time()
            conflict_since = conflict_since or now
            if now - conflict_since > CONFLICT_SECONDS_MAX:
                raise Conflict(error.message) from error
            log.warning("polling", extra={"action": "another_process_polls"})
            pause = 2.0
        except TelegramRetryAfter as error:
            pause = float(error.retry_after)
        except (TelegramNetworkError, TelegramServerError, ClientDecodeError) as error:
            log.warning("polling", extra={"action": "poll_failed", "error": type(error).__name__})
            pause = PAUSES_SECONDS[min(turn, len(PAUSES_SECONDS) - 1)]
            turn += 1
        await _sleep(pause, stopping)
    return None


async def _unless_stopped(work: Awaitable[Answer], stopping: asyncio.Event) -> Answer | None:
    """What it answers; None if told to stop before. A poll that is given up confirms nothing."""
    asking, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([asking, stopped], return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        for task in (asking, stopped):
            task.cancel()
        await asyncio.gather(asking, stopped, return_exceptions=True)


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    await _unless_stopped(asyncio.sleep(seconds), stopping)


async def _handle(updates: Sequence[Update], feed: Feed) -> None:
    """Those of one chat one after the other, chats at once."""
    lanes: dict[int, list[Update]] = {}
    for update in updates:
        lanes.setdefault(_chat(update), []).append(update)
    await asyncio.gather(*(_handle_in_order(lane, feed) for lane in lanes.values()))


async def _handle_in_order(updates: Sequence[Update], feed: Feed) -> None:
    for update in updates:
        for turn in range(1_000_000):
            try:
                await feed(update)
                break
            except LedgerUnavailable as error:
                # Not confirmed while the ledger is away: whether we stay or die, this update is handled.
                log.warning("polling", extra={"action": "ledger_away", "error": str(error)})
                await asyncio.sleep(PAUSES_SECONDS[min(turn, len(PAUSES_SECONDS) - 1)])


def _chat(update: Update) -> int:
    said = update.message or (update.callback_query.message if update.callback_query else None)
    return said.chat.id if said else 0


async def _confirm(bot: Bot, offset: int) -> None:
    """What was handled is confirmed at once, so that the next process need not hear it again."""
    with contextlib.suppress(TelegramAPIError, ClientDecodeError):
        await bot(GetRawUpdates(offset=offset, limit=1, timeout=0), request_timeout=5)
