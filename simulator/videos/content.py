"""Clip downloads: `/content`, and a separate URL per clip, as many servers provide.

In       a job id
Out      mp4 bytes, or the effect of a fault
Effects  counts reads in the books; for a clip's own URL, also whether a key was sent
"""

from base64 import b64decode

from aiohttp import web

from simulator.auth import turned_away
from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.faults.bodies import body_of
from simulator.faults.broken_clips import BROKEN, grown
from simulator.settings import Habits
from simulator.state import STATE, SimulatorState
from simulator.videos import jobs
from simulator.videos.books import FileFetch, Job
from simulator.videos.clips import ClipExtraMissingError
from simulator.videos.errors import json_answer, refusal
from simulator.videos.views import clip_url, habits_now, listing_instead, meant, root_of

_LINK_EXPIRED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"

_TWO_PROOFS = b"<?xml version='1.0'?><Error><Message>Only one auth mechanism allowed</Message></Error>"


async def content(request: web.Request) -> web.StreamResponse:
    """Serve the clip of a completed job."""
    state = request.app[STATE]
    state.books.reads += 1
    job = turned_away(request) or meant(state, request.match_info["video_id"])
    if isinstance(job, web.Response):
        return job
    if job is None:
        return refusal(404, f"Video '{request.match_info['video_id']}' not found.", code="video_not_found")
    fault = state.faults.next("content")
    habits = habits_now(state, fault)
    if habits.clip_signed and jobs.status_of(job, state.now()) == "completed":
        return web.Response(status=302, headers={"Location": f"{clip_url(root_of(request), job)}&signed=here"})
    if habits.content_status is not None:
        return refusal(habits.content_status, "There is no content here.", code="not_found")
    return await served(request, job, fault, habits, request.query.get("variant", "video"))


async def file(request: web.Request) -> web.StreamResponse:
    """Serve the clip at its own URL, which needs no key; a signed one takes none (S3: one auth method per request)."""
    state = request.app[STATE]
    if "signed" in request.query and "Authorization" in request.headers:
        return web.Response(body=_TWO_PROOFS, status=400, content_type="application/xml")
    job = state.books.job(request.match_info["name"].removesuffix(".mp4"))
    if job is None:
        return web.Response(status=404)
    state.books.record_file(FileFetch(job.id, "Authorization" in request.headers))
    fault = state.faults.next("file")
    habits = habits_now(state, fault)
    if preview := request.query.get("preview"):
        return web.Response(
            body=await state.clips.clip(job.prompt, int(preview), job.size, job.id), content_type="video/mp4"
        )
    return await served(request, job, fault, habits, "video")


async def served(
    request: web.Request, job: Job, fault: Fault | None, habits: Habits, variant: str
) -> web.StreamResponse:
    """The clip of a job, or the effect of a fault."""
    state = request.app[STATE]
    if fault is not None and fault.kind == "expired":
        return _gone(int(fault.number("status", 404)))
    if fault is not None and fault.kind == "forbidden":
        return web.Response(body=_LINK_EXPIRED, status=403, content_type="application/xml")
    if fault is not None and fault.kind == "list_instead":
        return listing_instead(request, habits)
    if fault is not None and fault.kind == "of_job":
        job = state.books.job(fault.text("job_id", "")) or job
    answer = await _clip(state, job, variant, habits.preview_seconds)
    if answer.status == 200:
        state.fetches[job.id] += 1
        if state.fetches[job.id] <= habits.clip_404s:
            return _gone(404)
        answer = _bent(answer, habits, fault, state.fetches[job.id] - habits.clip_404s)
    return answer if fault is None else await _troubled(request, answer, fault)


async def _troubled(request: web.Request, answer: web.Response, fault: Fault) -> web.StreamResponse:
    if fault.kind == "truncated":
        return await wire.cut(request, answer, fault.number("share", 0.5))
    if fault.kind == "not_mp4":
        return web.Response(body=b"<html>please sign in</html>", content_type="video/mp4")
    if fault.kind == "file":  # another file than the clip
        return web.Response(body=b64decode(fault.text("base64", "")), content_type="video/mp4")
    return await wire.misbehave(request, fault, answer, request.app[STATE].settings.hang_seconds)


def _bent(answer: web.Response, habits: Habits, fault: Fault | None, fetch: int) -> web.Response:
    kind = fault.kind if fault is not None and fault.kind in BROKEN else habits.clip_lie
    growing = fault is not None and fault.kind == "grows"
    steps = int(fault.number("steps", 3)) if fault is not None and growing else habits.clip_steps
    if kind:
        served = BROKEN[kind](body_of(answer))
        return web.Response(body=served.body, content_type=served.content_type)
    return web.Response(body=grown(body_of(answer), fetch, steps), content_type=answer.content_type)


async def _clip(state: SimulatorState, job: Job, variant: str, preview_seconds: int) -> web.Response:
    now = state.now()
    status = jobs.status_of(job, now)
    if status == "failed" and state.habits.failed_status:
        shown = jobs.view(job, now, state.habits, state.settings.expires_after_seconds)
        return json_answer(shown, state.habits.failed_status)
    if variant != "video":
        return refusal(400, f"Variant '{variant}' is not made here.", code="invalid_value", param="variant")
    seconds = job.seconds
    if preview_seconds and status not in {"completed", "failed"}:
        seconds = preview_seconds
    elif status != "completed":
        return refusal(404, f"Video is not ready yet: it is {status}.", code="video_not_ready")
    elif jobs.expired(job, now, state.settings.expires_after_seconds):
        return _gone(404)
    try:
        clip = await state.clips.clip(job.prompt, seconds, job.size, job.id)
    except ClipExtraMissingError as missing:
        return refusal(501, str(missing), kind="server_error", code="clip_extra_missing")
    return web.Response(body=clip, content_type="video/mp4")


def _gone(status: int) -> web.Response:
    return refusal(status, "The content of this video has expired.", code="video_expired")
