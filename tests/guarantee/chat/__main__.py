"""Crashes between Telegram and the ledger: the bot is killed at every point of one sale, and answers to it get lost.

    python -m tests.guarantee.chat [--short] [--json FILE] [--only WORDS]

In       nothing; or an existing database, migrated and empty
Out      a table, exit code 0; 1 if any promise of docs/design.md was broken
Effects  starts its own embedded server, simulators and bots; no network, no key, no money
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.ledger.migrate import install_queue, migrate
from pipeline.postgres.embedded import open_server
from tests.guarantee.chat import plan
from tests.guarantee.chat.cases import Case, Result, own_simulator, play, until_over
from tests.guarantee.chat.life import hasten, live, new_house
from tests.guarantee.chat.visitor import arrive
from tests.guarantee.crash.cases import own_copy
from tests.guarantee.processes.forked_workers import side_by_side

AT_ONCE = 9  # bots at once
TELLING_SECONDS, SHORT_TELLING_SECONDS = 6.0, 3.0  # how long a dead worker's lease delays the notification
UNDISTURBED = 3  # lives that find the points: some depend on timing


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
                "struck": each.struck,
                **asdict(each.facts),
                "wrong": each.wrong,
            }
            for each in self.results
        ]
        return json.dumps(
            {"points": self.points, "rows": rows, "wrong": self.wrong, "seconds": round(self.seconds, 1)}, indent=1
        )


def warm(dsn: str, folder: Path) -> None:
    """One sale in this process: imports and caches once, before anything is forked."""

    async def sell() -> None:
        house = new_house(folder, "warm")
        with own_copy(dsn) as copy, own_simulator(copy, house) as place:
            visitor = arrive(place.sim)
            bot = asyncio.create_task(live(house, place))
            await asyncio.to_thread(until_over, place, visitor, lambda: False)
            bot.cancel()
            await asyncio.gather(bot, return_exceptions=True)

    asyncio.run(sell())


def examine(dsn: str, folder: Path, report: Report, *, short: bool, only: str) -> None:
    def played(cases: Sequence[Case]) -> list[Result]:
        chosen = [case for case in cases if only in f"{case.kind}: {case.name}"]
        report.results += (found := side_by_side(chosen, lambda case: play(case, dsn, folder), folder, AT_ONCE))
        return found

    hasten(SHORT_TELLING_SECONDS if short else TELLING_SECONDS)
    warm(dsn, folder)
    if short:
        played(plan.short())
        return
    first = side_by_side(
        [plan.undisturbed(n + 1) for n in range(UNDISTURBED)], lambda case: play(case, dsn, folder), folder, AT_ONCE
    )
    report.results += first
    logs = [each.logs[0] for each in first]
    report.points = plan.points_of(logs)
    report.wrong += plan.blind(report.points)
    once = played(plan.singles(report.points, logs))
    more = [*plan.stopped(report.points), *plan.in_recovery(report.points, once)]
    played([*more, *plan.lost_answers(logs), *plan.redelivered()])


def print_table(report: Report) -> None:
    print(f"{len(report.points)} points at which a bot touches the world while it sells one video\n")
    heads = ("cases", "struck", "delivered", "failed", "paid", "cards", "videos", "unended", "wrong")
    print(f"{'what happened':22}" + "".join(f"{head:>10}" for head in heads))
    for kind in dict.fromkeys(each.case.kind for each in report.results):
        results = [each for each in report.results if each.case.kind == kind]
        facts = [each.facts for each in results]
        states = [each.state for each in facts]
        figures = (
            *(len(results), sum(each.struck > 0 for each in results)),
            *(states.count("delivered"), states.count("failed"), max(each.paid for each in facts)),
            *(max(each.cards for each in facts), max(each.videos for each in facts)),
            *(sum(not each.last_word for each in facts), sum(bool(each.wrong) for each in results)),
        )
        print(f"{kind:22}" + "".join(f"{figure:>10}" for figure in figures))
    for each in report.results:
        for wrong in each.wrong:
            print(f"\n{each.case.kind}: {each.case.name}\n  {wrong}")
    print("\n".join(["", *report.wrong, f"{report.seconds:.0f} s"]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.chat")
    parser.add_argument("--short", action="store_true", help="the most telling cases")
    parser.add_argument("--json", type=Path, help="where to write the whole report")
    parser.add_argument("--only", default="", metavar="WORDS", help="cases whose kind or name has these words")
    parser.add_argument("--dsn", help="a migrated, empty database with the queue; else one of its own")
    chosen = parser.parse_args(arguments)
    begun, report = time.monotonic(), Report()
    folder = Path(tempfile.mkdtemp(prefix="onetake-chat-"))
    try:
        with ExitStack() as opened:
            dsn = chosen.dsn
            if dsn is None:
                dsn = opened.enter_context(open_server(folder / "server"))
                migrate(dsn)
                install_queue(dsn)
            examine(dsn, folder, report, short=chosen.short, only=chosen.only)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.seconds = time.monotonic() - begun
    if chosen.json:
        chosen.json.write_text(report.as_json())
    print_table(report)
    return 1 if report.wrong or any(each.wrong for each in report.results) else 0


if __name__ == "__main__":
    sys.exit(main())
