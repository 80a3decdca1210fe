"""Mounts the video routes, and serves retrieve and delete as the OpenAI Videos protocol defines them.

In       a job id
Out      `video` objects, or the effect of a fault
Effects  counts reads in the books; delete hides a finished job
"""

from aiohttp import web

from simulator.auth import turned_away
from simulator.faults import wire
from simulator.state import STATE, SimulatorState
from simulator.videos import jobs
from simulator.videos.books import Job
from simulator.videos.content import content, file
from simulator.videos.create import create
from simulator.videos.errors import json_answer, refusal
from simulator.videos.list_jobs import list_videos
from simulator.videos.views import answer_about, habits_now, listing_instead, meant


def add_videos(app: web.Application) -> None:
    """Mount the video routes."""
    app.router.add_post("/v1/videos", create)
    app.router.add_get("/v1/videos", list_videos)
    app.router.add_get("/v1/videos/{video_id}", retrieve)
    app.router.add_get("/v1/videos/{video_id}/content", content)
    app.router.add_delete("/v1/videos/{video_id}", delete)
    app.router.add_get("/_sim/files/{name}", file)


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
