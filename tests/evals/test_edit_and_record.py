"""Edit a template, run `onetake prompts record --stale`, and the recorded tests pass: in a clone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.evals.program import onetake
from tests.support import warm

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*cache", "node_modules", ".onetake*")


def cassette_tests(folder: Path, *names: str) -> "subprocess.CompletedProcess[str]":
    files = [f"tests/cassette/{name}.py" for name in names]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)}
    return warm.run(
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        *files,
        env=env,
        cwd=folder,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path / "clone", ignore=LEFT_OUT))


def test_template_edit_fails_ci_with_one_sentence_and_record_stale_fixes_it(clone: Path) -> None:
    template = clone / "prompts" / "write_caption.md"
    template.write_text(template.read_text().replace("at most one emoji", "no emoji at all"))

    broken = cassette_tests(clone, "test_write_caption", "test_fresh")
    assert broken.returncode == 1
    failures = broken.stdout.partition("short test summary")[0]
    assert "write_caption.md changed " in failures
    assert "`onetake prompts record --stale` would make " in failures
    assert "vcr" not in failures.lower().replace("pytest_vcr", "")
    assert "Traceback" not in failures

    assert onetake("prompts", "eval", cwd=clone, PYTHONPATH=str(clone)).returncode == 1
    recorded = onetake("prompts", "record", "--stale", cwd=clone, PYTHONPATH=str(clone))
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    assert "15 for cases and 2 for tests/: nothing to pay" in recorded.stdout
    assert onetake("prompts", "eval", cwd=clone, PYTHONPATH=str(clone)).returncode == 0
    green = cassette_tests(clone, "test_write_caption", "test_fresh", "test_weight", "test_misses", "test_record")
    assert green.returncode == 0, green.stdout[-3000:]
    assert "passed" in green.stdout


def ban(clone: Path, words: str) -> "subprocess.CompletedProcess[str]":
    brand = clone / "prompts" / "brand.md"
    brand.write_text(re.sub("banned_words: .*", f"banned_words: [{words}]", brand.read_text()))
    return onetake("prompts", "record", "--stale", cwd=clone, PYTHONPATH=str(clone))


def test_banning_a_word_from_a_tests_input_still_records_and_passes(clone: Path) -> None:
    recorded = ban(clone, "lluvia, rain")
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    green = cassette_tests(clone, "test_write_caption", "test_fresh")
    assert green.returncode == 0, green.stdout[-3000:]


def test_banning_a_word_that_a_test_expects_fails_with_a_short_explanation(clone: Path) -> None:
    recorded = ban(clone, "barco")
    assert recorded.returncode == 1
    assert len(recorded.stderr.splitlines()) <= 8, recorded.stderr
    assert "not recorded: tests/cassette/test_write_caption.py" in recorded.stderr
    assert "nothing was paid" in recorded.stderr
    assert "brand.md bans barco, which these tests use: ban another word" in recorded.stderr
    assert "Traceback" not in recorded.stderr
