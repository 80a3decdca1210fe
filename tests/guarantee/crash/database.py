"""Kills the embedded PostgreSQL in mid-run, by its own pid; the next process that needs it restarts it."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.ledger.migrate import migrate
from pipeline.postgres import server
from pipeline.postgres.embedded import open_server
from tests.guarantee.crash.cases import Case, Result, complaint, with_the_database_killed
from tests.guarantee.crash.judge import budget_differences, judge
from tests.guarantee.crash.life import Place, new_subject
from tests.guarantee.crash.trace_points import End
from tests.support.fixtures import simulator_process

AT = (
    "ledger.approve.before",
    "ledger.begin_submission.before",
    "ledger.begin_submission.after",
    "http.POST /videos.after",
    "ledger.record_submission.before",
    "ledger.record_submission.after",
    "ledger.save_run.before",
    "ledger.mark_notified.before",
)


def killed_in_mid_run(home: Path, points: Sequence[str]) -> list[Result]:
    """One server, killed once at each of these points that exists."""
    home.mkdir(parents=True, exist_ok=True)
    return [_killed_at(home, at) for at in AT if at in points]


def _killed_at(home: Path, at: str) -> Result:
    begun = time.monotonic()
    with open_server(home) as dsn, simulator_process("--speed", "instant") as sim:
        migrate(dsn)
        place = Place(dsn, sim)
        subject = new_subject(place, home, at)

        def kill() -> None:
            pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, signal.SIGKILL)

        def start() -> None:
            until = time.monotonic() + 20
            while server.running(home / "postgres"):
                assert time.monotonic() < until, "the killed server still runs"
                time.sleep(0.05)
            assert server.start(home / "postgres")

        wrong = with_the_database_killed(subject, place, at, kill, start)
        facts = judge(subject, place, 2, woken=True)
        wrong = [*wrong, *budget_differences(dsn)]
    case = Case("database killed", at, (End(at, signal.SIGSTOP),))
    return Result(case, facts, complaint(subject, facts, wrong), 1, time.monotonic() - begun)
