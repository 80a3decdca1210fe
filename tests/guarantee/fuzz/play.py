"""Plays one seed, from an empty database to the checker's verdict.

In       a Plan, the server's address, a folder
Out      violations and figures
Effects  its own fresh database, simulator and workers, all removed afterwards
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from steps.check_limits import Admitted, prompt_hash, read_reservation, request_hash
from tests.guarantee.fuzz import checker
from tests.guarantee.fuzz.crew import Place, begin_client, begin_worker, provider, request_of, warm
from tests.guarantee.fuzz.plan import WORKERS, Ask, Cancel, Confirm, Freeze, Kill, Pause, Plan, plan
from tests.guarantee.processes.forks import begin_simulator, end
from tests.ledger.client import Row, call, connect

CALM_SECONDS = 60.0
SETTLE_SECONDS = 0.05  # for queries that a stopped process had already sent
RESTLESS = """
    select count(*) as n from onetake.runs where
        case when state in ('saved', 'delivered', 'rejected', 'canceled', 'failed')
             then told_state is distinct from state
             else parked_at is null end
"""


@dataclass
class Told:
    """The result of a seed."""

    seed: int
    wrong: list[str] = field(default_factory=list)
    runs: int = 0
    creates: int = 0
    kills: int = 0
    freezes: int = 0
    parked: int = 0
    seconds: float = 0.0


@contextmanager
def fresh_database(server: str, name: str) -> Iterator[str]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} template storm_template strategy wal_log".encode())
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)".encode())


def play(chosen: Plan, server: str, folder: Path, clips: Path) -> Told:
    begun, told = time.monotonic(), Told(chosen.seed)
    (folder / "told").mkdir(parents=True)
    with fresh_database(server, f"storm_{os.getpid()}_{chosen.seed}") as dsn:
        simulator, sim = begin_simulator(provider(chosen, clips), folder / "simulator.said")
        try:
            with connect(dsn) as ledger:
                Play(Place(dsn, sim, folder, chosen), ledger, told).go()
        finally:
            end(simulator)
    told.seconds = time.monotonic() - begun
    return told


def rehearse(server: str, folder: Path, clips: Path) -> None:
    """Warm up what all seeds share, once before anything is forked."""
    calm = replace(plan(0), rates={}, habits={}, foreign="", restarts_at=None, render_seconds=0.01)
    (folder / "told").mkdir(parents=True)
    with fresh_database(server, f"storm_{os.getpid()}_rehearsal") as dsn:
        simulator, sim = begin_simulator(provider(calm, clips), folder / "simulator.said")
        try:
            asyncio.run(warm(Place(dsn, sim, folder, calm)))
        finally:
            end(simulator)


class Play:
    """Executes a plan. Its own connection acts for users: it only calls the ledger's functions."""

    def __init__(self, place: Place, ledger: psycopg.Connection[Row], told: Told) -> None:
        self.place, self.ledger, self.told = place, ledger, told
        self.accepted: list[str] = []  # run ids
        self.promised: dict[str, str] = {}  # request key -> run id
        self.wrong: list[str] = []
        self.workers: dict[int, int] = {}  # number -> pid
        self.lives = 0
        self.clients: list[int] = []
        self.due: list[tuple[float, object]] = []

    def go(self) -> None:
        chosen, sim = self.place.plan, self.place.sim
        for key, value in chosen.limits.items():
            assert call(self.ledger, "set_limit", key=key, value=Jsonb(value), who="fuzz", user_id=None)["set"]
        sim.control("POST", "/_sim/clock", {"skew_seconds": chosen.skew_seconds})
        sim.control("POST", "/_sim/faults", {"seed": chosen.seed, "rates": dict(chosen.rates)})
        if chosen.foreign:
            sim.control("POST", "/_sim/habits", {"neighbours": chosen.foreign})
        try:
            for number in range(WORKERS):
                self._hire(number)
            self._storm()
            self._calm()
        finally:
            for pid in [*self.workers.values(), *self.clients]:
                end(pid)
        self.told.wrong = [*self.wrong, *checker.check(self.place, self.promised)]
        self._count()

    def _storm(self) -> None:
        began = time.monotonic()
        self.due = list(self.place.plan.actions)
        if self.place.plan.restarts_at is not None:
            self.due.append((self.place.plan.restarts_at, _Restart()))
        while self.due:
            self.due.sort(key=lambda each: each[0])
            at, action = self.due.pop(0)
            time.sleep(max(0.0, began + at - time.monotonic()))
            self._do(action, at)

    def _do(self, action: object, at: float) -> None:
        match action:
            case Ask(walks=False):
                self._ask(action)
            case Ask():
                pid = begin_client(self.place, action)
                self.clients.append(pid)
                if action.killed_after is not None:
                    self.due.append((at + action.killed_after, _End(pid)))
            case Cancel(which=which) if self.accepted:
                call(self.ledger, "cancel_run", run_id=self.accepted[which % len(self.accepted)], by="fuzz")
            case Confirm(which=which) if self.accepted:
                call(self.ledger, "confirm", run_id=self.accepted[which % len(self.accepted)])
            case Pause(seconds=seconds):
                call(self.ledger, "set_paused", paused=True, reason="fuzz", who="fuzz")
                self.due.append((at + seconds, _Resume()))
            case _Resume():
                call(self.ledger, "set_paused", paused=False, reason=None, who="fuzz")
            case _:
                self._trouble(action, at)

    def _trouble(self, action: object, at: float) -> None:
        match action:
            case Kill(worker=number, gone_for=seconds) if number in self.workers:
                end(self.workers.pop(number))
                self.told.kills += 1
                self.due.append((at + seconds, _Hire(number)))
            case Freeze(worker=number, seconds=seconds) if number in self.workers:
                pid = self.workers[number]
                os.kill(pid, signal.SIGSTOP)
                self.told.freezes += 1
                self.due.append((at + seconds, _Wake(number, pid)))
            case _Hire(number=number):
                self._hire(number)
            case _Restart():
                self.place.sim.control("POST", "/_sim/restart", {"are_404": False})
            case _Wake(number=number, pid=pid) if self.workers.get(number) == pid:
                os.kill(pid, signal.SIGCONT)
            case _End(pid=pid) if pid in self.clients:
                self.clients.remove(pid)
                end(pid)
                self.told.kills += 1
            case _:
                pass

    def _hire(self, number: int) -> None:
        self.lives += 1
        self.workers[number] = begin_worker(self.place, number, self.lives)

    def _ask(self, ask: Ask) -> None:
        request = request_of(self.place, ask)
        given = asdict(request)
        for name in ("asked_seconds", "asked_size"):
            given.pop(name)
        given |= {"call_id": str(request.call_id), "request_hash": request_hash(request)}
        answer = call(self.ledger, "reserve", **given, prompt_hash=prompt_hash(request.prompt))
        admitted = read_reservation(answer)
        if not isinstance(admitted, Admitted):
            return
        run_id = str(admitted.run_id)
        if self.promised.setdefault(ask.key, run_id) != run_id:
            self.wrong.append(f"request {ask.key} is run {self.promised[ask.key]} and run {run_id}")
        if run_id not in self.accepted:
            self.accepted.append(run_id)

    def _calm(self) -> None:
        """End all faults, resume all processes, confirm every run; then wait until nothing changes any more."""
        self.place.sim.control("DELETE", "/_sim/faults")
        for number in range(WORKERS):
            if number in self.workers:
                os.kill(self.workers[number], signal.SIGCONT)
            else:
                self._hire(number)
        until = time.monotonic() + CALM_SECONDS
        while self._restless() or not self._still():
            if time.monotonic() > until:
                self.wrong.append(f"it did not come to rest within {CALM_SECONDS:g} s")
                for pid in self.workers.values():
                    os.kill(pid, signal.SIGUSR1)
                time.sleep(1)  # until they have printed their stacks
                return
            call(self.ledger, "set_paused", paused=False, reason=None, who="fuzz")
            for run_id in self.accepted:
                call(self.ledger, "confirm", run_id=run_id)
            time.sleep(0.15)

    def _still(self) -> bool:
        """Stop all processes for good; if a parked run was about to be resumed, let them continue."""
        everybody = [*self.workers.values(), *self.clients]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(SETTLE_SECONDS)
        if not self._restless():
            return True
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
        return False

    def _restless(self) -> bool:
        row = self.ledger.execute(RESTLESS.encode()).fetchone()
        assert row is not None
        return bool(row["n"])

    def _count(self) -> None:
        row = self.ledger.execute(
            "select count(*) as runs, count(*) filter (where parked_at is not null) as parked from onetake.runs"
        ).fetchone()
        assert row is not None
        self.told.runs, self.told.parked = row["runs"], row["parked"]
        self.told.creates = self.place.sim.creates()


@dataclass(frozen=True)
class _Restart:
    """The provider's list starts anew."""


@dataclass(frozen=True)
class _Hire:
    number: int


@dataclass(frozen=True)
class _Wake:
    number: int
    pid: int


@dataclass(frozen=True)
class _End:
    pid: int


@dataclass(frozen=True)
class _Resume:
    pass
