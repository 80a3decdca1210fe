"""Several `onetake worker` processes on one database, each with its own TCP connection that can be cut.

In       a folder, the simulator's options, how many workers
Out      Fleet: orders runs; kills, freezes, cuts off and adds workers; restarts the server
Effects  processes, its own embedded server, TCP relays; all removed afterwards
"""

import asyncio
import select
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from pipeline.ledger.migrate import install_queue, migrate
from pipeline.ledger.transports.over_psycopg import open_transport
from pipeline.postgres.embedded import open_server
from pipeline.settings.config import fingerprint
from pipeline.worker import open_engine
from steps.check_limits import Admitted, check_limits
from tests.guarantee.processes.machine import Machine, until
from tests.support import warm
from tests.support.fixtures import KEY, Simulator, order_request, simulator_process

CHUNK_BYTES = 65_536
# Production defaults, except for shorter polling: renders take seconds here, not minutes.
SETTINGS = {
    "POLL_SECONDS": "0.3",
    "ATTEND_SECONDS": "15",
    "SUBMIT_DEADLINE_SECONDS": "10",
    "CONNECT_TIMEOUT_SECONDS": "5",
    "REQUEST_TIMEOUT_SECONDS": "60",
    "REQUEST_SLACK_SECONDS": "5",
    "RENDER_DEADLINE_SECONDS": "120",
    "RECONCILE_GRACE_SECONDS": "600",
    "LOOK_SECONDS": "1",
    "WORKER_CONCURRENCY": "8",
}


class Line:
    """A TCP relay in front of the server's socket. While it is cut, nothing passes, and neither side notices."""

    def __init__(self, socket_path: str) -> None:
        line = self
        self.whole = threading.Event()
        self.whole.set()
        self._closing = False

        class Carry(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.socket(socket.AF_UNIX) as far, suppress(OSError):
                    far.connect(socket_path)
                    line.pump(self.request, far)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Carry)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def pump(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        while not self._closing:
            for ready in select.select([near, far], [], [], 0.2)[0]:
                self.whole.wait()
                data = ready.recv(CHUNK_BYTES)
                if not data:
                    return
                other[ready].sendall(data)

    def close(self) -> None:
        self._closing = True
        self.whole.set()
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Worker:
    """`said`: its output, stdout and stderr. `worker_id`: the id under which procrastinate first registered it."""

    process: warm.Program
    line: Line
    worker_id: int = 0
    said: list[str] = field(default_factory=list)
    listeners: list[threading.Thread] = field(default_factory=list)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


class Fleet:
    def __init__(self, folder: Path, sim: Simulator) -> None:
        self.folder, self.sim = folder, sim
        self.workers: list[Worker] = []
        self._server = ExitStack()
        self._opened = ExitStack()
        self._numbers = 0
        self.dsn = ""
        self._serve()
        migrate(self.dsn)
        install_queue(self.dsn)
        self._free_of_limits()

    def _serve(self) -> None:
        self.dsn = self._server.enter_context(open_server(self.folder / "database"))

    def _free_of_limits(self) -> None:
        """Lift the limits: only the sharing of work is tested here."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for key in ("breaker_all_submissions", "budget_day_microusd", "budget_month_microusd"):
                connection.execute("update onetake.limits set value = '1000000000000' where key = %s", (key,))

    def close(self) -> None:
        for worker in self.workers:
            worker.thaw()
            worker.kill()
            worker.line.close()
            for listener in worker.listeners:
                listener.join(10)
            for pipe in (worker.process.stdout, worker.process.stderr):
                if pipe is not None:
                    pipe.close()
        self._opened.close()
        self._server.close()

    # -- workers

    def hire(self) -> Worker:
        """Start a worker with its own data folder and relay, as one more machine."""
        parts = psycopg.conninfo.conninfo_to_dict(self.dsn)
        line = Line(f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}")
        dsn = f"postgresql://{parts['user']}:unused@127.0.0.1:{line.port}/{parts['dbname']}?sslmode=disable"
        home = self.folder / f"machine {len(self.workers)}"
        home.mkdir(parents=True)
        machine = Machine(home, self.sim, SETTINGS | {"DATABASE_URL": dsn})
        worker = Worker(machine.start("worker"), line)
        for pipe in (worker.process.stdout, worker.process.stderr):
            listener = threading.Thread(target=worker.said.extend, args=(pipe,), daemon=True)
            listener.start()
            worker.listeners.append(listener)
        before = self._all_seats()
        until(lambda: any("worker ready" in words for words in worker.said) and self._all_seats() - before, 90)
        worker.worker_id = (self._all_seats() - before).pop()
        self.workers.append(worker)
        return worker

    def _all_seats(self) -> set[int]:
        return {row["id"] for row in self.rows("select id from queue.procrastinate_workers")}

    def restart_server(self) -> None:
        """Restart the server on the same data; every connection is cut."""
        before = self.dsn
        self._server.close()
        self._server = ExitStack()
        self._serve()
        assert self.dsn == before, "the server came back elsewhere"

    # -- runs

    def order(self, count: int) -> list[str]:
        """Reserve and enqueue runs, each of another user."""
        return asyncio.run(self._order(count))

    async def _order(self, count: int) -> list[str]:
        ordered: list[UUID] = []
        async with open_transport(self.dsn) as rpc, open_engine(self.dsn) as engine:
            for _ in range(count):
                self._numbers += 1
                who = {"user_id": f"cli:{self._numbers}", "key_fingerprint": fingerprint(KEY)}
                answer = await check_limits(order_request(self.sim, f"boat number {self._numbers}", **who), rpc)
                assert isinstance(answer, Admitted), answer
                await engine.enqueue(answer.run_id)
                ordered.append(answer.run_id)
        return [str(run_id) for run_id in ordered]

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def states(self) -> dict[str, str]:
        return {str(row["run_id"]): row["state"] for row in self.rows("select run_id, state from onetake.runs")}

    def all_saved(self) -> bool:
        return set(self.states().values()) == {"saved"}

    def in_hand(self) -> dict[str, int]:
        """The runs in progress: run id -> id of procrastinate's worker."""
        query = """
            select args ->> 'run_id' as run_id, worker_id from queue.procrastinate_jobs
            where status = 'doing' and worker_id is not null
        """
        return {row["run_id"]: row["worker_id"] for row in self.rows(query)}

    def seats(self) -> set[int]:
        """Ids of the workers with a heartbeat in the last 4 seconds."""
        query = "select id from queue.procrastinate_workers where last_heartbeat > now() - interval '4 seconds'"
        return {row["id"] for row in self.rows(query)}

    def taken_over(self, runs: set[str], before: dict[str, int]) -> bool:
        """Whether each of these runs is saved or has another worker than before."""
        now, states = self.in_hand(), self.states()
        return all(states[run] == "saved" or now.get(run, before[run]) != before[run] for run in runs)

    def check_books(self) -> None:
        """Check the simulator's books: one purchase for each run, and each paid."""
        creates = self.sim.books()["creates"]
        keys = [create["key"] for create in creates]
        assert sorted(keys) == sorted(self.states()), "each run bought once"
        assert self.sim.paid_calls() == len(keys)


@contextmanager
def open_fleet(folder: Path, workers: int, render_seconds: float, *options: str) -> Iterator[Fleet]:
    with simulator_process("--render-seconds", str(render_seconds), *options) as sim:
        fleet = Fleet(folder, sim)
        try:
            for _ in range(workers):
                fleet.hire()
            yield fleet
        except BaseException:
            print(
                fleet.rows("select ref, state, doubt, reason, attempts, next_look_at - now() as due from onetake.runs")
            )
            for number, worker in enumerate(fleet.workers):
                print(f"worker {number}:", "".join(worker.said[-15:]))
            raise
        finally:
            fleet.close()


def seconds_until(true: Any, at_most: float) -> float:
    """How long it took until `true` held."""
    began = time.monotonic()
    until(true, at_most)
    return time.monotonic() - began
