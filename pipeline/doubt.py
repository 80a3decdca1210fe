"""What a look through the provider's list says about a run in doubt. Pure.

DESIGN section 4, "Reconciling a run in doubt". A job fits a run if everything it shows fits; what it does not show
is unknown, not different. Runs and jobs that fit one another form a group; only a group with exactly as many jobs
as runs, in which every job fits every run, may be adopted: identical jobs are interchangeable, guesses are not made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pipeline.ledger import Doubts, Owner
from pipeline.records import JobSource, Run, State
from steps.list_jobs import Look
from steps.videos_protocol import Job, fits, same_words


@dataclass(frozen=True)
class Adopt:
    """These jobs are these runs'."""

    pairs: tuple[tuple[UUID, str], ...]


@dataclass(frozen=True)
class StillInDoubt:
    """`candidates` jobs speak against "never made"; with none, a complete look counts towards it."""

    candidates: int


@dataclass(frozen=True)
class Proof:
    """How many complete looks, over how long, prove that nothing was made."""

    looks: int
    over: timedelta


def group_of(run: Run, runs: Sequence[Run], jobs: Sequence[Job], skew: timedelta) -> tuple[list[Run], list[Job]]:
    """The runs in doubt and unowned jobs that are tied to this run through what fits what."""
    members, found = [run], list[Job]()
    grew = True
    while grew:
        more_jobs = [j for j in jobs if j not in found and any(could_be(j, r, skew) for r in members)]
        found += more_jobs
        known = {r.run_id for r in members}
        more_runs = [r for r in runs if r.run_id not in known and any(could_be(j, r, skew) for j in found)]
        members += more_runs
        grew = bool(more_jobs or more_runs)
    return members, found


def could_be(job: Job, run: Run, skew: timedelta) -> bool:
    """Whether a listed job may be what this run's one request made."""
    if run.submitting_at is None or run.improved_prompt is None:
        return False
    first, last = _window(run.submitting_at, run, skew)
    return fits(job, run.order(), not_before=first, not_after=last)


def judge(run: Run, look: Look, doubts: Doubts, skew: timedelta) -> Adopt | StillInDoubt:
    unowned = [job for job in look.jobs if job.job_id not in doubts.owned]
    others = [r for r in doubts.runs if r.run_id != run.run_id]
    runs, jobs = group_of(run, others, unowned, skew)
    if not jobs:
        return StillInDoubt(len(unexplained(run, others, unowned, skew)))
    settled = len(runs) == len(jobs) and all(could_be(j, r, skew) for j in jobs for r in runs)
    waiting = any(r.state is State.SUBMITTING for r in runs)  # its own answer may be on the way
    if not settled or waiting or not look.complete:
        return StillInDoubt(len(jobs))
    in_order = sorted(runs, key=lambda r: (r.submitting_at or r.reserved_at, r.run_id))
    by_age = sorted(jobs, key=lambda j: (j.created_at or 0.0, j.job_id))
    return Adopt(tuple((r.run_id, j.job_id) for r, j in zip(in_order, by_age, strict=True)))


def unexplained(run: Run, others: Sequence[Run], unowned: Sequence[Job], skew: timedelta) -> list[Job]:
    """Jobs of this run's time that fit no run: one may be this run's after all, shown by another prompt or size."""
    return [job for job in unowned if in_window(job, run, skew) and not any(could_be(job, r, skew) for r in others)]


def in_window(job: Job, run: Run, skew: timedelta) -> bool:
    """Whether the run's one request may have been under way when this job was made."""
    if job.created_at is None or run.submitting_at is None:
        return True
    first, last = _window(run.submitting_at, run, skew)
    return first <= job.created_at <= last


def _window(sent_at: datetime, run: Run, skew: timedelta) -> tuple[float, float]:
    """A process frozen on its last line before sending may send late, so doubt has no upper end but now."""
    return (sent_at - skew).timestamp(), ((run.failed_at or run.read_at) + skew).timestamp()


def proves_list(look: Look, doubts: Doubts, skew: timedelta) -> bool:
    """Whether this look showed a job that a real answer gave us as we know it: with its prompt, at its time."""
    return any(_as_we_know_it(job, doubts.owned.get(job.job_id), skew) for job in look.jobs)


def _as_we_know_it(job: Job, owner: Owner | None, skew: timedelta) -> bool:
    if owner is None or owner.source is not JobSource.ANSWER:
        return False
    if not job.prompt or not same_words(job.prompt, owner.prompt):
        return False
    if job.created_at is None:
        return True
    return (owner.sent_at - skew).timestamp() <= job.created_at <= (owner.known_at + skew).timestamp()


def proof_needed(run: Run, looks: int, grace: timedelta, look_apart: timedelta) -> Proof:
    """Five looks over the grace; after a 429 two looks, 30 s apart, are enough (nothing suggests it was accepted)."""
    return Proof(2, look_apart) if run.doubt == "rate_limited" else Proof(looks, grace)


def never_made(run: Run, proof: Proof, trusted: bool, request_over: timedelta) -> bool:
    """Whether the looks so far prove it. `request_over`: how long after the submission a request may be under way."""
    return (
        trusted
        and run.state is State.UNCERTAIN
        and run.looks_complete >= proof.looks
        and run.first_look_at is not None
        and run.last_look_at is not None
        and run.last_look_at - run.first_look_at >= proof.over
        and run.age(run.submitting_at) > request_over
    )
