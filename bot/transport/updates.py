"""Decodes Telegram's updates one by one. One that cannot be read or handled is skipped, counted and reported.

Telegram's API and aiogram's types may be of different versions, so an update may lack a field that a type requires.
If the batch were decoded as a whole, that one update would keep every user waiting forever.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiogram import Bot
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from pydantic import ValidationError

from pipeline.ledger.transports.common import LedgerCall, LedgerError

WORDS_MAX = 200
FAILED_TRIES_MAX = 3
FAILED_KEPT = 1000
UPDATE_IDS = 2**53

log = logging.getLogger(__name__)


class GetRawUpdates(TelegramMethod[list[Any]]):
    """`getUpdates`, with undecoded updates."""

    __returning__ = list[Any]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class Incoming:
    """`unreadable`: how many updates this process skipped: unreadable, or the ledger failed on them three times."""

    def __init__(self, bot: Bot, rpc: LedgerCall) -> None:
        self._bot, self._rpc = bot, rpc
        self.unreadable = 0
        self._failed: dict[int, int] = {}  # failed tries by update id, while the ledger was available

    async def read(self, raw: object) -> Update | None:
        number = number_of(raw)
        try:
            update = Update.model_validate(raw, context={"bot": self._bot})
        except (TypeError, ValueError, RecursionError) as error:
            await self._skip(number, _places(error))
            return None
        if number is None:  # a poll cannot confirm it, so it would be handled again and again
            await self._skip(None, "update_id")
            return None
        return update

    async def gives_up(self, update: Update) -> bool:
        """Skips an update that failed three times although the ledger is available; returns whether it was skipped."""
        try:
            await self._rpc("controls", {})
        except LedgerError:
            return False
        tries = self._failed.pop(update.update_id, 0) + 1
        if tries < FAILED_TRIES_MAX:
            self._failed[update.update_id] = tries  # moved to the end: oldest first
            if len(self._failed) > FAILED_KEPT:
                del self._failed[next(iter(self._failed))]
            return False
        await self._skip(update.update_id, f"the database failed on it {tries} times")
        return True

    async def _skip(self, number: int | None, words: str) -> None:
        """Counts and logs a skipped update; alerts operators once a day. `words` names fields, never their contents."""
        self.unreadable += 1
        words = words[:WORDS_MAX]
        log.error("update", extra={"action": "update_skipped", "update_id": number, "why": words})
        with suppress(LedgerError):  # it is logged, and later updates must not wait
            await self._rpc("note_unreadable_update", {"words": f"update {number}: {words}"})


def _places(error: Exception) -> str:
    """The fields that could not be read, or else the kind of error."""
    if not isinstance(error, ValidationError):
        return type(error).__name__
    return ", ".join(sorted({".".join(map(str, each["loc"][:4])) for each in error.errors(include_input=False)}))


def number_of(raw: object) -> int | None:
    """The id of an undecoded update; None if it has no valid one."""
    number = raw.get("update_id") if isinstance(raw, Mapping) else None
    return number if type(number) is int and 0 < number < UPDATE_IDS else None
