"""The only way to call Telegram: rate limits, flood waits, and one exception for each outcome.

In       a method of the Bot API, its chat and its urgency
Out      Telegram's answer
Raises   SendError: RateLimited (retry after `seconds`), Unreachable (the bot was blocked, or the chat is gone),
         MessageDeleted (the message to edit), TooLarge and others; Unknown: no answer, the call may have been carried
         out. A refusal of another kind raises aiogram's own error.
Effects  at most one request per call
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import TelegramMethod

from bot.transport.rate_limiter import CHAT_GAP_SECONDS, RateLimiter, Urgency, bucket_name
from bot.transport.session import RefusedByPage
from bot.transport.shared_rate_limit import SharedRateLimit

Result = TypeVar("Result")
PATIENCE_SECONDS = 30.0
UPLOAD_SECONDS = 300
CALL_SECONDS = 20
NOT_MODIFIED = "message is not modified"
GONE = ("message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID")
NO_THREAD = ("thread not found", "TOPIC_DELETED", "TOPIC_CLOSED")
NO_FILE = ("file identifier", "wrong remote file", "FILE_REFERENCE", "file_id")
UNREACHABLE = ("chat not found", "user is deactivated", "bot was kicked", "not enough rights", "have no rights to send")


class SendError(Exception):
    """A call failed, or its outcome is unknown."""


@dataclass
class RateLimited(SendError):
    """A rate limit, ours or Telegram's: retry after `seconds`."""

    seconds: float


class Unreachable(SendError):
    """The user blocked the bot, the chat is gone, or the bot may not send there."""


class MessageDeleted(SendError):
    """The message to edit was deleted, or can no longer be edited."""


class NoThread(SendError):
    """The topic of the message is gone or closed."""


class NoFile(SendError):
    """Telegram does not accept this file id, or no longer does."""


@dataclass
class Moved(SendError):
    """The group has a new chat id."""

    chat_id: int


class TooLarge(SendError):
    """The request is larger than Telegram accepts from a bot."""


class TurnedAway(SendError):
    """A proxy between us and Telegram refused the call, with a page of its own instead of an answer."""


class Unknown(SendError):
    """No readable answer arrived: the call may have been carried out."""


@dataclass(frozen=True)
class Time:
    """The clock and the sleep that rate limits and polling use. A test may pass faster ones."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class TelegramClient:
    """The calls of one bot. Messages and edits in one chat are sent one at a time, in order."""

    def __init__(self, bot: Bot, limiter: RateLimiter, pace: Time, shared: SharedRateLimit | None = None) -> None:
        self.bot = bot
        self._limiter, self._shared = limiter, shared
        self._clock, self._sleep = pace.clock, pace.sleep
        self.flood_waits = 0  # how often Telegram asked us to wait
        self._chat_locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def say(
        self,
        method: TelegramMethod[Result],
        chat_id: int,
        urgency: Urgency = Urgency.ANSWER,
        *,
        patience: float = PATIENCE_SECONDS,
        answer_seconds: int = CALL_SECONDS,
    ) -> Result:
        """Makes the call once the rate limits allow it.

        Only Urgency.ANSWER waits, and no longer than `patience` seconds. Other calls raise RateLimited instead.
        """
        patience = patience if urgency is Urgency.ANSWER else 0.0
        deadline = self._clock() + patience
        async with self._turn(chat_id, patience):
            await self._take_turn(chat_id, urgency, deadline)
            return await self._call(method, chat_id, answer_seconds)

    async def _take_turn(self, chat_id: int, urgency: Urgency, deadline: float) -> None:
        """Waits until our own and the shared limits allow a call; raises RateLimited if that is after `deadline`."""
        granted = self._shared is None  # once granted, the shared turn is kept until our own limiter agrees
        while True:
            wait = self._limiter.wait_for(chat_id, urgency)
            if not wait and not granted and self._shared is not None:
                if self._shared.crowded and self._clock() >= deadline:
                    raise RateLimited(CHAT_GAP_SECONDS)
                wait = await self._shared.wait_for(self._limiter.buckets(self.bot.id, chat_id, urgency))
                granted = not wait
                wait = wait or self._limiter.wait_for(chat_id, urgency)  # other calls may have been made meanwhile
            if not wait:
                self._limiter.count(chat_id)
                return
            if self._clock() + wait > deadline:
                raise RateLimited(wait)
            await self._sleep(wait)

    async def _silence(self, chat_id: int | None, seconds: float) -> None:
        self._limiter.silence(chat_id, seconds)
        if self._shared is not None:
            await self._shared.silence(bucket_name(self.bot.id, chat_id), seconds)

    async def ask(self, method: TelegramMethod[Result]) -> Result:
        """Makes a call that no chat shows and no rate limit counts: the answer to a tap."""
        return await self._call(method, None, CALL_SECONDS)

    async def _call(self, method: TelegramMethod[Result], chat_id: int | None, answer_seconds: int) -> Result:
        try:
            return await self.bot(method, request_timeout=answer_seconds)
        except TelegramRetryAfter as error:
            self.flood_waits += 1
            await self._silence(chat_id, error.retry_after)
            raise RateLimited(float(error.retry_after)) from error
        except TelegramForbiddenError as error:
            raise Unreachable(str(error.message)) from error
        except TelegramEntityTooLarge as error:
            raise TooLarge from error
        except RefusedByPage as error:
            raise TurnedAway(error.message) from error
        except (TelegramNetworkError, TelegramServerError, ClientDecodeError) as error:
            raise Unknown(type(error).__name__) from error
        except (TelegramBadRequest, TelegramNotFound, TelegramMigrateToChat) as error:
            raise _meaning(error) from error

    @asynccontextmanager
    async def _turn(self, chat_id: int, patience: float) -> AsyncIterator[None]:
        """Holds the chat's lock; raises RateLimited after `patience` seconds: an upload may hold it for minutes."""
        lock = self._chat_lock(chat_id)
        if lock.locked() and not patience:
            raise RateLimited(CHAT_GAP_SECONDS)
        try:
            async with asyncio.timeout(patience or None):
                await lock.acquire()
        except TimeoutError:
            raise RateLimited(CHAT_GAP_SECONDS) from None
        try:
            yield
        finally:
            lock.release()

    def _chat_lock(self, chat_id: int) -> asyncio.Lock:
        """The chat's lock; it is kept as long as a call holds it or waits for it."""
        lock = self._chat_locks.get(chat_id)
        if lock is None:
            lock = self._chat_locks[chat_id] = asyncio.Lock()
        return lock


def not_modified(error: BaseException) -> bool:
    """Whether Telegram refused an edit because the message has this content already."""
    return isinstance(error, TelegramBadRequest) and NOT_MODIFIED in str(error.message)


def _meaning(error: Any) -> Exception:
    words = str(error.message)
    if any(sign in words for sign in GONE):
        return MessageDeleted(words)
    if isinstance(error, TelegramMigrateToChat):
        return Moved(error.migrate_to_chat_id)
    for signs, meaning in ((NO_THREAD, NoThread), (NO_FILE, NoFile), (UNREACHABLE, Unreachable)):
        if any(sign.lower() in words.lower() for sign in signs):
            return meaning(words)
    return error if isinstance(error, Exception) else Unknown(words)
