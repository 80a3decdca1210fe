"""Drives one run to its end in this process, and shows its state in the ledger meanwhile.

In       an admitted run, the context, and a function that shows a run
Out      the run: ended, parked, or waiting for a provider that is not configured here
Raises   LedgerError; LedgerUnavailable only after a minute of retries
Effects  those of `pipeline.run.run`, called whenever the run is due; a worker may process the same run
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from cli.output.progress import Estimate
from pipeline.cancellation import stop
from pipeline.context import RunContext
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.purchase.estimate import expected
from pipeline.run import run as carry_on

LOOK_SECONDS = 0.3
LEDGER_PATIENCE_SECONDS = 60.0
# A process that has just reserved a run gets to take the first step; others that watch it wait this long.
COURTESY_SECONDS = 1.0

Show = Callable[[Run, Estimate | None], None]


async def drive(run: Run, context: RunContext, show: Show, *, ours: bool) -> Run:
    """`run`: as just reserved. `ours`: by this process; otherwise another process may be driving it."""
    watcher = _Watcher(context, show)
    row = await watcher.show(run)
    turn = 0
    while not row.ended:
        if (turn == 0 and (ours or row.parked)) or await _left_alone(watcher, row):
            row = await _carried(watcher, run.run_id)
            turn += 1
            if row.parked or _stuck(row) or _elsewhere(row, context):
                break
        else:
            await asyncio.sleep(LOOK_SECONDS)
            row = await watcher.look(run.run_id)
    return row


async def _left_alone(watcher: "_Watcher", row: Run) -> bool:
    """Whether the run is due and stays due for a moment: of several processes that watch it, one should drive it."""
    just_reserved = row.state is State.RESERVED and row.age(row.state_since).total_seconds() < COURTESY_SECONDS
    if just_reserved or not _due(row):
        return False
    await asyncio.sleep(watcher.context.jitter() * COURTESY_SECONDS)
    return _due(await watcher.look(row.run_id))


async def _carried(watcher: "_Watcher", run_id: UUID) -> Run:
    """Makes one attempt at the run, and shows it meanwhile."""
    attempt = asyncio.create_task(carry_on(run_id, watcher.context))
    try:
        while not attempt.done():
            await asyncio.wait([attempt], timeout=LOOK_SECONDS)
            if not attempt.done():
                await watcher.look(run_id)
        with contextlib.suppress(LedgerUnavailable):
            await attempt
    finally:
        await stop(attempt)
    return await watcher.look(run_id)


class _Watcher:
    """Reads the run and shows it; retries an unreachable ledger for LEDGER_PATIENCE_SECONDS."""

    def __init__(self, context: RunContext, show: Show) -> None:
        self.context = context
        self._show = show
        self._estimate: Estimate | None = None

    async def look(self, run_id: UUID) -> Run:
        return await self.show(await self._patiently(run_id))

    async def show(self, row: Run) -> Run:
        if self._estimate is None:
            with contextlib.suppress(LedgerUnavailable):
                self._estimate = await estimate_for(row, self.context)
        self._show(row, self._estimate)
        return row

    async def _patiently(self, run_id: UUID) -> Run:
        gone_since = self.context.boot_seconds()
        while True:
            try:
                row = await self.context.ledger.load(run_id)
                assert row is not None, f"run {run_id} has left the ledger"
                return row
            except LedgerUnavailable:
                if self.context.boot_seconds() - gone_since > LEDGER_PATIENCE_SECONDS:
                    raise
                await asyncio.sleep(LOOK_SECONDS)


async def estimate_for(row: Run, context: RunContext) -> Estimate:
    known = await expected(row, context.ledger, context.account)
    return Estimate(known.seconds, "from recent runs" if known.from_history else "from models.toml")


def _due(row: Run) -> bool:
    at = row.next_look_at
    return at is None or (isinstance(at, datetime) and at <= row.read_at)


def _stuck(row: Run) -> bool:
    """Whether no automatic look at the run is scheduled any more."""
    return not row.ended and isinstance(row.next_look_at, str)


def _elsewhere(row: Run, context: RunContext) -> bool:
    return row.state is State.APPROVED and not context.for_run(row).account.matches(row)
