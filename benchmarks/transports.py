"""Both transports to the ledger, and one, two and three workers on it: ratios, measured in one run.

In       its own PostgreSQL server; PostgREST from npm, or the reason why it is missing
Out      calls per second over each transport; runs per second with each number of workers
"""

import asyncio
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from pipeline.ledger.transports import over_psycopg, over_rest
from pipeline.ledger.transports.common import LedgerCall
from tests.guarantee.processes.fleet import open_fleet
from tests.support.npm import Absent
from tests.support.project import open_project, project_database

CALLS = 400
AT_ONCE = 20
RUNS = 120


async def calls_per_second(rpc: LedgerCall) -> tuple[float, float]:
    """Reads of the controls, one after the other and twenty at once."""
    for _ in range(AT_ONCE):
        await rpc("controls", {})
    began = time.perf_counter()
    for _ in range(CALLS):
        await rpc("controls", {})
    alone = CALLS / (time.perf_counter() - began)

    async def share() -> None:
        for _ in range(CALLS // AT_ONCE):
            await rpc("controls", {})

    began = time.perf_counter()
    await asyncio.gather(*(share() for _ in range(AT_ONCE)))
    return alone, CALLS / (time.perf_counter() - began)


async def _measured(transport: AbstractAsyncContextManager[LedgerCall]) -> tuple[float, float]:
    async with transport as rpc:
        return await calls_per_second(rpc)


def print_transports(server: str) -> None:
    with project_database(server) as dsn:
        direct = asyncio.run(_measured(over_psycopg.open_transport(dsn)))
        print(f"(e) psycopg: {direct[0]:.0f} calls/s one at a time, {direct[1]:.0f} with {AT_ONCE} at once")
        try:
            with open_project(dsn) as project:
                rest = asyncio.run(_measured(over_rest.open_transport(project.url, project.service_key)))
        except Absent as why:
            print(f"    the REST transport was skipped: {why}")
            return
        print(f"    supabase over PostgREST: {rest[0]:.0f} and {rest[1]:.0f}", end="; ")
        print(f"psycopg is {direct[0] / rest[0]:.1f} and {direct[1] / rest[1]:.1f} times as fast")


def print_workers() -> None:
    """Whole runs over HTTP at an instant simulator: two cores of one machine do all the work."""
    speeds = [runs_per_second(workers) for workers in (1, 2, 3)]
    shown = ", ".join(f"{speed:.1f}" for speed in speeds)
    print(f"(f) 1, 2, 3 workers on one database: {shown} runs/s; ", end="")
    print(", ".join(f"{speed / speeds[0]:.2f}" for speed in speeds) + " of one worker's")


def runs_per_second(workers: int) -> float:
    with (
        tempfile.TemporaryDirectory(prefix="onetake-bench-") as folder,
        open_fleet(Path(folder), workers, 0, "--speed", "instant") as fleet,
    ):
        for worker in fleet.workers:
            worker.freeze()
        fleet.order(RUNS)
        began = time.perf_counter()
        for worker in fleet.workers:
            worker.thaw()
        while not fleet.all_saved():
            time.sleep(0.05)
        took = time.perf_counter() - began
        fleet.check_books()
        return RUNS / took
