"""`python -m benchmarks.duplicates`: what one request costs with each contender, under the same faults.

In       nothing; every cell gets its own simulated provider on 127.0.0.1, and is judged by its books
Out      paid calls per request, worst and mean, and lost videos: paid, but the caller never got their id
Effects  exits 1 if onetake paid more than once or lost a video
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from benchmarks.loop import CONTENDERS, PROMPT, REQUEST, Contender, Shopper, Stall
from pipeline.context import RunContext
from pipeline.ledger.migrate import install_queue, migrate
from pipeline.ledger.records import Run
from pipeline.postgres.embedded import open_server
from pipeline.run import admit, run
from simulator.app import Running, serve
from simulator.faults.arming import Fault
from simulator.settings import INSTANT, Settings
from steps.check_limits import Admitted
from tests.guarantee.processes.machine import Machine
from tests.support.fixtures import Simulator, open_test_context, order_request, quick_waits

CELLS_AT_ONCE = 16
HANG_SECONDS = 5.0  # longer than any client's timeout
ONETAKE = "onetake"
ABOUT_ONETAKE = "its real run(), fence, ledger and reconciliation, at the same provider"
CARRY_SECONDS_MAX = 30.0
# Short, but long enough that a busy machine does not look like a fault of the provider.
UNHURRIED = {"CONNECT_TIMEOUT_SECONDS": "2", "REQUEST_TIMEOUT_SECONDS": "2", "SUBMIT_DEADLINE_SECONDS": "5"}


@dataclass(frozen=True)
class Case:
    """`times` None: the fault lasts as long as the request. A killed or doubled request counts as one request."""

    name: str
    kind: str = ""
    times: int | None = 1
    params: dict[str, Any] = field(default_factory=dict)
    killed: bool = False
    doubled: bool = False


TROUBLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("made, then dropped", "made_then_drop", {}),
    ("made, then silence", "made_then_timeout", {}),
    ("half an answer", "half_answer", {}),
    ("500, made", "status", {"status": 500, "made": True}),
    ("409, made", "status", {"status": 409, "made": True}),
    ("429, made", "status", {"status": 429, "made": True}),
)
CASES = (
    Case("no fault"),
    *(Case(f"{name}, once", kind, 1, params) for name, kind, params in TROUBLES),
    *(Case(f"{name}, lasting", kind, None, params) for name, kind, params in TROUBLES),
    Case("307 redirect", "redirect", 1),
    Case("killed, answer lost, restarted", "made_then_timeout", 1, killed=True),
    Case("double tap", doubled=True),
)


@dataclass(frozen=True)
class Cell:
    contender: str
    case: str
    paid: int
    lost: int


@asynccontextmanager
async def provider(case: Case) -> AsyncIterator[Running]:
    settings = Settings(speed=INSTANT, tiny_clips=True, hang_seconds=HANG_SECONDS)
    async with serve(settings=settings) as running:
        if case.kind:
            running.state.faults.arm(Fault("create", case.kind, case.times, params=case.params))
        yield running


def judged(who: str, case: Case, at: Running, given: Sequence[str]) -> Cell:
    paid = [create.job_id for create in at.state.books.creates if create.job_id is not None]
    return Cell(who, case.name, len(paid), len(set(paid) - set(given)))


async def until_made(at: Running) -> None:
    while not at.state.books.creates:  # noqa: ASYNC110 - the books have no event to wait for
        await asyncio.sleep(0.01)


async def contest(contender: Contender, case: Case, disk: Path) -> Cell:
    async with provider(case) as at:
        stall = Stall(at.base_url, disk)
        given: list[str] = []
        if case.killed:
            async with contender.open(stall) as shopper:
                doomed = asyncio.ensure_future(shopper())
                await until_made(at)
                doomed.cancel()  # memory is lost; files stay
                await asyncio.gather(doomed, return_exceptions=True)
        async with contender.open(stall) as shopper:
            given += await arrivals(shopper, case)
        return judged(contender.name, case, at, given)


async def arrivals(shopper: Shopper, case: Case) -> list[str]:
    heard = await asyncio.gather(*(shopper() for _ in range(2 if case.doubled else 1)))
    return [job_id for ids in heard for job_id in ids]


async def contest_onetake(case: Case, disk: Path, dsn: str) -> Cell:
    async with provider(case) as at:
        sim = Simulator(at.base_url)
        if case.killed:
            given = await killed_process(at, Machine(disk, sim, {"DATABASE_URL": dsn} | UNHURRIED))
        else:
            waits = quick_waits(**UNHURRIED)
            async with open_test_context(dsn, sim, disk, waits) as context:

                async def shopper() -> list[str]:
                    asked = order_request(sim, PROMPT, key=REQUEST, call_id=uuid4())
                    admitted = await admit(asked, context.ledger)
                    assert isinstance(admitted, Admitted), admitted
                    row = await driven(admitted.run_id, context)
                    return [row.job_id] if row.file and row.job_id else []

                given = await arrivals(shopper, case)
        return judged(ONETAKE, case, at, given)


async def driven(run_id: UUID, context: RunContext) -> Run:
    """Process a run as a worker would."""
    until = time.monotonic() + CARRY_SECONDS_MAX
    while True:
        row = await run(run_id, context)
        assert row is not None
        if row.ended or time.monotonic() > until:
            return row
        await asyncio.sleep(0.05)


async def killed_process(at: Running, machine: Machine) -> list[str]:
    """A real process and a real SIGKILL: canceling a task would only show that a purchase survives its caller."""
    process = await asyncio.to_thread(machine.start, "create", PROMPT, "--key", "k", "--json")
    await until_made(at)
    process.kill()
    await asyncio.to_thread(process.communicate)
    again = await asyncio.to_thread(machine.start, "create", PROMPT, "--key", "k", "--json")
    out, _ = await asyncio.to_thread(again.communicate)
    said = json.loads(out.strip().splitlines()[-1])
    return [said["provider_job_id"]] if said["state"] == "saved" else []


def databases(uri: str, count: int) -> list[str]:
    """This many migrated databases: two requests of one user in one ledger would count as duplicates."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("create database ledger_template")
        template = psycopg.conninfo.make_conninfo(uri, dbname="ledger_template")
        migrate(template)
        install_queue(template)
        for number in range(count):
            connection.execute(f"create database duel_{number} template ledger_template".encode())
    return [psycopg.conninfo.make_conninfo(uri, dbname=f"duel_{number}") for number in range(count)]


async def tournament(folder: Path, dsns: Sequence[str]) -> list[Cell]:
    places = asyncio.Semaphore(CELLS_AT_ONCE)

    def disk() -> Path:
        path = folder / uuid4().hex
        path.mkdir()
        return path

    async def placed(contender: Contender, case: Case) -> Cell:
        async with places:
            return await contest(contender, case, disk())

    # onetake runs first and a few cells at a time, so that timeouts of a busy machine do not distort its result.
    cells: list[Cell] = []
    for start in range(0, len(CASES), 4):
        some = list(zip(CASES, dsns, strict=True))[start : start + 4]
        cells += await asyncio.gather(*(contest_onetake(case, disk(), dsn) for case, dsn in some))
    # The longest first: lasting faults are retried again and again.
    slow_first = sorted(CASES, key=lambda case: case.times is not None)
    others = await asyncio.gather(*(placed(contender, case) for case in slow_first for contender in CONTENDERS))
    return [*others, *cells]


def totals(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    rows = []
    abouts = [(contender.name, contender.about) for contender in CONTENDERS]
    for name, about in [*abouts, (ONETAKE, ABOUT_ONETAKE)]:
        own = [cell for cell in cells if cell.contender == name]
        paid = [cell.paid for cell in own]
        rows.append(
            {
                "contender": name,
                "about": about,
                "no_fault": next(cell.paid for cell in own if cell.case == CASES[0].name),
                "worst": max(paid),
                "mean": round(sum(paid) / len(paid), 2),
                "lost": sum(cell.lost for cell in own),
                "requests": len(own),
            }
        )
    return rows


def violations(cells: Sequence[Cell]) -> list[str]:
    return [
        f"onetake, {cell.case}: {cell.paid} paid calls, {cell.lost} videos lost"
        for cell in cells
        if cell.contender == ONETAKE and (cell.paid != 1 or cell.lost)
    ]


def show(cells: Sequence[Cell]) -> None:
    print("paid calls for ONE request, by the provider's own books")
    print(f"{'':<26}{'no fault':>9}{'worst':>8}{'mean':>8}{'lost':>7}")
    for row in totals(cells):
        print(f"{row['contender']:<26}{row['no_fault']:>9}{row['worst']:>8}{row['mean']:>8.2f}{row['lost']:>7}")
    print()
    for row in totals(cells):
        print(f"{row['contender']:<26}{row['about']}")
    print(f"lost: paid videos whose ids never reached the caller, over {len(CASES)} requests")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duplicates", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every cell to this file")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="onetake-duplicates-") as name:
        folder = Path(name)
        with open_server(folder / "postgres") as uri:
            cells = asyncio.run(tournament(folder, databases(uri, len(CASES))))
    show(cells)
    wrong = violations(cells)
    seconds = round(time.monotonic() - begun, 1)
    print(f"{len(cells)} requests in {seconds:.0f} s")
    for violation in wrong:
        print(f"VIOLATION: {violation}")
    if options.json:
        report = {
            "totals": totals(cells),
            "cells": [asdict(cell) for cell in cells],
            "violations": wrong,
            "seconds": seconds,
        }
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
