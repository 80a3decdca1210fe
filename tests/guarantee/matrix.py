"""The crash matrix: a run is killed at every point where it has an outside effect, then the books are checked.

    python -m tests.guarantee.matrix [--short] [--json FILE] [--only-points] [--write-points]

In       nothing; or an existing database, migrated and empty, and a running simulator
Out      a table, exit code 0; 1 if any promise of docs/design.md was broken
Effects  starts its own embedded server, simulator, and many short processes; no network, no key, no money
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from signal import SIGSTOP

import psycopg

from pipeline.ledger.migrate import install_queue, migrate
from pipeline.postgres.embedded import open_server
from tests.guarantee.crash import database, known
from tests.guarantee.crash.cases import MUST_STRIKE, Case, Result, killed_at, play
from tests.guarantee.crash.judge import budget_differences
from tests.guarantee.crash.life import Place, live, new_subject
from tests.guarantee.crash.trace_points import End
from tests.guarantee.processes.forked_workers import side_by_side
from tests.support.fixtures import Simulator, simulator_process

AT_ONCE = 8  # lives at once: a life in doubt mostly waits
FOR_WORKERS = "for_workers"
TURNS_MAX = 2  # more calls of the same kind add nothing
FENCE = ("ledger.begin_submission", "http.POST /videos", "file.rename answers", "ledger.record_submission")
SHORT_EVERY = 9
PLENTY = {
    "budget_day_microusd": 10**12,
    "budget_month_microusd": 10**12,
    "breaker_all_submissions": 10**6,
    "breaker_failures": 10**6,
}


@dataclass
class Report:
    points: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> str:
        rows = [
            {
                "kind": each.case.kind,
                "name": each.case.name,
                "seconds": round(each.seconds, 2),
                "kills": each.kills,
                **asdict(each.facts),
                "wrong": each.wrong,
            }
            for each in self.results
        ]
        return json.dumps(
            {"points": self.points, "rows": rows, "wrong": self.wrong, "seconds": round(self.seconds, 1)}, indent=1
        )


def raise_limits(dsn: str) -> None:
    """Lift the limits: hundreds of runs in one minute would count as a burst."""
    with psycopg.connect(dsn) as connection:
        for key, value in PLENTY.items():
            connection.execute("update onetake.limits set value = to_jsonb(%s::bigint) where key = %s", (value, key))


def discover(place: Place, folder: Path) -> tuple[Result, list[str]]:
    """The points of an undisturbed life, in order."""
    kind = "a worker undisturbed" if place.worker else "undisturbed"
    result = play(Case(kind, "a life nothing ends", ()), place, folder)
    return result, [point for point in result.logs[0] if _turn(point) <= TURNS_MAX]


def singles(points: Sequence[str]) -> list[Case]:
    return [killed_at(MUST_STRIKE, point) for point in points]


def short_sample(points: Sequence[str]) -> list[Case]:
    """Every point around the purchase, and a spread of the rest."""
    near = [point for point in points if point.startswith(FENCE)]
    spread = [point for point in points if point not in near][::SHORT_EVERY]
    return singles([*near, *spread])


def pairs(points: Sequence[str], once: Sequence[Result]) -> list[Case]:
    """Killed at a point, and the restart at its own middle; and at the next point, if the restart reaches it."""
    recoveries = {each.case.ends[0].at: each.logs[1] for each in once}
    cases: list[Case] = []
    for point, neighbour in zip(points, [*points[1:], ""], strict=True):
        recovery = recoveries[point]
        cases.append(killed_at("killed twice", point, 1))
        cases.append(killed_at("killed twice", point, neighbour if neighbour in recovery else _half_way(recovery)))
    return cases


def _half_way(recovery: Sequence[str]) -> str:
    sure = [point for point in recovery if _turn(point) <= TURNS_MAX]
    return sure[len(sure) // 2]


def in_recovery(points: Sequence[str], once: Sequence[Result]) -> list[Case]:
    """Killed at every point that only a recovery reaches: of a clip that was made, and of one that was not."""
    seen, cases = {(state, point) for state in ("saved", "failed") for point in points}, list[Case]()
    for each in once:
        for point in each.logs[1]:
            if (each.facts.state, point) not in seen and _turn(point) <= TURNS_MAX:
                seen.add((each.facts.state, point))
                cases.append(killed_at("killed in recovery", str(each.case.ends[0].at), point))
    return cases


def frozen() -> list[Case]:
    """Stopped between the fence and the request; resumed before the deadline, after it, and after all was settled."""
    places = ("ledger.begin_submission.after", "http.POST /videos.before", "http.POST /videos.after")
    return [
        Case("frozen, another took over", f"{at}, for {seconds} s", (End(at, SIGSTOP),), frozen_for=seconds)
        for at in places
        for seconds in (0.3, 1.5, 3.0, 8.0)
    ]


def under_a_worker(place: Place, folder: Path) -> list[Result]:
    """The same with the queue: its calls are points, and the restart is a worker that finds a dead worker's job."""
    dsn = psycopg.conninfo.make_conninfo(place.dsn, dbname=FOR_WORKERS)
    place = replace(place, dsn=dsn, worker=True)
    first, points = discover(place, folder)
    return [first, *all_played([killed_at("a worker killed", point) for point in points], place, folder)]


def all_played(cases: Iterable[Case], place: Place, folder: Path) -> list[Result]:
    """Play the cases in a few processes side by side; results in the order of the cases."""
    return side_by_side(list(cases), lambda case: play(case, place, folder), folder, AT_ONCE)


def _turn(point: str) -> int:
    return int(point.rpartition(" #")[2]) if " #" in point else 1


@contextmanager
def made_place(folder: Path) -> Iterator[Place]:
    with open_server(folder) as dsn, simulator_process("--speed", "instant") as sim:
        migrate(dsn)
        install_queue(dsn)
        raise_limits(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"create database {FOR_WORKERS} template onetake")
        yield Place(dsn, sim)


def examine(place: Place, folder: Path, report: Report, *, short: bool, only_points: bool) -> None:
    raise_limits(place.dsn)
    asyncio.run(live(new_subject(place, folder, "warm"), place))  # imports and caches once, before anything is forked
    first, report.points = discover(place, folder)
    report.results.append(first)
    if only_points:
        return
    if short:
        some = [case for case in frozen() if case.frozen_for in {0.3, 1.5}]  # the longest ones first
        report.results += all_played([*some, *short_sample(report.points)], place, folder)
    else:
        once = all_played(singles(report.points), place, folder)
        more = [*frozen(), *in_recovery(report.points, once), *pairs(report.points, once)]
        report.results += [*once, *all_played(more, place, folder)]
    report.wrong += budget_differences(place.dsn)


def print_table(report: Report) -> None:
    print(f"{len(report.points)} points at which a run touches the world\n")
    heads = f"{'runs':>6}{'kills':>7}{'saved':>7}{'failed':>8}{'most creates':>14}{'paid calls':>12}{'wrong':>7}"
    print(f"{'what happened':28}{heads}")
    kinds = list(dict.fromkeys(each.case.kind for each in report.results))
    for kind in kinds:
        results = [each for each in report.results if each.case.kind == kind]
        rows = [each.facts for each in results]
        states = [row.state for row in rows]
        print(
            f"{kind:28}{len(rows):>6}{sum(each.kills for each in results):>7}"
            f"{states.count('saved'):>7}{states.count('failed'):>8}"
            f"{max(row.creates for row in rows):>14}{max(row.paid for row in rows):>12}"
            f"{sum(bool(each.wrong) for each in results):>7}"
        )
    for each in report.results:
        for wrong in each.wrong:
            print(f"\n{each.case.kind}: {each.case.name}\n  {wrong}")
    print("\n".join(["", *report.wrong, f"{report.seconds:.0f} s"]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.matrix")
    parser.add_argument("--short", action="store_true", help="a sample, with everything around the purchase")
    parser.add_argument("--json", type=Path, help="where to write the whole report")
    parser.add_argument("--only-points", action="store_true", help="only find the points and compare them")
    parser.add_argument("--write-points", action="store_true", help="the points found are the known ones from now on")
    parser.add_argument("--dsn", help="a migrated, empty database")
    parser.add_argument("--simulator", help="the URL of a simulator, with /v1")
    chosen = parser.parse_args(arguments)
    begun, report = time.monotonic(), Report()
    folder = Path(tempfile.mkdtemp(prefix="onetake-matrix-"))
    try:
        if chosen.dsn and chosen.simulator:
            place = Place(chosen.dsn, Simulator(chosen.simulator))
            examine(place, folder, report, short=chosen.short, only_points=chosen.only_points)
        else:
            with made_place(folder) as place:
                examine(place, folder, report, short=chosen.short, only_points=chosen.only_points)
                if not (chosen.short or chosen.only_points):
                    report.results += under_a_worker(place, folder)
            if not (chosen.short or chosen.only_points):
                report.results += database.killed_in_mid_run(folder / "other", report.points)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if chosen.write_points:
        known.write(report.points)
    report.wrong += known.differences(report.points)
    report.seconds = time.monotonic() - begun
    if chosen.json:
        chosen.json.write_text(report.as_json())
    print_table(report)
    return 1 if report.wrong or any(each.wrong for each in report.results) else 0


if __name__ == "__main__":
    sys.exit(main())
