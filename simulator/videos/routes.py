"""Mounts the video routes, and serves create, retrieve and delete as the OpenAI Videos protocol defines them.

In       an order, multipart or JSON; a job id
Out      `video` objects, a refusal, or the effect of a fault
Effects  create: those of `buying.buy`; counts reads in the books; delete hides a finished job
"""

import time
from collections.abc import Mapping

from aiohttp import web

from simulator.auth import bearer, turned_away
from simulator.faults import wire
from simulator.state import STATE, SimulatorState
from simulator.videos import jobs
from simulator.videos.books import OPENAI, Job
from simulator.videos.buying import CreateAnswers, arrival_of, buy
from simulator.videos.content import content, file
from simulator.videos.errors import error_body, json_answer, refusal
from simulator.videos.list_jobs import list_videos
from simulator.videos.orders import Order, read_fields, read_order
from simulator.videos.views import answer_about, habits_now, listing_instead, meant


def add_videos(app: web.Application) -> None:
    """Mount the video routes."""
    app.router.add_post("/v1/videos", create)
    app.router.add_get("/v1/videos", list_videos)
    app.router.add_get("/v1/videos/{video_id}", retrieve)
    app.router.add_get("/v1/videos/{video_id}/content", content)
    app.router.add_delete("/v1/videos/{video_id}", delete)
    app.router.add_get("/_sim/files/{name}", file)


async def create(request: web.Request) -> web.StreamResponse:
    """Make a job, or refuse."""
    state = request.app[STATE]
    arrival = arrival_of(request, bearer(request), OPENAI)
    fields = read_fields(await request.read(), arrival.content_type)
    order = turned_away(request) or _order(fields, state, arrival.content_type)
    return await buy(request, ANSWERS, arrival, order, fields or {})


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Show a job."""
    state = request.app[STATE]
    state.books.reads += 1
    job = turned_away(request) or _job(request, state)
    if isinstance(job, web.Response):
        return job
    fault = state.faults.next("retrieve")
    habits = habits_now(state, fault)
    if fault is not None and fault.kind == "list_instead":
        return listing_instead(request, habits)
    answer = answer_about(request, job, "retrieve", habits)
    if fault is None:
        return answer
    return await wire.misbehave(request, fault, answer, state.settings.hang_seconds)


async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a finished job; its charge stays in the books."""
    state = request.app[STATE]
    job = turned_away(request) or _job(request, state)
    if isinstance(job, web.Response):
        return job
    if jobs.status_of(job, state.now()) not in ("completed", "failed"):
        return refusal(400, "Only completed or failed videos can be deleted.", code="video_not_finished")
    job.deleted = True
    state.books.record_job(job)
    return json_answer({"id": job.id, "object": "video.deleted", "deleted": True})


def _job(request: web.Request, state: SimulatorState) -> Job | web.Response:
    video_id = request.match_info["video_id"]
    return meant(state, video_id) or refusal(404, f"Video '{video_id}' not found.", code="video_not_found")


def _order(fields: Mapping[str, str] | None, state: SimulatorState, content_type: str) -> Order | web.Response:
    if state.habits.json_only and not content_type.startswith("application/json"):
        return refusal(400, "Only application/json bodies are supported.", code="unsupported_content_type")
    if fields is None:
        return refusal(400, "We could not parse the body of your request.", code="invalid_body")
    return read_order(fields, state.settings, state.habits)


def _error(status: int, message: str) -> web.Response:
    return json_answer(error_body(message, kind="server_error"), status)


def _idless(_: web.Response) -> web.Response:
    return json_answer({"object": "video", "status": "queued", "created_at": int(time.time())})


def _named(_: web.Response, job_id: str) -> web.Response:
    return json_answer({"id": job_id, "object": "video", "status": "queued"})


ANSWERS = CreateAnswers(
    made=lambda request, job, habits: answer_about(request, job, "create", habits),
    error=_error,
    idless=_idless,
    named=_named,
)
