"""The routes that every vendor has: create, one job, the list, the clip behind the key. A vendor only shapes them.

In       a request to a vendor's address
Out      the vendor's answer, or the effect of a fault
Effects  reads and orders are recorded in the books
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.providers.answers import CreateShapes, bent, list_answer, misfit
from simulator.providers.vendor import Vendor, View, view_of
from simulator.settings import Habits
from simulator.state import STATE, SimulatorState
from simulator.videos.books import Job
from simulator.videos.buying import arrival_of, buy, fields_of
from simulator.videos.content import served
from simulator.videos.errors import json_answer
from simulator.videos.list_jobs import MORE, with_odd_rows
from simulator.videos.listing import Query, page_of
from simulator.videos.orders import Order, is_refused
from simulator.videos.views import clip_url, habits_now, meant, root_of


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one page, the place of the first one, whether more follow (None: not said), how many in all."""

    rows: list[Any]
    start: int
    more: bool | None
    total: int


async def create(request: web.Request, vendor: Vendor) -> web.StreamResponse:
    """The route that costs money."""
    state = request.app[STATE]
    arrival = arrival_of(request, vendor.key_of(request), vendor.name)
    body = await request.read()
    order = turned_away(request, vendor) or vendor.read_order(request, body)
    state.root = root_of(request)
    asked = fields_of(order) if isinstance(order, Order) else {}
    if isinstance(order, Order) and is_refused(order.prompt):
        order = vendor.moderation()
    return await buy(request, CreateShapes(vendor).answers(), arrival, order, asked)


async def retrieve(
    request: web.Request,
    vendor: Vendor,
    job_id: str,
    answer: Callable[[View], web.Response],
    *,
    part: str = "",
    unknown: web.Response | None = None,
) -> web.StreamResponse:
    """Show one job, by the vendor's id or by ours. `part` names one of several reads, for faults with that `part`.

    `unknown`: the answer for an id that is not known; else a 404.
    """
    state = request.app[STATE]
    state.books.reads += 1
    if (away := turned_away(request, vendor)) is not None:
        return away
    job = job_of(state, vendor, job_id)
    if job is None:
        return unknown or vendor.refusal(404, "Not found.")
    fault = state.faults.next("retrieve", lambda each: each.text("part", part) == part)
    habits = habits_now(state, fault)
    view = view_of(state, root_of(request), job, "retrieve", habits)
    if fault is not None and fault.kind == "list_instead":
        return _everything(request, vendor, habits)
    whole = bent(answer(view), view, habits)
    return whole if fault is None else await _troubled(request, vendor, fault, whole, view)


async def list_page(
    request: web.Request,
    vendor: Vendor,
    query: Query,
    row: Callable[[View], Any],
    body: Callable[[Rows], dict[str, Any]],
) -> web.StreamResponse:
    """Show one page of jobs: `row` writes one, `body` what is around them."""
    state = request.app[STATE]
    state.books.reads += 1
    if (away := turned_away(request, vendor)) is not None:
        return away
    if state.habits.no_list_status is not None:
        return vendor.refusal(state.habits.no_list_status, "Listing is not supported.")
    fault = state.faults.next("list")
    habits = habits_now(state, fault)
    page = page_of(state, query, fault, habits)
    if page is None:
        return vendor.refusal(400, "Unknown cursor.")
    at = state.now() - habits.list_age_seconds
    views = [view_of(state, root_of(request), job, "list", habits, at=at) for job in page.jobs]
    rows = with_odd_rows([row(view) for view in views], habits.odd_rows)
    more = None if habits.has_more == "missing" else MORE.get(habits.has_more, page.more)
    answer = list_answer(body(Rows(rows, page.start, more, page.total)), habits)
    return answer if fault is None else await _troubled(request, vendor, fault, answer, None)


async def content(request: web.Request, vendor: Vendor, job_id: str) -> web.StreamResponse:
    """Serve the clip behind the key, for vendors that do so."""
    state = request.app[STATE]
    state.books.reads += 1
    if (away := turned_away(request, vendor)) is not None:
        return away
    job = job_of(state, vendor, job_id)
    if job is None:
        return vendor.refusal(404, "Not found.")
    fault = state.faults.next("content")
    return await served(request, job, fault, habits_now(state, fault), "video")


def turned_away(request: web.Request, vendor: Vendor) -> web.Response | None:
    """The 401 for a missing or unknown key, or None for a valid one."""
    key, allowed = vendor.key_of(request), request.app[STATE].settings.api_keys
    return vendor.refusal(401, "Invalid API key.") if key is None or (allowed and key not in allowed) else None


def job_of(state: SimulatorState, vendor: Vendor, job_id: str) -> Job | None:
    """The vendor's job with this id, or with this id of ours; None if it is unknown, deleted or forgotten."""
    if (job := meant(state, job_id, vendor.name)) is not None:
        return job
    own = (each for each in state.books.ordered(vendor.name) if each.own_id == job_id)
    found = next(own, None)
    return None if found is None else meant(state, found.id, vendor.name)


def _everything(request: web.Request, vendor: Vendor, habits: Habits) -> web.Response:
    """All jobs with links to their clips, as from a gateway that loses the end of a path."""
    state, root = request.app[STATE], root_of(request)
    listed = state.books.ordered(vendor.name)[::-1]
    views = [view_of(state, root, job, "list", habits) for job in listed]
    rows = [{"id": view.id, "status": view.status, "url": clip_url(root, view.job)} for view in views]
    return json_answer({"code": 0, "status": "success", "data": rows})


async def _troubled(
    request: web.Request, vendor: Vendor, fault: Fault, answer: web.Response, view: View | None
) -> web.StreamResponse:
    hang_seconds = request.app[STATE].settings.hang_seconds
    own = misfit(vendor, fault, answer, view)
    return own or await wire.misbehave(request, fault, answer, hang_seconds, vendor.refusal)
