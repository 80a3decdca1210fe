"""Reconcile a run whose answer was lost, using the provider's own list; never by ordering again.

In       a run that is submitting or uncertain
Out      the run afterwards: rendering (found), failed (proved never made), or still in doubt with its next look due
Effects  reads the provider's list; free
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from pipeline.context import ProviderAccount, RunContext
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase import evidence, matching, submission
from pipeline.purchase.markers import judge_callback, judge_lookup
from pipeline.purchase.matching import KnownJobs
from pipeline.purchase.verdicts import Absent, Adopt, InDoubt, ListFacts, Patience, Verdict
from pipeline.settings.parts import Waits
from providers.job import Job
from providers.job_ids import canonical_id
from providers.list_jobs import Look, look
from providers.port import Scope

SECOND_JOBS_MAX = 10  # of one audit
PROPOSED_MAX = 5  # ids of jobs that a person is shown to choose from
# A look that proved nothing for one of these reasons is repeated at the usual interval, also for a parked run.
WORTH_WAITING_FOR = frozenset({"too_early", "no_witness_after"})


async def settle(run: Run, context: RunContext) -> Run:
    kept = context.answers.get(run.run_id)
    if kept and await context.ledger.is_winner(run.run_id, kept.token):  # any other is left to `replay_answers`
        await submission.book(kept, run, context)
        return await submission.reload(run, context)
    if run.state is State.SUBMITTING:
        return await _after_submitting(run, context)
    if not context.account.matches(run):
        return await _left_to_others(run, context)
    return await _look_through_list(run, context)


async def _left_to_others(run: Run, context: RunContext) -> Run:
    """The run's provider or key is not configured here: waits, and parks the run after the grace, for people to see."""
    if run.age(run.uncertain_at) > context.waits.reconcile_grace:
        return await context.ledger.park(run.run_id, "provider_not_configured", next_look(run, context))
    return await context.ledger.wait_until(run.run_id, next_look(run, context))


async def _after_submitting(run: Run, context: RunContext) -> Run:
    """A request may be in flight. Once it no longer can be, its answer is lost."""
    assert run.submitting_at is not None
    over = request_over(run, context.waits)
    if run.age(run.submitting_at) > over:
        await context.ledger.mark_uncertain(run.run_id, "process_died", min_age=over)
        return await submission.reload(run, context)
    return await context.ledger.wait_until(run.run_id, run.submitting_at + over)


async def _look_through_list(run: Run, context: RunContext) -> Run:
    patience = patience_of(run, context.waits)
    seen, books, verdict = await look_for(run, context.ledger, context.account, patience)
    if isinstance(verdict, Adopt):
        source = JobSource.MARKER if verdict.by_marker else JobSource.LIST
        for run_id, job_id in verdict.pairs:
            await context.ledger.record_submission(run_id, job_id, source)
        return await submission.reload(run, context)
    says, candidates = (verdict.why, verdict.candidates) if isinstance(verdict, InDoubt) else ("absent", ())
    counts = isinstance(verdict, Absent)
    looked_at = run.read_at if counts else run.last_look_at
    counted = replace(run, looks_complete=run.looks_complete + counts, last_look_at=looked_at)
    run = await context.ledger.record_look(
        run.run_id,
        counts=counts,
        candidates=len(candidates),
        running_shown=matching.shows_running(seen, books.owned),
        says=says,
        next_look_at=next_look(counted, context, says),
        detail={
            "jobs": len(seen.jobs),
            "why_incomplete": seen.why_incomplete,
            "proposed": list(candidates[:PROPOSED_MAX]),
        },
    )
    return await _end_or_park(run, says, context)


async def look_for(
    run: Run, ledger: Ledger, account: ProviderAccount, patience: Patience
) -> tuple[Look, KnownJobs, Verdict]:
    """Looks at the job that a callback named, looks up our own id where the provider has that, and reads the list.

    A list that does not show the job overrules neither of the other two.
    """
    facts = account.rules_for(run.model).listing
    certain = await _without_list(run, ledger, account, facts, patience)
    if isinstance(certain, Adopt | Absent) or not facts.has_list:
        return Look((), isinstance(certain, Absent), "no_list"), KnownJobs((), {}), certain
    seen, books = await read_list(run, ledger, account, patience)
    listed = evidence.judge(run, seen, books, facts, patience)
    return seen, books, certain if certain.candidates and isinstance(listed, Absent) else listed


async def _without_list(
    run: Run, ledger: Ledger, account: ProviderAccount, facts: ListFacts, patience: Patience
) -> Verdict:
    named: Verdict = InDoubt("no_list")
    if run.callback_job_id is not None:
        named = judge_callback(run, await account.provider.job(run.callback_job_id, run.model))
        if isinstance(named, Adopt) and await _is_anothers(named, ledger, run):
            named = InDoubt("job_owned_by_another_run", (run.callback_job_id,))
    if isinstance(named, Adopt) or not facts.looked_up:
        return named
    found = judge_lookup(run, await account.provider.find(run.order()), facts, patience)
    if isinstance(found, Adopt) and await _is_anothers(found, ledger, run):
        found = InDoubt("job_owned_by_another_run", tuple(job_id for _, job_id in found.pairs))
    return named if isinstance(named, InDoubt) and named.candidates and not isinstance(found, Adopt) else found


async def adopt_late(run: Run, context: RunContext) -> Run:
    """A callback names a job of a run that has failed: it was made after all, unless it failed as well."""
    if run.state is not State.FAILED or run.job_id is not None or run.callback_job_id is None:
        return run
    if run.submitting_at is None or not context.account.matches(run):
        return run
    reported = await context.account.provider.job(run.callback_job_id, run.model)
    verdict = judge_callback(run, reported)
    if not isinstance(verdict, Adopt) or (isinstance(reported, Job) and evidence.has_failed(reported, run)):
        return run
    if await _is_anothers(verdict, context.ledger, run):
        return run
    await context.ledger.record_submission(run.run_id, run.callback_job_id, JobSource.MARKER)
    return await submission.reload(run, context)


async def second_jobs(runs: Sequence[Run], ledger: Ledger, account: ProviderAccount) -> dict[UUID, Job]:
    """Jobs that callbacks named beside the newest runs' own, if they exist and no run has them (rule 8)."""
    found = {}
    for run in [each for each in runs if _called_back_otherwise(each)][-SECOND_JOBS_MAX:]:
        job = await account.provider.job(run.callback_job_id or "", run.model)
        if (
            isinstance(job, Job)
            and job.exists
            and not await _is_anothers(Adopt(((run.run_id, job.job_id),)), ledger, run)
        ):
            found[run.run_id] = job
    return found


def _called_back_otherwise(run: Run) -> bool:
    known = {canonical_id(job_id) for job_id in (run.job_id, run.answered_job_id) if job_id}
    return run.job_id is not None and run.callback_job_id is not None and canonical_id(run.callback_job_id) not in known


async def _is_anothers(found: Adopt, ledger: Ledger, run: Run) -> bool:
    """Whether a run already owns the job: then somebody, or the provider, has mixed them up."""
    keys = [canonical_id(job_id) for _, job_id in found.pairs]
    owned = (await ledger.doubts_at(run.base_url, run.key_fingerprint, keys)).owned
    return any(key in owned for key in keys)


async def read_list(run: Run, ledger: Ledger, account: ProviderAccount, patience: Patience) -> tuple[Look, KnownJobs]:
    """Reads the witnesses first, which say how far back the look must reach, and the owners of what it saw last."""
    assert run.submitting_at is not None
    asked = await ledger.witnesses_near(run.run_id, matching.NEAR, patience.request_over + patience.skew)
    must = matching.witnesses_of(run, asked, patience.apart)
    older = [job_id for job_id, owner in must.items() if owner.known_at <= run.submitting_at]
    oldest = min(older, key=lambda job_id: must[job_id].sent_at, default=None)
    back_to = (run.submitting_at - patience.skew).timestamp()
    since = min(back_to, (must[oldest].sent_at - patience.skew).timestamp()) if oldest else back_to
    scope = Scope((run.model,), since)
    seen = await look(account.provider, back_to=back_to, past=[oldest] if oldest else [], scope=scope)
    owned = await ledger.doubts_at(run.base_url, run.key_fingerprint, seen.keys)
    seen = matching.known_by_their_runs(seen, owned.owned)
    return seen, replace(owned, witnesses=asked.witnesses, began=asked.began, rivals=asked.rivals)


async def _end_or_park(run: Run, says: str, context: RunContext) -> Run:
    waits = context.waits
    if evidence.never_made(run, waits.reconcile_looks, waits.reconcile_grace):
        detail = f"{run.looks_complete} complete looks through the provider's list found no such job"
        await context.ledger.fail(run.run_id, State.UNCERTAIN, "not_made", detail)
        return await submission.reload(run, context)
    # Two looks more than the grace, as no look comes exactly then. Looks count only once the request is over.
    patience = waits.reconcile_grace + 2 * waits.look
    counting = run.looks_complete > 0 and run.age(run.submitting_at) <= request_over(run, waits) + patience
    if run.state is State.UNCERTAIN and run.age(run.uncertain_at) > patience and not (run.parked or counting):
        return await context.ledger.park(run.run_id, says, next_look(run, context, says))
    return run


def request_over(run: Run, waits: Waits) -> timedelta:
    """How long after the fence the run's request can be in flight, even if a machine with longer deadlines sent it."""
    return max(waits.request_over, timedelta(seconds=run.request_seconds or 0))


def patience_of(run: Run, waits: Waits) -> Patience:
    return Patience(request_over(run, waits), waits.look, waits.clock_skew)


def next_look(run: Run, context: RunContext, says: str = "") -> datetime | None:
    """When to look again: at the usual interval until parked, then less and less often, then never automatically.

    While looks count towards "never made", or only time is missing, the usual interval holds; not for ever, as the list
    may never be complete again.
    """
    parked_for, patience = run.age(run.parked_at), context.waits.parked
    counting = run.looks_complete > 0 and run.age(run.last_look_at) <= patience
    if run.parked_at is not None and parked_for > patience and not counting:
        return None
    if run.parked_at is None or counting or (says in WORTH_WAITING_FOR and parked_for < patience):
        return run.read_at + context.waits.look
    return run.read_at + max(context.waits.look, parked_for / 2)
