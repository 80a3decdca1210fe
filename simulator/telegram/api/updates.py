"""A bot's queue of updates: an update is handed out until it is confirmed.

In       events, as JSON the Bot API would show
Out      updates for a poll or a webhook
Raises   Refused for a poll that another poll ends

The first id is random, each next one is one higher, as at Telegram. A redelivered update bypasses the queue, because
the bot may already have polled for later ones.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.telegram.api.refusals import Refused

FIRST_ID_MIN, FIRST_ID_MAX = 100_000_000, 900_000_000
BATCH_MAX = 100
POLL_SECONDS_MAX = 50
HANDED_OUT_KEPT_MAX = 50
AHEAD_MAX = 10
"""An offset further ahead than this is of another life of the queue and confirms nothing."""

OTHER_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


@dataclass(slots=True, eq=False)
class Update:
    """One update and its delivery history."""

    id: int
    kind: str
    payload: dict[str, Any]
    chat_id: int
    message_id: int
    handed_out: list[float] = field(default_factory=list)
    confirmed_at: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As the bot receives it."""
        return {"update_id": self.id, self.kind: self.payload}

    def fate(self) -> dict[str, Any]:
        """As the tests see it."""
        return {
            "update_id": self.id,
            "kind": self.kind,
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "handed_out": self.handed_out,
            "confirmed_at": self.confirmed_at,
        }

    def hand_out(self) -> dict[str, Any]:
        """Record the time; of very many, keeps the first and the last."""
        if len(self.handed_out) >= HANDED_OUT_KEPT_MAX:
            del self.handed_out[1]
        self.handed_out.append(time.time())
        return self.as_json()


class UpdateQueue:
    """The updates of one bot."""

    def __init__(self) -> None:
        self.all: dict[int, Update] = {}
        self.pending: OrderedDict[int, Update] = OrderedDict()
        self.again: list[Update] = []
        self.allowed: frozenset[str] | None = None
        self.on_new: Callable[[Update], None] | None = None
        self._next_id = random.randint(FIRST_ID_MIN, FIRST_ID_MAX)
        self._waiting: asyncio.Future[str | None] | None = None

    def add(self, kind: str, payload: dict[str, Any], chat_id: int, message_id: int) -> Update | None:
        """Add an update, or return None if the bot does not want this kind."""
        if (kind in NOT_BY_DEFAULT) if self.allowed is None else (kind not in self.allowed):
            return None
        update = Update(self._next_id, kind, payload, chat_id, message_id)
        self._next_id += 1
        self.all[update.id] = self.pending[update.id] = update
        self._announce(update)
        return update

    def redeliver(self, update: Update) -> None:
        """Hand an update out again, even if confirmed."""
        if self.on_new is None:
            self.again.append(update)
        self._announce(update)

    def confirm(self, update: Update) -> None:
        """Mark an update as confirmed."""
        if self.pending.pop(update.id, None) is not None:
            update.confirmed_at = time.time()

    def confirms(self, offset: int) -> bool:
        """Whether a poll with this offset would confirm anything."""
        first = next(iter(self.pending), None)
        return first is not None and (first < offset <= self._next_id + AHEAD_MAX or -len(self.pending) < offset < 0)

    def forget_all(self) -> None:
        """Drop pending updates, as `drop_pending_updates` asks."""
        for update in list(self.pending.values()):
            self.confirm(update)

    async def poll(self, offset: int, limit: int, seconds: float, gone: Callable[[], bool]) -> list[dict[str, Any]]:
        """One getUpdates: confirm, then return the pending updates or wait for one."""
        self.interrupt(OTHER_POLL)
        self._confirm_before(offset)
        found = self._batch(limit)
        if found or seconds <= 0:
            return [update.hand_out() for update in found]
        if (words := await self._news(seconds)) is not None:
            raise Refused(409, words)
        if gone():
            return []
        return [update.hand_out() for update in self._batch(limit)]

    def interrupt(self, words: str | None) -> None:
        """End a waiting poll: with a conflict error if given, else with no updates."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(words)

    async def _news(self, seconds: float) -> str | None:
        waiting: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        try:
            async with asyncio.timeout(min(seconds, POLL_SECONDS_MAX)):
                return await waiting
        except TimeoutError:
            return None
        finally:
            if self._waiting is waiting:
                self._waiting = None

    def _announce(self, update: Update) -> None:
        self.interrupt(None)
        if self.on_new is not None:
            self.on_new(update)

    def _confirm_before(self, offset: int) -> None:
        if offset < 0:
            while len(self.pending) > -offset:
                self.confirm(next(iter(self.pending.values())))
        elif offset <= self._next_id + AHEAD_MAX:
            while self.pending and next(iter(self.pending)) < offset:
                self.confirm(next(iter(self.pending.values())))

    def _batch(self, limit: int) -> list[Update]:
        again, self.again = self.again[:limit], self.again[limit:]
        found = [update for update in again if update.id not in self.pending]
        for update in self.pending.values():
            if len(found) >= limit:
                break
            found.append(update)
        # An unconfirmed update comes with the queue this time; the extra delivery is still due.
        self.again = [update for update in again if update.id in self.pending] + self.again
        return found
