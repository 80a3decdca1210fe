"""Which jobs a page of a list shows, with the ways in which lists of real servers go wrong.

In       the query, the fault and the habits of this one answer
Out      the jobs of one page
Effects  some faults add jobs of other clients to the books
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from simulator.faults.arming import Fault
from simulator.settings import Habits
from simulator.state import SimulatorState
from simulator.videos import jobs, neighbours
from simulator.videos.books import OPENAI, Job
from simulator.videos.views import forgotten, meant


@dataclass(frozen=True, slots=True)
class Query:
    """What a page is asked for; it begins behind the job `after`, or at the row `offset`.

    `wanted` filters; `sort` orders lists that are not ordered by creation.
    """

    limit: int
    newest_first: bool = True
    after: str | None = None
    offset: int = 0
    provider: str = OPENAI
    wanted: Callable[[Job], bool] = lambda _: True
    sort: Callable[[Job], float] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The jobs of one page, the place of the first one, whether more follow, and how many there are in all."""

    jobs: list[Job]
    start: int
    more: bool
    total: int


def page_of(state: SimulatorState, query: Query, fault: Fault | None, habits: Habits) -> Page | None:
    """One page; None if no job has the id `after`."""
    kind = "" if fault is None else fault.kind
    if fault is not None and kind == "foreign":
        order = neighbours.foreign_order(state, fault, query.provider)
        neighbours.arrive(state, int(fault.number("count", 1)), order, provider=query.provider)
    listed = _listed(state, query, habits, fault if kind == "missing_job" else None)
    start = _start(state, listed, query)
    if start is None:
        return None
    if fault is not None and kind == "shifted":
        # A server that pages by offset: new jobs push known ones onto the next page.
        neighbours.arrive(state, int(fault.number("count", 1)), provider=query.provider)
        listed = _listed(state, query, habits, None)
    if fault is not None and kind == "skipped":
        start += int(fault.number("count", 1)) if start else 0
    if kind == "repeated_page":
        start = 0
    if habits.cursor_by_second and start:
        start += _of_the_same_second(listed, start)
    limit = query.limit if habits.page_size is None else min(query.limit, habits.page_size)
    more = start + limit < len(listed) or kind == "repeated_page"
    return Page(listed[start : start + limit], start, more, len(listed))


def _listed(state: SimulatorState, query: Query, habits: Habits, missing: Fault | None) -> list[Job]:
    now = state.now()
    listed = [job for job in state.books.ordered(query.provider) if query.wanted(job)]
    listed = [job for job in listed if _visible(job, habits, now) and not forgotten(state, job)]
    if query.sort is not None:
        listed.sort(key=query.sort)
    if missing is not None and listed:
        hidden = missing.text("job_id", listed[-1].id)
        listed = [job for job in listed if job.id != hidden]
    if habits.list_first:  # as in a list ordered by the last change
        changed = [job for name in habits.list_first for job in listed if job.id == name]
        return [*changed, *(job for job in listed[::-1] if job.id not in habits.list_first)]
    match habits.list_order:
        case "shuffled":
            return sorted(listed, key=_spread)
        case "shards":  # one half after the other, each newest first
            return sorted(listed, key=lambda job: (_spread(job) >= 0.5, job.place), reverse=True)
        case "oldest_first":
            return listed
        case "newest_first":
            return listed[::-1]
        case _:
            return listed[::-1] if query.newest_first else listed


def _visible(job: Job, habits: Habits, now: float) -> bool:
    """Whether this server lists a job, given its age, its status and the listed share."""
    seen_at = now - habits.list_age_seconds
    late = habits.list_age_seconds + habits.list_lag_seconds
    if job.made_at < habits.forgotten_before or (late and job.made_at > now - late):
        return False
    if habits.list_models and job.model not in habits.list_models:
        return False
    if habits.list_hides and jobs.status_of(job, seen_at) in habits.list_hides:
        return False
    return habits.list_share >= 1 or _spread(job) < habits.list_share


def _spread(job: Job) -> float:
    """A stable pseudo-random number from 0 to 1 for a job."""
    return zlib.crc32(job.id.encode(errors="surrogatepass")) / 2**32


def _start(state: SimulatorState, listed: list[Job], query: Query) -> int | None:
    if query.after is None:
        return query.offset
    after = meant(state, query.after, query.provider)
    wanted = query.after if after is None else after.id
    return next((place + 1 for place, job in enumerate(listed) if job.id == wanted), None)


def _of_the_same_second(listed: list[Job], start: int) -> int:
    """How many jobs from `start` on a server skips if its next page begins at an earlier second than its cursor's."""
    cursor = int(listed[start - 1].made_at)
    return next((place for place, job in enumerate(listed[start:]) if int(job.made_at) < cursor), len(listed) - start)
