"""Which of the listed jobs are ours, and what a list proves about itself by showing them. Pure.

What follows for a run in doubt is decided in `pipeline/purchase/evidence.py`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pipeline.ledger.records import JobSource, Run
from providers.job import Job
from providers.list_jobs import Look
from providers.order_match import Shown, differs, shows
from providers.orders import Order

TIMES_BEGIN = 1_577_836_800.0  # 2020: no such server is older
NEAR = timedelta(minutes=15)  # owned jobs sent this close to a doubt must all be in the list (rule 6)


@dataclass(frozen=True)
class Owner:
    """The run of a listed job: how it got the job, what it ordered, when it was sent and when its job became known.

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
    """Parses an owner from the ledger's JSON."""
    return Owner(
        run_id=UUID(row["run_id"]),
        source=JobSource(row["source"]) if row["source"] else None,
        order=Order(**row["order"]),
        sent_at=datetime.fromisoformat(row["sent_at"]),
        known_at=datetime.fromisoformat(row["known_at"]),
        saved=row["saved"],
    )


@dataclass(frozen=True)
class KnownJobs:
    """The ledger's side of a look, for one provider account. Jobs are identified by their keys.

    `runs`: those that may have a job they do not know, failed ones included; `elsewhere`: such runs of other keys and
    addresses, which may belong to the same account. `owned`: the listed jobs that runs own.
    `witnesses`: jobs of real answers sent near the doubt, with the nearest before and after it. `began`: the ledger's
    clock before the first page was requested. `rivals`: other runs sent within `request_over` of this one.
    """

    runs: tuple[Run, ...]
    owned: Mapping[str, Owner]
    witnesses: Mapping[str, Owner] = field(default_factory=dict)
    began: datetime | None = None
    running_shown_at: datetime | None = None  # when the list last showed an owned job that was still rendering
    rivals: int = 0
    first_seen: Mapping[str, datetime] = field(default_factory=dict)  # when each listed job was first seen in this list
    explained: frozenset[str] = frozenset()  # listed jobs that, as a person said, belong to no run here
    ours_since: datetime | None = None  # when the first order was sent with this key
    elsewhere: tuple[Run, ...] = ()


def witnesses_of(run: Run, books: KnownJobs, apart: timedelta) -> dict[str, Owner]:
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
    """The fields that every owned job in the list shows, and as ordered; none if the list shows no owned job."""
    seen = [(job, owners[job.key].order) for job in look.jobs if job.key in owners]
    if not seen:
        return frozenset()
    return frozenset(Shown).intersection(*(shows(job) - differs(job, order) for job, order in seen))


def in_order(look: Look, owners: Mapping[str, Owner]) -> bool:
    """Whether owned jobs are listed from new to old: one known before another was sent must come after it."""
    listed = [owners[job.key] for job in look.jobs if job.key in owners]
    return not any(
        newer.known_at < older.sent_at for place, newer in enumerate(listed) for older in listed[place + 1 :]
    )


def known_by_their_runs(look: Look, owned: Mapping[str, Owner]) -> Look:
    """The same look, with each job under the id by which its run knows it: some servers answer an order with one of a
    job's ids and list it by another, with the first beside it. A row is left as it is if the owned job that it names
    has
    a row of its own or is named by another row, or if the row shows another order.
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


def at_its_time(job: Job, owner: Owner, skew: timedelta) -> bool:
    """Whether the list shows this job of ours at a time that agrees with the ledger."""
    first, last = (owner.sent_at - skew).timestamp(), (owner.known_at + skew).timestamp()
    return job.created_at is not None and first <= job.created_at <= last


def is_time(at: float | None) -> bool:
    """Whether this is a real time: some servers send zero or the year 1 for "not yet"."""
    return at is not None and at >= TIMES_BEGIN


def dated_before(job: Job, moment: datetime) -> bool:
    """Whether the job shows a real time, and one before `moment`."""
    return job.created_at is not None and TIMES_BEGIN <= job.created_at < moment.timestamp()
