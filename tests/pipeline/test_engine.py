"""The queue, the worker and the sweep, on a real database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from pipeline.engine import Engine, Pace, open_engine
from pipeline.records import Run, State
from pipeline.run import admit
from pipeline.world import World
from steps.check_limits import Admitted
from tests.fixtures import Simulator, open_test_world, wish

PACE = Pace(concurrency=20, heartbeat_seconds=0.2, stalled_seconds=1, sweep_seconds=0.2)


async def say_nothing(_: Run) -> None:
    """A terminal hears of its end when it asks."""


@pytest.fixture
async def world(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[World]:
    async with open_test_world(ledger_dsn, simulator, tmp_path) as world:
        yield world


@contextlib.asynccontextmanager
async def working(dsn: str, world: World, tell: Callable[..., object] = say_nothing) -> AsyncIterator[Engine]:
    async with open_engine(dsn) as engine:
        work = asyncio.create_task(engine.work(world, tell, PACE))  # type: ignore[arg-type]  # any callable will do
        try:
            yield engine
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def ended(world: World, run_id: UUID, seconds: float = 15) -> Run:
    async with asyncio.timeout(seconds):
        while True:
            row = await world.ledger.load(run_id)
            assert row is not None
            if row.ended:
                return row
            await asyncio.sleep(0.05)


async def admitted(world: World, simulator: Simulator, number: int = 0) -> UUID:
    answer = await admit(wish(simulator, f"boat {number}", user_id=f"cli:{number}"), world)
    assert isinstance(answer, Admitted)
    return answer.run_id


async def test_a_worker_carries_an_enqueued_run_to_its_end(ledger_dsn: str, world: World, simulator: Simulator) -> None:
    async with working(ledger_dsn, world) as engine:
        run_id = await admitted(world, simulator)
        await engine.enqueue(run_id)
        await engine.enqueue(run_id)

        assert (await ended(world, run_id)).state is State.SAVED
    assert simulator.creates() == 1


async def test_a_reserved_run_without_a_job_is_found_by_the_sweep(
    ledger_dsn: str, world: World, simulator: Simulator
) -> None:
    run_id = await admitted(world, simulator)
    async with working(ledger_dsn, world):
        assert (await ended(world, run_id)).state is State.SAVED


async def test_a_dead_workers_job_is_given_to_another(ledger_dsn: str, world: World, simulator: Simulator) -> None:
    run_id = await admitted(world, simulator)
    async with open_engine(ledger_dsn) as engine:
        await engine.enqueue(run_id)
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("set search_path = queue")
        connection.execute(
            "with w as (insert into queue.procrastinate_workers (last_heartbeat)"
            " values (now() - interval '1 minute') returning id)"
            " update queue.procrastinate_jobs set status = 'doing', worker_id = w.id from w"
        )
    async with working(ledger_dsn, world):
        assert (await ended(world, run_id)).state is State.SAVED
    with psycopg.connect(ledger_dsn) as connection:
        left = connection.execute("select count(*) from queue.procrastinate_jobs").fetchone()
    assert left == (0,)


async def test_a_run_that_cannot_be_read_does_not_stop_the_others(
    ledger_dsn: str, world: World, simulator: Simulator
) -> None:
    broken = await admitted(world, simulator, 1)
    good = await admitted(world, simulator, 2)
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("update onetake.runs set hashtags = '7' where run_id = %s", (broken,))
    async with working(ledger_dsn, world):
        assert (await ended(world, good)).state is State.SAVED


async def test_a_worker_survives_the_database_closing_every_connection(
    ledger_dsn: str, world: World, simulator: Simulator
) -> None:
    async with working(ledger_dsn, world):
        await asyncio.sleep(0.3)
        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        run_id = await admitted(world, simulator)
        assert (await ended(world, run_id)).state is State.SAVED


async def test_a_graceful_stop_waits_for_the_purchase_under_way(
    ledger_dsn: str, world: World, simulator: Simulator
) -> None:
    simulator.trouble("create", "slow_headers", seconds=0.6)
    run_id = await admitted(world, simulator)
    async with working(ledger_dsn, world):
        async with asyncio.timeout(10):
            while (await world.ledger.load(run_id)).state is not State.SUBMITTING:  # type: ignore[union-attr]  # it is there
                await asyncio.sleep(0.01)

    row = await world.ledger.load(run_id)
    assert row is not None and row.state is State.RENDERING
    assert simulator.creates() == 1
