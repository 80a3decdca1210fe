"""A run that is being worked on stays this process's, however long a step takes."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from pipeline.heartbeat import heartbeat
from pipeline.ledger.transports.common import LedgerRefused, LedgerUnavailable
from tests.pipeline.purchase.test_fence import approved, fresh
from tests.support.fixtures import Simulator, open_test_context, quick_waits

PATIENCE_SECONDS = 30


async def test_heartbeats_renew_the_claim_until_the_work_ends(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits()) as plain:
        context = replace(plain, waits=replace(plain.waits, heartbeat=timedelta(seconds=0.2)))
        row = await approved(context, simulator)
        seen = set[datetime | str | None]()
        async with asyncio.timeout(PATIENCE_SECONDS), heartbeat(row.run_id, context):
            while len(seen) < 3:
                seen.add((await fresh(context, row)).next_look_at)
                await asyncio.sleep(0.05)
        last = (await fresh(context, row)).next_look_at
        await asyncio.sleep(0.5)
        assert (await fresh(context, row)).next_look_at == last, "a heartbeat after the end"


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), LedgerRefused("XX000", "odd"), KeyError("odd")], ids=repr)
async def test_heartbeats_continue_after_an_error(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits()) as plain:
        context = replace(plain, waits=replace(plain.waits, heartbeat=timedelta(seconds=0.2)))
        row = await approved(context, simulator)
        sends, failed = context.ledger.heartbeat, asyncio.Event()

        async def failing_once(run_id: UUID, valid: timedelta) -> None:
            if not failed.is_set():
                failed.set()
                raise error
            await sends(run_id, valid)

        monkeypatch.setattr(context.ledger, "heartbeat", failing_once)
        before = row.next_look_at
        async with asyncio.timeout(PATIENCE_SECONDS), heartbeat(row.run_id, context):
            while (await fresh(context, row)).next_look_at == before:
                await asyncio.sleep(0.05)
        assert failed.is_set()
