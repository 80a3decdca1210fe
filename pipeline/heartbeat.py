"""Sends heartbeats to the ledger while this process works on a run, so that no other process takes the run.

This only avoids duplicate work: that a run is never bought twice does not depend on it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from uuid import UUID

from pipeline.cancellation import stop
from pipeline.context import RunContext
from pipeline.ledger.transports.common import LedgerUnavailable

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def heartbeat(run_id: UUID, context: RunContext) -> AsyncIterator[None]:
    """Sends two heartbeats in the time for which one is valid."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(context.waits.heartbeat.total_seconds() / 2)
            try:
                await context.ledger.heartbeat(run_id, context.waits.heartbeat)
            except LedgerUnavailable as error:
                log.warning("heartbeat", extra={"action": "heartbeat", "run_id": str(run_id), "error": str(error)})
            except Exception:  # nothing else beats for this run
                log.exception("heartbeat", extra={"action": "heartbeat", "run_id": str(run_id)})

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        await stop(beating)
