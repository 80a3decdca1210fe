"""What operators do and see: pause, limits, users, lists, numbers, and settling runs in doubt.

Out      frozen values; a refused change is a value, too
Raises   what the transport raises
Effects  each change is recorded by the database with who, when, before and after
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pipeline.ledger.answers import Recorded
from pipeline.ledger.functions import LedgerFunctions, read_value
from pipeline.ledger.records import Run, State


@dataclass(frozen=True)
class Breaker:
    """An open breaker: `scope` is "all" or "user:<user_id>"; half open, it lets one run through."""

    scope: str
    open_until: datetime
    half_open: bool
    cause: str | None = None


@dataclass(frozen=True)
class Controls:
    """`changed`: a resume was refused, because somebody had paused or resumed since."""

    paused: bool
    pause_reason: str | None = None
    paused_by: str | None = None
    paused_at: datetime | None = None
    breakers: tuple[Breaker, ...] = ()
    changed: bool = False


@dataclass(frozen=True)
class Limit:
    key: str
    value: int | str
    about: str
    section: str  # of the operators' page
    per_user: bool  # whether one user may have another value


@dataclass(frozen=True)
class LimitSet:
    before: int | str | None
    after: int | str | None


@dataclass(frozen=True)
class LimitNotSet:
    """`why` is unknown_limit, bad_value (`allowed` then says what is valid) or not_per_user."""

    why: str
    allowed: str | None = None


@dataclass(frozen=True)
class User:
    user_id: str
    blocked: bool
    invited: bool
    created_at: datetime
    blocked_reason: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    videos: int = 0
    spent_microusd: int = 0


@dataclass(frozen=True)
class Event:
    """One step's outcome in a run's timeline."""

    at: datetime
    step: str
    outcome: str
    ms: int | None = None
    cost_microusd: int = 0
    saved_microusd: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Impact:
    """The runs that used one version of a template (or the brand). `reasks`: repeated calls after an invalid answer."""

    id: str
    sha256: str
    runs: int
    videos: int
    rejected: int
    failed: int
    plain_captions: int
    calls: int
    reasks: int
    cost_microusd: int
    first_used_at: datetime
    last_used_at: datetime


@dataclass(frozen=True)
class Period:
    """What one day or month has set aside and spent."""

    held_microusd: int = 0
    spent_microusd: int = 0


@dataclass(frozen=True)
class Stats:
    total_videos: int
    total_runs: int
    states: Mapping[State, int]
    parked: int
    requests: int
    checks: Mapping[str, int]  # number of `reserve`'s answers, by kind
    duplicates_blocked: int
    money_saved_microusd: int
    paid_calls: int
    held_microusd: int
    spent_microusd: int
    released_microusd: int
    text_microusd: int
    budget_day_microusd: int
    budget_month_microusd: int
    today: Period | None = None
    this_month: Period | None = None
    paid_states: Mapping[State, int] = field(default_factory=dict)  # of the paid calls


@dataclass(frozen=True)
class Settled:
    """`why` not: `state` (the run was not in doubt or parked), `changed` (the run has changed since it was shown),
    `early` (its job may still turn up, until `until`), `shown` (the provider shows its own job, as `shown`, or one that
    may be), `bought_again` or `fetched` (too late to take it back).
    """

    settled: bool
    state: State | None = None
    why: str | None = None
    until: datetime | None = None
    shown: str | None = None


@dataclass(frozen=True)
class OpenDifference:
    """What an audit found and nobody has explained yet. `subject`: the job without a run, or the run's ref."""

    kind: str
    subject: str
    words: str
    first_at: datetime
    ref: str | None = None
    job_id: str | None = None
    microusd: int = 0
    could_be_ours: bool = False


@dataclass(frozen=True)
class StrayAnswer:
    """An answer of the provider that fits no run. `why`: another_token or unknown_run."""

    at: datetime
    why: str
    body: str
    status: int | None = None
    ref: str | None = None
    run_id: UUID | None = None


class Operators(LedgerFunctions):
    """The operators' calls; `who` is stored with every change."""

    async def controls(self) -> Controls:
        return await self._read(Controls, "controls")

    async def pause(self, reason: str | None, who: str) -> Controls:
        return await self._read(Controls, "set_paused", paused=True, reason=reason, who=who)

    async def resume(self, who: str) -> Controls:
        """Ends a pause and closes every breaker."""
        return await self._read(Controls, "set_paused", paused=False, reason=None, who=who)

    async def resume_if(self, paused_at: datetime | None, who: str) -> Controls:
        """Resumes only the pause of that time (None: there was none); otherwise the answer is `changed`."""
        shown = {"paused_at": paused_at}
        return await self._read(Controls, "set_paused", paused=False, reason=None, who=who, shown=shown)

    async def limits(self) -> tuple[Limit, ...]:
        return await self._read_all(Limit, "show_limits")

    async def set_limit(
        self, key: str, value: int | str | None, who: str, user_id: str | None = None
    ) -> LimitSet | LimitNotSet:
        """Sets a limit for all, or for one user; None removes one user's override."""
        answer = await self._ask("set_limit", key=key, value=value, who=who, user_id=user_id)
        return read_value(LimitSet, answer) if answer["set"] else read_value(LimitNotSet, answer)

    async def users(self, at_most: int) -> tuple[User, ...]:
        return await self._read_all(User, "list_users", at_most=at_most)

    async def block(self, user_id: str, reason: str | None, who: str) -> User:
        return await self._set_user(user_id, who, blocked=True, reason=reason)

    async def unblock(self, user_id: str, who: str) -> User:
        return await self._set_user(user_id, who, blocked=False)

    async def invite(self, user_id: str, who: str) -> User:
        return await self._set_user(user_id, who, invited=True)

    async def _set_user(
        self,
        user_id: str,
        who: str,
        *,
        blocked: bool | None = None,
        invited: bool | None = None,
        reason: str | None = None,
    ) -> User:
        change: dict[str, object] = {"blocked": blocked, "invited": invited, "reason": reason}
        return await self._read(User, "set_user", user_id=user_id, **change, who=who)

    async def runs(self, at_most: int, state: State | None = None, user_id: str | None = None) -> tuple[Run, ...]:
        """Newest first."""
        return await self._read_all(Run, "list_runs", at_most=at_most, state=state, user_id=user_id)

    async def events(self, run_id: UUID) -> tuple[Event, ...]:
        """The run's timeline, oldest first."""
        return await self._read_all(Event, "run_events", run_id=run_id)

    async def impact(self, days: float) -> tuple[Impact, ...]:
        """The outcomes of the runs, by version of each template; the newest version of each first."""
        return await self._read_all(Impact, "template_impact", days=days)

    async def settle_found(
        self, run_id: UUID, job_id: str, who: str, why: str | None = None, seen: Mapping[str, Any] | None = None
    ) -> Recorded:
        """A person says that the provider made this run, as this job.

        `seen`: what the provider showed of it. `pipeline.purchase.settling` looks the job up first; call that.
        """
        return await self._read(
            Recorded, "settle_found", run_id=run_id, job_id=job_id, who=who, why=why, seen=seen or None
        )

    async def settle_not_charged(
        self,
        run_id: UUID,
        who: str,
        why: str | None = None,
        shown: Mapping[str, str | None] | None = None,
        *,
        wait: timedelta = timedelta(),
        early: bool = False,
    ) -> Settled:
        """A person says that nothing was charged. `shown`: the `state` and `job_id` they were looking at.

        Before `wait` has passed since the order was sent, only if they insist (`early`).
        """
        return await self._read(
            Settled,
            "settle_not_charged",
            run_id=run_id,
            who=who,
            why=why,
            shown=shown or None,
            wait_seconds=wait,
            early=early,
        )

    async def take_back(self, run_id: UUID, who: str, why: str | None = None) -> Settled:
        """Takes the last settlement back: the run is in doubt again, or rendering if it had a job."""
        return await self._read(Settled, "settle_taken_back", run_id=run_id, who=who, why=why)

    async def open_differences(self) -> tuple[OpenDifference, ...]:
        """What audits found and neither the ledger nor a person has explained; the oldest first."""
        return await self._read_all(OpenDifference, "open_differences")

    async def explain(self, subject: str, who: str, why: str) -> int:
        """Closes every open difference about this job id or ref, for good. Returns how many."""
        return int((await self._ask("explain_difference", subject=subject, who=who, why=why))["explained"])

    async def stray_answers(self, at_most: int) -> tuple[StrayAnswer, ...]:
        """Latest first."""
        return await self._read_all(StrayAnswer, "list_stray_answers", at_most=at_most)

    async def stats(self) -> Stats:
        return await self._read(Stats, "stats")
