"""Makes jobs and decides how they end.

In       an order, who ordered it, how long ago
Out      `Job`, not yet in the books
Effects  the client's own jobs use up render faults
"""

import uuid

from simulator.faults.arming import Fault
from simulator.state import SimulatorState
from simulator.videos.books import Job
from simulator.videos.orders import Order

RENDER_FAILS = ("render-fails", "render-falla")
RENDER_STUCK = ("render-stuck", "render-atascado")


def make_job(
    state: SimulatorState, order: Order, *, owner: str = "client", age_seconds: float = 0.0, job_id: str | None = None
) -> Job:
    """A new job. Words in the prompt or a render fault decide how it ends."""
    made_at = state.now() - age_seconds
    job = Job(
        id=job_id or state.new_ids.get(order.provider, _new_id)(),
        prompt=order.prompt,
        model=order.model,
        seconds=order.seconds,
        size=order.size,
        made_at=made_at,
        created_at=int(made_at + state.skew_seconds),
        started_at=made_at,
        ready_at=made_at,
        work_seconds=state.settings.render_seconds,
        owner=owner,
        provider=order.provider,
        input=dict(order.input),
        own_id=order.own_id,
        callback_url=order.callback_url,
    )
    _decide_fate(job, state.faults.next("render") if owner == "client" else None)
    job.ready_at = made_at + job.work_seconds / state.speed
    return job


def make_failed_job(state: SimulatorState, order: Order, fault: Fault) -> Job:
    """A job that has already failed when its create is answered."""
    job = make_job(state, order, job_id=order.job_id)
    job.fate, job.ready_at = "fails", job.made_at
    job.error_code = fault.text("code", job.error_code)
    job.error_message = fault.text("message", job.error_message)
    return job


def _new_id() -> str:
    return f"video_{uuid.uuid4().hex}"


def _decide_fate(job: Job, fault: Fault | None) -> None:
    prompt = job.prompt.lower()
    if any(word in prompt for word in RENDER_FAILS):
        job.fate = "fails"
    elif any(word in prompt for word in RENDER_STUCK):
        job.fate = "stuck"
    match fault:
        case Fault(kind="fails"):
            job.fate = "fails"
            job.error_code = fault.text("code", job.error_code)
            job.error_message = fault.text("message", job.error_message)
        case Fault(kind="stuck"):
            job.fate = "stuck"
        case Fault(kind="unknown_status"):
            job.fate, job.status_word = "unknown_status", fault.text("status", job.status_word)
        case Fault(kind="slow"):
            job.work_seconds *= fault.number("factor", 3.0)
        case _:
            pass
