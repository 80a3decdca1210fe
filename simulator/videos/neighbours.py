"""Jobs on the same key that the client did not order: other clients' jobs, and a proxy's retries.

In       the order they resemble
Effects  adds jobs to the books with their owner; these jobs exist for real
"""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

from simulator.faults.arming import Fault
from simulator.state import SimulatorState
from simulator.videos.books import OPENAI, Job
from simulator.videos.making import make_job
from simulator.videos.orders import Order

SOMEBODY = "somebody else"
PROXY = "proxy"


def arrive(state: SimulatorState, count: int, order: Order | None = None, *, provider: str = OPENAI) -> None:
    """Add `count` jobs of another client."""
    for number in range(count):
        wanted = order or _order(state, f"somebody else's video {number}", provider)
        state.books.record_job(make_job(state, wanted, owner=SOMEBODY))


def foreign_order(state: SimulatorState, fault: Fault, provider: str = OPENAI) -> Order | None:
    """The order of a foreign job: the client's last one if `same`, else one with the given prompt."""
    last = _last(state, provider)
    if fault.flag("same", False) and last is not None:
        return Order(last.prompt, last.model, last.seconds, last.size, 0, provider, last.input)
    return _order(state, fault.text("prompt", ""), provider) if "prompt" in fault.params else None


def join(state: SimulatorState, order: Order, neighbour: str) -> None:
    """Add a foreign job next to the client's order, if the habit asks for one."""
    theirs = dataclasses.replace(order, own_id=None, callback_url=None, job_id=None)
    match neighbour:
        case "same":
            arrive(state, 1, theirs)
        case "similar":
            size = "1280x720" if order.size == "720x1280" else "720x1280"
            arrive(state, 1, dataclasses.replace(theirs, size=size, input=_turned(order.input)))
        case "other":
            arrive(state, 1, provider=order.provider)
        case _:
            pass


async def repeat(state: SimulatorState, order: Order, after: float) -> Job:
    """Add the job that a proxy's retry of the client's request makes."""
    await asyncio.sleep(after)
    job = make_job(state, order, owner=PROXY)
    state.books.record_job(job)
    return job


def repeat_later(state: SimulatorState, order: Order, after: float) -> None:
    """Do the same in the background, after the client got its answer."""
    state.in_background(_repeat(state, order, after))


async def _repeat(state: SimulatorState, order: Order, after: float) -> None:
    await repeat(state, order, after)


def _order(state: SimulatorState, prompt: str, provider: str) -> Order:
    """An order of somebody else, of the model that was ordered last: some providers list each model by itself."""
    last = None if provider == OPENAI else _last(state, provider)
    if last is None:
        return Order(prompt, next(iter(state.settings.models)), 4, "720x1280", 0, provider)
    theirs = with_prompt(last.input, last.prompt, prompt)
    return Order(prompt, last.model, last.seconds, last.size, 0, provider, theirs)


def _last(state: SimulatorState, provider: str) -> Job | None:
    """The client's last job."""
    return next((job for job in reversed(state.books.ordered(provider)) if job.owner == "client"), None)


def with_prompt(value: Any, ordered: str, other: str | None) -> Any:
    """An echoed input, in which another prompt stands wherever the ordered one did."""
    if isinstance(value, Mapping):
        return {name: with_prompt(each, ordered, other) for name, each in value.items()}
    if isinstance(value, list):
        return [with_prompt(each, ordered, other) for each in value]
    return other if value == ordered else value


def _turned(asked: Mapping[str, Any]) -> dict[str, Any]:
    """An input for the other orientation."""
    other = {"9:16": "16:9", "16:9": "9:16", "720:1280": "1280:720", "1280:720": "720:1280"}
    return {name: other.get(value, value) if isinstance(value, str) else value for name, value in asked.items()}
