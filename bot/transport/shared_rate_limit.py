"""The rate limits that all processes of one bot share. Each process sends the ledger at most 4 requests at a time.

In       the buckets of a call
Out      seconds until the call may be made; 0: it is counted as made
Effects  rows of `onetake.rate_buckets`. While the ledger is unavailable, each process uses its own rate limiter alone
         and keeps sending.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from pipeline.ledger.rate_limits import Bucket, RateLimits
from pipeline.ledger.transports.common import LedgerUnavailable

ANSWER_SECONDS = 2.0  # timeout for the ledger; the wait for our own semaphore does not count
AT_ONCE = 4  # concurrent requests of one process
AWAY_SECONDS = 5.0  # until a ledger that did not answer is asked again


class SharedRateLimit:
    def __init__(self, turns: RateLimits, clock: Callable[[], float]) -> None:
        self._rate_limits, self._clock = turns, clock
        self._asking = asyncio.Semaphore(AT_ONCE)  # first come, first served
        self._away_until = float("-inf")

    @property
    def crowded(self) -> bool:
        """Whether the next call would have to wait for the semaphore."""
        return self._asking.locked()

    async def wait_for(self, buckets: Sequence[Bucket]) -> float:
        async with self._asking:
            if self._clock() < self._away_until:
                return 0.0
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._rate_limits.take(buckets)
            except (LedgerUnavailable, TimeoutError):
                self._away_until = self._clock() + AWAY_SECONDS
                return 0.0

    async def silence(self, bucket: str, seconds: float) -> None:
        with suppress(LedgerUnavailable, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._rate_limits.silence(bucket, seconds)
