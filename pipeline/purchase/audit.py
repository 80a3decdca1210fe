"""The audit: compares the provider's jobs with the ledger, in both directions, including amounts.

In       the ledger and the provider account; `pipeline.purchase.comparison`, which is pure, decides what differs
Out      Audit: the differences, in words, and whether the list was complete; an incomplete audit is never clean
Effects  reads the provider's list (free), adopts a late job that can only be one failed run's, stores the result
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.context import ProviderAccount, RunContext
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import JobSource, Run, State, read_run
from pipeline.ledger.transports.common import Json, LedgerCall
from pipeline.purchase import matching
from pipeline.purchase.charges import ask_for_charges
from pipeline.purchase.comparison import compare
from pipeline.purchase.differences import Comparison, Difference, Kind
from pipeline.purchase.reconcile import second_jobs
from pipeline.settings.parts import Waits
from providers.job import Job
from providers.job_ids import canonical_id
from providers.list_jobs import Look, look
from providers.port import Scope

SINCE_MAX = timedelta(days=30)  # how far an automatic audit goes back after a long time without a complete one
FIRST_SINCE = timedelta(days=1)  # how far the first one goes back; the ledger accepts no shorter first audit
AGAIN = 8  # retries of an incomplete automatic audit per audit interval
LATE_IN_LIST = timedelta(days=1)  # how long after its creation a job may first appear in the list
FARTHER_SECONDS_MAX = 10.0  # for reading what is older than the audit's start
ASKED_MAX = 100  # failed runs whose jobs are fetched one by one
AUTOMATIC_SECONDS_MAX = 30  # the sweep waits for it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Audit:
    """`differences` holds all that were found; only a complete audit without any is clean."""

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


@dataclass(frozen=True)
class Audited:
    """How far audits reach, by the ledger's clock, which says `now`.

    `until`: complete audits of this provider reach up to then without a gap. `at`: when an audit that began there or
    before was last tried; a shorter one counts for neither.
    """

    at: datetime | None
    until: datetime | None
    now: datetime

    @property
    def next_since(self) -> datetime:
        """Where an audit must begin to leave no gap, at most SINCE_MAX ago.

        An `until` in the future was set by a clock that ran ahead, and is ignored.
        """
        until = self.now - FIRST_SINCE if self.until is None or self.until > self.now else self.until
        return max(until, self.now - SINCE_MAX)

    def is_due(self, every: timedelta) -> bool:
        """After an incomplete audit, the next is due after only an eighth of `every`."""
        if self.until is not None and timedelta() <= self.now - self.until < every:
            return False
        return self.at is None or self.at > self.now or self.now - self.at >= every / AGAIN


async def last_audit(rpc: LedgerCall, account: ProviderAccount) -> Audited:
    answer = await rpc("last_audit_at", {"base_url": account.base_url, "key_fingerprint": account.key_fingerprint})
    assert isinstance(answer, dict)
    at, until = (_time(answer[name]) for name in ("at", "until"))
    return Audited(at, until, datetime.fromisoformat(answer["now"]))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


async def audit(ledger: Ledger, account: ProviderAccount, waits: Waits, since: datetime) -> Audit:
    """Compares, adopts late jobs, stores the result. Returns all open differences, also those of earlier audits."""
    clock = asyncio.get_running_loop().time
    began = clock()
    both = await _both_sides(ledger, account, waits, since)
    differences, adoptions = compare(both)
    for run_id, job_id in adoptions:
        await ledger.record_submission(run_id, job_id, JobSource.LIST)
    sent = sum(run.submitting_at is not None and run.submitting_at >= since for run in both.runs)
    jobs = len(both.look.jobs)
    found = Audit(since, not both.why_incomplete, both.why_incomplete, jobs, sent, differences)
    return await _store(ledger, account, found, clock() - began, [job.key for job in both.look.jobs])


def together(found: Sequence[Audit]) -> Audit:
    """The audits of all accounts as one. An account where nothing was bought since then proves nothing and need not."""
    used = [each for each in found if each.runs or each.differences] or list(found[:1])
    incomplete = next((each for each in used if not each.complete), None)
    return Audit(
        min(each.since for each in used),
        incomplete is None,
        incomplete.why_incomplete if incomplete else "",
        sum(each.jobs for each in used),
        sum(each.runs for each in used),
        tuple(difference for each in used for difference in each.differences),
    )


async def _store(
    ledger: Ledger, account: ProviderAccount, found: Audit, took_seconds: float, listed: Sequence[str]
) -> Audit:
    result = found.to_json() | {"took_seconds": took_seconds}  # the ledger leaves that time to the next audit
    args: dict[str, Json] = {"since": found.since.isoformat(), "result": result, "listed": list(listed)}
    stored = await ledger.rpc("store_audit", _provider(account) | args)
    assert isinstance(stored, dict)
    still_open = stored["result"]["differences"]
    return replace(found, differences=tuple(Difference(**each | {"kind": Kind(each["kind"])}) for each in still_open))


async def _both_sides(ledger: Ledger, account: ProviderAccount, waits: Waits, since: datetime) -> Comparison:
    """Reads the runs, then the list, then the listed jobs' owners, so that a job ordered meanwhile has an owner."""
    runs = await _runs_since(ledger, account, since - waits.clock_skew - waits.request_over)
    if await ask_for_charges(runs, account, ledger.rpc):
        runs = await _runs_since(ledger, account, since - waits.clock_skew - waits.request_over)
    facts = [account.rules_for(model).listing for model in {run.model for run in runs}]
    has_list = all(fact.has_list for fact in facts)
    seen, past = Look((), False, "no_list"), False
    if has_list:
        seen, past = await _look_back(ledger, account, since, runs, waits.clock_skew)
    books = await ledger.doubts_at(account.base_url, account.key_fingerprint, seen.keys)
    seen = matching.known_by_their_runs(seen, books.owned)
    listed = {job.key for job in seen.jobs}
    failed = [run for run in runs if run.job_id and (run.state is State.FAILED or not has_list)]
    unlisted = [run for run in failed if canonical_id(run.job_id or "") not in listed]
    models = {run.model for run in runs if _ended_since(run, since)}  # the other runs are rivals only
    shows_all = all(account.rules_for(model).listing.shows_all for model in models)
    asked = await _ask_for(unlisted[-ASKED_MAX:], account)
    called_back = await second_jobs(runs, ledger, account)
    older = await _known_before(ledger, account, since)
    reaches = not older or any(key in older for key in seen.keys) or _shows_older(seen, since)
    newest_first = all(fact.newest_first for fact in facts)
    both = Comparison(
        runs,
        seen,
        books,
        since,
        waits.clock_skew,
        shows_all,
        asked,
        newest_first=newest_first,
        called_back=called_back,
        reaches_back=reaches,
    )
    return replace(both, true_times=past or both.shows_our_times)


def _shows_older(seen: Look, since: datetime) -> bool:
    return any(matching.dated_before(job, since) for job in seen.jobs)


async def _look_back(
    ledger: Ledger, account: ProviderAccount, since: datetime, runs: Sequence[Run], skew: timedelta
) -> tuple[Look, bool]:
    """The list back to `since`; farther, to the oldest run that had not ended by then, if that takes no more than
    FARTHER_SECONDS_MAX. Complete if it reaches `since`.

    Also whether the look went back to a job of ours, rather than to a time that the list shows.
    """
    known = await _known_before(ledger, account, since)
    back_to = (since - skew).timestamp()
    scope = await _scope_to(known, ledger, account, since - skew, runs)
    seen = await look(account.provider, back_to=back_to, past=known, scope=scope)
    oldest = min((run.submitting_at for run in runs if run.submitting_at and _ended_since(run, since)), default=since)
    if oldest >= since or not seen.complete:
        return seen, bool(known)
    try:
        async with asyncio.timeout(FARTHER_SECONDS_MAX):
            known_farther = await _known_before(ledger, account, oldest)
            back_to = (oldest - skew).timestamp()
            scope = await _scope_to(known_farther, ledger, account, oldest - skew, runs)
            farther = await look(account.provider, back_to=back_to, past=known_farther, scope=scope)
    except TimeoutError:
        return seen, bool(known)
    return (farther, bool(known_farther)) if farther.complete else (seen, bool(known))


async def _scope_to(
    known: Sequence[str], ledger: Ledger, account: ProviderAccount, back_to: datetime, runs: Sequence[Run]
) -> Scope:
    """What to ask a list for that shows only some models and times: the known job belongs to it, and so does what
    was rendering at `back_to`, as some lists show a job only once it has ended.
    """
    owned = (await ledger.doubts_at(account.base_url, account.key_fingerprint, known)).owned if known else {}
    models = {*(run.model for run in runs), *(owner.order.model for owner in owned.values())}
    since = min([back_to - LATE_IN_LIST, *(owner.sent_at - LATE_IN_LIST for owner in owned.values())])
    return Scope(tuple(sorted(models)), since.timestamp())


async def _known_before(ledger: Ledger, account: ProviderAccount, at: datetime) -> list[str]:
    """Our last job from a real answer that was known before `at`; empty if there is none, or if it has expired."""
    job_id = await ledger.rpc("known_before", _provider(account) | {"at": at.isoformat()})
    if not isinstance(job_id, str):
        return []
    key = canonical_id(job_id)
    owner = (await ledger.doubts_at(account.base_url, account.key_fingerprint, [key])).owned.get(key)
    record = account.rules_for(owner.order.model).listing.record if owner else None
    expired = record is not None and at - owner.sent_at >= max(record - LATE_IN_LIST, LATE_IN_LIST) if owner else False
    return [] if expired else [key]


async def _ask_for(runs: Sequence[Run], account: ProviderAccount) -> dict[str, Job]:
    """The jobs of these runs as the provider shows them now, without those not returned in FARTHER_SECONDS_MAX."""
    asked: dict[str, Job] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FARTHER_SECONDS_MAX):
            for run in runs:
                job = await account.provider.job(run.job_id or "", run.model)
                if isinstance(job, Job) and job.exists:
                    asked[job.key] = job
    return asked


def _ended_since(run: Run, since: datetime) -> bool:
    """Whether the run has not ended, or ended since then, or so shortly before that its job may be listed late."""
    ended_at = run.failed_at or run.saved_at
    return ended_at is None or ended_at >= since - LATE_IN_LIST


async def _runs_since(ledger: Ledger, account: ProviderAccount, since: datetime) -> tuple[Run, ...]:
    answer = await ledger.rpc("audit_view", _provider(account) | {"since": since.isoformat()})
    assert isinstance(answer, Sequence)
    return tuple(map(read_run, answer))


def _provider(account: ProviderAccount) -> dict[str, Json]:
    return {"base_url": account.base_url, "key_fingerprint": account.key_fingerprint}


async def audit_if_due(context: RunContext) -> Audit | None:
    """The daily audit of each account, from where complete ones end until now; the first that was due, or None.

    If a list takes too long, its audit is incomplete. All accounts at once: one that hangs, or whose result the ledger
    refuses, holds up no other.
    """
    each = (_audit_if_due(replace(context, account=account)) for account in context.account.all)
    results = await asyncio.gather(*each, return_exceptions=True)
    found = [result for result in results if isinstance(result, Audit)]
    if errors := [result for result in results if isinstance(result, BaseException)]:
        raise errors[0]
    return next(iter(found), None)


async def _audit_if_due(context: RunContext) -> Audit | None:
    last = await last_audit(context.ledger.rpc, context.account)
    if not last.is_due(context.waits.audit):
        return None
    try:
        async with asyncio.timeout(AUTOMATIC_SECONDS_MAX):
            found = await audit(context.ledger, context.account, context.waits, last.next_since)
    except TimeoutError:
        found = await _store_unread(context, last.next_since)
    say = log.warning if found.differences else log.info
    say("audit", extra={"action": "audit", "complete": found.complete, "differences": len(found.differences)})
    return found


async def _store_unread(context: RunContext, since: datetime) -> Audit:
    unread = Audit(since, False, f"reading it timed out after {AUTOMATIC_SECONDS_MAX} s", 0, 0, ())
    return await _store(context.ledger, context.account, unread, 0.0, [])
