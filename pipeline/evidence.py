"""What may be concluded about a run whose answer was lost, and about a job that failed. Pure.

DESIGN section 4, "Evidence", has the rules; the numbers below are its numbers. In short: identity before meaning,
two looks before anything irreversible, a clip beats every word, adoption only of what is certainly ours, and
"never made" is a claim about one list that this very list must prove, now. When in doubt, stay in doubt.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pipeline.records import JobSource, Run, State
from steps.list_jobs import Look
from steps.shown import Shown, adds_words, could_be, differs, is_order_of, same_request, shows, shows_words_of
from steps.video_jobs import Job, JobStatus
from steps.videos_protocol import Order

TIMES_BEGIN = 1_577_836_800.0  # 2020: no such server is older
NEAR = timedelta(minutes=15)  # owned jobs sent this close to a doubt must all be in the list (rule 6)


@dataclass(frozen=True)
class Owner:
    """The run of a listed job: how it came to the job, what it ordered, when it was sent and its job known.

    `saved`: it has its clip.
    """

    run_id: UUID
    source: JobSource | None
    order: Order
    sent_at: datetime
    known_at: datetime
    saved: bool = False

    @property
    def answered(self) -> bool:
        return self.source is JobSource.ANSWER


def read_owner(row: Mapping[str, Any]) -> Owner:
    """As the ledger shows it."""
    return Owner(
        run_id=UUID(row["run_id"]),
        source=JobSource(row["source"]) if row["source"] else None,
        order=Order(**row["order"]),
        sent_at=datetime.fromisoformat(row["sent_at"]),
        known_at=datetime.fromisoformat(row["known_at"]),
        saved=row["saved"],
    )


@dataclass(frozen=True)
class Books:
    """The ledger's side of a look, for one provider account. Jobs go by their keys.

    `runs`: those that may have a job and know of none, failed ones included. `owned`: the listed jobs that runs own.
    `witnesses`: jobs of real answers sent near the doubt, with the nearest before and after it. `began`: the ledger's
    clock before the first page was asked for. `rivals`: other runs sent within `request_over` of this one.
    """

    runs: tuple[Run, ...]
    owned: Mapping[str, Owner]
    witnesses: Mapping[str, Owner] = field(default_factory=dict)
    began: datetime | None = None
    running_shown_at: datetime | None = None  # when the list last showed an owned job that was still rendering
    rivals: int = 0
    ours_since: datetime | None = None  # when the first order was sent with this key


@dataclass(frozen=True)
class ListFacts:
    """What models.toml and the operator say of this account's jobs and their list.

    `echoes_prompts`: a job that shows a prompt shows the ordered one, as far as anybody can tell.
    `absent_after` (T): the provider's start limit, longest render and list lag together; None if not known.
    `absence_without_witness`: the operator says that T may replace the witnesses. `exclusive_key`: the operator says
    that nobody else uses this key.
    """

    shows_all: bool = True
    echoes_prompts: bool = True
    absent_after: timedelta | None = None
    absence_without_witness: bool = False
    exclusive_key: bool = False


@dataclass(frozen=True)
class Adopt:
    """These jobs are these runs'."""

    pairs: tuple[tuple[UUID, str], ...]


@dataclass(frozen=True)
class Absent:
    """This look shows that the run has no job here: one of those that together prove "never made"."""


@dataclass(frozen=True)
class InDoubt:
    """`why`: a stable word. `candidates`: ids of jobs that could be the run's; they start the count of looks again."""

    why: str
    candidates: tuple[str, ...] = ()


Verdict = Adopt | Absent | InDoubt


# -- what a list proves about itself


def witnesses_of(run: Run, books: Books, apart: timedelta) -> dict[str, Owner]:
    """Jobs that this list must show now: their real answers came at least `apart` before the look began."""
    if books.began is None:
        return {}
    latest = books.began - apart
    return {
        job_id: owner
        for job_id, owner in books.witnesses.items()
        if owner.answered and owner.known_at <= latest and owner.run_id != run.run_id
    }


def faithful_fields(look: Look, owners: Mapping[str, Owner]) -> frozenset[Shown]:
    """What every owned job in the list shows, and as ordered. Without any such job: nothing."""
    seen = [(job, owners[job.key].order) for job in look.jobs if job.key in owners]
    if not seen:
        return frozenset()
    return frozenset(Shown).intersection(*(shows(job) - differs(job, order) for job, order in seen))


def in_order(look: Look, owners: Mapping[str, Owner]) -> bool:
    """Whether owned jobs stand from new to old: one known before another was sent stands behind it."""
    listed = [owners[job.key] for job in look.jobs if job.key in owners]
    return not any(
        newer.known_at < older.sent_at for place, newer in enumerate(listed) for older in listed[place + 1 :]
    )


def known_by_their_runs(look: Look, owned: Mapping[str, Owner]) -> Look:
    """The same look, with each job under the id by which its run knows it: some servers answer an order with one of a
    job's ids and list it by another, with the first beside it. A row that names an owned job which has a row of its
    own, or which another row names as well, or that shows another order, is no such row.
    """
    own = {job.key for job in look.jobs}
    beside = Counter(key for job in look.jobs for key in job.keys[1:])

    def renamed(job: Job) -> Job:
        found = [key for key in job.keys[1:] if key in owned and key not in own and beside[key] == 1]
        fits = job.key not in owned and len(found) == 1 and not differs(job, owned[found[0]].order)
        return replace(job, job_id=found[0], also=()) if fits else job

    return replace(look, jobs=tuple(map(renamed, look.jobs)))


def newer_than(look: Look, boundary: Iterable[str]) -> tuple[Job, ...]:
    """The jobs listed before the first of `boundary`; all of them if none is listed."""
    ids = set(boundary)
    end = next((place for place, job in enumerate(look.jobs) if job.key in ids), len(look.jobs))
    return look.jobs[:end]


def shows_running(look: Look, owned: Mapping[str, Owner]) -> bool:
    """Whether the list shows a job of ours, known by a real answer, that is still rendering."""
    return any(job.running and (owner := owned.get(job.key)) and owner.answered for job in look.jobs)


# -- what a look says about a run in doubt


@dataclass(frozen=True)
class Patience:
    """`request_over`: after this a request of ours cannot be under way any more. `apart`: LOOK_SECONDS."""

    request_over: timedelta
    apart: timedelta
    skew: timedelta


def judge(run: Run, look: Look, books: Books, facts: ListFacts, patience: Patience) -> Verdict:
    """What this look through the list says about this run in doubt."""
    if run.answered_job_id is not None:
        return InDoubt("answer_named_a_job")
    if pairs := _adoptable(run, look, books, patience):
        return Adopt(pairs)
    if job := _only_one_it_can_be(run, look, books, facts, patience):
        return Adopt(((run.run_id, job.job_id),))
    if candidates := candidates_for(run, look, books, patience):
        return InDoubt(_why_not_adopted(run, look, candidates), tuple(sorted(job.job_id for job in candidates)))
    why = _why_absence_proves_nothing(run, look, books, facts, patience)
    return InDoubt(why) if why else Absent()


def candidates_for(run: Run, look: Look, books: Books, patience: Patience) -> tuple[Job, ...]:
    """Unowned jobs that could be this run's. One listed before it was sent could not, unless it shows our words."""
    order, before = run.order(), listed_before(run, look, books, patience)
    known = {**books.owned, **witnesses_of(run, books, patience.apart)}
    faithful = faithful_fields(look, {job_id: owner for job_id, owner in known.items() if owner.answered})
    free = [job for job in look.jobs if job.key not in books.owned and could_be(job, order, faithful)]
    taken = [job for job in look.jobs if _is_taken_by_mistake(job, order, books.owned.get(job.key))]
    return tuple(job for job in (*free, *taken) if job.key not in before or shows_words_of(job, order))


def _is_taken_by_mistake(job: Job, order: Order, owner: Owner | None) -> bool:
    """Whether another run holds the job by mistake (a person's or a list's) although it shows this order's prompt."""
    if owner is None or owner.answered:
        return False
    return shows_words_of(job, order) and not shows_words_of(job, owner.order)


def listed_before(run: Run, look: Look, books: Books, patience: Patience) -> frozenset[str]:
    """Keys of the jobs made before this run was sent, by both their position in the list and their own time.

    Either alone may be wrong. Both count only if every job of ours in the list has the right position and time.
    """
    assert run.submitting_at is not None
    must = witnesses_of(run, books, patience.apart)
    known = {job_id: owner for job_id, owner in {**books.owned, **must}.items() if owner.answered}
    ours = [job for job in look.jobs if job.key in known]
    if not in_order(look, known) or not all(at_its_time(job, known[job.key], patience.skew) for job in ours):
        return frozenset()
    older = [job_id for job_id, owner in must.items() if owner.known_at <= run.submitting_at]
    behind = look.jobs[len(newer_than(look, older)) :]
    sent = run.submitting_at - patience.skew
    return frozenset(job.key for job in behind if dated_before(job, sent) and not job.running)


def _adoptable(run: Run, look: Look, books: Books, patience: Patience) -> tuple[tuple[UUID, str], ...]:
    """Rule 4: as many unowned jobs of this whole request as runs of it without a job, and no answer still to come."""
    runs = [each for each in _with(run, books.runs) if same_request(each.order(), run.order())]
    taken = books.owned.keys() | listed_before(min(runs, key=_sent), look, books, patience)
    jobs = [job for job in look.jobs if job.key not in taken and is_order_of(job, run.order())]
    if not look.complete or len(jobs) != len(runs) or any(each.state is State.SUBMITTING for each in runs):
        return ()
    if any(each.answered_job_id for each in runs) or _shows_other_words(look, books):
        return ()
    in_turn = sorted(runs, key=lambda each: (_sent(each), each.run_id))
    by_age = sorted(jobs, key=lambda job: (job.created_at or 0.0, job.job_id))
    pairs = zip(in_turn, by_age, strict=True)
    # Rule 5: a job found in a list may save a run and never fails it, so one that failed is left to a person.
    return tuple((each.run_id, job.job_id) for each, job in pairs if not has_failed(job, each))


def _shows_other_words(look: Look, books: Books) -> bool:
    """Whether the list shows any job of ours with words that were not ordered; its prompts are then unreliable."""
    ours = [(job, owner) for job in look.jobs if (owner := books.owned.get(job.key)) and owner.answered]
    return any(job.prompt is not None and adds_words(job.prompt, owner.order.prompt) for job, owner in ours)


def is_time(at: float | None) -> bool:
    """Whether this is a real time: some servers send zero or the year 1 for "not yet"."""
    return at is not None and at >= TIMES_BEGIN


def dated_before(job: Job, moment: datetime) -> bool:
    """Whether the job shows a time, and an earlier one."""
    return job.created_at is not None and TIMES_BEGIN <= job.created_at < moment.timestamp()


def _sent(run: Run) -> datetime:
    return run.submitting_at or run.reserved_at


def has_failed(job: Job, run: Run) -> bool:
    """By the list's word, or by what this run saw of it before."""
    return job.status in {JobStatus.FAILED, JobStatus.EXPIRED} or job.key in run.failed_jobs


def _only_one_it_can_be(run: Run, look: Look, books: Books, facts: ListFacts, patience: Patience) -> Job | None:
    """Rule 4's exception, for a key that nobody else uses: the one unowned job and the one run, at a true time."""
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


def at_its_time(job: Job, owner: Owner, skew: timedelta) -> bool:
    """Whether the list shows this job of ours at a time that the ledger agrees with."""
    first, last = (owner.sent_at - skew).timestamp(), (owner.known_at + skew).timestamp()
    return job.created_at is not None and first <= job.created_at <= last


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


def _why_absence_proves_nothing(run: Run, look: Look, books: Books, facts: ListFacts, patience: Patience) -> str | None:
    """Rule 6, for a list in which nothing could be this run's; None if the look counts."""
    if not facts.shows_all:
        return "list_hides_jobs"
    if not look.complete:
        return look.why_incomplete
    if look.odd_rows:
        return "unreadable_row"
    if too_early(run, facts, patience):
        return "too_early"
    assert run.submitting_at is not None
    since = books.running_shown_at is not None and books.running_shown_at >= run.submitting_at
    running = since or shows_running(look, books.owned)
    return _why_not_witnessed(run, look, books, facts, patience, running=running)


def too_early(run: Run, facts: ListFacts, patience: Patience) -> bool:
    """Whether the job may still be on its way into the list."""
    assert run.submitting_at is not None
    waits_for = patience.request_over
    if facts.absent_after is not None:
        waits_for = max(waits_for, facts.absent_after)
    return run.age(run.submitting_at) <= waits_for


def _why_not_witnessed(
    run: Run, look: Look, books: Books, facts: ListFacts, patience: Patience, *, running: bool
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
        "list_out_of_order": in_order(look, known),
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
    """Whether the looks that counted so far prove it."""
    return (
        run.state is State.UNCERTAIN
        and run.answered_job_id is None
        and run.looks_complete >= looks
        and run.first_look_at is not None
        and run.last_look_at is not None
        and run.last_look_at - run.first_look_at >= over
    )


# -- what may end a run that has a job


class Ending(StrEnum):
    """What two looks at the job itself, and the absence of its clip, lead to (rules 2 and 5)."""

    WAIT = "wait"
    FAIL = "fail"
    BACK_TO_DOUBT = "back_to_doubt"


def ending_of(run: Run, apart: timedelta) -> Ending:
    """For a run whose job was just seen as failed, with its clip definitely absent."""
    if run.failing_since is None or run.age(run.failing_since) < apart:
        return Ending.WAIT
    return Ending.BACK_TO_DOUBT if run.job_source is JobSource.LIST else Ending.FAIL
