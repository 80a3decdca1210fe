"""What happens to one run and its process; the last life of each case is undisturbed and finishes the run.

In       where each life ends
Out      the facts, and the time it took
Effects  processes that are killed or frozen by their own pid
"""

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import psycopg

from simulator.settings import Settings
from tests.guarantee.crash.judge import Facts, budget_differences, judge
from tests.guarantee.crash.life import LIFE_SECONDS, Place, Subject, begin, new_subject
from tests.guarantee.crash.trace_points import End
from tests.guarantee.processes.forks import begin_simulator, end

END_SECONDS = LIFE_SECONDS + 10
MUST_STRIKE = "killed once"  # the points of an undisturbed life are always the same; a worker's depend on timing


@dataclass(frozen=True)
class Case:
    """One row of the matrix. `ends`: of all lives but the last, which ends by itself."""

    kind: str
    name: str
    ends: tuple[End, ...]
    frozen_for: float | None = None  # seconds; only for a frozen life: how long, while another takes over


@dataclass(frozen=True)
class Result:
    case: Case
    facts: Facts
    wrong: tuple[str, ...]
    kills: int  # how many kills happened: a restart may finish before its point
    seconds: float
    logs: tuple[tuple[str, ...], ...] = ()


def killed_at(kind: str, *points: str | int) -> Case:
    words = [f"its point {at}" if isinstance(at, int) else at for at in points]
    return Case(kind, ", then at ".join(words), tuple(End(at) for at in points))


def play(case: Case, place: Place, folder: Path) -> Result:
    """Run the case through all its lives, then judge."""
    if place.worker:
        with own_copy(place.dsn) as dsn, own_provider(replace(place, dsn=dsn), folder) as alone:
            return _played(case, alone, folder)
    return _played(case, place, folder)


@contextlib.contextmanager
def own_copy(dsn: str) -> Iterator[str]:
    """A copy of the (empty) database for each case: a worker takes every job in the queue."""
    name = f"worker_{uuid4().hex}"
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as connection:
        template = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        connection.execute(f"create database {name} template {template}")
        yield psycopg.conninfo.make_conninfo(dsn, dbname=name)
        connection.execute(f"drop database {name} with (force)")


@contextlib.contextmanager
def own_provider(place: Place, folder: Path) -> Iterator[Place]:
    """A provider for each case: in its own ledger, other cases' jobs would be unexplained."""
    settings = Settings(speed=math.inf, refund_failed=True, tiny_clips=True)
    pid, sim = begin_simulator(settings, folder / f"{uuid4().hex}.said")
    try:
        yield replace(place, sim=sim)
    finally:
        end(pid)


def _played(case: Case, place: Place, folder: Path) -> Result:
    begun = time.monotonic()
    subject = new_subject(place, folder, case.name)
    woken = case.frozen_for is not None
    kills, wrong = (0, _frozen(subject, place, case)) if woken else _killed(subject, place, case.ends)
    if not kills and case.kind == MUST_STRIKE:
        wrong.append("the first life never came to its point")
    lives = len(case.ends) + 1
    facts = judge(subject, place, lives, woken=woken)
    if place.worker:
        wrong += budget_differences(place.dsn)
    logs = tuple(tuple(subject.points(life)) for life in range(1, lives + 1))
    return Result(case, facts, complaint(subject, facts, wrong), kills, time.monotonic() - begun, logs)


def complaint(subject: Subject, facts: Facts, wrong: Sequence[str]) -> tuple[str, ...]:
    """Everything wrong, with the output of the processes."""
    everything = [*wrong, *facts.wrong]
    said = subject.said().strip()
    return (*everything, said) if everything and said else tuple(everything)


def _killed(subject: Subject, place: Place, ends: Sequence[End]) -> tuple[int, list[str]]:
    codes = [ended(begin(subject, place, life, end)) for life, end in enumerate(ends, 1)]
    last = ended(begin(subject, place, len(ends) + 1))
    wrong = [f"a life broke by itself ({code})" for code in codes if code not in {-signal.SIGKILL, 0}]
    if last:
        wrong.append(f"the last life did not end well ({last})")
    return codes.count(-signal.SIGKILL), wrong


def _frozen(subject: Subject, place: Place, case: Case) -> list[str]:
    """Freeze the first life at its point; a second takes over, and the first resumes during it or later."""
    assert case.frozen_for is not None
    first = begin(subject, place, 1, case.ends[0])
    until_stopped(first)
    second = begin(subject, place, 2)
    time.sleep(case.frozen_for)
    os.kill(first, signal.SIGCONT)
    codes = (ended(first), ended(second))
    return [] if codes == (0, 0) else [f"the two processes ended with {codes}"]


def with_the_database_killed(
    subject: Subject, place: Place, at: str, kill: Callable[[], None], start: Callable[[], None]
) -> list[str]:
    """Freeze the life at a point, kill and restart the database, then resume."""
    life = begin(subject, place, 1, End(at, signal.SIGSTOP))
    until_stopped(life)
    kill()
    start()
    os.kill(life, signal.SIGCONT)
    codes = (ended(life), ended(begin(subject, place, 2)))
    return [] if codes[1] == 0 else [f"the processes ended with {codes}"]


def ended(pid: int) -> int:
    """The exit code of a child process, as subprocess reports it; kills one that does not exit."""
    until = time.monotonic() + END_SECONDS
    pause = 0.002
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -999
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)


def until_stopped(pid: int) -> None:
    done, status = os.waitpid(pid, os.WUNTRACED)
    assert done == pid and os.WIFSTOPPED(status), "it ended before it came to its point"
