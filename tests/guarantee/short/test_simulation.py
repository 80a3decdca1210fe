"""Three seeds of the simulation; tests/guarantee/simulation.py plays five hundred and more."""

import json
import subprocess
import sys
from pathlib import Path

from tests.guarantee.fuzz.plan import plan
from tests.support.fixtures import ROOT

SEEDS = 3


def test_seed_determines_the_simulation_plan() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


def test_short_simulation_buys_nothing_twice_and_loses_nothing_paid(postgres_uri: str, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    process = subprocess.run(
        [
            *(sys.executable, "-m", "tests.guarantee.simulation"),
            *("--seeds", str(SEEDS), "--lanes", "3", "--server", postgres_uri, "--json", str(figures)),
        ],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    told = json.loads(figures.read_text())
    assert sum(each["creates"] for each in told) > 0
    assert sum(each["kills"] for each in told) > 0
