"""`GET /v1/videos`: newest first, page by page, and the ways in which lists of real servers go wrong.

In       limit, order, after
Out      a page of `video` objects
"""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulator import jobs, wire
from simulator.books import Job
from simulator.creating import make_job
from simulator.doors import turned_away
from simulator.errors import json_answer, refusal
from simulator.faults import Fault
from simulator.orders import Order
from simulator.world import WORLD, World

LIMIT_DEFAULT = 20
LIMIT_MAX = 100


@dataclass(frozen=True, slots=True)
class _Query:
    limit: int
    newest_first: bool
    after: str | None


async def list_videos(request: web.Request) -> web.StreamResponse:
    """One page of jobs."""
    world = request.app[WORLD]
    world.books.reads += 1
    if (away := turned_away(request)) is not None:
        return away
    if world.habits.no_list_status is not None:
        return refusal(world.habits.no_list_status, "Listing videos is not supported.", code="unsupported")
    query = _query(request)
    if isinstance(query, web.Response):
        return query
    fault = world.faults.next("list")
    answer = _page(world, query, fault)
    if fault is None:
        return answer
    return await wire.misbehave(request, fault, answer, world.settings.hang_seconds)


def _query(request: web.Request) -> _Query | web.Response:
    limit, order = request.query.get("limit", str(LIMIT_DEFAULT)), request.query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and int(limit) <= LIMIT_MAX):
        words = f"Invalid 'limit': expected an integer from 0 to {LIMIT_MAX}."
        return refusal(400, words, code="invalid_value", param="limit")
    if order not in ("asc", "desc"):
        return refusal(400, "Invalid 'order': expected asc or desc.", code="invalid_value", param="order")
    return _Query(int(limit), order == "desc", request.query.get("after"))


def _page(world: World, query: _Query, fault: Fault | None) -> web.Response:
    kind = "" if fault is None else fault.kind
    listed = _listed(world, query, fault if kind == "missing_job" else None)
    start = _start(listed, query)
    if start is None:
        return refusal(400, f"No video with id '{query.after}'.", code="invalid_value", param="after")
    if fault is not None and kind == "shifted":
        # A server that pages by offset: jobs that arrive meanwhile push known ones onto the next page.
        _arrive(world, int(fault.number("count", 1)))
        listed = _listed(world, query, None)
    if fault is not None and kind == "skipped":
        start += int(fault.number("count", 1)) if query.after else 0
    if kind == "repeated_page":
        start = 0
    page = listed[start : start + query.limit]
    more = start + query.limit < len(listed) or kind == "repeated_page"
    return json_answer(_as_json(world, page, more, hide_prompts=kind == "no_prompt"))


def _listed(world: World, query: _Query, missing: Fault | None) -> list[Job]:
    listed = world.books.ordered()
    if missing is not None and listed:
        hidden = missing.text("job_id", listed[-1].id)
        listed = [job for job in listed if job.id != hidden]
    return listed[::-1] if query.newest_first else listed


def _start(listed: list[Job], query: _Query) -> int | None:
    if query.after is None:
        return 0
    return next((place + 1 for place, job in enumerate(listed) if job.id == query.after), None)


def _arrive(world: World, count: int) -> None:
    for number in range(count):
        order = Order(f"somebody else's video {number}", next(iter(world.settings.models)), 4, "720x1280", 0)
        world.books.record_job(make_job(world, order, owner="somebody else"))


def _as_json(world: World, page: list[Job], more: bool, *, hide_prompts: bool) -> dict[str, Any]:
    now, expires = world.now(), world.settings.expires_after_seconds
    data = [jobs.view(job, now, world.habits, expires) for job in page]
    if hide_prompts:
        for video in data:
            video.pop("prompt", None)
    return {
        "object": "list",
        "data": data,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
        "has_more": more,
    }
