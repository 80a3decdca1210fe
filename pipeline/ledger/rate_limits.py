"""Whose turn it is to speak, when several processes speak for one bot: over the same callable as the ledger.

In       lanes: a name, how many calls in which window, and the gap between two
Out      seconds to wait; 0 means that the call is counted as made
Raises   what the transport raises
Effects  rows of `onetake.lanes`
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.ledger.transport import LedgerCall


@dataclass(frozen=True)
class Bucket:
    """At most `at_most` calls in any `window_seconds`, and `gap_seconds` between two."""

    lane: str
    at_most: int
    window_seconds: float
    gap_seconds: float


class RateLimits:
    def __init__(self, rpc: LedgerCall) -> None:
        self._rpc = rpc

    async def take(self, lanes: Sequence[Bucket]) -> float:
        """All of the lanes at once, or none."""
        wait = await self._rpc("take_turn", {"lanes": [asdict(lane) for lane in lanes]})
        assert isinstance(wait, int | float), "take_turn answers seconds"
        return float(wait)

    async def silence(self, lane: str, seconds: float) -> None:
        await self._rpc("silence_lane", {"lane": lane, "seconds": seconds})
