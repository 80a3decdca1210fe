"""What every create request costs, and which faults it meets, in any provider's protocol.

In       an order, and how the protocol answers
Out      the protocol's answer, a refusal, or the effect of a fault
Effects  the request, its job and its price are in the books before the first byte of the answer is sent
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from simulator.auth import fingerprint
from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.settings import Habits
from simulator.state import STATE, SimulatorState
from simulator.videos.books import Create, Job
from simulator.videos.errors import json_answer, refused_as
from simulator.videos.making import make_failed_job, make_job
from simulator.videos.neighbours import join, repeat, repeat_later
from simulator.videos.orders import Order
from simulator.videos.views import habits_now

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
class Arrival:
    """What the books record of every request."""

    at: float
    key: str | None
    authorization_fingerprint: str | None
    content_type: str
    provider: str


@dataclass(frozen=True, slots=True)
class CreateAnswers:
    """The answers of one protocol to a create.

    `made`: the job. `error`: an error with this status. `idless`: the answer without the job's id. `named`: the answer
    with another id in its place. `repeated`: what a second copy of the request hears, where the first one's id is known
    again; None where each copy makes a job.
    """

    made: Callable[[web.Request, Job, Habits], web.Response]
    error: Callable[[int, str], web.Response]
    idless: Callable[[web.Response], web.Response]
    named: Callable[[web.Response, str], web.Response]
    repeated: Callable[[web.Request, Job, Habits], web.Response] | None = None


def arrival_of(request: web.Request, key: str | None, provider: str) -> Arrival:
    """What the books record of this request; `key`: the API key."""
    content_type = request.headers.get("Content-Type", "")
    at, repeat_key = request.app[STATE].now(), request.headers.get("Idempotency-Key")
    return Arrival(at, repeat_key, fingerprint(key), content_type, provider)


async def buy(
    request: web.Request,
    answers: CreateAnswers,
    arrival: Arrival,
    order: Order | Job | web.Response,
    fields: Mapping[str, str],
) -> web.StreamResponse:
    """Make a job; an order that is a response is refused with it, one that is a job repeats that job's order."""
    state = request.app[STATE]
    if isinstance(order, web.Response):
        _enter(state, arrival, fields, None, outcome=f"refused {order.status}")
        return order
    if isinstance(order, Job):
        _enter(state, arrival, fields, None, outcome="replayed")
        return answers.made(request, order, state.habits)
    fault = state.faults.next("create")
    if fault is None:
        job = _enter_made(state, arrival, order, "created")
        return answers.made(request, job, state.habits)
    return await _troubled(request, answers, arrival, order, fault)


async def _troubled(
    request: web.Request, answers: CreateAnswers, arrival: Arrival, order: Order, fault: Fault
) -> web.StreamResponse:
    state = request.app[STATE]
    if fault.kind == "made_late":
        # The client may be gone by then: the job is made anyway, as behind a slow gateway.
        await asyncio.sleep(fault.number("after", 1.0))
    job = _enter_troubled(state, arrival, order, fault)
    known_again = fault.kind == "repeated_by_proxy" and answers.repeated is not None
    if fault.kind == "repeated_by_proxy" and not known_again:
        job = await _repeated(state, order, fault, job)
    if job is None:
        answer = answers.error(500, "The simulated provider failed.")
    elif known_again and answers.repeated is not None and fault.text("answer", "first") == "second":
        answer = answers.repeated(request, job, habits_now(state, fault))
    else:
        answer = answers.made(request, job, habits_now(state, fault))
    if (other := _other_answer(answers, answer, fault, arrival.key or "")) is not None:
        return other
    kind = "status" if fault.flag("lost", False) else _WIRE_KIND.get(fault.kind, fault.kind)
    on_the_wire = Fault(fault.target, kind, params=fault.params)
    return await wire.misbehave(request, on_the_wire, answer, state.settings.hang_seconds, answers.error)


def _enter_troubled(state: SimulatorState, arrival: Arrival, order: Order, fault: Fault) -> Job | None:
    if not fault.flag("made", fault.kind not in _NOT_MADE):
        billed = order.price_microusd if fault.flag("billed", False) else 0
        _enter(state, arrival, fields_of(order), None, outcome=fault.kind, charged_microusd=billed)
        return None
    if fault.kind != "failed_job":
        return _enter_made(state, arrival, order, fault.kind)
    job = make_failed_job(state, order, fault)
    _enter(state, arrival, fields_of(order), job, outcome=fault.kind, charged_microusd=order.price_microusd)
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


def _other_answer(answers: CreateAnswers, answer: web.Response, fault: Fault, key: str) -> web.Response | None:
    """Answers to a create that do not show its job."""
    match fault.kind:
        case "id_missing":
            return answers.idless(answer)
        case "error_body":
            return answers.error(200, "Upstream error, please try again.")
        case "echoes_key":
            return answers.named(answer, _written(key, fault.text("form", "")))
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


def _enter_made(state: SimulatorState, arrival: Arrival, order: Order, outcome: str) -> Job:
    job = make_job(state, order, job_id=order.job_id)
    _enter(state, arrival, fields_of(order), job, outcome=outcome, charged_microusd=order.price_microusd)
    join(state, order, state.habits.neighbours)
    return job


def _enter(
    state: SimulatorState,
    arrival: Arrival,
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
        provider=arrival.provider,
    )
    state.books.record_create(entry, job)


def fields_of(order: Order) -> Mapping[str, str]:
    """What the books record of an order."""
    return {"prompt": order.prompt, "model": order.model, "seconds": str(order.seconds), "size": order.size}
