"""The doors that cost nothing: retrieve, list, content, delete, as the OpenAI Videos protocol has them.

In       a job id or a page
Out      `video` objects, lists of them, mp4 bytes, or whatever trouble is due
Effects  reads are counted in the books; delete hides a finished job
"""

from aiohttp import web

from simulator import jobs, wire
from simulator.books import Job
from simulator.clips import ClipExtraMissingError
from simulator.creating import create
from simulator.doors import turned_away
from simulator.errors import json_answer, refusal
from simulator.listing import list_videos
from simulator.world import WORLD, World


def add_videos(app: web.Application) -> None:
    """Mount the video doors."""
    app.router.add_post("/v1/videos", create)
    app.router.add_get("/v1/videos", list_videos)
    app.router.add_get("/v1/videos/{video_id}", retrieve)
    app.router.add_get("/v1/videos/{video_id}/content", content)
    app.router.add_delete("/v1/videos/{video_id}", delete)


async def retrieve(request: web.Request) -> web.StreamResponse:
    """How a job is doing."""
    world = request.app[WORLD]
    world.books.reads += 1
    job = turned_away(request) or _job(request, world)
    if isinstance(job, web.Response):
        return job
    shown = jobs.view(job, world.now(), world.habits, world.settings.expires_after_seconds)
    if world.habits.strange_ids:
        shown["id"] = f"gw_{job.id.removeprefix('video_')}"
    fault = world.faults.next("retrieve")
    if fault is not None and fault.kind == "unknown_status":
        shown["status"] = fault.text("status", "post_processing")
    answer = json_answer(shown)
    if fault is None:
        return answer
    return await wire.misbehave(request, fault, answer, world.settings.hang_seconds)


async def content(request: web.Request) -> web.StreamResponse:
    """The clip of a completed job."""
    world = request.app[WORLD]
    world.books.reads += 1
    job = turned_away(request) or _job(request, world)
    if isinstance(job, web.Response):
        return job
    fault = world.faults.next("content")
    if fault is not None and fault.kind == "expired":
        return _gone(int(fault.number("status", 404)))
    answer = await _clip(world, job, request.query.get("variant", "video"))
    if fault is None:
        return answer
    if fault.kind == "truncated":
        return await wire.cut(request, answer, fault.number("share", 0.5))
    if fault.kind == "not_mp4":
        return web.Response(body=b"<html>please sign in</html>", content_type="video/mp4")
    return await wire.misbehave(request, fault, answer, world.settings.hang_seconds)


async def delete(request: web.Request) -> web.StreamResponse:
    """Forget a finished job; its charge stays in the books."""
    world = request.app[WORLD]
    job = turned_away(request) or _job(request, world)
    if isinstance(job, web.Response):
        return job
    if jobs.status_of(job, world.now()) not in ("completed", "failed"):
        return refusal(400, "Only completed or failed videos can be deleted.", code="video_not_finished")
    job.deleted = True
    world.books.record_job(job)
    return json_answer({"id": job.id, "object": "video.deleted", "deleted": True})


async def _clip(world: World, job: Job, variant: str) -> web.Response:
    now = world.now()
    status = jobs.status_of(job, now)
    if variant != "video":
        return refusal(400, f"Variant '{variant}' is not made here.", code="invalid_value", param="variant")
    if status != "completed":
        return refusal(404, f"Video is not ready yet: it is {status}.", code="video_not_ready")
    if jobs.expired(job, now, world.settings.expires_after_seconds):
        return _gone(404)
    try:
        clip = await world.clips.clip(job.prompt, job.seconds, job.size, job.id)
    except ClipExtraMissingError as missing:
        return refusal(501, str(missing), kind="server_error", code="clip_extra_missing")
    return web.Response(body=clip, content_type="video/mp4")


def _job(request: web.Request, world: World) -> Job | web.Response:
    video_id = request.match_info["video_id"]
    return world.books.job(video_id) or refusal(404, f"Video '{video_id}' not found.", code="video_not_found")


def _gone(status: int) -> web.Response:
    return refusal(status, "The content of this video has expired.", code="video_expired")
