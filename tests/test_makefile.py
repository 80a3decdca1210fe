"""`make`: what it tells who lacks something, and what never reaches the demo, the tests, the benchmarks."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("Makefile", "pyproject.toml", "requirements.lock", "requirements-run.lock")
TOOLS = ("sh", "env", "make", "uname", "cksum", "cut", "printf", "rm", "touch", "echo")

TRAPS = (
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "VIDEO_API_KEY", "VIDEO_BASE_URL", "DATABASE_URL", "PGHOST",
    "SUPABASE_URL", "TELEGRAM_BOT_TOKEN", "ONETAKE_HOME", "PYTEST_ADDOPTS", "PYTHONPATH",
)  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="this machine has no make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make` needs of a fresh clone, before anything was installed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for part in PARTS:
        shutil.copy(ROOT / part, folder)
    return folder


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder with the shell's tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return folder


def make(checkout: Path, *arguments: str, path: str | None = None, **environment: str) -> tuple[int, str]:
    """Exit code and everything make said. `path`: its PATH, where it looks for a Python; without one, it gets ours."""
    found = {"PATH": path} if path else {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
    done = subprocess.run(
        ["make", *arguments],
        check=False,
        cwd=checkout,
        env=found | {"HOME": str(checkout)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def sentence(output: str) -> str:
    """The one line that is not make's own."""
    (line,) = [line for line in output.splitlines() if not line.startswith("make")]
    return line


def test_make_without_any_python_names_the_command_that_installs_one(checkout: Path, bare_path: Path) -> None:
    code, output = make(checkout, "demo", path=str(bare_path))
    assert code != 0
    assert "Python 3.11 to 3.14" in sentence(output)
    assert "install python" in sentence(output)
    assert not (checkout / ".venv").exists()


def test_broken_python_on_the_path_is_skipped(checkout: Path, bare_path: Path) -> None:
    for name in ("python3.13", "python3.12"):
        script(bare_path / name, "echo 'command not found' >&2; exit 127")
    (bare_path / "python3").symlink_to(sys.executable)
    code, output = make(checkout, "-n", "demo", path=str(bare_path))
    assert code == 0
    assert 'echo "building .venv with python3: ' in output


def test_python_without_ensurepip_is_reported_with_the_command_to_fix_it(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text('raise ImportError("Debian keeps it in a package of its own")\n')
    code, output = make(checkout, "demo", PYTHONPATH=str(tmp_path))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert code != 0
    assert f"Python {version} was found, but without ensurepip" in sentence(output)
    assert "install python" in sentence(output)
    assert not (checkout / ".venv").exists()


def test_chosen_python_that_does_not_exist_is_refused(checkout: Path) -> None:
    code, output = make(checkout, "demo", PYTHON="python-of-nowhere")
    assert code != 0
    assert "python-of-nowhere is not one of them" in sentence(output)


def test_failed_installation_is_undone(checkout: Path, tmp_path: Path) -> None:
    python = tmp_path / "python-that-stops-halfway"
    script(python, f'[ "$1" != -m ] || {{ mkdir -p .venv/bin; exit 1; }}; exec "{sys.executable}" "$@"')
    code, output = make(checkout, "demo", PYTHON=str(python))
    assert code != 0
    assert "was undone" in output
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("demo", "onetake"), ("test", "python"), ("bench", "python"), ("record", "python"),
        ("guarantee", "python"), ("mutants", "python"), ("simulate-faults", "python"), ("sdks", "python"),
        ("conformance", "python"),
    ],
)  # fmt: skip
def test_targets_that_must_not_spend_get_no_key_provider_or_database(checkout: Path, target: str, command: str) -> None:
    installed(checkout, command)
    script(checkout / ".venv" / "bin" / "onetake", "env")  # `record` starts both
    traps = dict.fromkeys(TRAPS, "trap")
    code, output = make(checkout, target, LANG="C", HTTPS_PROXY="trap", **traps)
    seen = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    assert code == 0
    assert "trap" not in output
    assert seen["ONETAKE_IGNORE_ENV_FILE"] == "1"
    assert seen["LANG"] == "C"
    assert "LC_ALL" not in seen, "what was not set stays not set"


def installed(checkout: Path, command: str) -> None:
    """An installation, as far as make looks, whose command shows what reached it."""
    script(checkout / ".venv" / "bin" / command, "env")
    _, plan = make(checkout, "-n", "test")
    for line in plan.splitlines():
        if line.startswith("touch "):
            (checkout / line.split()[-1]).touch()


def test_existing_installation_is_not_installed_again(checkout: Path) -> None:
    installed(checkout, "onetake")
    _, plan = make(checkout, "-n", "demo")
    assert "pip" not in plan


def test_copied_installation_is_built_anew(checkout: Path, tmp_path: Path) -> None:
    installed(checkout, "onetake")
    copy = shutil.copytree(checkout, tmp_path / "copy")
    _, plan = make(copy, "-n", "demo")
    assert "pip install" in plan
