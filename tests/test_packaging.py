"""The wheel carries what it needs: built offline, installed into an empty environment, used elsewhere."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.fixtures import Simulator, simulator_process

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("onetake-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel; its libraries are borrowed from ours."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    run(
        sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check",
        "install", "--quiet", "--no-deps", "--no-index", str(wheel),
    )  # fmt: skip
    site = next(home.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home / "bin"


def run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        command, check=False, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{command[:3]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_wheel_contains_prompts_migrations_and_models_but_no_top_level_supabase(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, data in (("prompts", "prompts"), ("supabase/migrations", "migrations")):
        kept = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert kept
        assert {f"pipeline/_data/{data}/{name}" for name in kept} <= names
    assert "pipeline/_data/models.toml" in names
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert not tops & {"supabase", "tests", "benchmarks", "cassettes", "prompts"}


def test_installed_code_and_models_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(
        str(installed / "python"), "-c", "import pipeline.settings.resources as r; print(r.__file__, r.models_file())",
        cwd=tmp_path,
    )  # fmt: skip
    code, models = where.split()
    assert Path(code).is_relative_to(installed.parent)
    assert Path(models).is_relative_to(installed.parent)


def test_the_installed_command_shows_its_help_from_another_folder(installed: Path, tmp_path: Path) -> None:
    assert "create" in run(str(installed / "onetake"), "--help", cwd=tmp_path)


def test_the_installed_command_makes_a_video_from_another_folder(installed: Path, tmp_path: Path) -> None:
    with simulator_process("--speed", "instant") as simulator:
        last = create(installed, tmp_path, simulator)
        assert simulator.paid_calls() == 1
    assert last["refused"] is None, last
    assert last["state"] in {"saved", "delivered"}, last
    assert last["cost_usd"] is not None
    assert Path(str(last["file"])).read_bytes()[4:8] == b"ftyp"
    assert Path(str(last["file"])).is_relative_to(tmp_path)


def create(installed: Path, folder: Path, simulator: Simulator) -> dict[str, object]:
    """What `create --json` prints last."""
    printed = run(
        str(installed / "onetake"), "create", "a paper boat in the rain", "--json",
        cwd=folder,
        OPENAI_API_KEY="test-key",
        OPENAI_BASE_URL=simulator.url,
        VIDEO_MODEL="sim-1",
        ONETAKE_HOME=str(folder / "home"),
        ONETAKE_IGNORE_ENV_FILE="1",
        POLL_SECONDS="0.2",
    )  # fmt: skip
    last: dict[str, object] = json.loads(printed.strip().splitlines()[-1])
    return last
