"""Every provider's double, one after the other: answers, kills, freezes, races.

    python -m tests.guarantee.at_each [--json FILE] [--provider NAME]

Out      a table with one column per provider, exit code 0; 1 if any promise of docs/design.md was broken
Effects  starts its own embedded server, simulators and many short processes; no network, no key, no money
"""

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.ledger.migrate import install_queue, migrate
from pipeline.postgres.embedded import open_server
from providers.apis import FACTS
from providers.orders import OPENAI
from tests.guarantee.at_each import answers, crashes
from tests.guarantee.at_each.crashes import Case, Row
from tests.guarantee.crash.cases import ended
from tests.guarantee.crash.life import Place, begin, new_subject
from tests.guarantee.matrix import raise_limits
from tests.guarantee.pages import at_each
from tests.guarantee.processes.forked_workers import side_by_side

AT_ONCE = 6


def crashed(provider: str, dsn: str, folder: Path) -> list[Row]:
    with crashes.place_of(provider, dsn, folder) as place:
        warm = new_subject(place, folder, "warm")
        asyncio.run(crashes.live(warm, place))  # imports and caches once, before anything is forked
        first = new_subject(place, folder, "undisturbed")
        code = ended(begin(first, place, 1))
        assert code == 0, first.said()
        cases = crashes.cases_of(first.points(1), provider)
        return side_by_side(cases, lambda case: _play(case, place, folder), folder, AT_ONCE)


def _play(case: Case, place: Place, folder: Path) -> Row:
    return crashes.play(case, place, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.at_each", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--provider", action="append", help="only this one; may be repeated")
    options = parser.parse_args(arguments)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the simulator's clients disconnect on purpose
    providers = options.provider or [name for name in FACTS if name != OPENAI]
    begun, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="onetake-at-each-"))
    rows: list[dict[str, object]] = []
    try:
        with open_server(folder / "postgres") as dsn:
            migrate(dsn)
            install_queue(dsn)
            raise_limits(dsn)
            for provider in providers:
                rows += [asdict(row) | {"part": "crash"} for row in crashed(provider, dsn, folder)]
                print(f"{provider}: {len(rows)} cases so far, {time.monotonic() - begun:.0f} s", flush=True)
            cells = asyncio.run(answers.matrix(providers, answers.BEHAVIOURS, dsn, folder))
            rows += [
                {"provider": c.provider, "case": c.behaviour, "posts": c.posts, "paid": c.paid_calls, "state": c.state}
                | {"violations": c.violations, "part": "answer"}
                for c in cells
            ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = {"rows": rows, "seconds": round(time.monotonic() - begun, 1)}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    print(at_each(report))
    wrong = [row for row in rows if row["violations"]]
    for row in wrong:
        print(f"VIOLATION, {row['provider']}, {row['case']}: {row['violations']}")
    print(f"{len(rows)} cases, {len(wrong)} violations, {report['seconds']} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
