"""How a command leaves: with everything put away, whatever else is going on in it."""

import asyncio
import contextlib
import os
import subprocess
import sys
from importlib import metadata

import pytest

from app.exits import run_async
from tests.cli.conftest import Terminal
from tests.support.fixtures import ROOT


def test_task_that_swallows_a_cancellation_does_not_block_the_exit() -> None:
    """As a worker of psycopg's pool does when it is canceled while it connects."""
    ended: list[str] = []

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        ended.append("swallowed one")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("gone")

    async def work() -> str:
        asyncio.get_running_loop().call_soon(keep.append, asyncio.ensure_future(stubborn()))
        await asyncio.sleep(0.01)
        return "done"

    keep: list[asyncio.Future[None]] = []
    assert run_async(work()) == "done"
    assert ended == ["swallowed one", "gone"]


@pytest.mark.parametrize("how", ["-O", "PYTHONOPTIMIZE"])
def test_command_refuses_to_start_with_assertions_disabled(how: str) -> None:
    options, more = ([how], {}) if how == "-O" else ([], {how: "1"})
    command = [sys.executable, *options, "-m", "cli", "create", "a boat"]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | more, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "nothing was done" in ended.stderr and len(ended.stderr.splitlines()) == 1


def test_version_option_prints_the_package_version(onetake: Terminal) -> None:
    said = onetake("--version")
    assert (said.code, said.out.strip()) == (0, f"onetake {metadata.version('onetake')}")
