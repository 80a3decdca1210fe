"""What may be concluded about a run whose answer was lost, and about a job that failed. Pure.

docs/design.md, "Evidence", has the rules; the numbers below are its numbers. In short: identify a job before
interpreting it, take two looks before anything irreversible, trust a clip over every report, adopt only what is
certainly ours, and conclude "never made" only from a list that itself proves it, now. When in doubt, stay in doubt.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase.markers import by_marker, marked_jobs, why_not_now
from pipeline.purchase.matching import (
    KnownJobs,
    Owner,
    at_its_time,
    dated_before,
    faithful_fields,
    in_order,
    newer_than,
    shows_running,
    witnesses_of,
)
from pipeline.purchase.verdicts import Absent, Adopt, InDoubt, ListFacts, Patience, Verdict
from providers.job import Job, JobStatus
from providers.list_jobs import Look
from providers.order_match import adds_words, could_be, differs, is_order_of, same_request, shows_words_of
from providers.orders import Order

# -- what a look says about a run in doubt


def judge(run: Run, look: Look, books: KnownJobs, facts: ListFacts, patience: Patience) -> Verdict:
    """What this look through the list says about this run in doubt."""
    if run.answered_job_id is not None:
        return InDoubt("answer_named_a_job")
    if facts.per_model:  # this list shows no other model's jobs, and what another list showed says nothing of it
        of_model = {job_id: owner for job_id, owner in books.witnesses.items() if owner.order.model == run.model}
        books = replace(books, witnesses=of_model, running_shown_at=None)
    if marked := _marked(run, look, books, patience):
        return by_marker(run, marked, (*books.runs, *books.elsewhere))
    if pairs := _adoptable(run, look, books, patience):
        return Adopt(pairs)
    if job := _only_one_it_can_be(run, look, books, facts, patience):
        return Adopt(((run.run_id, job.job_id),))
    if candidates := candidates_for(run, look, books, patience):
        return InDoubt(_why_not_adopted(run, look, candidates), tuple(sorted(job.job_id for job in candidates)))
    why = _why_absence_proves_nothing(run, look, books, facts, patience)
    return InDoubt(why) if why else Absent()


def _marked(run: Run, look: Look, books: KnownJobs, patience: Patience) -> list[Job]:
    """Jobs with the run's marker, without those made before it was sent: where a marker has few values, such as Ark's,
    another user of the key may have had the same one.
    """
    before = listed_before(run, look, books, patience)
    marked = marked_jobs(run, look, books)
    return [job for job in marked if job.key not in before and not _is_older_by_itself(job, run, look, books, patience)]


def candidates_for(run: Run, look: Look, books: KnownJobs, patience: Patience) -> tuple[Job, ...]:
    """Jobs that could be this run's: unowned, or held by another run by mistake.

    One listed before the run was sent could not be, unless it shows our prompt.
    """
    order, before = run.order(), listed_before(run, look, books, patience)
    known = {**books.owned, **witnesses_of(run, books, patience.apart)}
    faithful = faithful_fields(look, {job_id: owner for job_id, owner in known.items() if owner.answered})
    free = [job for job in look.jobs if job.key not in known and could_be(job, order, faithful)]
    taken = [job for job in look.jobs if _is_taken_by_mistake(job, order, books.owned.get(job.key))]
    return tuple(job for job in (*free, *taken) if job.key not in before or shows_words_of(job, order))


def _is_taken_by_mistake(job: Job, order: Order, owner: Owner | None) -> bool:
    """Whether another run holds the job without a real answer, although the job shows this order's prompt only."""
    if owner is None or owner.answered:
        return False
    return shows_words_of(job, order) and not shows_words_of(job, owner.order)


def listed_before(run: Run, look: Look, books: KnownJobs, patience: Patience) -> frozenset[str]:
    """Keys of the jobs made before this run was sent: we had seen them in the list, and position and time agree.

    In a list sorted by time, one wrong clock spoils both, so they count only if every job of ours has the right ones.
    """
    assert run.submitting_at is not None
    known = _answered(run, books, patience)
    ours = [job for job in look.jobs if job.key in known]
    if not all(at_its_time(job, known[job.key], patience.skew) for job in ours):
        return frozenset()
    sent = run.submitting_at - patience.skew
    behind = _behind_an_older_one(run, look, books, patience)
    seen = {key for key, at in books.first_seen.items() if at < run.submitting_at}
    return frozenset(job.key for job in behind if job.key in seen and dated_before(job, sent) and not job.running)


def _behind_an_older_one(run: Run, look: Look, books: KnownJobs, patience: Patience) -> tuple[Job, ...]:
    """From the first witness that was known before this run was sent to the list's end; none if it is out of order."""
    assert run.submitting_at is not None
    if not in_order(look, _answered(run, books, patience)):
        return ()
    must = witnesses_of(run, books, patience.apart)
    older = [job_id for job_id, owner in must.items() if owner.known_at <= run.submitting_at]
    return look.jobs[len(newer_than(look, older)) :]


def _answered(run: Run, books: KnownJobs, patience: Patience) -> dict[str, Owner]:
    known = {**books.owned, **witnesses_of(run, books, patience.apart)}
    return {job_id: owner for job_id, owner in known.items() if owner.answered}


def _adoptable(run: Run, look: Look, books: KnownJobs, patience: Patience) -> tuple[tuple[UUID, str], ...]:
    """Rule 4: the pairs, if there are as many unowned jobs of this request as runs without one, no answer pending."""
    runs = [each for each in _with(run, books.runs) if same_request(each.order(), run.order())]
    first = min(runs, key=_sent)
    taken = books.owned.keys() | listed_before(first, look, books, patience)
    order = run.order()
    # With a seed no two requests are equal, so a prompt alone only proposes.
    shown = [] if order.has_seed else look.jobs
    jobs = [job for job in shown if job.key not in taken and is_order_of(job, order)]
    if any(job.key in books.explained or _is_older_by_itself(job, first, look, books, patience) for job in jobs):
        return ()
    if _may_be_renamed(jobs, first, look, books, patience):
        return ()
    if not look.complete or len(jobs) != len(runs) or any(each.state is State.SUBMITTING for each in runs):
        return ()
    if any(each.answered_job_id for each in runs) or _shows_other_words(look, books):
        return ()
    if any(same_request(each.order(), run.order()) for each in books.elsewhere):
        return ()
    in_turn = sorted(runs, key=lambda each: (_sent(each), each.run_id))
    by_age = sorted(jobs, key=lambda job: (job.created_at or 0.0, job.job_id))
    pairs = zip(in_turn, by_age, strict=True)
    # Rule 5: a job found in a list may save a run and never fails it, so one that failed is left to a person.
    return tuple((each.run_id, job.job_id) for each, job in pairs if not has_failed(job, each))


def _is_older_by_itself(job: Job, first: Run, look: Look, books: KnownJobs, patience: Patience) -> bool:
    """Whether the job is dated before the order, in a list that shows every job of ours at its right time."""
    known = _answered(first, books, patience)
    ours = (each for each in look.jobs if each.key in known)
    true_times = all(at_its_time(each, known[each.key], patience.skew) for each in ours)
    return true_times and dated_before(job, _sent(first) - patience.skew)


def _may_be_renamed(jobs: Sequence[Job], first: Run, look: Look, books: KnownJobs, patience: Patience) -> bool:
    """Whether one of these unowned jobs may be an owned one of the same request under another id, as some servers list
    a job by another id once it is done: a job of ours is not listed, or an unowned one stands among older jobs.
    """
    listed = {job.key for job in look.jobs}
    ours = witnesses_of(first, books, patience.apart)
    older = {job.key for job in _behind_an_older_one(first, look, books, patience)}
    return not ours.keys() <= listed or any(job.key in older for job in jobs)


def _shows_other_words(look: Look, books: KnownJobs) -> bool:
    """Whether the list shows any job of ours with words that were not ordered; its prompts are then unreliable."""
    ours = [(job, owner) for job in look.jobs if (owner := books.owned.get(job.key)) and owner.answered]
    return any(job.prompt is not None and adds_words(job.prompt, owner.order.prompt) for job, owner in ours)


def _sent(run: Run) -> datetime:
    return run.submitting_at or run.reserved_at


def has_failed(job: Job, run: Run) -> bool:
    """Whether the job failed by the list, or by what this run saw of it before."""
    return job.status in {JobStatus.FAILED, JobStatus.EXPIRED} or job.key in run.failed_jobs


def _only_one_it_can_be(run: Run, look: Look, books: KnownJobs, facts: ListFacts, patience: Patience) -> Job | None:
    """Rule 4's exception, for a key that nobody else uses: the only unowned job and the only run, at a fitting time."""
    unowned = candidates_for(run, look, books, patience)
    alone = not books.rivals and run.state is State.UNCERTAIN
    if not (facts.exclusive_key and look.complete and not look.odd_rows and alone and len(unowned) == 1):
        return None
    job, times = unowned[0], witnesses_of(run, books, patience.apart)
    seen = [each for each in look.jobs if each.key in times]
    if not seen or not all(at_its_time(each, times[each.key], patience.skew) for each in seen):
        return None
    if job.prompt is not None or differs(job, run.order()) or has_failed(job, run) or job.created_at is None:
        return None
    assert run.submitting_at is not None
    first, last = run.submitting_at - patience.skew, run.submitting_at + patience.request_over + patience.skew
    return job if first.timestamp() <= job.created_at <= last.timestamp() else None


def _with(run: Run, runs: Sequence[Run]) -> list[Run]:
    return [run, *(each for each in runs if each.run_id != run.run_id and each.improved_prompt is not None)]


def _why_not_adopted(run: Run, look: Look, candidates: Sequence[Job]) -> str:
    ours = [job for job in candidates if is_order_of(job, run.order())]
    if not ours:
        return "prompts_hidden" if any(job.prompt is None for job in candidates) else "unowned_job"
    if not look.complete:
        return look.why_incomplete
    if all(has_failed(job, run) for job in ours):
        return "found_but_failed"
    return "not_one_job_for_each_run"


def _why_absence_proves_nothing(
    run: Run, look: Look, books: KnownJobs, facts: ListFacts, patience: Patience
) -> str | None:
    """Rule 6, for a list in which nothing could be this run's; None if the look counts."""
    if not facts.has_list:
        return "no_list"
    if not facts.shows_all:
        return "list_hides_jobs"
    if not look.complete:
        return look.why_incomplete
    if look.odd_rows:
        return "unreadable_row"
    if why := why_not_now(run, facts, patience):
        return why
    assert run.submitting_at is not None
    since = books.running_shown_at is not None and books.running_shown_at >= run.submitting_at
    running = since or shows_running(look, books.owned)
    return _why_not_witnessed(run, look, books, facts, patience, running=running)


def _why_not_witnessed(
    run: Run, look: Look, books: KnownJobs, facts: ListFacts, patience: Patience, *, running: bool
) -> str | None:
    must = witnesses_of(run, books, patience.apart)
    known = {**books.owned, **must}
    listed = {job.key: job for job in look.jobs}
    ours = [(job, owner) for job in look.jobs if (owner := known.get(job.key)) and owner.answered]
    replaced = facts.absent_after is not None and facts.absence_without_witness
    alike = [owner for owner in must.values() if owner.order.model == run.model]  # a list may show one model only
    sent_at = run.submitting_at
    assert sent_at is not None
    checks = {
        "witness_missing": all(job_id in listed for job_id in must),
        "witness_changed": not any(_is_another(job, owner, patience.skew) for job, owner in ours),
        "list_out_of_order": not facts.newest_first or in_order(look, known),
        "running_never_shown": facts.absent_after is not None or running,
        "no_witness_before": replaced or any(owner.known_at <= sent_at for owner in alike),
        "no_witness_after": replaced or any(owner.sent_at > sent_at for owner in alike),
    }
    return next((why for why, holds in checks.items() if not holds), None)


def _is_another(job: Job, owner: Owner, skew: timedelta) -> bool:
    """Whether this id now shows a different job than its owner's: a server may have restarted its numbering."""
    later = job.created_at is not None and job.created_at > (owner.known_at + skew).timestamp()
    return bool(differs(job, owner.order)) or later or (owner.saved and job.running)


def never_made(run: Run, looks: int, over: timedelta) -> bool:
    """Whether the looks that counted so far prove that the job was never made."""
    return (
        run.state is State.UNCERTAIN
        and run.answered_job_id is None
        and run.callback_job_id is None
        and run.looks_complete >= looks
        and run.first_look_at is not None
        and run.last_look_at is not None
        and run.last_look_at - run.first_look_at >= over
    )


# -- what may end a run that has a job


class Ending(StrEnum):
    """The result of two looks at the job itself and the absence of its clip (rules 2 and 5)."""

    WAIT = "wait"
    FAIL = "fail"
    BACK_TO_DOUBT = "back_to_doubt"


def ending_of(run: Run, apart: timedelta) -> Ending:
    """For a run whose job was just seen as failed, with its clip definitely absent."""
    if run.failing_since is None or run.age(run.failing_since) < apart:
        return Ending.WAIT
    return Ending.BACK_TO_DOUBT if run.job_source is JobSource.LIST else Ending.FAIL
