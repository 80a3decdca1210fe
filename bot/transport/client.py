"""The one way out to Telegram: metered, patient with flood waits, and clear about what came of it.

In       a method of the Bot API, its chat, and how urgent it is
Out      what Telegram answered
Raises   RateLimited (retry after so many seconds), Unreachable (the bot was blocked, or the chat is gone),
         MessageDeleted (the message to edit), TooLarge; Unknown: the answer was lost, it may have been done
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

from bot.transport.rate_limiter import CHAT_GAP_SECONDS, RateLimiter, Urgency, lane_of
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
    """Something was not said in a chat."""


@dataclass
class RateLimited(SendError):
    """There is no turn for it before so many seconds."""

    seconds: float


class Unreachable(SendError):
    """The user blocked the bot, or the chat is gone."""


class MessageDeleted(SendError):
    """The message to be edited was deleted."""


class NoThread(SendError):
    """The topic that it should go to is gone or closed."""


class NoFile(SendError):
    """Telegram does not know this file id, or not any more."""


@dataclass
class Moved(SendError):
    """The group has another id now."""

    chat_id: int


class TooLarge(SendError):
    """More than Telegram takes from a bot."""


class TurnedAway(SendError):
    """Something between us and Telegram refused it, and says nothing more."""


class Unknown(SendError):
    """No answer, or none that could be read: it may have been done."""


@dataclass(frozen=True)
class Time:
    """What a meter measures by, and how its waits are waited for. A test may let it run faster."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class TelegramClient:
    """Calls of one bot. Two calls in one chat never overtake each other."""

    def __init__(self, bot: Bot, limiter: RateLimiter, pace: Time, shared: SharedRateLimit | None = None) -> None:
        self.bot = bot
        self._limiter, self._shared = limiter, shared
        self._clock, self._sleep = pace.clock, pace.sleep
        self.flood_waits = 0  # how often Telegram told us to wait
        self._lanes: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def say(
        self,
        method: TelegramMethod[Result],
        chat_id: int,
        urgency: Urgency = Urgency.ANSWER,
        *,
        patience: float = PATIENCE_SECONDS,
        answer_seconds: int = CALL_SECONDS,
    ) -> Result:
        """Makes the call when its turn comes; only an answer waits for it, and no longer than `patience` seconds."""
        patience = patience if urgency is Urgency.ANSWER else 0.0
        deadline = self._clock() + patience
        async with self._turn(chat_id, patience):
            await self._take_turn(chat_id, urgency, deadline)
            return await self._call(method, chat_id, answer_seconds)

    async def _take_turn(self, chat_id: int, urgency: Urgency, deadline: float) -> None:
        """Waits for a turn, by our own limiter and the shared budget. Raises RateLimited past `deadline`."""
        granted = self._shared is None  # a turn that the others have left to us is kept until our own meter agrees
        while True:
            wait = self._limiter.wait_for(chat_id, urgency)
            if not wait and not granted and self._shared is not None:
                if self._shared.crowded and self._clock() >= deadline:
                    raise RateLimited(CHAT_GAP_SECONDS)
                wait = await self._shared.wait_for(self._limiter.lanes(self.bot.id, chat_id, urgency))
                granted = not wait
                wait = wait or self._limiter.wait_for(chat_id, urgency)  # others may have spoken meanwhile
            if not wait:
                self._limiter.count(chat_id)
                return
            if self._clock() + wait > deadline:
                raise RateLimited(wait)
            await self._sleep(wait)

    async def _silence(self, chat_id: int | None, seconds: float) -> None:
        self._limiter.silence(chat_id, seconds)
        if self._shared is not None:
            await self._shared.silence(lane_of(self.bot.id, chat_id), seconds)

    async def ask(self, method: TelegramMethod[Result]) -> Result:
        """A call that no chat sees and no budget counts: an answer to a tap, the command list."""
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
        """The chat's lane, if it is free soon enough: an upload may hold it for minutes."""
        lane = self._lane(chat_id)
        if lane.locked() and not patience:
            raise RateLimited(CHAT_GAP_SECONDS)
        try:
            async with asyncio.timeout(patience or None):
                await lane.acquire()
        except TimeoutError:
            raise RateLimited(CHAT_GAP_SECONDS) from None
        try:
            yield
        finally:
            lane.release()

    def _lane(self, chat_id: int) -> asyncio.Lock:
        """The chat's own lock; it lives as long as somebody holds it or waits for it."""
        lock = self._lanes.get(chat_id)
        if lock is None:
            lock = self._lanes[chat_id] = asyncio.Lock()
        return lock


def not_modified(error: BaseException) -> bool:
    """It says already what it should say."""
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
