"""The audit: the provider's jobs against the ledger, in both directions, and the amounts.

In       runs and a look through the provider's list; `compare` is pure, `audit` fetches both
Out      Audit: what differs, in words, and whether the list was complete; an incomplete one is never clean
Effects  reads the provider's list (free), adopts a late job that can only be one failed run's, stores the result
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pipeline import doubt
from pipeline.config import Waits
from pipeline.ledger import Doubts, Ledger
from pipeline.reconcile import request_over
from pipeline.records import JobSource, Run, State, read_run
from pipeline.road import Json, Rpc
from pipeline.world import Shop, World
from steps.list_jobs import Look, look
from steps.videos_protocol import Job, JobStatus, fits

SINCE_MAX = timedelta(days=30)  # how far an automatic audit goes back after a long time without a complete one
FIRST_SINCE = timedelta(days=1)  # how far the first one goes back; the ledger takes nothing shorter for a beginning
AGAIN = 8  # times in the time between two, an automatic audit that was not complete is made again
LATE_IN_LIST = timedelta(days=1)  # by how much a list may show a job later than it was made
FARTHER_SECONDS_MAX = 10.0  # for what is older than the audit itself
AUTOMATIC_SECONDS_MAX = 30  # the sweep waits for it
log = logging.getLogger(__name__)


class Kind(StrEnum):
    TWO_PAID_CALLS = "two_paid_calls"
    PERHAPS_TWO_PAID_CALLS = "perhaps_two_paid_calls"
    JOB_WITHOUT_RUN = "job_without_run"
    RUN_WITHOUT_JOB = "run_without_job"
    LATE_JOB = "late_job"
    RELEASED_BUT_MADE = "released_but_made"
    CHARGED_BUT_FAILED = "charged_but_failed"
    NOT_AS_ORDERED = "not_as_ordered"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True)
class Difference:
    """One thing on which the two books do not agree. `microusd`: what the ledger's price for it would be."""

    kind: Kind
    words: str
    ref: str | None = None
    job_id: str | None = None
    microusd: int = 0


@dataclass(frozen=True)
class Books:
    """Both sides of the comparison. `since` bounds it.

    Older runs are there if their end came since then, or has not come; older jobs to explain others, or to be theirs.
    """

    runs: tuple[Run, ...]
    look: Look
    doubts: Doubts
    since: datetime
    skew: timedelta
    request_over: timedelta
    list_shows_all: bool

    @property
    def complete(self) -> bool:
        return self.look.complete and self.list_shows_all


@dataclass(frozen=True)
class Audit:
    """`differences` is all that was found; clean is only what was also looked at completely."""

    since: datetime
    complete: bool
    why_incomplete: str
    jobs: int
    runs: int
    differences: tuple[Difference, ...]

    @property
    def clean(self) -> bool:
        return self.complete and not self.differences

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"since": self.since.isoformat(), "clean": self.clean}


def compare(books: Books) -> tuple[tuple[Difference, ...], tuple[tuple[UUID, str], ...]]:
    """What differs, and which failed runs may have which job after all."""
    found = [*_of_owned_jobs(books)]
    unexplained = [job for job in books.look.jobs if job.job_id not in books.doubts.owned]
    adoptions: list[tuple[UUID, str]] = []
    open_runs = _without_job(books)
    seen: set[UUID] = set()
    for run in open_runs:
        if run.run_id in seen:
            continue
        others = [other for other in open_runs if other.run_id != run.run_id]
        members, jobs = doubt.group_of(run, others, unexplained, books.skew)
        seen |= {member.run_id for member in members}
        differences, adopted, explained = _of_group(members, jobs, books)
        found += differences
        adoptions += adopted
        unexplained = [job for job in unexplained if job not in explained]
    found += [_of_unexplained(job, books) for job in unexplained if _recent(job, books)]
    found += [_in_doubt(run) for run in open_runs if run.state is State.UNCERTAIN and run.parked]
    return tuple(found), tuple(adoptions)


def _recent(job: Job, books: Books) -> bool:
    return job.created_at is None or job.created_at >= (books.since - books.skew).timestamp()


def _without_job(books: Books) -> list[Run]:
    """Runs that may own a job and know of none: in doubt, or failed after a request may have left."""
    by_id = {run.run_id: run for run in (*books.doubts.runs, *books.runs)}
    return [r for r in by_id.values() if r.job_id is None and (r.in_doubt or r.state is State.FAILED)]


def _of_owned_jobs(books: Books) -> list[Difference]:
    listed = {job.job_id: job for job in books.look.jobs}
    found = []
    for run in books.runs:
        if run.job_id is None:
            continue
        if job := listed.get(run.job_id):
            found += [difference for difference in (_amount(run, job), _order(run, job)) if difference]
        elif books.complete and run.submitting_at is not None and run.submitting_at >= books.since:
            words = f"run {run.ref} has job {run.job_id}, which the provider does not show"
            found.append(_about(Kind.RUN_WITHOUT_JOB, words, run, run.job_id))
    return found


def _amount(run: Run, job: Job) -> Difference | None:
    made = job.status in {JobStatus.COMPLETED, JobStatus.EXPIRED}
    if run.state is State.FAILED and not run.spent_microusd and made:
        words = (
            f"run {run.ref} failed and its money was released, but the provider shows its job as {job.status}: "
            f"`onetake settle {run.ref} --job {job.job_id}` fetches it"
        )
        return _about(Kind.RELEASED_BUT_MADE, words, run, job.job_id)
    if run.spent_microusd and job.status is JobStatus.FAILED and not run.bills_failed:
        words = f"run {run.ref} was charged, but the provider shows its job as failed, which it does not bill"
        return _about(Kind.CHARGED_BUT_FAILED, words, run, job.job_id)
    return None


def _order(run: Run, job: Job) -> Difference | None:
    """Length and size only: they make the price. What a list does not show is unknown, not different."""
    shown = Job(job.job_id, job.status, seconds=job.seconds, size=job.size)
    if fits(shown, run.order(), not_before=0, not_after=0):
        return None
    made = f"{job.seconds or '?'} s at {job.size or '?'}"
    words = f"run {run.ref} ordered {run.seconds} s at {run.size}, and its job is {made}"
    return _about(Kind.NOT_AS_ORDERED, words, run, job.job_id)


def _of_group(
    runs: list[Run], jobs: list[Job], books: Books
) -> tuple[list[Difference], tuple[tuple[UUID, str], ...], list[Job]]:
    """Runs without a job and unowned jobs that fit one another: differences, adoptions, and the jobs now explained."""
    in_doubt = sum(run.in_doubt for run in runs)
    shown = all(job.prompt is not None for job in jobs)
    if len(jobs) <= in_doubt:
        return [], (), jobs  # reconciliation's
    if not shown:
        return [], (), []  # any video of that length would fit: no ground to call it a failed run's
    if len(jobs) > len(runs):
        if not any(_recent(job, books) for job in jobs):
            return [], (), jobs  # it was said when they were made
        refs, ids = ", ".join(run.ref for run in runs), ", ".join(job.job_id for job in jobs)
        words = f"{len(jobs)} jobs ({ids}) fit the order of {len(runs)} run ({refs}): two paid calls for one run"
        surplus = (len(jobs) - len(runs)) * runs[0].price_microusd
        return [Difference(Kind.TWO_PAID_CALLS, words, runs[0].ref, jobs[0].job_id, surplus)], (), jobs
    candidates = Doubts(tuple(runs), books.doubts.owned, books.doubts.trusted)
    look_here = Look(tuple(jobs), books.look.complete)
    verdict = doubt.judge(runs[0], look_here, candidates, books.skew)
    by_id = {run.run_id: run for run in runs}
    if isinstance(verdict, doubt.Adopt) and all(job.status is JobStatus.COMPLETED for job in jobs):
        adopted = [(by_id[run_id], job_id) for run_id, job_id in verdict.pairs if not by_id[run_id].in_doubt]
        late = [
            _about(Kind.LATE_JOB, f"run {run.ref} had failed, and its job {job_id} was made after all", run, job_id)
            for run, job_id in adopted
        ]
        return late, tuple((run.run_id, job_id) for run, job_id in adopted), jobs
    refs = " or ".join(run.ref for run in runs)
    return (
        [
            Difference(
                Kind.LATE_JOB,
                f"job {job.job_id} ({job.status}) may be the failed run {refs}'s; too unclear to adopt",
                runs[0].ref,
                job.job_id,
                runs[0].price_microusd,
            )
            for job in jobs
        ],
        (),
        jobs,
    )


def _of_unexplained(job: Job, books: Books) -> Difference:
    for run in books.runs:
        if run.job_id is None or not _in_its_window(job, run, books):
            continue
        if job.prompt is None:
            words = f"no run owns job {job.job_id}, which shows no prompt: it may be a second one of run {run.ref}"
            return _about(Kind.PERHAPS_TWO_PAID_CALLS, words, run, job.job_id)
        words = f"run {run.ref} has job {run.job_id}, and {job.job_id} is its order as well: two paid calls"
        return _about(Kind.TWO_PAID_CALLS, words, run, job.job_id)
    what = f"{job.model or 'a model'}, {job.seconds or '?'} s"
    return Difference(Kind.JOB_WITHOUT_RUN, f"no run owns job {job.job_id} ({what})", None, job.job_id)


def _in_its_window(job: Job, run: Run, books: Books) -> bool:
    assert run.submitting_at is not None, f"run {run.ref} has a job and was never submitted"
    begun = run.submitting_at
    return fits(
        job,
        run.order(),
        not_before=(begun - books.skew).timestamp(),
        not_after=(begun + books.request_over + books.skew).timestamp(),
    )


def _in_doubt(run: Run) -> Difference:
    return _about(Kind.IN_DOUBT, f"run {run.ref} is in doubt until a person settles it", run, None)


def _about(kind: Kind, words: str, run: Run, job_id: str | None) -> Difference:
    return Difference(kind, words, run.ref, job_id, run.price_microusd)


@dataclass(frozen=True)
class Audited:
    """By the ledger's clock, which says `now`.

    `until`: up to then, complete audits of this provider reach without a gap. `at`: when an audit that began there, or
    before, was last tried; a shorter one counts for neither.
    """

    at: datetime | None
    until: datetime | None
    now: datetime

    @property
    def next_since(self) -> datetime:
        """Where an audit must begin to leave no gap, as far back as any goes by itself."""
        return max(self.until or self.now - FIRST_SINCE, self.now - SINCE_MAX)

    def is_due(self, every: timedelta) -> bool:
        """A try that was not complete puts the next off by an eighth of that time only."""
        if self.until is not None and self.now - self.until < every:
            return False
        return self.at is None or self.now - self.at >= every / AGAIN


async def last_audit(rpc: Rpc, shop: Shop) -> Audited:
    answer = await rpc("last_audit_at", {"base_url": shop.base_url, "key_fingerprint": shop.key_fingerprint})
    assert isinstance(answer, dict)
    at, until = (_time(answer[name]) for name in ("at", "until"))
    return Audited(at, until, datetime.fromisoformat(answer["now"]))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


async def audit(ledger: Ledger, shop: Shop, waits: Waits, since: datetime) -> Audit:
    """Compares, adopts what turned up late, and stores what was found."""
    clock = asyncio.get_running_loop().time
    began = clock()
    books = await _open_books(ledger, shop, waits, since)
    differences, adoptions = compare(books)
    for run_id, job_id in adoptions:
        await ledger.record_submission(run_id, job_id, JobSource.LIST)
    why = books.look.why_incomplete or ("" if books.list_shows_all else "list_hides_jobs")
    jobs = sum(_recent(job, books) for job in books.look.jobs)
    runs = sum(run.submitting_at is not None and run.submitting_at >= since for run in books.runs)
    found = Audit(since, books.complete, why, jobs, runs, differences)
    result = found.to_json() | {"took_seconds": clock() - began}  # what came meanwhile is for the next one
    args: dict[str, Json] = {"since": since.isoformat(), "result": result, "differences": len(differences)}
    await ledger.rpc("store_audit", _provider(shop) | args)
    return found


async def _open_books(ledger: Ledger, shop: Shop, waits: Waits, since: datetime) -> Books:
    """The list first: a job made after it was read is not missed by runs read later, but nothing is called missing."""
    over = request_over(waits)
    runs = await _runs_since(ledger, shop, since - waits.clock_skew - over)
    seen = await _look_back(shop, since, runs, waits.clock_skew)
    doubts = await ledger.doubts_at(shop.base_url, shop.key_fingerprint, [job.job_id for job in seen.jobs])
    models = {run.model for run in runs if _ended_since(run, since)}  # the others are there as rivals only
    shows_all = all(shop.rules_for(model).list_shows_all for model in models)
    return Books(runs, seen, doubts, since, waits.clock_skew, over, shows_all)


async def _look_back(shop: Shop, since: datetime, runs: Sequence[Run], skew: timedelta) -> Look:
    """Complete if it reaches `since`; farther, to runs whose end came since then, if the list takes us there soon."""
    seen = await look(shop.provider, back_to=(since - skew).timestamp())
    oldest = min((run.submitting_at for run in runs if run.submitting_at and _ended_since(run, since)), default=since)
    if oldest >= since or not seen.complete:
        return seen
    try:
        async with asyncio.timeout(FARTHER_SECONDS_MAX):
            farther = await look(shop.provider, back_to=(oldest - skew).timestamp())
    except TimeoutError:
        return seen
    return farther if farther.complete else seen


def _ended_since(run: Run, since: datetime) -> bool:
    """Or has not ended, or failed so shortly before that its job may not have been listed yet."""
    ended_at = run.failed_at or run.saved_at
    return ended_at is None or ended_at >= since - LATE_IN_LIST


async def _runs_since(ledger: Ledger, shop: Shop, since: datetime) -> tuple[Run, ...]:
    answer = await ledger.rpc("audit_view", _provider(shop) | {"since": since.isoformat()})
    assert isinstance(answer, Sequence)
    return tuple(map(read_run, answer))


def _provider(shop: Shop) -> dict[str, Json]:
    return {"base_url": shop.base_url, "key_fingerprint": shop.key_fingerprint}


async def audit_if_due(world: World) -> Audit | None:
    """The daily audit: from where complete ones end to now. A list that does not come to an end is for next time."""
    last = await last_audit(world.ledger.rpc, world.shop)
    if not last.is_due(world.waits.audit):
        return None
    try:
        async with asyncio.timeout(AUTOMATIC_SECONDS_MAX):
            found = await audit(world.ledger, world.shop, world.waits, last.next_since)
    except TimeoutError:
        found = await _store_unread(world, last.next_since)
    say = log.warning if found.differences else log.info
    say("audit", extra={"action": "audit", "complete": found.complete, "differences": len(found.differences)})
    return found


async def _store_unread(world: World, since: datetime) -> Audit:
    unread = Audit(since, False, f"no end within {AUTOMATIC_SECONDS_MAX} s", 0, 0, ())
    args: dict[str, Json] = {"since": since.isoformat(), "result": unread.to_json(), "differences": 0}
    await world.ledger.rpc("store_audit", _provider(world.shop) | args)
    return unread
