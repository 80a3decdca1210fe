"""`GET /v1/videos`: newest first, in pages, with the ways in which lists of real servers go wrong.

In       limit, order, after
Out      a page of `video` objects
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from aiohttp import web

from simulator.auth import turned_away
from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.faults.bodies import with_bom
from simulator.settings import Habits
from simulator.state import STATE, SimulatorState
from simulator.videos import jobs, lies, neighbours
from simulator.videos.books import Job
from simulator.videos.errors import json_answer, refusal
from simulator.videos.views import aged, habits_now, meant, shown

LIMIT_DEFAULT = 20
LIMIT_MAX = 100

_MORE: Mapping[str, bool | None] = {"null": None, "always": True, "never": False}
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class _Query:
    limit: int
    newest_first: bool
    after: str | None


async def list_videos(request: web.Request) -> web.StreamResponse:
    """Answer with one page of jobs."""
    state = request.app[STATE]
    state.books.reads += 1
    if (away := turned_away(request)) is not None:
        return away
    if state.habits.no_list_status is not None:
        return refusal(state.habits.no_list_status, "Listing videos is not supported.", code="unsupported")
    query = _query(request)
    if isinstance(query, web.Response):
        return query
    fault = state.faults.next("list")
    answer = _page(request, query, fault, habits_now(state, fault))
    if fault is None:
        return answer
    return await wire.misbehave(request, fault, answer, state.settings.hang_seconds)


def _query(request: web.Request) -> _Query | web.Response:
    limit, order = request.query.get("limit", str(LIMIT_DEFAULT)), request.query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and int(limit) <= LIMIT_MAX):
        words = f"Invalid 'limit': expected an integer from 0 to {LIMIT_MAX}."
        return refusal(400, words, code="invalid_value", param="limit")
    if order not in ("asc", "desc"):
        return refusal(400, "Invalid 'order': expected asc or desc.", code="invalid_value", param="order")
    return _Query(int(limit), order == "desc", request.query.get("after"))


def _page(request: web.Request, query: _Query, fault: Fault | None, habits: Habits) -> web.Response:
    state = request.app[STATE]
    kind = "" if fault is None else fault.kind
    if fault is not None and kind == "foreign":
        neighbours.arrive(state, int(fault.number("count", 1)), neighbours.foreign_order(state, fault))
    listed = _listed(state, query, habits, fault if kind == "missing_job" else None)
    start = _start(state, listed, query)
    if start is None:
        return refusal(400, f"No video with id '{query.after}'.", code="invalid_value", param="after")
    if fault is not None and kind == "shifted":
        # A server that pages by offset: new jobs push known ones onto the next page.
        neighbours.arrive(state, int(fault.number("count", 1)))
        listed = _listed(state, query, habits, None)
    if fault is not None and kind == "skipped":
        start += int(fault.number("count", 1)) if query.after else 0
    if kind == "repeated_page":
        start = 0
    if habits.cursor_by_second and start:
        start += _of_the_same_second(listed, start)
    limit = query.limit if habits.page_size is None else min(query.limit, habits.page_size)
    page = listed[start : start + limit]
    more = start + limit < len(listed) or kind == "repeated_page"
    headers = {**habits.list_headers, **(aged(habits) or {})}
    answer = json_answer(_as_json(request, page, more, habits), habits.list_status, headers)
    return with_bom(answer) if habits.bom else answer


def _listed(state: SimulatorState, query: _Query, habits: Habits, missing: Fault | None) -> list[Job]:
    now = state.now()
    listed = [job for job in state.books.ordered() if _visible(job, habits, now)]
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


def _start(state: SimulatorState, listed: list[Job], query: _Query) -> int | None:
    if query.after is None:
        return 0
    after = meant(state, query.after)
    wanted = query.after if after is None else after.id
    return next((place + 1 for place, job in enumerate(listed) if job.id == wanted), None)


def _of_the_same_second(listed: list[Job], start: int) -> int:
    """How many jobs from `start` on a server skips if its next page begins at an earlier second than its cursor's."""
    cursor = int(listed[start - 1].made_at)
    return next((place for place, job in enumerate(listed[start:]) if int(job.made_at) < cursor), len(listed) - start)


def _as_json(request: web.Request, page: list[Job], more: bool, habits: Habits) -> dict[str, Any]:
    seen_at = request.app[STATE].now() - habits.list_age_seconds
    data: list[Any] = [shown(request, job, "list", habits, at=seen_at) for job in page]
    if habits.prompts_shifted:  # each row shows the prompt of the next one
        prompts = [row.get("prompt") for row in data]
        data = [row | {"prompt": prompt} for row, prompt in zip(data, prompts[1:] + prompts[:1], strict=True)]
    first, last = (data[0].get("id"), data[-1].get("id")) if data else (None, None)
    body: dict[str, Any] = {
        "object": "list",
        "data": _with_odd_rows(data, habits.odd_rows),
        "first_id": first,
        "last_id": last,
        "has_more": _MORE.get(habits.has_more, more),
        **habits.list_says,
    }
    if habits.has_more == "missing":
        del body["has_more"]
    return body


def _with_odd_rows(data: list[Any], names: Sequence[str]) -> list[Any]:
    """Insert an odd row after each row, until none is left."""
    pairs = zip_longest(data, (lies.ODD_ROWS[name] for name in names), fillvalue=_NOTHING)
    return [row for pair in pairs for row in pair if row is not _NOTHING]
