"""News that operators must hear, each once: found by the database, told by whoever has a way to them.

In       `rpc(name, args) -> json`
Out      alerts taken for a while; told, they never come again
Raises   what the transport raises
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from pipeline.ledger.records import each_readable
from pipeline.ledger.transport import LedgerCall

DOUBT = timedelta(minutes=15)  # a run in doubt for longer is news
TELLING_SECONDS = 60.0


@dataclass(frozen=True)
class Alert:
    """`kind`: in_doubt, parked, late_job, budget, failure_rate, breaker, model_gone, our_side, template, storage,
    unreadable_update or undelivered.

    Of each difference that an audit found, one: two_paid_calls, perhaps_two_paid_calls or, for all other kinds, audit;
    `detail` is {kind, ref, job_id, words, microusd}. stray_answer: an answer that fits no run, {ref, why, words}.
    """

    key: str
    kind: str
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


class Alerts:
    def __init__(self, rpc: LedgerCall, doubt: timedelta = DOUBT) -> None:
        self._rpc = rpc
        self._doubt = doubt

    async def take(self) -> tuple[Alert, ...]:
        """What is new, oldest first; nobody else gets it for a minute."""
        await self._rpc("raise_alerts", {"doubt_seconds": self._doubt.total_seconds()})
        rows = await self._rpc("take_alerts", {"seconds": TELLING_SECONDS})
        assert isinstance(rows, list), "take_alerts answers a list"
        return each_readable(rows, _ALERT.validate_python, "alert")

    async def told(self, alert: Alert) -> None:
        await self._rpc("alert_told", {"key": alert.key})


_ALERT = TypeAdapter(Alert)
