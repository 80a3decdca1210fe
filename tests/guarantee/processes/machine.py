"""Runs `onetake` in processes that can be killed."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support import warm
from tests.support.fixtures import KEY, QUICK, ROOT, Simulator


@dataclass(frozen=True)
class Machine:
    """A data folder and settings; everything started on it shares the embedded database.

    As a context manager, it kills on exit what still runs.
    """

    home: Path
    sim: Simulator
    settings: dict[str, str] = field(default_factory=dict)
    started: list[warm.Program] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def environment(self) -> dict[str, str]:
        quiet = {"PATH": os.environ["PATH"], "HOME": str(self.home), "ONETAKE_IGNORE_ENV_FILE": "1"}
        partners = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.sim.url, "VIDEO_MODEL": "sim-1"}
        return quiet | QUICK | partners | {"ONETAKE_HOME": str(self.home)} | self.settings

    def start(self, *arguments: str) -> warm.Program:
        process = warm.start("cli", *arguments, env=self.environment(), cwd=ROOT)
        self.started.append(process)
        return process

    def onetake(self, *arguments: str) -> tuple[int, str]:
        """Run one command; returns its exit code and standard output."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=90)
        assert "Traceback" not in err, err
        return process.wait(), out

    def create(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        code, out = self.onetake("create", "a paper boat", "--json", *arguments)
        return code, json.loads(out.strip().splitlines()[-1])

    def total_videos(self) -> int:
        _, out = self.onetake("stats")
        return int(out.splitlines()[0].removeprefix("Total videos: "))


def until(true: Any, seconds: float = 60) -> None:
    """Wait until a condition holds, polling often."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it never became true"
        time.sleep(0.02)
