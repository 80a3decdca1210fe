"""While somebody works on a run, the ledger hears of it, so that nobody else takes it up.

A courtesy, not a lock: that a run is never bought twice does not depend on it.
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
async def attended(run_id: UUID, context: RunContext) -> AsyncIterator[None]:
    """Says "somebody is working on it" twice in the time for which each word holds."""

    async def say_so() -> None:
        while True:
            await asyncio.sleep(context.waits.heartbeat.total_seconds() / 2)
            try:
                await context.ledger.heartbeat(run_id, context.waits.heartbeat)
            except LedgerUnavailable as error:
                log.warning("attend", extra={"action": "attend", "run_id": str(run_id), "error": str(error)})

    saying = asyncio.create_task(say_so())
    try:
        yield
    finally:
        await stop(saying)
