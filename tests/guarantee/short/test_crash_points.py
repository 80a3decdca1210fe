"""A sample of the crash matrix, with every point around the purchase; the full one is tests/guarantee/matrix.py."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.guarantee.crash import known
from tests.support.fixtures import ROOT, Simulator

# The given folder precedes this checkout on the path, so that a changed copy of the steps runs.
WITH_ANOTHER_FOLDER_FIRST = """
import sys
folder, *arguments = sys.argv[1:]
sys.path.insert(0, folder)
from tests.guarantee.matrix import main
sys.exit(main(arguments))
"""


def matrix(dsn: str, sim: Simulator, tmp_path: Path, *options: str, first: Path | None = None) -> tuple[int, Any, str]:
    """Exit code, report, and output."""
    file = tmp_path / "report.json"
    program = ["-c", WITH_ANOTHER_FOLDER_FIRST, str(first)] if first else ["-m", "tests.guarantee.matrix"]
    process = subprocess.run(
        [sys.executable, *program, *options, "--json", str(file), "--dsn", dsn, "--simulator", sim.url],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert file.exists(), process.stderr
    return process.returncode, json.loads(file.read_text()), process.stdout


def test_run_killed_at_sampled_crash_points_is_bought_at_most_once_and_ends_as_designed(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    code, report, printed = matrix(ledger_dsn, simulator, tmp_path, "--short")

    assert code == 0, printed
    assert len(set(report["points"])) >= 30
    assert {"ledger.begin_submission.after", "http.POST /videos.before"} <= {row["name"] for row in report["rows"]}
    assert max(row["creates"] for row in report["rows"]) == 1
    assert simulator.creates() == sum(row["creates"] for row in report["rows"]) + 1, "the warm one"


ADDED = (
    ("generate_video.py", "    return await provider.post(order, before_send)\n", "    await provider.page()\n"),
    ("save_video.py", "    draft.replace(target)\n", "    os.link(draft, target.with_suffix('.copy'))\n"),
    ("check_limits.py", "    if replacing is None:\n", "    __import__('subprocess').run(['true'])\n"),
)


def test_outside_call_added_to_a_step_is_reported_as_a_new_crash_point(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    copy = tmp_path / "changed" / "steps"
    shutil.copytree(ROOT / "steps", copy)
    for module, line, call in ADDED:
        text = (copy / module).read_text()
        assert text.count(line) == 1, module
        (copy / module).write_text(text.replace(line, call + line))

    code, report, printed = matrix(ledger_dsn, simulator, tmp_path, "--only-points", first=copy.parent)

    assert code == 1
    for point in (
        "http.GET /videos.before",
        "outside the trace points: os.link media draft",
        "outside the trace points: subprocess.Popen",
    ):
        sentence = f"A run now touches the world at `{point}`, which points.txt does not know"
        assert any(wrong.startswith(sentence) for wrong in report["wrong"]), printed


def test_removed_crash_point_is_reported() -> None:
    points = known.read()
    assert known.differences(points) == []
    assert known.differences(points[1:]) == [
        f"A run no longer comes to `{points[0]}`, which points.txt knows: {known.COMMAND}."
    ]
