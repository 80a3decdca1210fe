"""Telegram's rate limits, and which of our calls go first. Pure, except for the clock passed in.

Telegram documents (core.telegram.org/bots/faq): about one message a second in a chat, 20 a minute in a group, 30 a
second in total. Edits and chat actions count. Without rate limits, bots were banned for hours after 8 to 12 visible
calls a minute in a chat, so edits that only update the elapsed time stop at 6 a minute, in groups at 4.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from pipeline.ledger.rate_limits import Bucket

MINUTE = 60.0
CHAT_GAP_SECONDS = 1.05
ALL_PER_SECOND = 25  # of 30: calls sent evenly may arrive in bunches
ALL_GAP_SECONDS = 0.035  # so that a second's calls are never sent all at once
CHATS_KEPT = 10_000


class Urgency(IntEnum):
    """What happens to a call when a rate limit is reached."""

    ANSWER = 0  # a reply or a video: waits
    CHANGE = 1  # new information on a card: retried later
    TICK = 2  # only the elapsed time: dropped


@dataclass(frozen=True)
class Share:
    """The number of visible calls at which each urgency stops: per minute in one chat; `ALL`: per second overall."""

    answer: int
    change: int
    tick: int

    def of(self, urgency: Urgency) -> int:
        return (self.answer, self.change, self.tick)[urgency]


PRIVATE = Share(answer=30, change=10, tick=6)
GROUP = Share(answer=18, change=9, tick=4)
ALL = Share(answer=ALL_PER_SECOND, change=18, tick=12)


@dataclass
class _ChatCalls:
    """One chat: when calls were made in the last minute, and when its flood wait ends."""

    calls: deque[float] = field(default_factory=deque)
    silent_until: float = 0.0


class RateLimiter:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._chats: dict[int, _ChatCalls] = {}
        self._all: deque[float] = deque()
        self._silent_until = 0.0

    def wait_for(self, chat_id: int, urgency: Urgency) -> float:
        """Seconds until a call of this urgency may be made in this chat; 0: now."""
        now = self._clock()
        bucket = self._chats.get(chat_id, _ChatCalls())
        _forget(bucket.calls, now - MINUTE)
        _forget(self._all, now - 1.0)
        share = PRIVATE if chat_id > 0 else GROUP
        waits = [bucket.silent_until - now, self._silent_until - now]
        if bucket.calls:
            waits.append(bucket.calls[-1] + CHAT_GAP_SECONDS - now)
        waits.append(_room(bucket.calls, share.of(urgency), MINUTE, now))
        if self._all:
            waits.append(self._all[-1] + ALL_GAP_SECONDS - now)
        waits.append(_room(self._all, ALL.of(urgency), 1.0, now))
        return max(0.0, *waits)

    @staticmethod
    def buckets(bot_id: int, chat_id: int, urgency: Urgency) -> tuple[Bucket, Bucket]:
        """The same limits, for several processes that share them in the ledger."""
        share = PRIVATE if chat_id > 0 else GROUP
        return (
            Bucket(bucket_name(bot_id, chat_id), share.of(urgency), MINUTE, CHAT_GAP_SECONDS),
            Bucket(bucket_name(bot_id, None), ALL.of(urgency), 1.0, ALL_GAP_SECONDS),
        )

    def count(self, chat_id: int) -> None:
        """Counts a call made now."""
        now = self._clock()
        if chat_id not in self._chats and len(self._chats) >= CHATS_KEPT:
            self._drop_idle(now)
        self._chats.setdefault(chat_id, _ChatCalls()).calls.append(now)
        self._all.append(now)

    def silence(self, chat_id: int | None, seconds: float) -> None:
        """Applies Telegram's "retry after" to this chat; None: to all chats."""
        until = self._clock() + seconds
        if chat_id is None:
            self._silent_until = max(self._silent_until, until)
        else:
            bucket = self._chats.setdefault(chat_id, _ChatCalls())
            bucket.silent_until = max(bucket.silent_until, until)

    def _drop_idle(self, now: float) -> None:
        for chat_id, bucket in list(self._chats.items()):
            _forget(bucket.calls, now - MINUTE)
            if not bucket.calls and bucket.silent_until <= now:
                del self._chats[chat_id]


def bucket_name(bot_id: int, chat_id: int | None) -> str:
    """The name of a chat's bucket; None: of the bucket for all calls of the bot."""
    return f"tg:{bot_id}" if chat_id is None else f"tg:{bot_id}:{chat_id}"


def _forget(calls: deque[float], before: float) -> None:
    while calls and calls[0] <= before:
        calls.popleft()


def _room(calls: deque[float], at_most: int, window: float, now: float) -> float:
    """Seconds until fewer than `at_most` calls are within the window."""
    if len(calls) < at_most:
        return 0.0
    return calls[len(calls) - at_most] + window - now
