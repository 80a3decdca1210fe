"""What a job says of itself is not believed before its clip was asked for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.records import State
from pipeline.run import run
from pipeline.world import World
from tests.fixtures import PRICE_MICROUSD, Simulator, open_test_world, quick_waits
from tests.pipeline.test_run import admitted, carried


@pytest.fixture
async def world(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[World]:
    async with open_test_world(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


async def test_a_job_that_says_it_failed_is_saved_if_its_clip_is_there(world: World, simulator: Simulator) -> None:
    simulator.trouble("retrieve", "shows_failed", always=True)

    row = await carried(await admitted(world, simulator), world)

    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


async def test_a_job_that_says_it_failed_ends_no_run_while_its_clip_cannot_be_asked_for(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.trouble("retrieve", "shows_failed", always=True)
    simulator.trouble("content", "status", status=503, always=True)
    async with open_test_world(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="0.3")) as world:
        run_id = await admitted(world, simulator)
        for _ in range(5):
            row = await run(run_id, world)
            assert row is not None and row.state is State.RENDERING, row
            await asyncio.sleep(2 * world.waits.look.total_seconds())
        simulator.control("DELETE", "/_sim/faults")
        row = await run(run_id, world)

    assert row is not None and row.state is State.SAVED
