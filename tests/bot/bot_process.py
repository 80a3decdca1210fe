"""`onetake bot` in a process of its own, with nothing set: its chat page and the operators' page, for a browser."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.commands.run_bot import SIMULATED_PORT
from tests.support import warm
from tests.support.fixtures import ROOT

START_SECONDS_MAX = 60.0  # a database is made first
STOP_SECONDS_MAX = 30.0


@contextmanager
def usual_port_taken() -> Iterator[None]:
    """So that the bot takes any free one: two that start at the same moment could both find the usual one free."""
    try:
        held = socket.create_server(("127.0.0.1", SIMULATED_PORT))
    except OSError:  # taken already
        yield
        return
    with held:
        yield


@contextmanager
def bot_process(home: Path, log: Path, **settings: str) -> Iterator[warm.Program]:
    given = {"ONETAKE_HOME": str(home / "data"), "ONETAKE_IGNORE_ENV_FILE": "1", "HTTP_PORT": "0"} | settings
    with log.open("wb") as output:
        env = {"PATH": os.environ["PATH"], "HOME": str(home)} | given
        process = warm.start("cli", "bot", env=env, cwd=ROOT, output=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def address(process: warm.Program, log: Path, page: str = "chat") -> str:
    """What it prints for people to open (`chat` or `admin`), once it also says that it is ready."""
    give_up = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < give_up and process.poll() is None:
        said = log.read_text()
        if (found := re.search(rf"http\S+/{page}\b", said)) and " ready" in said:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"the bot did not start: {log.read_text()}")
