"""The provider's jobs and the ledger side by side, and the kinds of differences between them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from pipeline.ledger.records import Run
from pipeline.purchase import matching
from pipeline.purchase.matching import KnownJobs, Owner
from providers.job import Job
from providers.list_jobs import Look


class Kind(StrEnum):
    TWO_PAID_CALLS = "two_paid_calls"
    PERHAPS_TWO_PAID_CALLS = "perhaps_two_paid_calls"
    JOB_WITHOUT_RUN = "job_without_run"
    RUN_WITHOUT_JOB = "run_without_job"
    LATE_JOB = "late_job"
    RELEASED_BUT_MADE = "released_but_made"
    CHARGED_BUT_FAILED = "charged_but_failed"
    CHARGED_WITHOUT_CLIP = "charged_without_clip"
    CHARGED_OTHERWISE = "charged_otherwise"
    NOT_AS_ORDERED = "not_as_ordered"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True)
class Difference:
    """One thing on which provider and ledger disagree. `microusd`: its price by the ledger.

    `could_be_ours`: a job that no run owns and that could be an order of ours; until it is explained, a double purchase
    cannot be ruled out. `first_at`: when an audit first found it, ISO 8601.
    """

    kind: Kind
    words: str
    ref: str | None = None
    job_id: str | None = None
    microusd: int = 0
    could_be_ours: bool = False
    first_at: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Both sides. `since` selects by the ledger's times; no job is left out because of the list's own times.

    `runs`: sent or ended since then, still open, or failed after their request was sent. `asked`: jobs that the list
    does not show, as the provider shows them one by one. `called_back`: for runs with a job, another one that exists,
    belongs to no run, and was named at the run's own callback address.
    """

    runs: tuple[Run, ...]
    look: Look
    books: KnownJobs
    since: datetime
    skew: timedelta
    shows_all: bool
    asked: Mapping[str, Job] = field(default_factory=dict)
    true_times: bool = True  # the list's times agree with ours, or the look went back to a known job
    newest_first: bool = True  # the list is ordered by creation; one that is not was read to its end
    called_back: Mapping[UUID, Job] = field(default_factory=dict)
    reaches_back: bool = True  # the list shows something from before `since`, or we had no job then

    @property
    def answered(self) -> dict[str, Owner]:
        return {job_id: owner for job_id, owner in self.books.owned.items() if owner.answered}

    @property
    def why_incomplete(self) -> str:
        """A stable word; empty if the list was read whole, in order, back to where the audit begins."""
        checks = {
            "list_hides_jobs": self.shows_all,
            self.look.why_incomplete: self.look.complete,
            "unreadable_row": not self.look.odd_rows,
            "list_out_of_order": not self.newest_first or matching.in_order(self.look, self.answered),
            "times_not_true": self.true_times,
            "older_job_not_listed": self.reaches_back,
            "order_not_shown": self.is_dated() or self._shows_its_order(),
        }
        return next((why for why, holds in checks.items() if not holds), "")

    @cached_property
    def came_late(self) -> frozenset[str]:
        """Keys of jobs that are new to the list but stand among jobs seen in it before: part of it was missing then.

        Rows behind all of those are only read for the first time.
        """
        first = self.books.first_seen
        last = max((n for n, job in enumerate(self.look.jobs) if _is_before(first.get(job.key), self.since)), default=0)
        now = self.since + self.skew  # the previous audit saw jobs made a little after `since`
        return frozenset(job.key for job in self.look.jobs[:last] if _is_before(now, first.get(job.key)))

    @cached_property
    def in_front_of_ours(self) -> frozenset[str]:
        """Keys of the jobs listed before one of ours of this audit: their own times may come from another clock."""
        if not matching.in_order(self.look, self.answered):
            return frozenset()
        ours = {key for key, owner in self.answered.items() if owner.sent_at >= self.since}
        last = max((place for place, job in enumerate(self.look.jobs) if job.key in ours), default=0)
        return frozenset(job.key for job in self.look.jobs[:last])

    def is_dated(self) -> bool:
        return any(matching.is_time(job.created_at) for job in self.look.jobs)

    @cached_property
    def shows_our_times(self) -> bool:
        """Whether the list shows all our jobs at times that agree with the ledger."""
        listed = [(job, self.answered[job.key]) for job in self.look.jobs if job.key in self.answered]
        return all(matching.at_its_time(job, owner, self.skew) for job, owner in listed)

    def _shows_its_order(self) -> bool:
        """Whether two owned jobs, one known before the other was sent, show which end of the list is the new one."""
        listed = [self.answered[job.key] for job in self.look.jobs if job.key in self.answered]
        return len(listed) == len(self.look.jobs) or any(
            older.known_at < newer.sent_at for place, newer in enumerate(listed) for older in listed[place + 1 :]
        )


def _is_before(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one < other
