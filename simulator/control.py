"""The control API for tests, `/_sim/...`: reads the books, arms faults. The product never calls it.

In       JSON control calls
Out      the books, the armed faults, the current settings
Effects  arms faults, adds foreign jobs, changes speed, clock and habits
"""

import dataclasses
import json
from typing import Any

from aiohttp import web

from simulator.faults.arming import Fault
from simulator.settings import INSTANT, Habits, parse_speed
from simulator.state import STATE, SimulatorState
from simulator.videos import jobs
from simulator.videos.books import OPENAI, Job
from simulator.videos.errors import REFUSALS, json_answer, refusal
from simulator.videos.lies import habits_of
from simulator.videos.making import make_job
from simulator.videos.orders import Order

_TRUTHFUL = Habits()
_FAULT_WORDS = ("target", "kind", "times", "skip", "always")


def add_control(app: web.Application) -> None:
    """Mount the control routes."""
    app.router.add_get("/_sim/health", health)
    app.router.add_get("/_sim/books", books)
    app.router.add_get("/_sim/faults", faults)
    app.router.add_post("/_sim/faults", arm)
    app.router.add_delete("/_sim/faults", calm)
    app.router.add_get("/_sim/jobs", all_jobs)
    app.router.add_post("/_sim/jobs", foreign_job)
    app.router.add_post("/_sim/clock", clock)
    app.router.add_post("/_sim/speed", speed)
    app.router.add_post("/_sim/habits", habits)
    app.router.add_delete("/_sim/habits", usual_habits)
    app.router.add_post("/_sim/restart", restart)


async def health(request: web.Request) -> web.Response:
    """Health check, with the current settings."""
    return json_answer({"ok": True} | _state(request.app[STATE]))


async def books(request: web.Request) -> web.Response:
    """Show the books; `?entries=0` leaves out the single requests."""
    entries = request.query.get("entries", "1") != "0"
    return json_answer(request.app[STATE].books.as_json(entries=entries))


async def faults(request: web.Request) -> web.Response:
    """List the armed faults, and how many requests met each kind."""
    return json_answer(request.app[STATE].faults.as_json())


async def arm(request: web.Request) -> web.Response:
    """Arm one fault, or draw faults from a new seed: {"seed": n, "rates": {target: probability}}."""
    box = request.app[STATE].faults
    body = await _body(request)
    try:
        if "rates" in body:
            box.seed(body.get("seed"), {target: float(rate) for target, rate in body["rates"].items()})
        else:
            box.arm(_checked(_fault(body)))
    except (ValueError, TypeError, AttributeError) as wrong:
        return refusal(400, str(wrong))
    return json_answer(box.as_json())


async def calm(request: web.Request) -> web.Response:
    """Clear all faults, armed and drawn."""
    box = request.app[STATE].faults
    box.clear()
    return json_answer(box.as_json())


async def all_jobs(request: web.Request) -> web.Response:
    """List every job, deleted ones too, with its owner and how it ends."""
    state = request.app[STATE]
    return json_answer({"jobs": [_job_json(state, job) for job in state.books.jobs.values()]})


async def foreign_job(request: web.Request) -> web.Response:
    """Add a job that somebody else ordered with the same key."""
    state = request.app[STATE]
    body = await _body(request)
    try:
        order = Order(
            prompt=str(body.get("prompt", "somebody else's video")),
            model=str(body.get("model", next(iter(state.settings.models)))),
            seconds=int(body.get("seconds", 4)),
            size=str(body.get("size", "720x1280")),
            price_microusd=0,
            provider=str(body.get("provider", OPENAI)),
            input=dict(body.get("input", {})),
        )
        age_seconds = -float(body.get("created_at_offset", 0))
    except (ValueError, TypeError) as wrong:
        return refusal(400, str(wrong))
    owner, job_id = str(body.get("by", "somebody else")), body.get("id")
    job = make_job(state, order, owner=owner, age_seconds=age_seconds, job_id=job_id and str(job_id))
    state.books.record_job(job)
    return json_answer(_job_json(state, job))


async def clock(request: web.Request) -> web.Response:
    """Set the provider's clock ahead or back."""
    state = request.app[STATE]
    try:
        state.skew_seconds = float((await _body(request)).get("skew_seconds", 0))
    except (ValueError, TypeError) as wrong:
        return refusal(400, str(wrong))
    return json_answer(_state(state))


async def speed(request: web.Request) -> web.Response:
    """Change the speed, of running renders too."""
    state = request.app[STATE]
    try:
        state.speed = parse_speed((await _body(request)).get("speed", 1))
    except (ValueError, TypeError) as wrong:
        return refusal(400, str(wrong))
    now = state.now()
    for job in state.books.jobs.values():
        if now < job.ready_at:
            jobs.retime(job, now, state.speed)
            state.books.record_job(job)
    return json_answer(_state(state))


async def habits(request: web.Request) -> web.Response:
    """Change how answers differ from the protocol; fields not named keep their value."""
    state = request.app[STATE]
    body = await _body(request)
    known = {field.name for field in dataclasses.fields(Habits)}
    if unknown := sorted(set(body) - known):
        return refusal(400, f"unknown habits {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    try:
        state.habits = dataclasses.replace(state.habits, **body)
    except (ValueError, TypeError) as wrong:
        return refusal(400, str(wrong))
    return json_answer(_state(state))


async def usual_habits(request: web.Request) -> web.Response:
    """Restore the habits that the simulator was started with."""
    state = request.app[STATE]
    state.habits = state.settings.habits
    return json_answer(_state(state))


async def restart(request: web.Request) -> web.Response:
    """Drop every job so far from the list or, with {"are_404": true}, from every answer; the books keep them."""
    state = request.app[STATE]
    lost = bool((await _body(request)).get("are_404", False))
    state.habits = dataclasses.replace(state.habits, forgotten_before=state.now(), forgotten_are_404=lost)
    return json_answer(_state(state))


def _fault(body: dict[str, Any]) -> Fault:
    times = None if body.get("always") else body.get("times", 1)
    params = {name: value for name, value in body.items() if name not in _FAULT_WORDS}
    return Fault(
        target=str(body.get("target")),
        kind=str(body.get("kind")),
        times=None if times is None else int(times),
        skip=int(body.get("skip", 0)),
        params=params,
    )


def _checked(fault: Fault) -> Fault:
    """Check the fault's parameters now, so that a bad one does not fail in the middle of a request."""
    Habits(**habits_of(fault))
    if fault.kind == "refused" and (name := fault.text("name", next(iter(REFUSALS)))) not in REFUSALS:
        raise ValueError(f"unknown refusal {name!r}; known: {', '.join(REFUSALS)}")
    return fault


def _job_json(state: SimulatorState, job: Job) -> dict[str, Any]:
    shown = jobs.view(job, state.now(), _TRUTHFUL, state.settings.expires_after_seconds)
    books = {"owner": job.owner, "fate": job.fate, "deleted": job.deleted, "made_at": job.made_at}
    return shown | books | {"provider": job.provider, "input": job.input}


def _state(state: SimulatorState) -> dict[str, Any]:
    pace = "instant" if state.speed == INSTANT else state.speed
    return {"speed": pace, "skew_seconds": state.skew_seconds, "habits": dataclasses.asdict(state.habits)}


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="a control call takes a JSON object")
    return body
