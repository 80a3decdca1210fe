"""Alerts for operators, each sent once: raised by the database, sent by a process that can reach the operators.

Out      alerts, claimed for a minute; once told, they never come again
Raises   what the transport raises
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pipeline.ledger.functions import LedgerFunctions, read_value
from pipeline.ledger.records import each_readable
from pipeline.ledger.transports.common import LedgerCall

DOUBT = timedelta(minutes=15)  # a run in doubt for longer raises an alert
TELLING_SECONDS = 60.0


@dataclass(frozen=True)
class Alert:
    """`kind`: in_doubt, parked, late_job, budget, failure_rate, breaker, model_gone, our_side, template, storage,
    unreadable_update or undelivered.

    Each difference that an audit found is one: two_paid_calls, perhaps_two_paid_calls or, for all other kinds, audit;
    `detail` is {kind, ref, job_id, words, microusd}. stray_answer: an answer that fits no run, {ref, why, words}.
    """

    key: str
    kind: str
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


class Alerts(LedgerFunctions):
    def __init__(self, rpc: LedgerCall, doubt: timedelta = DOUBT) -> None:
        super().__init__(rpc)
        self._doubt = doubt

    async def take(self) -> tuple[Alert, ...]:
        """Claims the new alerts for a minute, oldest first."""
        await self._ask("raise_alerts", doubt_seconds=self._doubt)
        rows = await self._ask("take_alerts", seconds=TELLING_SECONDS)
        return each_readable(rows, partial(read_value, Alert), "alert")

    async def mark_notified(self, alert: Alert) -> None:
        await self._ask("mark_alert_notified", key=alert.key)
