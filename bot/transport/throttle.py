"""Drops updates that come faster than a person sends them, before they reach the database, and notifies the sender."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import CallbackQuery, Message, TelegramObject, Update

from pipeline.ledger.transports.common import LedgerUnavailable

BURST = 12.0
PER_SECOND = 0.75
NOTICE_SECONDS = 60.0
USERS_KEPT = 10_000

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]
Notice = Callable[[Message | CallbackQuery], Awaitable[None]]


class Throttle(BaseMiddleware):
    """A token bucket per user: 12 updates at once, then 0.75 a second. A dropped update never reaches the ledger."""

    def __init__(self, notice: Notice, clock: Callable[[], float] = time.monotonic) -> None:
        self._notice = notice
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}
        self._noticed: dict[int, float] = {}

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        user = data.get("event_from_user")
        if user is None:
            return await handler(event, data)
        if self._admits(user.id):
            try:
                return await handler(event, data)
            except LedgerUnavailable:
                self._give_back(user.id)  # the same update comes again and must not count twice
                raise
        said = event.message or event.callback_query if isinstance(event, Update) else None
        if isinstance(said, CallbackQuery) or (said is not None and self._notices(user.id)):
            await self._notice(said)  # the button of a tap shows a loading sign until it is answered
        return None

    def _admits(self, user_id: int) -> bool:
        now = self._clock()
        left, at = self._buckets.pop(user_id, (BURST, now))
        left = min(BURST, left + (now - at) * PER_SECOND)
        admitted = left >= 1.0
        self._buckets[user_id] = (left - 1.0 if admitted else left, now)  # moved to the end: longest idle first
        if len(self._buckets) > USERS_KEPT:
            del self._buckets[next(iter(self._buckets))]
        return admitted

    def _give_back(self, user_id: int) -> None:
        left, at = self._buckets.get(user_id, (BURST, self._clock()))
        self._buckets[user_id] = (min(BURST, left + 1.0), at)

    def _notices(self, user_id: int) -> bool:
        now = self._clock()
        if now - self._noticed.get(user_id, -NOTICE_SECONDS) < NOTICE_SECONDS:
            return False
        self._noticed.pop(user_id, None)
        self._noticed[user_id] = now
        if len(self._noticed) > USERS_KEPT:
            del self._noticed[next(iter(self._noticed))]
        return True
