"""The route that costs money: `POST /v1/videos`.

In       an order, multipart or JSON
Out      a `video` object, a refusal, or the effect of a fault
Effects  the request, its job and its price are in the books before the first byte of the answer is sent
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from simulator.auth import bearer, fingerprint, turned_away
from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.state import STATE, SimulatorState
from simulator.videos.books import Create, Job
from simulator.videos.errors import error_body, json_answer, refusal, refused_as
from simulator.videos.making import make_failed_job, make_job
from simulator.videos.neighbours import join, repeat, repeat_later
from simulator.videos.orders import Order, read_fields, read_order
from simulator.videos.views import answer_about, habits_now

_WIRE_KIND: Mapping[str, str] = {
    "made_then_drop": "drop",
    "drop_before": "drop",
    "made_then_timeout": "hang",
    "timeout_before": "hang",
    "made_late": "hang",
    "garbage_json": "garbage",
}
_NOT_MADE = frozenset({"drop_before", "timeout_before", "status", "error_body", "refused"})
"""Kinds that make no job unless the fault says `made: true`; all others make one."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What the books record of every request."""

    at: float
    key: str | None
    authorization_fingerprint: str | None
    content_type: str


async def create(request: web.Request) -> web.StreamResponse:
    """Make a job, or refuse."""
    state = request.app[STATE]
    content_type = request.headers.get("Content-Type", "")
    arrival = _Arrival(state.now(), request.headers.get("Idempotency-Key"), fingerprint(bearer(request)), content_type)
    fields = read_fields(await request.read(), content_type)
    order = turned_away(request) or _order(fields, state, content_type)
    if isinstance(order, web.Response):
        _enter(state, arrival, fields or {}, None, outcome=f"refused {order.status}")
        return order
    fault = state.faults.next("create")
    if fault is None:
        job = _enter_made(state, arrival, order, "created")
        return answer_about(request, job, "create", state.habits)
    return await _troubled(request, state, arrival, order, fault)


async def _troubled(
    request: web.Request, state: SimulatorState, arrival: _Arrival, order: Order, fault: Fault
) -> web.StreamResponse:
    if fault.kind == "made_late":
        # The client may be gone by then: the job is made anyway, as behind a slow gateway.
        await asyncio.sleep(fault.number("after", 1.0))
    job = _enter_troubled(state, arrival, order, fault)
    if fault.kind == "repeated_by_proxy":
        job = await _repeated(state, order, fault, job)
    if job is None:
        answer = json_answer(error_body("The simulated provider failed.", kind="server_error"), 500)
    else:
        answer = answer_about(request, job, "create", habits_now(state, fault))
    if (other := _other_answer(state, fault, arrival.key or "")) is not None:
        return other
    kind = "status" if fault.flag("lost", False) else _WIRE_KIND.get(fault.kind, fault.kind)
    on_the_wire = Fault(fault.target, kind, params=fault.params)
    return await wire.misbehave(request, on_the_wire, answer, state.settings.hang_seconds)


def _enter_troubled(state: SimulatorState, arrival: _Arrival, order: Order, fault: Fault) -> Job | None:
    if not fault.flag("made", fault.kind not in _NOT_MADE):
        _enter(state, arrival, _fields(order), None, outcome=fault.kind)
        return None
    if fault.kind != "failed_job":
        return _enter_made(state, arrival, order, fault.kind)
    job = make_failed_job(state, order, fault)
    _enter(state, arrival, _fields(order), job, outcome=fault.kind, charged_microusd=order.price_microusd)
    if fault.flag("forgotten", False):
        job.deleted = True
        state.books.record_job(job)
    return job


async def _repeated(state: SimulatorState, order: Order, fault: Fault, first: Job | None) -> Job | None:
    """A proxy retries the POST; the client gets the first job or the second."""
    after = fault.number("after", 1.0)
    if fault.text("answer", "first") == "second":
        return await repeat(state, order, after)
    repeat_later(state, order, after)
    return first


def _other_answer(state: SimulatorState, fault: Fault, key: str) -> web.Response | None:
    """Answers to a create that do not show its job."""
    match fault.kind:
        case "id_missing":
            return json_answer({"object": "video", "status": "queued", "created_at": int(state.now())})
        case "error_body":
            return json_answer(error_body("Upstream error, please try again.", kind="server_error"))
        case "echoes_key":
            return json_answer({"id": _written(key, fault.text("form", "")), "object": "video", "status": "queued"})
        case "refused":
            return refused_as(fault.text("name", "content_policy_violation"))
        case "gateway_retried":
            return _after_retries(fault)
        case _:
            return None


def _written(key: str, form: str) -> str:
    """The client's key in another server's UUID notation."""
    return {"upper": key.upper(), "bare": key.replace("-", "")}.get(form, key)


def _after_retries(fault: Fault) -> web.Response:
    """A gateway's refusal after its own retries, one of which made a job."""
    litellm = {
        "x-litellm-attempted-retries": str(int(fault.number("retries", 2))),
        "x-litellm-attempted-fallbacks": str(int(fault.number("fallbacks", 0))),
    }
    headers = fault.params.get("headers", litellm)
    words = {"error": {"message": "litellm.BadRequestError: invalid request", "type": None, "code": "400"}}
    return json_answer(words, int(fault.number("status", 400)), headers)


def _order(fields: Mapping[str, str] | None, state: SimulatorState, content_type: str) -> Order | web.Response:
    if state.habits.json_only and not content_type.startswith("application/json"):
        return refusal(400, "Only application/json bodies are supported.", code="unsupported_content_type")
    if fields is None:
        return refusal(400, "We could not parse the body of your request.", code="invalid_body")
    return read_order(fields, state.settings, state.habits)


def _enter_made(state: SimulatorState, arrival: _Arrival, order: Order, outcome: str) -> Job:
    job = make_job(state, order)
    _enter(state, arrival, _fields(order), job, outcome=outcome, charged_microusd=order.price_microusd)
    join(state, order, state.habits.neighbours)
    return job


def _enter(
    state: SimulatorState,
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
    state.books.record_create(entry, job)


def _fields(order: Order) -> Mapping[str, str]:
    return {"prompt": order.prompt, "model": order.model, "seconds": str(order.seconds), "size": order.size}
