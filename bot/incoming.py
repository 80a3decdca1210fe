"""Decodes what Telegram sends, update by update: one that cannot be read is skipped, counted and told; no other waits.

Telegram's clients and aiogram's types are of different ages, so an update may lack a field that a type demands.
A batch that is decoded as a whole keeps every user waiting for that one update, for ever.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiogram import Bot
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from pydantic import ValidationError

from pipeline.road import LedgerError, Rpc

WORDS_MAX = 200

log = logging.getLogger(__name__)


class GetRawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """`getUpdates`, its updates as they came."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class Incoming:
    """`unreadable`: how many updates this process could not read."""

    def __init__(self, bot: Bot, rpc: Rpc) -> None:
        self._bot, self._rpc = bot, rpc
        self.unreadable = 0

    async def read(self, raw: Mapping[str, Any]) -> Update | None:
        try:
            return Update.model_validate(raw, context={"bot": self._bot})
        except ValidationError as error:
            await self._skip(raw, error)
            return None

    async def _skip(self, raw: Mapping[str, Any], error: ValidationError) -> None:
        """Operators hear of it once a day. The words name the fields, not what was written in them."""
        self.unreadable += 1
        places = sorted({".".join(map(str, each["loc"][:4])) for each in error.errors(include_input=False)})
        words = ", ".join(places)[:WORDS_MAX]
        number = raw.get("update_id")
        log.error("update", extra={"action": "update_unreadable", "update_id": number, "fields": words})
        with suppress(LedgerError):  # it is in the log, and the updates after it must not wait
            await self._rpc("note_unreadable_update", {"words": f"update {number}: {words}"})
