"""A user's preferences, allowance and videos.

In       user ids such as `tg:1001`
Out      frozen values; money in micro-dollars, times by the database's clock
Raises   what the transport raises
Effects  only `set_preference` and `note_first_notice` change anything
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pipeline.ledger.functions import LedgerFunctions, read_value
from pipeline.ledger.records import Run
from steps.check_limits import Refused

USER_ID = re.compile(r"tg:[1-9]\d{0,18}|cli:\S[^\n]*", re.ASCII)
USER_ID_WORDS = "a user is tg:<Telegram id> or cli:<name>"
Confirm = Literal["first", "always", "never"]
FIRST_VIDEOS = 3  # below this many videos, "first" asks before it spends


@dataclass(frozen=True)
class Preferences:
    """None: never chosen. No `confirm` means "first", and that the user was not yet told that this ends."""

    language: str | None = None
    seconds: int | None = None
    size: str | None = None
    confirm: Confirm | None = None
    model: str | None = None  # an offer, as `provider/model`


@dataclass(frozen=True)
class Customer:
    """`unreached`: a video could not be delivered because the bot was blocked."""

    preferences: Preferences = field(default_factory=Preferences)
    videos: int = 0
    unreached: bool = False

    @property
    def asks_first(self) -> bool:
        """Whether the user must confirm the price before anything is bought."""
        confirm = self.preferences.confirm
        return confirm in (None, "always") or (confirm == "first" and self.videos < FIRST_VIDEOS)

    @property
    def is_asked_last(self) -> bool:
        """Whether the next order is the last one to be confirmed, and the user was not yet told so."""
        return self.preferences.confirm is None and self.videos >= FIRST_VIDEOS


@dataclass(frozen=True)
class Allowance:
    """What a user may still do today (UTC), and what prevents it."""

    now: datetime
    tomorrow: datetime
    next_month: datetime
    videos_today: int
    videos_per_day: int
    rejected_per_day: int
    active_at_once: int
    cooldown_seconds: int
    day_left_microusd: int
    month_left_microusd: int
    blocked: bool
    invited: bool
    paused: bool
    blocked_reason: str | None = None
    pause_reason: str | None = None
    unfinished: tuple[Run, ...] = ()

    @property
    def videos_left(self) -> int:
        return max(0, self.videos_per_day - self.videos_today)


@dataclass(frozen=True)
class UserVideos:
    """One page of a user's videos, newest first, and how many there are in all."""

    total: int
    runs: tuple[Run, ...]


class Customers(LedgerFunctions):
    async def get(self, user_id: str) -> Customer:
        return await self._read(Customer, "customer", user_id=user_id)

    async def set_preference(self, user_id: str, key: str, value: str | int | None) -> Preferences:
        """`key` is a field of Preferences; None clears the choice."""
        return await self._read(Preferences, "set_preference", user_id=user_id, key=key, value=value)

    async def note_first_notice(self, user_id: str) -> None:
        """Notes that the user was told that later orders need no confirmation. A choice of their own is kept."""
        await self._ask("note_first_notice", user_id=user_id)

    async def allowance(self, user_id: str) -> Allowance:
        return await self._read(Allowance, "allowance", user_id=user_id)

    async def preview(self, user_id: str, prompt_hash: str, price_microusd: int, *, again: bool) -> Refused | None:
        """What `reserve` would refuse now; None if it would accept. Changes nothing."""
        answer = await self._ask(
            "preview_reserve", user_id=user_id, prompt_hash=prompt_hash, price_microusd=price_microusd, again=again
        )
        return None if answer["kind"] == "accepted" else read_value(Refused, answer)

    async def videos(self, user_id: str, at_most: int, skip: int) -> UserVideos:
        return await self._read(UserVideos, "user_videos", user_id=user_id, at_most=at_most, skip=skip)


def as_user_id(text: str) -> str:
    """`42` -> `tg:42`: Telegram shows ids as numbers."""
    return f"tg:{text}" if text.isascii() and text.isdecimal() else text


def is_user_id(text: str) -> bool:
    """Whether this can be somebody's id; a limit for any other text would apply to nobody."""
    return text.isprintable() and USER_ID.fullmatch(text) is not None
