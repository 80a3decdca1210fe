"""Many users, a faulty provider, processes that die and freeze: drawn from a seed, judged from outside.

    python -m tests.guarantee.simulation --seeds N [--seed FIRST] [--lanes L] [--keep FOLDER]

In       how many seeds, and the first one
Out      one line per hundred seeds, every violation with its seed and the command to replay it; then exit code 1
Effects  starts its own embedded server, simulators, workers; no network, no key, no money

A seed fixes who asks for what and when, what the provider does, who is killed and when. It does not fix how the
operating system schedules the processes: replay a failing seed a few times.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pipeline.ledger.migrate import install_queue, migrate
from pipeline.postgres.embedded import open_server
from tests.guarantee.fuzz.crew import shorten_waits
from tests.guarantee.fuzz.plan import plan
from tests.guarantee.fuzz.play import Told, play, rehearse

REPORT_EVERY = 50
# Only processes are killed, never the server: what it would lose in a power cut does not matter.
SETTINGS = (
    "synchronous_commit = off",
    "fsync = off",
    "full_page_writes = off",
    "autovacuum = off",
    "max_connections = 400",  # a lane takes some twenty; 100 are too few for five lanes
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.simulation")
    parser.add_argument("--seeds", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=1, help="the first (1)")
    parser.add_argument("--lanes", type=int, default=min(4, 2 * (os.cpu_count() or 1)), help="seeds at the same time")
    parser.add_argument("--keep", type=Path, help="keep what every process said in this folder")
    parser.add_argument("--json", type=Path, help="where to write the figures of every seed")
    parser.add_argument("--server", help="a PostgreSQL to use instead of an embedded one of its own")
    chosen = parser.parse_args(arguments)
    shorten_waits()
    folder = Path(tempfile.mkdtemp(prefix="onetake-fuzz-"))
    try:
        if chosen.server:
            return _all(chosen, chosen.server, folder)
        with open_server(folder) as server, psycopg.connect(server, autocommit=True) as connection:
            for setting in SETTINGS:
                connection.execute(f"alter system set {setting}".encode())
        with open_server(folder) as server:  # restarted: some settings cannot change while it runs
            return _all(chosen, server, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _all(chosen: argparse.Namespace, server: str, folder: Path) -> int:
    begun = time.monotonic()
    _make_template(server)
    rehearse(server, folder / "rehearsal", folder / "clips")
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    results = folder / "results"
    lanes = [_lane(seeds[n :: chosen.lanes], server, folder, results, chosen.keep) for n in range(chosen.lanes)]
    told = _gather(lanes, results, len(seeds))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in told], indent=1))
    clean = sum(not each.wrong for each in told)
    print(
        f"{clean} of {len(seeds)} seeds clean; {sum(e.runs for e in told)} runs, {sum(e.creates for e in told)} create "
        f"requests, {sum(e.kills for e in told)} kills, {sum(e.freezes for e in told)} freezes, "
        f"{sum(e.parked for e in told)} parked; {time.monotonic() - begun:.0f} s"
    )
    return 0 if clean == len(seeds) else 1


def _make_template(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        if not connection.execute("select from pg_database where datname = 'storm_template'").fetchone():
            connection.execute("create database storm_template")
    template = make_conninfo(server, dbname="storm_template")
    migrate(template)
    install_queue(template)


def _lane(seeds: list[int], server: str, folder: Path, results: Path, keep: Path | None) -> int:
    """A process that plays seeds one after another and writes one line for each."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        for seed in seeds:
            place = (keep or folder) / f"seed{seed}"
            shutil.rmtree(place, ignore_errors=True)
            try:
                told = play(plan(seed), server, place, folder / "clips")
            except Exception as error:  # noqa: BLE001 - a seed that cannot be played counts as failed, with its number
                traceback.print_exc()
                told = Told(seed, [f"it could not be played: {error!r}"])
            with results.open("a") as file:
                file.write(json.dumps(asdict(told)) + "\n")
            if not keep:
                shutil.rmtree(place, ignore_errors=True)
        code = 0
    finally:
        os._exit(code)


def _gather(lanes: list[int], results: Path, seeds: int) -> list[Told]:
    """Read the lanes' results as they are written."""
    told: list[Told] = []
    alive = set(lanes)
    while alive or _new(results, told):
        for pid in list(alive):
            if os.waitpid(pid, os.WNOHANG)[0]:
                alive.discard(pid)
        for each in _new(results, told):
            told.append(each)
            for sentence in each.wrong:
                again = f"python -m tests.guarantee.simulation --seeds 1 --seed {each.seed}"
                print(f"seed {each.seed}: {sentence}\n    {again}", flush=True)
            if len(told) % REPORT_EVERY == 0:
                print(f"{len(told)} of {seeds} seeds played", flush=True)
        time.sleep(0.05)
    missing = seeds - len(told)
    if missing:
        print(f"{missing} seeds were not played: a lane fell")
    return told


def _new(results: Path, told: list[Told]) -> list[Told]:
    lines = results.read_text().splitlines(keepends=True) if results.exists() else []
    return [Told(**json.loads(line)) for line in lines[len(told) :] if line.endswith("\n")]


if __name__ == "__main__":
    sys.exit(main())
