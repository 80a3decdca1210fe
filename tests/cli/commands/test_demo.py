"""The demo: it tells the story, it cannot be led astray, and it fails when the fence is gone."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cli.demo_script import SimulatorCounts, disagreements, surroundings
from pipeline.ledger.operators import Stats
from tests.support.fixtures import ROOT

# Takes the fence's promise away in every process of the demo: each purchase is sent twice.
WITHOUT_FENCE = """
import importlib.util, sys

class SendsTwice:
    def find_spec(self, name, path=None, target=None):
        if name != "steps.generate_video":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_spoil(module):
            load(module)
            once = module.submit

            async def submit(*arguments):
                await once(*arguments)
                return await once(*arguments)

            module.submit = submit

        spec.loader.exec_module = load_and_spoil
        return spec

sys.meta_path.insert(0, SendsTwice())
"""


@dataclass(frozen=True)
class Told:
    code: int
    out: str

    @property
    def summary(self) -> dict[str, str]:
        return dict(re.findall(r"^([a-z ]+): (.*)$", self.out, re.MULTILINE))


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Told, Told]:
    """The demo as it is, and without the fence, side by side; keys and addresses outside are traps."""
    spoiled = tmp_path_factory.mktemp("spoiled")
    (spoiled / "sitecustomize.py").write_text(WITHOUT_FENCE)
    home = tmp_path_factory.mktemp("home")
    (home / ".env").write_text("VIDEO_BASE_URL=http://127.0.0.1:9/v1\nVIDEO_MODEL=trap\n")
    trap = {
        "OPENAI_API_KEY": "sk-real",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "DATABASE_URL": "postgresql://trap",
    }
    outer = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)} | trap
    paths = (str(ROOT), f"{spoiled}{os.pathsep}{ROOT}")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "cli", "demo"],
            cwd=home,
            env=outer | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for path in paths
    ]
    told = [Told(0, process.communicate(timeout=110)[0]) for process in processes]
    whole, spoiled_too = (replace(t, code=p.returncode) for t, p in zip(told, processes, strict=True))
    return whole, spoiled_too


def test_three_requests_are_one_paid_call_and_one_file(stories: tuple[Told, Told]) -> None:
    told, _ = stories

    assert told.code == 0, told.out
    assert "paid calls: 1" in told.out.splitlines()
    expected = {
        "requests": "3",
        "paid calls": "1",
        "charged": "$0.80 (8 s at $0.10/s)",
        "duplicates blocked": "2",
        "money saved": "$1.60",
    }
    assert expected.items() <= told.summary.items()
    assert Path(told.summary["file"]).read_bytes()[4:8] == b"ftyp"
    assert "Traceback" not in told.out


def test_demo_ends_by_comparing_paid_calls_with_the_old_loop(stories: tuple[Told, Told]) -> None:
    told, spoiled = stories

    assert told.out.splitlines()[-1] == "old loop: 7 paid calls, $5.60; onetake: 1, $0.80"
    assert "old loop: 7 paid calls, $5.60; onetake: 2, $1.60" in spoiled.out


def test_demo_without_the_fence_fails_and_reports_two_paid_calls(stories: tuple[Told, Told]) -> None:
    _, spoiled = stories

    assert spoiled.code == 1, spoiled.out
    assert "paid calls: 2" in spoiled.out.splitlines()
    assert "FAILED: the provider's books show 2 paid calls instead of one" in spoiled.out


GOOD_BOOKS = SimulatorCounts(paid_calls=1, charged_microusd=800_000)
GOOD_STATS = Stats(
    total_videos=1,
    total_runs=1,
    states={},
    parked=0,
    requests=3,
    checks={},
    duplicates_blocked=2,
    money_saved_microusd=1_600_000,
    paid_calls=1,
    held_microusd=0,
    spent_microusd=800_000,
    text_microusd=0,
    released_microusd=0,
    budget_day_microusd=0,
    budget_month_microusd=0,
)


@pytest.mark.parametrize(
    ("books", "stats", "problem"),
    [
        (SimulatorCounts(2, 1_600_000), GOOD_STATS, "2 paid calls instead of one"),
        (SimulatorCounts(0, 0), GOOD_STATS, "0 paid calls instead of one"),
        (GOOD_BOOKS, replace(GOOD_STATS, paid_calls=2), "the ledger says 2 paid calls"),
        (GOOD_BOOKS, replace(GOOD_STATS, spent_microusd=0), "the ledger says $0.00"),
        (GOOD_BOOKS, replace(GOOD_STATS, total_videos=2), "2 videos"),
        (GOOD_BOOKS, replace(GOOD_STATS, held_microusd=800_000), "$0.80 still held"),
    ],
)
def test_every_disagreement_has_a_sentence(books: SimulatorCounts, stats: Stats, problem: str) -> None:
    assert any(problem in words for words in disagreements(books, stats, Path(__file__)))


def test_missing_video_file_is_the_only_problem_if_all_counts_agree() -> None:
    assert disagreements(GOOD_BOOKS, GOOD_STATS, Path(__file__)) == []
    assert disagreements(GOOD_BOOKS, GOOD_STATS, None) == ["there is no video file"]


def test_demo_processes_do_not_inherit_outside_settings() -> None:
    outer = {"PATH": "/bin", "VIDEO_API_KEY": "real", "TELEGRAM_BOT_TOKEN": "real", "SUPABASE_URL": "real"}
    inside = surroundings(outer, Path("/data"), "http://127.0.0.1:1")

    assert "real" not in inside.values()
    assert inside["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert inside["ONETAKE_IGNORE_ENV_FILE"] == "1"
