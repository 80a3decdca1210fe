"""What differs between the provider's jobs and the ledger, in both directions, including amounts. Pure.

In       Comparison: runs, a look through the provider's list, and who owns what
Out      differences in words, and the late jobs of failed runs
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from pipeline.formatting import many, usd
from pipeline.ledger.records import Run, State
from pipeline.purchase import matching
from pipeline.purchase.differences import Comparison, Difference, Kind
from providers.job import Job, JobStatus
from providers.job_ids import canonical_id
from providers.order_match import (
    Shown,
    could_be,
    differs,
    is_marked,
    is_order_of,
    same_request,
    shows_unlike_words,
    shows_words_of,
)

CHARGE_TOLERANCE_MICROUSD = 10_000  # one cent: some providers round each charge up to it
CHARGE_TOLERANCE_SHARE = 0.02


def compare(both: Comparison) -> tuple[tuple[Difference, ...], tuple[tuple[UUID, str], ...]]:
    """The differences, and the pairs of failed run and late job to adopt."""
    found = [*_of_runs(both)]
    open_runs = [run for run in both.books.runs if run.improved_prompt is not None]
    older = [job for job in _unowned_in_scope(both) if _is_older_than_its_run(job, open_runs, both)]
    unowned = [job for job in _unowned_in_scope(both) if job not in older]
    adoptions: list[tuple[UUID, str]] = []
    for run in open_runs:
        differences, explained = _with_its_marker(run, unowned)
        found += differences
        unowned = [job for job in unowned if job not in explained]
    for members in _by_request(open_runs):
        jobs = [job for job in unowned if any(is_order_of(job, run.order()) for run in members)]
        differences, adopted, explained = _of_request(members, jobs, both)
        found += differences
        adoptions += adopted
        unowned = [job for job in unowned if job not in explained]
    faithful = matching.faithful_fields(both.look, both.answered)
    unowned += [*older, *_ours_by_their_words(both)]
    found += [each for job in unowned if (each := _of_unexplained(job, open_runs, faithful, both))]
    found += [_in_doubt(run) for run in open_runs if run.state is State.UNCERTAIN and run.parked]
    return tuple(found), tuple(adoptions)


def _unowned_in_scope(both: Comparison) -> list[Job]:
    """The unowned jobs, without those listed before our first order or before the audit begins.

    A job counts as older by the order of the list, where owned jobs prove that order, and, where the list shows times,
    only if the job's own time agrees.
    """
    begins = max(both.since, both.books.ours_since or both.since)
    before = [job_id for job_id, owner in both.answered.items() if owner.sent_at <= begins]
    ordered = both.newest_first and matching.in_order(both.look, both.answered)
    rows = matching.newer_than(both.look, before) if ordered else both.look.jobs
    in_front = {job.key for job in rows}
    begins_shown = begins - both.skew
    dated = both.is_dated()
    unowned = [job for job in both.look.jobs if job.key not in both.books.owned]
    in_front |= both.came_late
    return [job for job in unowned if job.key in in_front or (dated and not matching.dated_before(job, begins_shown))]


def _ours_by_their_words(both: Comparison) -> list[Job]:
    """Jobs listed before our first order that show the exact prompt of an order of ours: reported, never adopted."""
    in_scope = {job.key for job in _unowned_in_scope(both)}
    orders = [run.order() for run in (*both.runs, *both.books.runs) if run.improved_prompt is not None]
    left = [job for job in both.look.jobs if job.key not in in_scope and job.key not in both.books.owned]
    return [job for job in left if any(shows_words_of(job, order) for order in orders)]


def _by_request(runs: Sequence[Run]) -> Iterator[list[Run]]:
    left = list(runs)
    while left:
        same = [run for run in left if same_request(run.order(), left[0].order())]
        yield same
        left = [run for run in left if run not in same]


def _of_runs(both: Comparison) -> list[Difference]:
    listed = {**both.asked, **{job.key: job for job in both.look.jobs}}
    found = []
    for run in both.runs:
        if run.spent_microusd and run.file is None and run.state is State.FAILED:
            words = f"run {run.ref} was charged and has no clip here ({run.detail or run.reason})"
            found.append(_about(Kind.CHARGED_WITHOUT_CLIP, words, run, run.job_id))
        if run.gateway_attempts:
            times = run.gateway_attempts + 1
            words = f"the gateway sent the order of run {run.ref} {times} times: it may have bought {times} times"
            found.append(_about(Kind.PERHAPS_TWO_PAID_CALLS, words, run, None))
        if run.charged_microusd is not None and run.ended and (charged := _charge(run, run.charged_microusd)):
            found.append(charged)
        if run.job_id is None:
            continue
        if second := both.called_back.get(run.run_id):
            words = f"run {run.ref} has job {run.job_id}, and the provider also reported job {second.job_id} as its own"
            found.append(_about(Kind.PERHAPS_TWO_PAID_CALLS, words, run, second.job_id))
        if job := listed.get(canonical_id(run.job_id)):
            found += [difference for difference in (_amount(run, job), _order(run, job)) if difference]
        elif not both.why_incomplete and run.submitting_at is not None and run.submitting_at >= both.since:
            words = f"run {run.ref} has job {run.job_id}, which the provider does not show"
            found.append(_about(Kind.RUN_WITHOUT_JOB, words, run, run.job_id))
    return found


def _amount(run: Run, job: Job) -> Difference | None:
    made = (job.status is JobStatus.COMPLETED and not job.kept_back) or job.is_gone
    if run.state is State.FAILED and not run.spent_microusd and made:
        words = (
            f"run {run.ref} failed and its money was released, but the provider shows its job as {job.status}: "
            f"`onetake settle {run.ref} --job {job.job_id}` fetches it"
        )
        return _about(Kind.RELEASED_BUT_MADE, words, run, job.job_id)
    if run.spent_microusd and job.status is JobStatus.FAILED and not job.is_gone and not run.bills_failed:
        words = f"run {run.ref} was charged, but the provider shows its job as failed, which it does not bill"
        return _about(Kind.CHARGED_BUT_FAILED, words, run, job.job_id)
    return None


def _charge(run: Run, charged: int) -> Difference | None:
    """Compares what the provider charged with what was spent here; exchange rates and rounding are tolerated."""
    if abs(charged - run.spent_microusd) <= max(CHARGE_TOLERANCE_MICROUSD, CHARGE_TOLERANCE_SHARE * run.price_microusd):
        return None
    words = f"run {run.ref} was booked with {usd(run.spent_microusd)}, and the provider charged {usd(charged)}"
    return _about(Kind.CHARGED_OTHERWISE, words, run, run.job_id)


def _order(run: Run, job: Job) -> Difference | None:
    """Compares length and size only, which make the price. What a list does not show is unknown, not different."""
    if not differs(job, run.order()) & {Shown.SECONDS, Shown.SIZE}:
        return None
    made = f"{job.seconds or '?'} s at {job.size or '?'}"
    words = f"run {run.ref} ordered {run.seconds} s at {run.size}, and its job is {made}"
    return _about(Kind.NOT_AS_ORDERED, words, run, job.job_id)


def _is_older_than_its_run(job: Job, runs: Sequence[Run], both: Comparison) -> bool:
    """Whether the job shows a run's marker, and is dated before that run was sent: it is not the run's."""
    sent = [run.submitting_at or run.reserved_at for run in runs if is_marked(job, run.order())]
    return bool(sent) and both.shows_our_times and matching.dated_before(job, min(sent) - both.skew)


def _with_its_marker(run: Run, jobs: Sequence[Job]) -> tuple[list[Difference], list[Job]]:
    """The run's request was sent once, so every job but one with its marker is one too many."""
    marked = sorted(
        (job for job in jobs if is_marked(job, run.order())), key=lambda job: (job.created_at or 0.0, job.job_id)
    )
    words = "job {} shows what only the order of run {} had, as {} does: two paid calls"
    found = [
        _about(Kind.TWO_PAID_CALLS, words.format(job.job_id, run.ref, marked[0].job_id), run, job.job_id)
        for job in marked[1:]
    ]
    return found, marked[1:]


def _of_request(
    runs: list[Run], jobs: list[Job], both: Comparison
) -> tuple[list[Difference], tuple[tuple[UUID, str], ...], list[Job]]:
    """For the runs without a job and the unowned jobs of one request: differences, adoptions, jobs now explained."""
    served = (State.SAVED, State.DELIVERED)  # they have the clip of a job that turned out to be an equal order's
    if len(jobs) <= sum(run.in_doubt or run.state in served for run in runs):
        return [], (), jobs  # left to reconciliation
    by_age = sorted(jobs, key=lambda job: (job.created_at or 0.0, job.job_id))
    if len(jobs) > len(runs):
        refs = ", ".join(run.ref for run in runs)
        fit = f"{len(jobs)} jobs fit the order of {many(len(runs), 'run')} ({refs})"
        surplus = by_age[len(runs) :]
        found = [
            _about(Kind.TWO_PAID_CALLS, f"{fit}, and {job.job_id} is one more: two paid calls", runs[0], job.job_id)
            for job in surplus
        ]
        return found, (), jobs
    waiting = any(run.state is State.SUBMITTING or run.answered_job_id for run in runs)
    waiting |= any(same_request(each.order(), runs[0].order()) for each in both.books.elsewhere)
    in_turn = sorted(runs, key=lambda run: (run.submitting_at or run.reserved_at, run.run_id))
    first_sent = in_turn[0].submitting_at or in_turn[0].reserved_at
    older = both.shows_our_times and any(matching.dated_before(job, first_sent - both.skew) for job in jobs)
    fits = all(is_order_of(job, run.order()) for run, job in zip(in_turn, by_age, strict=False))  # their markers, too
    sure = both.look.complete and not waiting and not older and fits
    if len(jobs) == len(runs) and sure and all(_is_made(job) for job in jobs):
        late = [(run, job) for run, job in zip(in_turn, by_age, strict=True) if run.state is State.FAILED]
        words = "run {} had failed, and its job {} was made after all"
        found = [_about(Kind.LATE_JOB, words.format(run.ref, job.job_id), run, job.job_id) for run, job in late]
        return found, tuple((run.run_id, job.job_id) for run, job in late), jobs
    refs = " or ".join(run.ref for run in runs)
    unclear = "job {} ({}) may be the failed run {}'s; too unclear to adopt"
    return (
        [
            replace(
                _about(Kind.LATE_JOB, unclear.format(job.job_id, job.status, refs), runs[0], job.job_id),
                could_be_ours=True,
            )
            for job in jobs
        ],
        (),
        jobs,
    )


def _is_made(job: Job) -> bool:
    return job.status is JobStatus.COMPLETED


def _of_unexplained(
    job: Job, open_runs: Sequence[Run], faithful: frozenset[Shown], both: Comparison
) -> Difference | None:
    owners = [run for run in both.runs if run.job_id is not None and run.improved_prompt is not None]
    for run in owners:
        if not is_order_of(job, run.order()) or not _exists(run, both):
            continue
        if not _is_listed(run, both):
            words = f"no run owns job {job.job_id}, which matches run {run.ref} and may be its job under another id"
            return Difference(Kind.JOB_WITHOUT_RUN, words, None, job.job_id, could_be_ours=True)
        if not matching.dated_before(job, (run.submitting_at or run.reserved_at) - both.skew):
            words = f"run {run.ref} has job {run.job_id}, and {job.job_id} is its order as well: two paid calls"
            return _about(Kind.TWO_PAID_CALLS, words, run, job.job_id)
    orders = [(run, run.order()) for run in (*open_runs, *owners)]
    maybe = [run for run, order in orders if could_be(job, order, faithful) and not shows_unlike_words(job, order)]
    doubts = [run for run in maybe if run.job_id is None]
    if job.prompt is None and not doubts and (seconds := [run for run in maybe if run.job_id and _exists(run, both)]):
        run = min(seconds, key=lambda run: _distance(job, run))
        words = f"no run owns job {job.job_id}, which shows no prompt: it may be a second one of run {run.ref}"
        return _about(Kind.PERHAPS_TWO_PAID_CALLS, words, run, job.job_id)
    old = both.shows_our_times and matching.dated_before(job, both.since - both.skew)
    if old and not maybe and job.key not in both.in_front_of_ours | both.came_late:
        return None  # not ours, and older than this audit
    what = f"{job.model or 'a model'}, {job.seconds or '?'} s"
    nearest = min(doubts or maybe, key=lambda run: _distance(job, run), default=None)
    perhaps = f"; it may be the order of run {nearest.ref}" if nearest else ""
    words = f"no run owns job {job.job_id} ({what}){perhaps}"
    return Difference(Kind.JOB_WITHOUT_RUN, words, None, job.job_id, could_be_ours=bool(maybe))


def _is_listed(run: Run, both: Comparison) -> bool:
    """Whether the provider shows the run's own job. If not, another job may be it: gateways give one job two ids."""
    assert run.job_id is not None
    key = canonical_id(run.job_id)
    return key in both.asked or any(job.key == key for job in both.look.jobs)


def _exists(run: Run, both: Comparison) -> bool:
    """Whether the provider has shown the run's own job: an id that somebody merely named is no paid call."""
    return run.job_exists or _is_listed(run, both)


def _distance(job: Job, run: Run) -> float:
    """The difference of their times, which only orders the candidates."""
    sent = (run.submitting_at or run.reserved_at).timestamp()
    return abs((job.created_at or sent) - sent)


def _in_doubt(run: Run) -> Difference:
    return _about(Kind.IN_DOUBT, f"run {run.ref} is in doubt until a person settles it", run, None)


def _about(kind: Kind, words: str, run: Run, job_id: str | None) -> Difference:
    return Difference(kind, words, run.ref, job_id, run.price_microusd)
