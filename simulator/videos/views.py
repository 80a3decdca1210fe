"""How a job is shown to the client: the true view, changed by the server's habits.

In       a request, a job from the books, the habits of this one answer
Out      the JSON of the job, or the whole answer about it; and the job behind a shown id
"""

import dataclasses
from typing import Any

from aiohttp import web

from simulator.faults.arming import Fault
from simulator.faults.bodies import with_bom
from simulator.settings import Habits
from simulator.state import STATE, SimulatorState
from simulator.videos import jobs, lies
from simulator.videos.books import OPENAI, Job
from simulator.videos.errors import json_answer


def habits_now(state: SimulatorState, fault: Fault | None) -> Habits:
    """The server's habits for one request, with the changes of its fault."""
    changed = lies.habits_of(fault)
    return dataclasses.replace(state.habits, **changed) if changed else state.habits


def shown(
    state: SimulatorState,
    root: str,
    job: Job,
    where: str,
    habits: Habits,
    *,
    at: float | None = None,
    anew: bool = False,
) -> dict[str, Any]:
    """A job as the answer `where` shows it, in its state `at` a given time; `anew` counts towards `failed_looks`.

    `root`: this server's address, as the client wrote it.
    """
    now = state.now() if at is None else at
    video = jobs.view(job, now, habits, state.settings.expires_after_seconds)
    video["id"] = _shown_id(job, where, habits, now)
    if habits.task_ids:
        video["task_id"] = lies.task_id(job.id)
    if anew and video["status"] == "completed" and habits.failed_looks:
        state.looks[job.id] += 1
        if state.looks[job.id] <= habits.failed_looks:
            video |= {"status": "failed", "error": dict(lies.FAILED)}
    if habits.clip_url and video["status"] == "completed":
        lies.add_url(video, habits.clip_url, clip_url(root, job))
    if where not in habits.lies_in:
        return video
    return lies.bent(video, habits, habits.dates_drift_seconds * _answers(state))


def answer_about(request: web.Request, job: Job, where: str, habits: Habits) -> web.Response:
    """The answer of create and retrieve."""
    video = shown(request.app[STATE], root_of(request), job, where, habits, anew=where == "retrieve")
    if habits.task_ids and where == "create":
        return json_answer({name: video[name] for name in ("task_id", "status")})
    # A failed job has an error, whatever this server's word for "failed" is.
    failed = where == "retrieve" and video.get("error") is not None
    status = habits.failed_status if failed and habits.failed_status else 200
    answer = json_answer(lies.enveloped(video, habits.envelope), status, None if where == "create" else aged(habits))
    return with_bom(answer) if habits.bom else answer


def aged(habits: Habits) -> dict[str, str] | None:
    """The headers by which a cache says that its answer is old."""
    age = {"Age": str(habits.cache_age)} if habits.cache_age else {}
    return {**habits.answer_headers, **age} or None


def listing_instead(request: web.Request, habits: Habits) -> web.Response:
    """The list instead of one job or its clip, as from a gateway that loses the end of a path."""
    state, root = request.app[STATE], root_of(request)
    listed = state.books.ordered()[::-1]
    rows = [shown(state, root, job, "list", habits) | {"url": clip_url(root, job)} for job in listed]
    return json_answer({"code": 0, "status": "success", "data": rows})


def root_of(request: web.Request) -> str:
    """This server's address, as the client wrote it."""
    return f"{request.scheme}://{request.host}"


def clip_url(root: str, job: Job) -> str:
    """A signed link to the clip, on this simulator."""
    return f"{root}/_sim/files/{job.id}.mp4?signature={job.id[-8:]}"


def meant(state: SimulatorState, shown_id: str, provider: str = OPENAI) -> Job | None:
    """The provider's job with this id or alias, unless the server has dropped it."""
    job = state.books.job(shown_id) or _by_other_id(state, shown_id)
    inside = lies.unaliased(shown_id) if job is None else None
    job = job if inside is None else state.books.job(inside)
    if job is None or job.provider != provider or forgotten(state, job):
        return None
    return job


def forgotten(state: SimulatorState, job: Job) -> bool:
    """Whether the server has dropped the record of a job, so that a retrieve says 404."""
    habits = state.habits
    old = habits.record_seconds is not None and state.now() >= job.made_at + habits.record_seconds
    return old or (habits.forgotten_are_404 and job.made_at < habits.forgotten_before)


def _by_other_id(state: SimulatorState, shown_id: str) -> Job | None:
    if not (state.habits.task_ids or state.habits.integer_ids):
        return None
    named = (job for job in state.books.ordered() if shown_id in {lies.task_id(job.id), str(lies.number(job.id))})
    return next(named, None)


def _shown_id(job: Job, where: str, habits: Habits, now: float) -> str | int:
    if habits.integer_ids:
        return lies.number(job.id)
    if habits.asset_ids and where == "list" and jobs.status_of(job, now) == "completed":
        return f"asset_{job.id.removeprefix('video_')}"
    if where in habits.lies_in and job.id in habits.renamed:
        return habits.renamed[job.id]
    if habits.aliased_ids:
        # LiteLLM encodes the model in the id that create returns; retrieve and list requests name no model.
        return lies.alias(job.id, job.model if where == "create" else "")
    if habits.strange_ids and where == "retrieve":
        return f"gw_{job.id.removeprefix('video_')}"
    return job.id


def _answers(state: SimulatorState) -> int:
    return state.books.reads + len(state.books.creates)
