"""What happens to one bot while a person buys a video from it; the last life of each case is undisturbed.

In       where each life ends, which calls Telegram fails and how, which updates it redelivers
Out      the facts, and the time it took
Effects  a database, a simulator, and processes killed by their own pid
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from simulator.settings import Settings
from tests.guarantee.chat.judge import Facts, judge
from tests.guarantee.chat.life import House, Place, begin, new_house
from tests.guarantee.chat.visitor import Moment, Visitor, arrive, says_the_end
from tests.guarantee.crash.cases import own_copy
from tests.guarantee.crash.trace_points import End
from tests.guarantee.processes.forks import begin_simulator, end

CASE_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.1
QUIET_SECONDS = 0.8  # the case is over after this long without change: the last points come after the last fact
LAST_WORD_SECONDS = 4.0  # if no card shows the outcome yet: it may be waiting for its rate limit
RENDER_SECONDS = 0.4  # long enough for progress to be shown
ENDED_BY = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 0}  # on SIGTERM it exits by itself
UNDONE = frozenset({"drop_before", "status", "flood", "hang"})


@dataclass(frozen=True)
class Fault:
    """What Telegram does to the n-th call of a method."""

    method: str
    nth: int
    kind: str
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} #{self.nth}"


@dataclass(frozen=True)
class Case:
    """One row. `ends`: of all lives but the last; `must_strike`: the first life always reaches its point."""

    kind: str
    name: str
    ends: tuple[End, ...] = ()
    faults: tuple[Fault, ...] = ()
    again: frozenset[Moment] = frozenset()
    must_strike: bool = False


@dataclass(frozen=True)
class Result:
    case: Case
    facts: Facts
    wrong: tuple[str, ...]
    struck: int  # kills, calls that met their fault, redelivered updates
    seconds: float
    logs: tuple[tuple[str, ...], ...] = ()


@dataclass
class Lives:
    """Runs one life after the other; the next begins once the current one was killed."""

    house: House
    place: Place
    ends: tuple[End, ...]
    pid: int = 0
    begun: int = 0
    kills: int = 0
    broken: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.begun += 1
        present = self.ends[self.begun - 1] if self.begun <= len(self.ends) else None
        self.pid = begin(self.house, self.place, self.begun, present)

    def go_on(self) -> bool:
        """Start the next life if the current one has ended; True if so."""
        done, status = os.waitpid(self.pid, os.WNOHANG)
        if not done:
            return False
        code = os.waitstatus_to_exitcode(status)
        meant = self.begun <= len(self.ends) and code == ENDED_BY[self.ends[self.begun - 1].by]
        self.kills += meant
        if not meant:
            self.broken.append(f"life {self.begun} ended by itself ({code})")
        self.begin()
        return True


def play(case: Case, dsn: str, folder: Path) -> Result:
    """Run the bot through all its lives while its visitor waits, then judge."""
    begun = time.monotonic()
    house = new_house(folder, case.name)
    with own_copy(dsn) as copy, own_simulator(copy, house) as alone:
        for fault in case.faults:
            alone.sim.trouble("telegram", fault.kind, method=fault.method, skip=fault.nth - 1, **fault.more)
        visitor = arrive(alone.sim, case.again)
        lives = Lives(house, alone, case.ends)
        lives.begin()
        try:
            wrong = until_over(alone, visitor, lives.go_on)
        finally:
            end(lives.pid)
        met = alone.sim.control("GET", "/_sim/faults")["met"].values()
        struck = lives.kills + sum(met) + len(visitor.owed)
        facts = judge(house, alone, visitor, lives.begun, tap_answered=not _unanswered(case))
    if case.must_strike and not struck:
        wrong.append("the first life never came to its point")
    everything = (*lives.broken, *wrong, *facts.wrong)
    said = house.said().strip()
    logs = tuple(tuple(house.points(life)) for life in range(1, lives.begun + 1))
    return Result(
        case, facts, (*everything, said) if everything and said else everything, struck, time.monotonic() - begun, logs
    )


def _unanswered(case: Case) -> bool:
    return any(fault.method == "answerCallbackQuery" and fault.kind in UNDONE for fault in case.faults)


def until_over(place: Place, visitor: Visitor, go_on: Callable[[], bool]) -> list[str]:
    """Watch until the person knows the outcome, every update is handled, and nothing more happens.

    `go_on`: checks whether the bot died, and restarts it; True if it did.
    """
    until, quiet_since = time.monotonic() + CASE_SECONDS_MAX, None
    with psycopg.connect(place.dsn, autocommit=True) as ledger:
        while True:
            now = time.monotonic()
            if now > until:
                return [f"it was not over after {CASE_SECONDS_MAX:.0f} s"]
            if go_on():
                quiet_since = None
            visitor.look()
            over = visitor.tap is not None and _told(ledger) and visitor.heard()
            if over and visitor.come_again(Moment.SERVED):
                over = False
            quiet_since = (quiet_since or now) if over else None
            if quiet_since is not None and now - quiet_since > _patience(visitor):
                return []
            time.sleep(LOOK_SECONDS)


def _patience(visitor: Visitor) -> float:
    ended = any(map(says_the_end, visitor.cards(visitor.me.views())))
    return QUIET_SECONDS if ended else LAST_WORD_SECONDS


def _told(ledger: psycopg.Connection[Any]) -> bool:
    rows = ledger.execute("select state, told_state from onetake.runs").fetchall()
    return bool(rows) and all(state == told and state in {"delivered", "failed"} for state, told in rows)


@contextlib.contextmanager
def own_simulator(dsn: str, house: House) -> Iterator[Place]:
    """One bot polls one Telegram; the books hold only this case's purchases."""
    settings = Settings(refund_failed=True, tiny_clips=True, render_seconds=RENDER_SECONDS)
    pid, sim = begin_simulator(settings, house.home / "simulator.said")
    try:
        yield Place(dsn, sim)
    finally:
        end(pid)
