"""The budget of calls that all processes of one bot share, asked for without crowding the ledger.

In       lanes of a call
Out      seconds until its turn; 0 took it
Effects  rows of `onetake.lanes`. While the ledger is away each process keeps to its own meter: an outage silences
         nobody.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from pipeline.ledger.rate_limits import Bucket, RateLimits
from pipeline.ledger.transports.common import LedgerUnavailable

ANSWER_SECONDS = 2.0  # of patience with the ledger; waiting in our own line does not count
AT_ONCE = 4  # questions of one process under way
AWAY_SECONDS = 5.0  # after which a ledger that did not answer is asked again


class SharedRateLimit:
    def __init__(self, turns: RateLimits, clock: Callable[[], float]) -> None:
        self._rate_limits, self._clock = turns, clock
        self._asking = asyncio.Semaphore(AT_ONCE)  # first come, first served
        self._away_until = float("-inf")

    @property
    def crowded(self) -> bool:
        """Whether who asks now stands in line."""
        return self._asking.locked()

    async def wait_for(self, lanes: Sequence[Bucket]) -> float:
        async with self._asking:
            if self._clock() < self._away_until:
                return 0.0
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._rate_limits.take(lanes)
            except (LedgerUnavailable, TimeoutError):
                self._away_until = self._clock() + AWAY_SECONDS
                return 0.0

    async def silence(self, lane: str, seconds: float) -> None:
        with suppress(LedgerUnavailable, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._rate_limits.silence(lane, seconds)
