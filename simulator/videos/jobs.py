"""How a job looks from outside at a given time, and how long it takes. Pure.

In       a job, the time, the server's habits
Out      its status, and the JSON of `video` objects
"""

from typing import Any

from simulator.settings import Habits
from simulator.videos.books import Job

QUEUED_SHARE = 0.1
"""The part of a render that is spent waiting in the queue."""


def status_of(job: Job, now: float) -> str:
    """queued, in_progress, completed, failed, or a word unknown to the protocol."""
    if job.fate == "unknown_status":
        return job.status_word
    if now >= job.ready_at and job.fate != "stuck":
        return "failed" if job.fate == "fails" else "completed"
    return "queued" if share_done(job, now) < QUEUED_SHARE else "in_progress"


def share_done(job: Job, now: float) -> float:
    """The part of the render that is done, 0 to 1."""
    whole = job.ready_at - job.started_at
    return 1.0 if whole <= 0 else min(1.0, max(0.0, (now - job.started_at) / whole))


def progress_of(job: Job, now: float) -> int:
    """Percent, as the provider shows it: none while queued, 100 only when completed."""
    status = status_of(job, now)
    if status == "completed":
        return 100
    share = (share_done(job, now) - QUEUED_SHARE) / (1 - QUEUED_SHARE)
    return 0 if status == "queued" else max(0, min(99, int(100 * share)))


def expired(job: Job, now: float, expires_after_seconds: float) -> bool:
    """Whether the clip of a completed job is gone."""
    return now >= job.ready_at + expires_after_seconds


def retime(job: Job, now: float, speed: float) -> None:
    """Change the speed of the rest of an unfinished render, keeping what is done."""
    if now >= job.ready_at:
        return
    left = (1 - share_done(job, now)) * job.work_seconds / speed
    job.ready_at = now + left
    job.started_at = job.ready_at - job.work_seconds / speed


def view(job: Job, now: float, habits: Habits, expires_after_seconds: float) -> dict[str, Any]:
    """The `video` object of create, retrieve and list."""
    status = status_of(job, now)
    error = {"code": job.error_code, "message": job.error_message} if status == "failed" else None
    if habits.sparse:
        short: dict[str, Any] = {"id": job.id, "status": status, "created_at": job.created_at}
        return short if error is None else short | {"error": error}
    # The shown clock may be skewed; the difference between its times is not.
    completed_at = job.created_at + int(job.ready_at - job.made_at) if status == "completed" else None
    return {
        "id": job.id,
        "object": "video",
        "model": habits.model_prefix + job.model,
        "status": status,
        "progress": progress_of(job, now),
        "created_at": job.created_at,
        "completed_at": completed_at,
        "expires_at": None if completed_at is None else completed_at + int(expires_after_seconds),
        "prompt": None if habits.null_prompts else job.prompt,
        "size": job.size,
        "seconds": str(job.seconds),
        "remixed_from_video_id": None,
        "error": error,
    }
