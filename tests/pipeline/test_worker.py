"""The queue, the worker and the sweep, on a real database."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import psycopg_pool
import pytest
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager
from procrastinate.worker import Worker

from pipeline import worker as engine_module
from pipeline.cancellation import stop
from pipeline.context import RunContext
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import LedgerRefused
from pipeline.purchase.answer_files import KeptAnswer
from pipeline.purchase.submission import replay_answers
from pipeline.run import admit
from pipeline.worker import Engine, Pace, open_engine
from providers.orders import Answer
from steps.check_limits import Admitted
from tests.support.fixtures import Simulator, open_test_context, order_request
from tests.support.tcp import over_tcp

# A busy machine may hold up a heartbeat for seconds: that must not look like a worker that died.
PACE = Pace(concurrency=20, heartbeat_seconds=0.2, stalled_seconds=30, sweep_seconds=0.2)


async def say_nothing(_: Run) -> None:
    """No notification: a terminal asks for the outcome itself."""


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        yield context


@contextlib.asynccontextmanager
async def working(dsn: str, context: RunContext, tell: Callable[..., object] = say_nothing) -> AsyncIterator[Engine]:
    async with open_engine(dsn) as engine:
        work = asyncio.create_task(engine.work(context, tell, PACE))  # type: ignore[arg-type]  # any callable will do
        try:
            yield engine
        finally:
            await stop(work)


async def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.05)


async def ended(context: RunContext, run_id: UUID, seconds: float = 60) -> Run:
    async with asyncio.timeout(seconds):
        while True:
            row = await context.ledger.load(run_id)
            assert row is not None
            if row.ended:
                return row
            await asyncio.sleep(0.05)


async def admitted(context: RunContext, simulator: Simulator, number: int = 0) -> UUID:
    answer = await admit(order_request(simulator, f"boat {number}", user_id=f"cli:{number}"), context.ledger)
    assert isinstance(answer, Admitted)
    return answer.run_id


async def test_worker_processes_an_enqueued_run_to_its_end(
    ledger_dsn: str, context: RunContext, simulator: Simulator
) -> None:
    async with working(ledger_dsn, context) as engine:
        run_id = await admitted(context, simulator)
        await engine.enqueue(run_id)
        await engine.enqueue(run_id)

        assert (await ended(context, run_id)).state is State.SAVED
    assert simulator.creates() == 1


async def test_run_enqueued_repeatedly_is_processed_by_one_worker_at_a_time(
    ledger_dsn: str, context: RunContext, simulator: Simulator
) -> None:
    """Every tap of an impatient user is a job; two at once would both write the caption and both fetch the clip."""
    simulator.trouble("chat", "slow", seconds=0.3, always=True)
    async with working(ledger_dsn, context) as engine, working(ledger_dsn, context):
        run_id = await admitted(context, simulator)
        while (row := await context.ledger.load(run_id)) and not row.ended:
            await engine.enqueue(run_id)
            await asyncio.sleep(0.02)

    assert simulator.books()["chat_calls"] == 2
    assert simulator.creates() == 1


async def test_sweep_finds_a_reserved_run_that_has_no_queue_job(
    ledger_dsn: str, context: RunContext, simulator: Simulator
) -> None:
    run_id = await admitted(context, simulator)
    async with working(ledger_dsn, context):
        assert (await ended(context, run_id)).state is State.SAVED


async def test_queue_job_of_a_dead_worker_is_taken_over_by_another_worker(
    ledger_dsn: str, context: RunContext, simulator: Simulator
) -> None:
    run_id = await admitted(context, simulator)
    async with open_engine(ledger_dsn) as engine:
        await engine.enqueue(run_id)
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("set search_path = queue")
        connection.execute(
            "with w as (insert into queue.procrastinate_workers (last_heartbeat)"
            " values (now() - interval '1 minute') returning id)"
            " update queue.procrastinate_jobs set status = 'doing', worker_id = w.id from w"
        )
    async with working(ledger_dsn, context):
        assert (await ended(context, run_id)).state is State.SAVED
    with psycopg.connect(ledger_dsn) as connection:
        left = connection.execute("select count(*) from queue.procrastinate_jobs").fetchone()
    assert left == (0,)


async def test_unreadable_run_does_not_block_other_runs(
    ledger_dsn: str, context: RunContext, simulator: Simulator
) -> None:
    broken = await admitted(context, simulator, 1)
    good = await admitted(context, simulator, 2)
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("update onetake.runs set hashtags = '7' where run_id = %s", (broken,))
    async with working(ledger_dsn, context):
        assert (await ended(context, good)).state is State.SAVED


async def test_a_worker_survives_the_database_closing_every_connection(
    ledger_dsn: str, context: RunContext, simulator: Simulator
) -> None:
    async with working(ledger_dsn, context):
        await asyncio.sleep(0.3)
        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        run_id = await admitted(context, simulator)
        assert (await ended(context, run_id)).state is State.SAVED


async def test_idle_worker_registers_again_with_a_new_id_after_its_row_was_deleted(
    ledger_dsn: str, context: RunContext
) -> None:
    def seats(connection: psycopg.Connection) -> set[int]:
        return {row[0] for row in connection.execute("select id from queue.procrastinate_workers")}

    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        async with working(ledger_dsn, context):
            await eventually(lambda: bool(seats(connection)))
            before = seats(connection)
            connection.execute("delete from queue.procrastinate_workers")
            await eventually(lambda: bool(seats(connection)))
            assert not seats(connection) & before


@pytest.mark.parametrize("error", [psycopg_pool.PoolTimeout("gone"), ValueError("a row that nobody expected")])
async def test_sweep_loop_continues_after_a_failed_sweep(
    ledger_dsn: str, context: RunContext, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    falls = [error, error]
    sweep = Engine.sweep

    async def falling(self: Engine, *given: Any) -> None:
        if falls:
            raise falls.pop()
        await sweep(self, *given)

    monkeypatch.setattr(Engine, "sweep", falling)
    run_id = await admitted(context, simulator)
    async with working(ledger_dsn, context):
        assert (await ended(context, run_id)).state is State.SAVED
    assert not falls


async def test_worker_stopped_while_the_database_is_down_does_not_restart(
    ledger_dsn: str, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When canceled, procrastinate unregisters at the database, and raises that call's error instead."""
    began = 0

    async def run_worker(_: Worker) -> None:
        nonlocal began
        began += 1
        try:
            await asyncio.sleep(60)
        finally:
            raise ConnectorException

    monkeypatch.setattr(Worker, "run", run_worker)
    monkeypatch.setattr("pipeline.worker.RESTART_SECONDS", (0.01,))
    async with working(ledger_dsn, context):
        await asyncio.sleep(0.2)
    assert began == 1


async def test_worker_restarts_with_a_new_id_after_a_failed_heartbeat(
    ledger_dsn: str, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without a heartbeat loses its jobs to others while it works on: it restarts instead."""
    beats: list[int] = []
    beat = JobManager.update_heartbeat

    async def failing_once(self: JobManager, worker_id: int) -> None:
        beats.append(worker_id)
        if len(beats) == 1:
            raise ConnectorException
        await beat(self, worker_id)

    monkeypatch.setattr(JobManager, "update_heartbeat", failing_once)
    monkeypatch.setattr("pipeline.worker.RESTART_SECONDS", (0.01,))
    async with working(ledger_dsn, context):
        await eventually(lambda: len(beats) > 2)
    assert beats[1] != beats[0], "a seat of its own"


async def test_worker_restart_backoff_is_reset_after_a_long_healthy_run(
    ledger_dsn: str, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []

    async def run_worker(_: Worker) -> None:
        began.append(asyncio.get_running_loop().time())
        raise ConnectorException

    monkeypatch.setattr(Worker, "run", run_worker)
    monkeypatch.setattr("pipeline.worker.RESTART_SECONDS", (0.01, 60))
    monkeypatch.setattr("pipeline.worker.HEALTHY_SECONDS", -1.0)
    async with working(ledger_dsn, context):
        await eventually(lambda: len(began) > 3)
    monkeypatch.setattr("pipeline.worker.HEALTHY_SECONDS", 60.0)
    began.clear()
    async with working(ledger_dsn, context):
        await asyncio.sleep(0.5)
    assert len(began) == 2, "the second fall in a row waits longer"


async def test_queue_connections_set_tcp_user_timeout_and_keepalive(ledger_dsn: str) -> None:
    with over_tcp(ledger_dsn) as far:
        async with open_engine(far) as engine:
            pool = engine._app.connector.pool  # type: ignore[attr-defined]  # the connector is psycopg's
            async with pool.connection() as connection:
                line = socket.socket(fileno=os.dup(connection.fileno()))
        with line:
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


@pytest.mark.parametrize(
    "error", [LedgerRefused("LG001", "no such move"), KeyError("id"), OSError(30, "read-only")], ids=repr
)
async def test_answer_file_that_fails_to_replay_does_not_block_the_others(
    context: RunContext, simulator: Simulator, error: Exception
) -> None:
    broken, good = await admitted(context, simulator, 1), await admitted(context, simulator, 2)
    load = context.ledger.load

    async def choosy(run_id: UUID | str) -> Run | None:
        if run_id == broken:
            raise error
        return await load(run_id)

    for run_id in (broken, good):
        context.answers.keep(KeptAnswer(run_id, "t" * 32, Answer(404, "", None)))
    context.ledger.load = choosy  # type: ignore[method-assign]  # one row that cannot be read
    await replay_answers(context)
    assert [kept.run_id for kept in context.answers.all()] == [broken]


async def test_graceful_stop_waits_for_an_in_flight_purchase(
    ledger_dsn: str, context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("create", "slow_headers", seconds=0.6)
    run_id = await admitted(context, simulator)
    async with working(ledger_dsn, context):
        async with asyncio.timeout(60):
            while (await context.ledger.load(run_id)).state is not State.SUBMITTING:  # type: ignore[union-attr]  # it is there
                await asyncio.sleep(0.01)

    row = await context.ledger.load(run_id)
    assert row is not None and row.state is State.RENDERING
    assert simulator.creates() == 1


async def test_sweep_that_outlasts_its_lock_releases_it_to_others_without_an_error(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SWEEP_LOCK_MS", 100)
    async with open_engine(ledger_dsn) as slow, open_engine(ledger_dsn) as other:
        async with slow._only_sweep() as mine:
            assert mine
            async with other._only_sweep() as also_mine:
                assert not also_mine
            await asyncio.sleep(1)
            async with other._only_sweep() as now_mine:
                assert now_mine, "its session was ended"
        async with slow._only_sweep() as again:
            assert again


async def test_sweep_that_fails_after_its_lock_expired_still_raises(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SWEEP_LOCK_MS", 100)

    async def sweep(engine: Engine) -> None:
        async with engine._only_sweep():
            await asyncio.sleep(0.5)
            raise LookupError("a bug")

    async with open_engine(ledger_dsn) as slow:
        with pytest.raises((LookupError, psycopg.Error)):
            await sweep(slow)


async def test_worker_stops_even_if_its_heartbeat_and_job_swallow_the_cancellation(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pool on Python 3.11 does: the heartbeat and a job continue as if nothing had canceled them."""
    swallowed: list[str] = []

    async def deaf(who: str) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.append(who)
                if swallowed.count(who) > 1:
                    raise

    async with open_engine(ledger_dsn) as engine:
        app = engine._app  # its queue, with a task of the test's own
        monkeypatch.setattr(app.job_manager, "update_heartbeat", lambda _: deaf("heartbeat"))

        @app.task(name="deaf", queue="runs")
        async def job() -> None:
            await deaf("job")

        await job.defer_async()
        worker = engine_module.ReliableWorker(
            app, queues=["runs"], wait=True, install_signal_handlers=False, update_heartbeat_interval=0.01,
            shutdown_graceful_timeout=0.1,
        )  # fmt: skip
        running = asyncio.create_task(worker.run())  # type: ignore[no-untyped-call]  # procrastinate leaves it without
        async with asyncio.timeout(60):
            while not worker._running_jobs:  # nothing else says that it has begun
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            worker.stop()  # type: ignore[no-untyped-call]  # procrastinate leaves it without
            await running

    assert {"heartbeat", "job"} <= set(swallowed)
    assert worker.worker_id is None
