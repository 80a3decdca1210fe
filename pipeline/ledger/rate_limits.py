"""Rate limits shared by several processes that send for one bot.

In       buckets: a name, how many calls in which window, and the gap between two
Out      seconds to wait; 0 means that the call is counted as made
Raises   what the transport raises
Effects  rows of `onetake.rate_buckets`
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.ledger.functions import LedgerFunctions


@dataclass(frozen=True)
class Bucket:
    """At most `at_most` calls in any `window_seconds`, and `gap_seconds` between two."""

    bucket: str
    at_most: int
    window_seconds: float
    gap_seconds: float


class RateLimits(LedgerFunctions):
    async def take(self, buckets: Sequence[Bucket]) -> float:
        """Counts the call in all of the buckets, or in none."""
        return float(await self._ask("acquire_turn", buckets=[asdict(bucket) for bucket in buckets]))

    async def silence(self, bucket: str, seconds: float) -> None:
        await self._ask("silence_bucket", bucket=bucket, seconds=seconds)
