"""What is certain about a run in doubt: a job that shows the run's own marker, or a look-up by our own id. Pure.

A marker is something that only this run's request had: the id that we gave it, its seed, the token of its callback.
"""

from collections.abc import Sequence

from pipeline.ledger.records import Run
from pipeline.purchase.matching import KnownJobs
from pipeline.purchase.verdicts import Absent, Adopt, InDoubt, ListFacts, Patience, Verdict
from providers.job import Job
from providers.list_jobs import Look
from providers.order_match import differs, is_marked
from providers.port import ReadError


def marked_jobs(run: Run, look: Look, books: KnownJobs) -> tuple[Job, ...]:
    """Unowned jobs that show this run's own marker, such as its seed."""
    order = run.order()
    return tuple(
        job
        for job in look.jobs
        if job.key not in books.owned and job.key not in books.explained and is_marked(job, order)
    )


def by_marker(run: Run, marked: Sequence[Job], others: Sequence[Run] = ()) -> Verdict:
    """One job: it is the run's, whoever else uses the key. Several: two paid calls, which a person must explain.

    `others`: runs that may have a job they do not know. Where a marker has few values, two of them may share one.
    """
    if any(is_marked(job, each.order()) for job in marked for each in others if _may_own(each, run)):
        return InDoubt("marker_of_two_runs", tuple(sorted(job.job_id for job in marked)))
    if len(marked) == 1 and marked[0].key not in run.failed_jobs:
        return Adopt(((run.run_id, marked[0].job_id),), by_marker=True)
    why = "two_jobs_of_one_run" if len(marked) > 1 else "found_but_failed"
    return InDoubt(why, tuple(sorted(job.job_id for job in marked)))


def _may_own(other: Run, run: Run) -> bool:
    return other.run_id != run.run_id and other.improved_prompt is not None


def judge_callback(run: Run, reported: Job | ReadError) -> Verdict:
    """What the job says that the run's own callback named: it is adopted if it exists and nothing contradicts it.

    If it is not adopted, it is a candidate all the same: somebody who knew the run's token named it.
    """
    if run.answered_job_id is not None:
        return InDoubt("answer_named_a_job")
    if isinstance(reported, ReadError):
        return InDoubt("callback_unread", (run.callback_job_id or "",))
    if not reported.exists or differs(reported, run.order()):
        return InDoubt("callback_names_no_job_of_ours", (reported.job_id,))
    if reported.key in run.failed_jobs:
        return InDoubt("found_but_failed", (reported.job_id,))
    return Adopt(((run.run_id, reported.job_id),), by_marker=True)


def judge_lookup(run: Run, found: Job | ReadError | None, facts: ListFacts, patience: Patience) -> Verdict:
    """What a look-up by our own id says about this run in doubt, where the look-up is the list (rule 6)."""
    if run.answered_job_id is not None:
        return InDoubt("answer_named_a_job")
    if isinstance(found, ReadError):
        return InDoubt(f"list_unreadable: {found.detail}"[:200])
    if found is not None:  # an error may echo our id, and another job has another one
        sure = found.exists and is_marked(found, run.order())
        return by_marker(run, [found]) if sure else InDoubt("unowned_job", (found.job_id,))
    if not facts.lookup_proves_absence or facts.absent_after is None:
        return InDoubt("lookup_proves_nothing")
    why = why_not_now(run, facts, patience)
    return InDoubt(why) if why else Absent()


def why_not_now(run: Run, facts: ListFacts, patience: Patience) -> str | None:
    """Why the absence of the job proves nothing at this time: it may still appear, or its record may have expired."""
    assert run.submitting_at is not None
    age, waits_for = run.age(run.submitting_at), patience.request_over
    if facts.absent_after is not None:
        waits_for = max(waits_for, facts.absent_after)
    if age <= waits_for:
        return "too_early"
    return "record_expired" if facts.record is not None and age >= facts.record else None
