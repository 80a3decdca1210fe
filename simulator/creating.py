"""The door that costs money: `POST /v1/videos`.

In       an order, multipart or JSON
Out      a `video` object, a refusal, or whatever trouble is due
Effects  the books hold the request, its job and its price before one byte of answer leaves
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from simulator import jobs, wire
from simulator.books import Create, Job
from simulator.doors import bearer, fingerprint, turned_away
from simulator.errors import error_body, json_answer, refusal
from simulator.faults import Fault
from simulator.orders import Order, read_fields, read_order
from simulator.world import WORLD, World

RENDER_FAILS = ("render-fails", "render-falla")
RENDER_STUCK = ("render-stuck", "render-atascado")

_WIRE_KIND: Mapping[str, str] = {
    "made_then_drop": "drop",
    "drop_before": "drop",
    "made_then_timeout": "hang",
    "timeout_before": "hang",
    "made_late": "hang",
    "garbage_json": "garbage",
}
_NOT_MADE = frozenset({"drop_before", "timeout_before", "status", "error_body"})
"""Kinds that make no job unless the fault says `made: true`; all others make one."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What the books keep of a request, whatever becomes of it."""

    at: float
    key: str | None
    authorization_fingerprint: str | None
    content_type: str


async def create(request: web.Request) -> web.StreamResponse:
    """Make a job, or say no."""
    world = request.app[WORLD]
    content_type = request.headers.get("Content-Type", "")
    arrival = _Arrival(world.now(), request.headers.get("Idempotency-Key"), fingerprint(bearer(request)), content_type)
    fields = read_fields(await request.read(), content_type)
    order = turned_away(request) or _order(fields, world, content_type)
    if isinstance(order, web.Response):
        _enter(world, arrival, fields or {}, None, outcome=f"refused {order.status}")
        return order
    fault = world.faults.next("create")
    if fault is None:
        job = _enter_made(world, arrival, order, "created")
        return json_answer(_view(world, job))
    return await _troubled(request, world, arrival, order, fault)


def make_job(world: World, order: Order, *, owner: str = "client", age_seconds: float = 0.0) -> Job:
    """A new job, not yet in the books. Its fate is decided by words in the prompt or by a render fault."""
    made_at = world.now() - age_seconds
    job = Job(
        id=f"video_{uuid.uuid4().hex}",
        prompt=order.prompt,
        model=order.model,
        seconds=order.seconds,
        size=order.size,
        made_at=made_at,
        created_at=int(made_at + world.skew_seconds),
        started_at=made_at,
        ready_at=made_at,
        work_seconds=world.settings.render_seconds,
        owner=owner,
    )
    _decide_fate(job, world.faults.next("render") if owner == "client" else None)
    job.ready_at = made_at + job.work_seconds / world.speed
    return job


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


async def _troubled(
    request: web.Request, world: World, arrival: _Arrival, order: Order, fault: Fault
) -> web.StreamResponse:
    made = fault.flag("made", fault.kind not in _NOT_MADE)
    if fault.kind == "made_late":
        # The client may be long gone: the job is made all the same, as behind a slow gateway.
        await asyncio.sleep(fault.number("after", 1.0))
    if made:
        answer = json_answer(_view(world, _enter_made(world, arrival, order, fault.kind)))
    else:
        _enter(world, arrival, _fields(order), None, outcome=fault.kind)
        answer = json_answer(error_body("The simulated provider failed.", kind="server_error"), 500)
    if fault.kind == "id_missing":
        return json_answer({"object": "video", "status": "queued", "created_at": int(world.now())})
    if fault.kind == "error_body":
        return json_answer(error_body("Upstream error, please try again.", kind="server_error"))
    on_the_wire = Fault(fault.target, _WIRE_KIND.get(fault.kind, fault.kind), params=fault.params)
    return await wire.misbehave(request, on_the_wire, answer, world.settings.hang_seconds)


def _order(fields: Mapping[str, str] | None, world: World, content_type: str) -> Order | web.Response:
    if world.habits.json_only and not content_type.startswith("application/json"):
        return refusal(400, "Only application/json bodies are supported.", code="unsupported_content_type")
    if fields is None:
        return refusal(400, "We could not parse the body of your request.", code="invalid_body")
    return read_order(fields, world.settings, world.habits)


def _enter_made(world: World, arrival: _Arrival, order: Order, outcome: str) -> Job:
    job = make_job(world, order)
    _enter(world, arrival, _fields(order), job, outcome=outcome, charged_microusd=order.price_microusd)
    return job


def _enter(
    world: World,
    arrival: _Arrival,
    fields: Mapping[str, str],
    job: Job | None,
    *,
    outcome: str,
    charged_microusd: int = 0,
) -> None:
    entry = Create(
        at=arrival.at,
        key=arrival.key,
        authorization_fingerprint=arrival.authorization_fingerprint,
        prompt=fields.get("prompt"),
        model=fields.get("model"),
        seconds=fields.get("seconds"),
        size=fields.get("size"),
        job_id=None if job is None else job.id,
        outcome_sent=outcome,
        charged_microusd=charged_microusd,
        content_type=arrival.content_type.partition(";")[0],
    )
    world.books.record_create(entry, job)


def _fields(order: Order) -> Mapping[str, str]:
    return {"prompt": order.prompt, "model": order.model, "seconds": str(order.seconds), "size": order.size}


def _view(world: World, job: Job) -> dict[str, object]:
    return jobs.view(job, world.now(), world.habits, world.settings.expires_after_seconds)
