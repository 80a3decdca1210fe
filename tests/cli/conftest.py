"""The command in this process, at a fresh ledger and a simulator of the folder; its books are the judge."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.fixtures import KEY, QUICK, Simulator, simulator_process


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The last line of stdout."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found

    @property
    def words(self) -> str:
        """Everything, with the line breaks that a narrow page made taken out."""
        return " ".join(f"{self.out} {self.err}".split())


@dataclass(frozen=True)
class Terminal:
    """One user's shell: settings that stay, and commands."""

    environment: Mapping[str, str]
    home: Path
    sim: Simulator
    paid_before: int
    runner: CliRunner = field(default_factory=CliRunner)

    def __call__(self, *arguments: str, **settings: str) -> Said:
        result = self.runner.invoke(app, list(arguments), env=dict(self.environment) | settings)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    def create(self, prompt: str = "a paper boat in the rain", *arguments: str, **settings: str) -> Said:
        return self("create", prompt, "--json", *arguments, **settings)

    def paid_calls(self) -> int:
        """Since this test began."""
        return self.sim.paid_calls() - self.paid_before


@pytest.fixture(scope="session")
def folder_simulator() -> Iterator[Simulator]:
    with simulator_process("--speed", "instant") as process:
        yield process


@pytest.fixture
def onetake(
    ledger_dsn: str, folder_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    for name in ("DATABASE_URL", "VIDEO_BASE_URL", "VIDEO_API_KEY", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    folder_simulator.control("DELETE", "/_sim/faults")
    environment = QUICK | {
        "ONETAKE_IGNORE_ENV_FILE": "1",
        "DATABASE_URL": ledger_dsn,
        "ONETAKE_HOME": str(tmp_path / "home"),
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": folder_simulator.url,
        "VIDEO_MODEL": "sim-1",
        "LANG": "en_US.UTF-8",
        "COLUMNS": "80",
    }
    yield Terminal(environment, tmp_path / "home", folder_simulator, folder_simulator.paid_calls())
    folder_simulator.control("DELETE", "/_sim/faults")
