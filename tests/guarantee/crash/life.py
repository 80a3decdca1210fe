"""One life of a run in its own process: forked, watched, and ended at a given point.

In       a request (user and prompt), and where this life ends
Out      a process; its log of points, its notifications, and its stderr are files
Effects  those of a run; a life that is not killed runs until the run has ended and its user was notified
"""

import asyncio
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.cancellation import stop
from pipeline.context import RunContext
from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.purchase.submission import replay_answers
from pipeline.run import admit, run
from pipeline.settings.parts import Waits
from pipeline.worker import Pace, open_engine
from steps.check_limits import Admitted, Request
from tests.guarantee.crash.trace_points import End, TracePoints
from tests.support.fixtures import PROVES_ABSENCE, SOON_OVER, Simulator, open_test_context, order_request, quick_waits

LIFE_SECONDS = 60.0
# No other process competes for a run of the matrix, and each further heartbeat would change its points.
UNATTENDED = {"ATTEND_SECONDS": "60"}
PACE = Pace(concurrency=2, heartbeat_seconds=0.1, stalled_seconds=0.5, sweep_seconds=0.15)


@dataclass(frozen=True)
class Place:
    """The environment of lives: the database, the simulator, and whether a worker with its queue processes the run."""

    dsn: str
    sim: Simulator
    worker: bool = False
    live: "Callable[[Subject, Place], Coroutine[Any, Any, None]] | None" = None  # how a life is lived, if not as below

    @property
    def waits(self) -> Waits:
        return quick_waits(**SOON_OVER) if self.worker else quick_waits(**SOON_OVER | UNATTENDED)


@dataclass(frozen=True)
class Subject:
    """One run, through all its lives: its request and its data folder."""

    request: Request
    home: Path

    @property
    def told(self) -> Path:
        return self.home / "told"

    def log(self, life: int) -> Path:
        return self.home / f"life{life}.points"

    def points(self, life: int) -> list[str]:
        return self.log(life).read_text().splitlines() if self.log(life).exists() else []

    def said(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.home.glob("*.stderr")))[-2000:]


def new_subject(place: Place, folder: Path, name: str) -> Subject:
    """A user and a prompt that no other run has."""
    home = folder / uuid4().hex[:12]
    home.mkdir(parents=True)
    (home / "name").write_text(name)
    user = f"cli:{home.name}"
    prompt, audience = f"a paper boat number {home.name}", {"kind": "file"}
    return Subject(order_request(place.sim, prompt, user_id=user, key=user, audience=audience), home)


def begin(subject: Subject, place: Place, life: int, end: End | None = None) -> int:
    """Start a new life; returns its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        _quieten(subject.home / f"life{life}.stderr")
        TracePoints(subject.home, subject.log(life), end).watch()
        asyncio.run((place.live or live)(subject, place))
        code = 0
    except BaseException:  # noqa: BLE001 - top level of a process: recorded, and never raised into the parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _quieten(stderr: Path) -> None:
    descriptor = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


async def live(subject: Subject, place: Place) -> None:
    """Process a request from its beginning, as after every crash."""
    async with open_test_context(place.dsn, place.sim, subject.home, place.waits, **PROVES_ABSENCE) as context:
        await replay_answers(context)
        admitted = await admit(replace(subject.request, call_id=uuid4()), context.ledger)
        assert isinstance(admitted, Admitted), admitted
        if place.worker:
            await _worked(admitted, subject, place, context)
        else:
            await tell(subject, await _carried(admitted, context), context)


async def tell(subject: Subject, row: Run, context: RunContext) -> Run:
    """The simplest notification: a line in a file."""
    if row.told_state is row.state:
        return row
    with subject.told.open("a") as file:
        file.write(f"{row.state.value}\n")
    return await context.ledger.mark_notified(row.run_id, row.state)


async def _worked(admitted: Admitted, subject: Subject, place: Place, context: RunContext) -> None:
    """Enqueue the run, and let a worker in this process finish it and notify its user."""
    known = asyncio.Event()

    async def tell_and_know(row: Run) -> None:
        if (await tell(subject, row, context)).ended:
            known.set()

    row = await context.ledger.load(admitted.run_id)
    if row is None or (row.ended and row.told_state is row.state):
        return
    async with open_engine(place.dsn, pool_max=4) as engine:
        await engine.enqueue(admitted.run_id)
        work = asyncio.create_task(engine.work(context, tell_and_know, PACE))
        await asyncio.wait_for(known.wait(), LIFE_SECONDS)
        await asyncio.sleep(PACE.sweep_seconds)  # until the job is removed, too
        await stop(work)


async def _carried(admitted: Admitted, context: RunContext) -> Run:
    """Call `run` until the run has ended; for a parked run whenever it is due, as the sweep does."""
    until = time.monotonic() + LIFE_SECONDS
    while True:
        with contextlib.suppress(LedgerUnavailable):
            row = await run(admitted.run_id, context)
            assert row is not None
            if row.ended or row.next_look_at == "infinity":
                return row
        assert time.monotonic() < until, "the run never ended"
        await asyncio.sleep(0.05)
