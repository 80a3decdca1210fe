"""The processes of a seed: forked from a parent that has imported everything, ended by their own pids.

In       a place (database, simulator, folder) and the plan
Out      pids
Effects  processes; their output goes to the folder's `*.said`, notifications to `told/<run_id>`
"""

import asyncio
import contextlib
import random
import signal
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from pipeline import worker
from pipeline.clips import render
from pipeline.context import RunContext
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.prompts import llm_steps
from pipeline.purchase import submission
from pipeline.purchase.submission import replay_answers
from pipeline.run import admit, run
from pipeline.settings.parts import Waits
from pipeline.worker import Pace, open_engine
from simulator.settings import Habits, Settings
from steps.check_limits import Admitted, Request
from tests.guarantee.fuzz.plan import Ask, Plan
from tests.guarantee.processes.forks import forked
from tests.support.fixtures import Simulator, open_test_context, order_request, quick_waits

PACE = Pace(concurrency=20, heartbeat_seconds=0.15, stalled_seconds=0.6, sweep_seconds=0.1)
CLIENT_SECONDS = 4.0
WAITS = {
    "SUBMIT_DEADLINE_SECONDS": "0.4",
    "CONNECT_TIMEOUT_SECONDS": "0.3",
    "REQUEST_TIMEOUT_SECONDS": "0.5",
    "REQUEST_SLACK_SECONDS": "0.2",
    "RECONCILE_GRACE_SECONDS": "0.5",
    "ATTEND_SECONDS": "0.6",
    "PAUSE_PATIENCE_SECONDS": "0.4",
    "RENDER_DEADLINE_SECONDS": "2",
}


@dataclass(frozen=True)
class Place:
    dsn: str
    sim: Simulator
    folder: Path
    plan: Plan

    @property
    def told(self) -> Path:
        return self.folder / "told"

    def home(self, machine: int) -> Path:
        """Two machines: each worker uses one of the two data folders."""
        return self.folder / f"machine{machine % 2}"


def shorten_waits() -> None:
    """Shorten the waits that have no setting. Call before anything is forked."""
    submission.DEFERRED_RETRY = timedelta(seconds=0.1)
    render.FETCH_RETRY = timedelta(seconds=0.1)
    llm_steps.RETRY_SECONDS = 0.05
    worker.RESTART_SECONDS = (0.1, 0.1, 0.1, 0.1)


def waits() -> Waits:
    return quick_waits(**WAITS)


async def warm(place: Place) -> None:
    """One run in this process: imports and caches once, before anything is forked."""
    async with open_test_context(place.dsn, place.sim, place.home(0), waits(), **place.plan.rules) as context:
        admitted = await admit(order_request(place.sim), context.ledger)
        assert isinstance(admitted, Admitted)
        await _carry(admitted, place, context)
        async with open_engine(place.dsn) as queue:
            await queue.enqueue(admitted.run_id)


def provider(chosen: Plan, clips: Path) -> Settings:
    """The provider's settings for this plan."""
    return Settings(
        hang_seconds=2,
        render_seconds=chosen.render_seconds,
        refund_failed=True,
        tiny_clips=True,
        clip_folder=clips,
        habits=Habits(**chosen.habits),
    )


def begin_worker(place: Place, number: int, life: int) -> int:
    async def work() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _say_where)
        dice = random.Random(f"{place.plan.seed} {number} {life}")
        async with (
            open_test_context(place.dsn, place.sim, place.home(number), waits(), **place.plan.rules) as context,
            open_engine(place.dsn, pool_max=4) as queue,
        ):
            await queue.work(context, lambda row: _tell(row, place, context, dice), PACE)

    return forked(place.folder / f"worker{number}.said", work)


def _say_where() -> None:
    """Print the stack of every task in this process, to debug a seed that did not come to rest."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stdout)
    sys.stdout.flush()


def begin_client(place: Place, ask: Ask) -> int:
    """Like `onetake create`: places a request and processes its run in its own process, beside the workers."""

    async def work() -> None:
        async with open_test_context(place.dsn, place.sim, place.home(0), waits(), **place.plan.rules) as context:
            await replay_answers(context)
            admitted = await admit(request_of(place, ask), context.ledger)
            if isinstance(admitted, Admitted):
                await _carry(admitted, place, context)

    return forked(place.folder / "client.said", work)


def request_of(place: Place, ask: Ask) -> Request:
    return order_request(
        place.sim,
        ask.prompt,
        key=ask.key,
        call_id=uuid4(),
        user_id=ask.user,
        audience={"kind": "telegram", "chat_id": 1, "message_id": 1},
        again=ask.again,
        confirm=ask.confirm,
    )


async def _carry(admitted: Admitted, place: Place, context: RunContext) -> None:
    until = time.monotonic() + CLIENT_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(LedgerUnavailable):
            row = await run(admitted.run_id, context)
            assert row is not None
            if row.ended:
                if row.told_state is not row.state:
                    await _tell(row, place, context, random.Random(0))
                return
        await asyncio.sleep(0.05)


async def _tell(row: Run, place: Place, context: RunContext, dice: random.Random) -> None:
    """The simplest notification: a line in a file; fails at random."""
    if not row.ended:
        return
    if dice.random() < place.plan.tell_fails:
        raise ConnectionError("the user cannot be reached")
    with (place.told / str(row.run_id)).open("a") as file:
        file.write(f"{row.state.value}\n")
    delivered = row.state is State.SAVED and dice.random() < 0.5
    await context.ledger.mark_notified(row.run_id, row.state, delivered=delivered)
