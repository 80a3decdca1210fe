"""A sample of the bot's crash points and of lost answers; the full set is tests/guarantee/chat/."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.guarantee.chat import plan
from tests.support.fixtures import ROOT


def rows_of_a_short_run(dsn: str, file: Path) -> list[dict[str, Any]]:
    process = subprocess.run(
        [sys.executable, "-m", "tests.guarantee.chat", "--short", "--dsn", dsn, "--json", str(file)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


def test_bot_killed_at_sampled_points_buys_and_delivers_one_video(ledger_dsn: str, tmp_path: Path) -> None:
    rows = rows_of_a_short_run(ledger_dsn, tmp_path / "report.json")
    assert len(rows) == len(plan.short())
    assert {row["paid"] for row in rows} == {row["creates"] for row in rows} == {1}
    assert {row["state"] for row in rows} == {"delivered"}
    assert all(row["struck"] for row in rows)
    again = {row["name"]: row["videos"] for row in rows}
    assert again["telegram.sendVideo.before"] == 1
    assert again["telegram.sendVideo.after"] == 2, "it cannot be known that it came: it is sent again, never lost"


def test_calls_missing_from_the_trace_are_reported() -> None:
    every = [f"{door}.{side}" for door in plan.ESSENTIAL for side in ("before", "after #2")]
    assert plan.blind(every) == []
    assert plan.blind(every[2:]) == [f"the tracer did not see {plan.ESSENTIAL[0]}"]


def test_lost_answer_cases_cover_every_telegram_call() -> None:
    log = [
        "telegram.sendVideo.before",
        "telegram.sendVideo.after",
        "telegram.sendVideo.before #2",
        "ledger.mark_notified.before",
    ]
    names = [case.name for case in plan.lost_answers([log, log])]
    assert "done_then_drop at sendVideo #2" in names
    assert "flood at sendVideo #1" in names
