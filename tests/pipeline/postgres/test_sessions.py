"""With a real pooler: session mode works for everything, transaction mode is detected."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.cancellation import stop
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.over_psycopg import STATEMENT_SECONDS, open_transport
from pipeline.postgres.sessions import keeps_sessions
from pipeline.run import admit
from pipeline.worker import Pace, open_engine
from steps.check_limits import Admitted
from tests.guarantee.processes.machine import Machine
from tests.ledger.client import open_ledger_client
from tests.support.fixtures import Simulator, open_test_context, order_request
from tests.support.pgbouncer import pooled
from tests.support.tcp import over_tcp

pytestmark = pytest.mark.neighbour

PACE = Pace(concurrency=4, heartbeat_seconds=0.2, stalled_seconds=30, sweep_seconds=0.2)
CROWD = 8


@contextlib.contextmanager
def a_crowd(dsn: str) -> Iterator[None]:
    """Clients that query without a pause: a process that the pooler lends is another client's a moment later."""
    enough, failed = threading.Event(), []

    def ask() -> None:
        try:
            with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
                while not enough.is_set():
                    connection.execute("select pg_sleep(0.001)")
        except psycopg.Error as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert failed == []


# -- telling one from the other


def test_a_direct_connection_keeps_its_session(ledger_dsn: str) -> None:
    assert keeps_sessions(ledger_dsn)
    with over_tcp(ledger_dsn) as far:
        assert keeps_sessions(far)


def test_direct_connection_keeps_its_session_under_load(ledger_dsn: str) -> None:
    with a_crowd(ledger_dsn):
        assert all(keeps_sessions(ledger_dsn) for _ in range(20))


def test_a_pooler_in_session_mode_keeps_sessions(ledger_dsn: str) -> None:
    with pooled(ledger_dsn, "session") as through:
        assert all(keeps_sessions(through) for _ in range(5))
        with a_crowd(through):
            assert keeps_sessions(through)


@pytest.mark.parametrize("settings", [{}, {"server_round_robin": 1}, {"default_pool_size": 1}], ids=repr)
def test_transaction_pooler_does_not_keep_sessions(ledger_dsn: str, settings: dict[str, object]) -> None:
    with pooled(ledger_dsn, "transaction", **settings) as through:
        assert [keeps_sessions(through) for _ in range(5)] == [False] * 5


@pytest.mark.parametrize("settings", [{}, {"server_round_robin": 1}, {"default_pool_size": 2}], ids=repr)
def test_busy_transaction_pooler_does_not_keep_sessions(
    ledger_dsn: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.postgres.sessions.HEARING_SECONDS", 1)
    with pooled(ledger_dsn, "transaction", **settings) as through, a_crowd(through):
        assert [keeps_sessions(through) for _ in range(5)] == [False] * 5


def test_transaction_pooler_is_detected_by_its_missing_notify(ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces what happens by chance under load: each of the two connections got the same process twice."""
    monkeypatch.setattr("pipeline.postgres.sessions._backend", id)
    with monkeypatch.context() as soon, pooled(ledger_dsn, "transaction") as through:
        soon.setattr("pipeline.postgres.sessions.HEARING_SECONDS", 0.5)
        assert not keeps_sessions(through)
    assert keeps_sessions(ledger_dsn)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://postgres.abc:pw@aws-0-eu-west-1.pooler.supabase.com:6543/postgres",
        "postgresql://postgres:pw@db.abc.supabase.co:6543/postgres",
        "host=db.abc.supabase.co port=6543 user=postgres",
    ],
)
def test_supabase_transaction_port_is_detected_without_connecting(dsn: str) -> None:
    assert not keeps_sessions(dsn)


# -- session mode


def test_the_ledger_can_be_used_through_a_pooler_in_session_mode(ledger_dsn: str) -> None:
    with pooled(ledger_dsn, "session") as through, open_ledger_client(through) as client:
        run_id = client.delivered()
        assert client.state(run_id) == "delivered"
        assert client.ask()["kind"] == "duplicate"
        assert client.books_wrong() == []


async def test_statement_timeout_applies_through_a_session_pooler(ledger_dsn: str) -> None:
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute(
            "create function public.bound() returns jsonb language sql"
            " as $$ select to_jsonb(current_setting('statement_timeout')) $$"
        )
    with pooled(ledger_dsn, "session") as through:
        for dsn in (ledger_dsn, through):
            async with open_transport(dsn) as rpc:
                assert await rpc("bound", {}) == f"{STATEMENT_SECONDS}s"


async def test_worker_processes_runs_through_a_pooler_in_session_mode(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    ended = asyncio.Event()

    async def tell(run: Run) -> None:
        if run.ended:
            ended.set()

    with pooled(ledger_dsn, "session") as through:
        async with open_test_context(through, simulator, tmp_path) as context, open_engine(through) as engine:
            work = asyncio.create_task(engine.work(context, tell, PACE))
            try:
                admitted = await admit(order_request(simulator), context.ledger)
                assert isinstance(admitted, Admitted)
                await engine.enqueue(admitted.run_id)
                async with asyncio.timeout(60):
                    await ended.wait()
                row = await context.ledger.load(admitted.run_id)
            finally:
                await stop(work)
    assert row is not None and row.state is State.SAVED
    assert simulator.paid_calls() == 1


def test_a_database_is_migrated_and_a_video_bought_through_a_pooler_in_session_mode(
    empty_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    with pooled(empty_dsn, "session") as through:
        machine = Machine(tmp_path, simulator, {"DATABASE_URL": through})
        assert machine.onetake("db", "migrate")[0] == 0
        code, said = machine.create()
    assert (code, said["state"]) == (0, "saved")
