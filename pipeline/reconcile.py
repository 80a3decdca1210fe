"""Settle a run whose answer was lost, by the provider's own books; never by asking it to make anything.

In       a run that is submitting or uncertain
Out      the run afterwards: rendering (found), failed (proved never made), or still in doubt with its next look due
Effects  reads the provider's list; free
"""

from datetime import datetime, timedelta

from pipeline import doubt, fence
from pipeline.config import Waits
from pipeline.records import JobSource, Run, State
from pipeline.world import World
from steps.list_jobs import Look, look


async def settle(run: Run, world: World) -> Run:
    if kept := world.answers.get(run.run_id):
        await fence.book(kept, run, world)
        return await fence.reload(run, world)
    if run.state is State.SUBMITTING:
        return await _after_submitting(run, world)
    if not world.shop.sells(run):
        return await _left_to_others(run, world)
    return await _look_through_list(run, world)


async def _left_to_others(run: Run, world: World) -> Run:
    """Its provider or key is not the configured one: wait, in plain sight."""
    if run.age(run.uncertain_at) > world.waits.reconcile_grace:
        return await world.ledger.park(run.run_id, "provider_not_configured", next_look(run, world))
    return await world.ledger.wait_until(run.run_id, next_look(run, world))


async def _after_submitting(run: Run, world: World) -> Run:
    """Somebody's request may be under way. Once it cannot be any more, its answer is lost."""
    assert run.submitting_at is not None
    over = request_over(world.waits)
    if run.age(run.submitting_at) > over:
        await world.ledger.mark_uncertain(run.run_id, "process_died", min_age=over)
        return await fence.reload(run, world)
    return await world.ledger.wait_until(run.run_id, run.submitting_at + over)


async def _look_through_list(run: Run, world: World) -> Run:
    assert run.submitting_at is not None
    back_to = run.submitting_at - world.waits.clock_skew
    seen = await look(world.shop.provider, back_to=back_to.timestamp())
    doubts = await world.ledger.doubts_at(run.base_url, run.key_fingerprint, [job.job_id for job in seen.jobs])
    verdict = doubt.judge(run, seen, doubts, world.waits.clock_skew)
    if isinstance(verdict, doubt.Adopt):
        for run_id, job_id in verdict.pairs:
            await world.ledger.record_submission(run_id, job_id, JobSource.LIST)
        return await fence.reload(run, world)
    rules = world.shop.rules_for(run.model)
    proves = doubt.proves_list(seen, doubts, world.waits.clock_skew)
    run = await world.ledger.record_look(
        run.run_id,
        complete=seen.complete and rules.list_shows_all,
        candidates=verdict.candidates,
        proves_list=proves,
        next_look_at=next_look(run, world),
        detail={"jobs": len(seen.jobs), "why_incomplete": seen.why_incomplete},
    )
    return await _end_or_park(run, seen, doubts.trusted or proves or rules.list_trusted, world)


async def _end_or_park(run: Run, seen: Look, trusted: bool, world: World) -> Run:
    waits = world.waits
    proof = doubt.proof_needed(run, waits.reconcile_looks, waits.reconcile_grace, waits.look)
    if doubt.never_made(run, proof, trusted, request_over(waits)):
        detail = f"{run.looks_complete} complete looks through the provider's list found no such job"
        await world.ledger.fail(run.run_id, State.UNCERTAIN, "not_made", detail)
        return await fence.reload(run, world)
    # Two looks more than the grace: the first of the looks that prove "never made" comes after the doubt began.
    patience = waits.reconcile_grace + 2 * waits.look
    if run.state is State.UNCERTAIN and run.age(run.uncertain_at) > patience and not run.parked:
        why = seen.why_incomplete or ("no_trusted_list" if not trusted else "undecided")
        return await world.ledger.park(run.run_id, why, next_look(run, world))
    return run


def request_over(waits: Waits) -> timedelta:
    """How long after the fence was passed the request can still be under way."""
    return waits.submit_deadline + waits.connect_timeout + waits.request_timeout + waits.request_slack


def next_look(run: Run, world: World) -> datetime | None:
    """When to look again: at the usual distance until parked, then ever more seldom, then not by itself."""
    if run.parked_at is None:
        return run.read_at + world.waits.look
    parked_for = run.age(run.parked_at)
    if parked_for > world.waits.parked:
        return None
    return run.read_at + max(world.waits.look, parked_for / 2)
