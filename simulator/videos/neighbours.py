"""Jobs on the same key that the client did not order: other clients' jobs, and a proxy's retries.

In       the order they resemble
Effects  adds jobs to the books with their owner; these jobs exist for real
"""

import asyncio
import dataclasses

from simulator.faults.arming import Fault
from simulator.state import SimulatorState
from simulator.videos.books import Job
from simulator.videos.making import make_job
from simulator.videos.orders import Order

SOMEBODY = "somebody else"
PROXY = "proxy"


def arrive(state: SimulatorState, count: int, order: Order | None = None) -> None:
    """Add `count` jobs of another client."""
    for number in range(count):
        wanted = order or _order(state, f"somebody else's video {number}")
        state.books.record_job(make_job(state, wanted, owner=SOMEBODY))


def foreign_order(state: SimulatorState, fault: Fault) -> Order | None:
    """The order of a foreign job: the client's last one if `same`, else one with the given prompt."""
    ours = [job for job in state.books.ordered() if job.owner == "client"]
    if fault.flag("same", False) and ours:
        last = ours[-1]
        return Order(last.prompt, last.model, last.seconds, last.size, 0)
    return _order(state, fault.text("prompt", "")) if "prompt" in fault.params else None


def join(state: SimulatorState, order: Order, neighbour: str) -> None:
    """Add a foreign job next to the client's order, if the habit asks for one."""
    match neighbour:
        case "same":
            arrive(state, 1, order)
        case "similar":
            arrive(state, 1, dataclasses.replace(order, size="1280x720" if order.size == "720x1280" else "720x1280"))
        case "other":
            arrive(state, 1)
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
    task = asyncio.create_task(_repeat(state, order, after))
    state.repeats.add(task)
    task.add_done_callback(state.repeats.discard)


async def _repeat(state: SimulatorState, order: Order, after: float) -> None:
    await repeat(state, order, after)


def _order(state: SimulatorState, prompt: str) -> Order:
    return Order(prompt, next(iter(state.settings.models)), 4, "720x1280", 0)
