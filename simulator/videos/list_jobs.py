"""`GET /v1/videos`: newest first, in pages, with the ways in which lists of real servers go wrong.

In       limit, order, after
Out      a page of `video` objects
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from aiohttp import web

from simulator.auth import turned_away
from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.faults.bodies import with_bom
from simulator.settings import Habits
from simulator.state import STATE
from simulator.videos import lies
from simulator.videos.books import Job
from simulator.videos.errors import json_answer, refusal
from simulator.videos.listing import Query, page_of
from simulator.videos.views import aged, habits_now, root_of, shown

LIMIT_DEFAULT = 20
LIMIT_MAX = 100

MORE: Mapping[str, bool | None] = {"null": None, "always": True, "never": False}
_NOTHING = object()


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
    answer = _answer(request, query, fault, habits_now(state, fault))
    if fault is None:
        return answer
    return await wire.misbehave(request, fault, answer, state.settings.hang_seconds)


def _query(request: web.Request) -> Query | web.Response:
    limit, order = request.query.get("limit", str(LIMIT_DEFAULT)), request.query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and int(limit) <= LIMIT_MAX):
        words = f"Invalid 'limit': expected an integer from 0 to {LIMIT_MAX}."
        return refusal(400, words, code="invalid_value", param="limit")
    if order not in ("asc", "desc"):
        return refusal(400, "Invalid 'order': expected asc or desc.", code="invalid_value", param="order")
    return Query(int(limit), order == "desc", request.query.get("after"))


def _answer(request: web.Request, query: Query, fault: Fault | None, habits: Habits) -> web.Response:
    page = page_of(request.app[STATE], query, fault, habits)
    if page is None:
        return refusal(400, f"No video with id '{query.after}'.", code="invalid_value", param="after")
    headers = {**habits.list_headers, **(aged(habits) or {})}
    answer = json_answer(_as_json(request, page.jobs, page.more, habits), habits.list_status, headers)
    return with_bom(answer) if habits.bom else answer


def _as_json(request: web.Request, page: list[Job], more: bool, habits: Habits) -> dict[str, Any]:
    state, root = request.app[STATE], root_of(request)
    seen_at = state.now() - habits.list_age_seconds
    data: list[Any] = [shown(state, root, job, "list", habits, at=seen_at) for job in page]
    if habits.prompts_shifted:  # each row shows the prompt of the next one
        prompts = [row.get("prompt") for row in data]
        data = [row | {"prompt": prompt} for row, prompt in zip(data, prompts[1:] + prompts[:1], strict=True)]
    first, last = (data[0].get("id"), data[-1].get("id")) if data else (None, None)
    body: dict[str, Any] = {
        "object": "list",
        "data": with_odd_rows(data, habits.odd_rows),
        "first_id": first,
        "last_id": last,
        "has_more": MORE.get(habits.has_more, more),
        **habits.list_says,
    }
    if habits.has_more == "missing":
        del body["has_more"]
    return body


def with_odd_rows(data: list[Any], names: Sequence[str]) -> list[Any]:
    """Insert an odd row after each row, until none is left."""
    pairs = zip_longest(data, (lies.ODD_ROWS[name] for name in names), fillvalue=_NOTHING)
    return [row for pair in pairs for row in pair if row is not _NOTHING]
