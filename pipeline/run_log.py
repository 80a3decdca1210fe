"""One log line per step of a run, for log collectors. The record is the ledger's events; log lines may be lost.

In       the step's name, the run after the step
Out      an INFO record `step` with `action` (the step), `run` (its ref), `state`, and further known fields
Effects  logging only. A line never contains a prompt, a caption or a user's name.
"""

import logging
import time
from collections.abc import Awaitable

from pipeline.ledger.records import Run
from steps.check_limits import Admitted, Refused

log = logging.getLogger(__name__)


def note(step: str, run: Run, **more: object) -> None:
    said = {"action": step, "run": run.ref, "state": run.state.value, "why": run.reason or run.doubt, **more}
    log.info("step", extra={name: value for name, value in said.items() if value is not None})


async def step(name: str, before: Run, work: Awaitable[Run]) -> Run:
    """Does the work, and logs it if the run's state changed. `ms` is the duration."""
    begun = time.monotonic()
    run = await work
    if run.state is not before.state or run.parked != before.parked:
        note(name, run, ms=round(1000 * (time.monotonic() - begun)), parked=run.parked or None)
    return run


def admission(answer: Admitted | Refused) -> None:
    if isinstance(answer, Refused):
        log.info("step", extra={"action": "check_limits", "answer": answer.kind.value})
    else:
        said = "replayed" if answer.replayed else "accepted"
        log.info("step", extra={"action": "check_limits", "run": answer.ref, "answer": said})
