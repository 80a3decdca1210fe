"""Runs per second, and the time of one run: (a) with instant fakes in process, (b) over HTTP at the simulator."""

import asyncio
import contextlib
import cProfile
import pstats
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import psycopg

from benchmarks.instant import InstantProvider, InstantTextModel
from pipeline.cancellation import stop
from pipeline.context import RunContext
from pipeline.ledger.records import Run, State
from pipeline.run import admit
from pipeline.worker import Engine, Pace, open_engine
from providers.transport import VideoProvider
from steps.check_limits import Admitted
from tests.support.fixtures import Simulator, open_test_context, order_request, quick_waits

PACE = Pace(concurrency=100, heartbeat_seconds=5, stalled_seconds=30, sweep_seconds=5)
OWN_TIME_MS_MAX = 30.0
CONCURRENT_PER_SECOND_MIN = 100.0
HTTP_PER_SECOND_MIN = 20.0


@dataclass(frozen=True)
class Speed:
    median_ms: float  # one at a time
    per_second: float  # a hundred at once


class Arrivals:
    """Futures of the runs being waited for."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Run]] = {}

    def expect(self, run_id: object) -> asyncio.Future[Run]:
        return self._waiting.setdefault(str(run_id), asyncio.get_running_loop().create_future())

    async def tell(self, run: Run) -> None:
        future = self.expect(run.run_id)
        if run.ended and not future.done():
            future.set_result(run)


@contextlib.asynccontextmanager
async def engine_at(dsn: str, context: RunContext) -> AsyncIterator[tuple[Engine, Arrivals]]:
    arrivals = Arrivals()
    async with open_engine(dsn) as engine:
        work = asyncio.create_task(engine.work(context, arrivals.tell, PACE))
        try:
            yield engine, arrivals
        finally:
            await stop(work)


async def one_run(number: str, context: RunContext, engine: Engine, arrivals: Arrivals, at: Simulator) -> None:
    request = order_request(at, f"boat {number}", user_id=f"cli:{number}", audience={"kind": "benchmark"})
    answer = await admit(request, context.ledger)
    assert isinstance(answer, Admitted), answer
    arrived = arrivals.expect(answer.run_id)
    await engine.enqueue(answer.run_id)
    run = await arrived
    assert run.state is State.SAVED, run


async def measure(dsn: str, context: RunContext, at: Simulator, *, alone: int, together: int, name: str = "") -> Speed:
    lift_limits(dsn)
    async with engine_at(dsn, context) as (engine, arrivals):
        for number in range(5):
            await one_run(f"{name}warm-{number}", context, engine, arrivals, at)
        times = []
        for number in range(alone):
            begun = time.perf_counter()
            await one_run(f"alone-{number}", context, engine, arrivals, at)
            times.append((time.perf_counter() - begun) * 1000)
        begun = time.perf_counter()
        places = asyncio.Semaphore(100)

        async def placed(number: int) -> None:
            async with places:
                await one_run(f"{name}together-{number}", context, engine, arrivals, at)

        await asyncio.gather(*map(placed, range(together)))
        return Speed(statistics.median(times or [0.0]), together / (time.perf_counter() - begun))


def lift_limits(dsn: str) -> None:
    """A benchmark buys more in a minute than any breaker or budget allows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update onetake.limits set value = '1000000000000' where key like 'budget%'")
        connection.execute("update onetake.limits set value = '1000000' where key like 'breaker%submissions'")


async def in_process(dsn: str, at: Simulator, home: Path) -> Speed:
    async with open_test_context(
        dsn, at, home, quick_waits(POLL_SECONDS="0.001", ATTEND_SECONDS="15", SUBMIT_DEADLINE_SECONDS="10")
    ) as real:
        context = replace(
            real,
            account=replace(real.account, provider=cast(VideoProvider, InstantProvider())),
            text=replace(real.text, client=InstantTextModel()),
        )
        return await measure(dsn, context, at, alone=100, together=500)


async def over_http(dsn: str, at: Simulator, home: Path) -> tuple[Speed, str]:
    """Measures, then repeats a shorter run under a profiler, which shows where the time goes."""
    waits = quick_waits(
        POLL_SECONDS="0.01", ATTEND_SECONDS="15", SUBMIT_DEADLINE_SECONDS="10", REQUEST_TIMEOUT_SECONDS="10"
    )
    async with open_test_context(dsn, at, home, waits) as context:
        speed = await measure(dsn, context, at, alone=20, together=200)
        profile = cProfile.Profile()
        profile.enable()
        try:
            await measure(dsn, context, at, alone=0, together=60, name="profiled")
        finally:
            profile.disable()
    return speed, shares(profile)


ROOMS = {
    "openai SDK": "openai",
    "instructor": "instructor",
    "HTTP client": "httpcore2 httpx2",
    "pydantic": "pydantic",
    "psycopg": "psycopg",
    "queue": "procrastinate",
    "TLS set-up": "ssl.py",
}


def shares(profile: cProfile.Profile) -> str:
    """Own time per library, the largest first."""
    stats = pstats.Stats(profile)
    own: dict[str, float] = {}
    for (file, _, name), (_, _, own_time, _, _) in stats.stats.items():  # type: ignore[attr-defined]  # documented, untyped
        if "select.epoll" in name:
            room = "waiting"
        else:
            room = next((r for r, words in ROOMS.items() if any(w in file for w in words.split())), "the rest")
        own[room] = own.get(room, 0.0) + own_time
    total = sum(own.values())
    largest = sorted(own.items(), key=lambda item: -item[1])[:6]
    return ", ".join(f"{room} {share / total:.0%}" for room, share in largest)
