"""The worker: procrastinate's queue with one task, `advance`, and a periodic sweep.

The queue only distributes work; the ledger makes sure that nothing happens twice. So a job may be lost, duplicated or
run by two workers at once: the sweep enqueues every due run that has no job. The queue has its own schema (`queue`),
which no API exposes.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status
from procrastinate.worker import Worker

from pipeline.cancellation import PATIENCE_SECONDS, CancellationGuard, stop
from pipeline.clips.maintenance import ClipMaintenance
from pipeline.context import RunContext
from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerRefused, LedgerUnavailable
from pipeline.purchase.audit import audit_if_due
from pipeline.purchase.submission import replay_answers
from pipeline.run import run

QUEUE = "runs"
TASK = "advance"
DUE_AT_MOST = 200  # runs per sweep, of each kind in `due_runs`
SWEEP_LOCK = 0x0E7A_4B5  # an advisory lock: one sweep at a time for all workers
SWEEP_LOCK_MS = 4_000  # a sweep takes some milliseconds, or a few seconds with hundreds of runs
# Detect a dead connection. libpq's parameters: seconds, except that tcp_user_timeout is in milliseconds.
GIVE_UP_SILENCE = {"connect_timeout": 10, "tcp_user_timeout": 20_000, "keepalives_idle": 10, "keepalives_interval": 5}
RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0)  # backoff before a worker that has ended is restarted
HEALTHY_SECONDS = 60.0  # after running this long, reset the restart backoff

log = logging.getLogger(__name__)

Tell = Callable[[Run], Awaitable[None]]
Follow = Callable[[UUID], AbstractContextManager[object]]


@dataclass(frozen=True)
class Pace:
    """The worker's intervals in seconds, and the number of runs at once."""

    concurrency: int
    heartbeat_seconds: float
    stalled_seconds: float
    sweep_seconds: float


class Engine:
    """The queue of one database."""

    def __init__(self, app: procrastinate.App) -> None:
        self._app = app

    async def enqueue(self, run_id: UUID | str) -> None:
        """Makes sure that the run has a waiting job; does nothing if it has one.

        The job waits while another job of the run is running: two at once would not buy twice, but both would ask for
        the caption.
        """
        job = self._app.configure_task(TASK, queue=QUEUE, lock=str(run_id), queueing_lock=str(run_id))
        with contextlib.suppress(AlreadyEnqueued):
            await job.defer_async(run_id=str(run_id))

    async def wake(self, run_id: UUID | str) -> None:
        """Like `enqueue`, for a run that was changed already: if the queue is unreachable, the next sweep finds it."""
        try:
            await self.enqueue(run_id)
        except ConnectorException as error:
            log.warning("queue", extra={"action": "left_to_the_sweep", "run_id": str(run_id), "error": str(error)})

    async def work(self, context: RunContext, tell: Tell, pace: Pace, follow: Follow = contextlib.nullcontext) -> None:
        """Processes jobs until canceled. Waits for in-flight purchases before stopping.

        `tell` notifies a run's user; it may fail and is retried. `follow` is entered while a run is processed here, to
        show its progress.
        """
        self._app.tasks.pop(TASK, None)

        async def advance(run_id: str) -> None:
            with follow(UUID(run_id)):
                fresh = await run(UUID(run_id), context)
            if fresh is not None and fresh.told_state is not fresh.state:
                await tell(fresh)

        self._app.task(name=TASK, queue=QUEUE)(advance)
        sweep = asyncio.create_task(self._sweep_forever(context, pace))
        maintenance = asyncio.create_task(ClipMaintenance(context).for_ever())
        try:
            await self._work_forever(pace)
        finally:
            await stop(sweep)
            await stop(maintenance)
            await context.purchases.all_done()

    async def _work_forever(self, pace: Pace) -> None:
        """Restarts the worker when it ends: it was pruned as dead, or the database was unreachable for a minute."""
        falls, guard = 0, CancellationGuard()
        while True:
            worker = ReliableWorker(
                self._app,
                queues=[QUEUE],
                concurrency=pace.concurrency,
                wait=True,
                install_signal_handlers=False,
                delete_jobs="always",
                fetch_job_polling_interval=1.0,
                shutdown_graceful_timeout=0.5,
                update_heartbeat_interval=pace.heartbeat_seconds,
                stalled_worker_timeout=pace.stalled_seconds,
            )
            watching = asyncio.create_task(self._end_unregistered(worker, pace))
            began = time.monotonic()
            try:
                await worker.run()  # type: ignore[no-untyped-call]  # procrastinate leaves it untyped
            except (ConnectorException, OSError) as error:
                guard.check()  # a worker canceled while the database is unreachable raises that error instead
                log.warning("worker", extra={"action": "worker_fell", "error": str(error)})
            finally:
                await stop(watching)
            falls = 0 if time.monotonic() - began > HEALTHY_SECONDS else falls
            await asyncio.sleep(RESTART_SECONDS[min(falls, len(RESTART_SECONDS) - 1)])
            falls += 1

    async def _end_unregistered(self, worker: Worker, pace: Pace) -> None:
        """Stops a worker that others pruned as dead: its heartbeats update no row, which procrastinate ignores."""
        while True:
            await asyncio.sleep(pace.heartbeat_seconds)
            worker_id = worker.worker_id
            with contextlib.suppress(ConnectorException, psycopg.Error, OSError):  # retried after the next sleep
                if worker_id is not None and not await self._is_registered(worker_id) and worker.worker_id == worker_id:
                    log.warning("worker", extra={"action": "worker_given_up", "worker_id": worker_id})
                    worker.stop()  # type: ignore[no-untyped-call]  # procrastinate leaves it untyped

    async def _is_registered(self, worker_id: int) -> bool:
        query = "select id from procrastinate_workers where id = %(worker_id)s"
        return bool(await self._app.connector.execute_query_all_async(query, worker_id=worker_id))

    async def _sweep_forever(self, context: RunContext, pace: Pace) -> None:
        while True:
            try:
                await replay_answers(context)
                async with self._only_sweep() as mine:
                    if mine:
                        await self.sweep(context, pace)
                        await _audit(context)
                await context.prompts.tell_broken()
            except (LedgerUnavailable, ConnectorException, psycopg.OperationalError, OSError) as error:
                log.warning("sweep", extra={"action": "sweep_failed", "error": str(error)})
            except Exception:  # whatever it is: if the sweep loop ended, lost runs would stay lost
                log.exception("sweep", extra={"action": "sweep_failed"})
            await asyncio.sleep(pace.sweep_seconds)

    async def sweep(self, context: RunContext, pace: Pace) -> None:
        """Replaces the jobs of dead workers, then enqueues every due run without a job. One bad row blocks no other."""
        manager = self._app.job_manager
        for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=pace.stalled_seconds):
            # Not retried: if another job of the run is waiting, the two block each other. Finish and enqueue instead.
            await manager.finish_job(job, status=Status.FAILED, delete_job=True)
            await self.enqueue(str(job.task_kwargs["run_id"]))
        due = await context.ledger.due_runs(DUE_AT_MOST)
        busy = await self._with_jobs(due)
        for run_id in due:
            if run_id not in busy:
                await self.enqueue(run_id)

    async def _with_jobs(self, run_ids: tuple[str, ...]) -> set[str]:
        rows = await self._app.connector.execute_query_all_async(
            "select args ->> 'run_id' as run_id from procrastinate_jobs"
            " where status in ('todo', 'doing') and args ->> 'run_id' = any(%(run_ids)s)",
            run_ids=list(run_ids),
        )
        return {row["run_id"] for row in rows}

    @contextlib.asynccontextmanager
    async def _only_sweep(self) -> AsyncIterator[bool]:
        """Yields whether this sweep got the advisory lock. A connection holds it, so a dead worker's lock is released.

        A worker that is cut off or frozen during a sweep looks alive to the server, which takes the lock back after
        SWEEP_LOCK_MS.
        """
        pool = self._app.connector.pool  # type: ignore[attr-defined]  # the connector is psycopg's
        swept = False
        try:
            async with pool.connection() as connection, connection.transaction():
                await connection.execute(f"set local idle_in_transaction_session_timeout = {SWEEP_LOCK_MS}".encode())
                cursor = await connection.execute("select pg_try_advisory_xact_lock(%s)", (SWEEP_LOCK,))
                row = await cursor.fetchone()
                yield bool(row and row[0])
                swept = True
        except psycopg.errors.IdleInTransactionSessionTimeout:
            if not swept:
                raise
            log.info("sweep", extra={"action": "sweep_was_slow"})  # another sweep may have overlapped: harmless


class ReliableWorker(Worker):
    """A worker that stops reliably: when canceled, and when its heartbeat has failed.

    procrastinate (3.10) cancels its side tasks and its jobs once, and waits for them. A database call may swallow that
    one cancellation (`cancellation.py`): a heartbeat that never ended kept an unregistered worker from restarting.
    """

    async def _monitor_side_tasks(self, side_tasks: "list[asyncio.Task[Any]]") -> None:
        """Stops the worker when a side task fails, so that it restarts with all of them.

        procrastinate's own monitor only waits for the first side task to end (its issue 1597). The one for periodic
        jobs ends at once, as there are none; so a failed heartbeat went unnoticed, and the worker went on without it.
        """
        ended, _ = await asyncio.wait(side_tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            if not task.cancelled() and (error := task.exception()):
                extra = {"action": "side_task_failed", "task": task.get_name(), "error": str(error)}
                log.warning("worker", extra=extra)
        self.stop()  # type: ignore[no-untyped-call]  # procrastinate leaves it untyped

    async def _shutdown(self, side_tasks: "list[asyncio.Task[Any]]") -> None:
        for task in side_tasks:
            await stop(task)
        await super()._shutdown(side_tasks)

    async def _abort_running_jobs(self) -> None:
        aborting = asyncio.create_task(super()._abort_running_jobs())  # type: ignore[no-untyped-call]  # as above
        while not aborting.done():
            await asyncio.wait([aborting], timeout=PATIENCE_SECONDS)
            for task in list(self._running_jobs):
                task.cancel()
        await aborting


async def _audit(context: RunContext) -> None:
    """Runs an audit if one is due. If the ledger refuses its result, the sweep goes on."""
    try:
        await audit_if_due(context)
    except LedgerRefused as error:
        log.warning("audit", extra={"action": "audit_refused", "error": str(error)})


@contextlib.asynccontextmanager
async def open_engine(queue_dsn: str, pool_max: int = 10) -> AsyncIterator[Engine]:
    """The queue in this database. Needs a direct or session-mode connection, since it listens and locks."""
    connector = procrastinate.PsycopgConnector(
        conninfo=queue_dsn,
        min_size=1,
        max_size=pool_max,
        kwargs={"prepare_threshold": None} | GIVE_UP_SILENCE,
        configure=_in_the_queues_schema,
    )
    app = procrastinate.App(connector=connector)
    async with app.open_async():
        yield Engine(app)


async def _in_the_queues_schema(connection: psycopg.AsyncConnection) -> None:
    """Sets the schema. Not through the connection string's `options`: pgbouncer in session mode refuses those."""
    await connection.execute("set search_path = queue")
    await connection.commit()
