"""The dashboard's queries: the overview, filtered runs, the numbers behind the metrics, past changes.

Out      frozen values; money in micro-dollars, durations in milliseconds
Raises   what the transport raises
Effects  `deliver_again` makes a run due; the rest only reads (and counts the days that are over)
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pipeline.ledger.functions import LedgerFunctions
from pipeline.ledger.operators import Controls, Stats
from pipeline.ledger.records import Run, State


class DeliverAgain(StrEnum):
    """The answer to a request to deliver again; STATE: nothing to deliver in this state, UNDER_WAY: in progress."""

    ASKED = "asked"
    STATE = "state"
    UNDER_WAY = "under_way"


@dataclass(frozen=True)
class Blocked:
    """Requests not ordered, by cause; `saved_microusd`: what blocked duplicates would have cost."""

    outcome: str
    times: int
    saved_microusd: int


@dataclass(frozen=True)
class InFlight:
    ref: str
    user_id: str
    state: State
    state_since: datetime
    reserved_at: datetime
    held_microusd: int
    model: str
    seconds: int
    progress: int | None = None
    parked_at: datetime | None = None
    deferred_by: str | None = None


@dataclass(frozen=True)
class StepTimes:
    """Over the last `n` calls of a step, a thousand at most; `whole` is from the order to the saved video."""

    step: str
    n: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Queue:
    """Runs that have not ended, and those of them that have waited for a worker for 15 seconds or longer."""

    unfinished: int
    due: int
    oldest_due_seconds: float


@dataclass(frozen=True)
class CleanDay:
    """Whether the 24 hours before `until`, which is at most 25 hours ago, had no second paid call.

    `why` not: two_paid_calls, unexplained_job, or not_audited.
    """

    clean: bool
    why: str | None
    until: datetime | None


@dataclass(frozen=True)
class Day:
    day: date
    spent_microusd: int
    held_microusd: int
    videos: int
    rejected: int
    blocked: int


@dataclass(frozen=True)
class Overview:
    now: datetime
    stats: Stats
    week_spent_microusd: int
    blocked: tuple[Blocked, ...]
    in_flight: tuple[InFlight, ...]
    steps: tuple[StepTimes, ...]
    queue: Queue
    controls: Controls
    clean_day: CleanDay
    days: tuple[Day, ...]


@dataclass(frozen=True)
class Filters:
    """Any of them may be set. `state` may also be `open` or `doubt`; `ref` and `template` (a sha256) are prefixes."""

    state: str = ""
    user_id: str = ""
    ref: str = ""
    since: str = ""
    until: str = ""
    model: str = ""
    template: str = ""


@dataclass(frozen=True)
class Counted:
    """All events of one step with one outcome. `buckets`: how many took up to each bound; the last counts the rest."""

    step: str
    outcome: str
    n: int
    cost_microusd: int
    saved_microusd: int
    timed: int
    ms: int
    buckets: tuple[int, ...] | None = None


@dataclass(frozen=True)
class LastAudit:
    at: datetime
    complete: bool
    differences: int


@dataclass(frozen=True)
class Metrics:
    stats: Stats
    bounds_ms: tuple[int, ...]
    events: tuple[Counted, ...]
    cached_calls: Mapping[str, int]
    queue: Queue
    clean_day: CleanDay
    breakers_open: int
    paused: bool
    audit: LastAudit | None = None


@dataclass(frozen=True)
class Change:
    """Who changed what: a limit, `paused`, or `user:<id>`."""

    at: datetime
    who: str
    key: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class StoredAudit:
    """`result` is `pipeline.purchase.audit.Audit.to_json()`."""

    id: int
    at: datetime
    base_url: str
    since: datetime
    differences: int
    result: Mapping[str, Any]


class Dashboard(LedgerFunctions):
    async def overview(self, days: int = 30) -> Overview:
        return await self._read(Overview, "page_overview", days=days)

    async def runs(self, filters: Filters, at_most: int, before: datetime | None = None) -> tuple[Run, ...]:
        """Newest first; `before`: only those reserved earlier."""
        return await self._read_all(Run, "page_runs", filters=asdict(filters), at_most=at_most, before=before)

    async def metrics(self) -> Metrics:
        return await self._read(Metrics, "page_metrics")

    async def changes(self, at_most: int) -> tuple[Change, ...]:
        """Latest first."""
        return await self._read_all(Change, "limit_history", at_most=at_most)

    async def audits(self, at_most: int) -> tuple[StoredAudit, ...]:
        """Latest first."""
        return await self._read_all(StoredAudit, "list_audits", at_most=at_most)

    async def deliver_again(self, run_id: UUID, who: str) -> DeliverAgain:
        """Asks for another delivery of a saved video that did not arrive."""
        answer = await self._ask("deliver_again", run_id=run_id, who=who)
        return DeliverAgain(answer["why"] or "asked")
