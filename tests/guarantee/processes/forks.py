"""Processes forked from a parent that has imported everything, ended by their own pids.

In       what the process runs, and a file for its output
Out      its pid; for a simulator also its address
"""

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path

from simulator.app import serve
from simulator.settings import Settings
from tests.support.fixtures import Simulator


def forked(said: Path, work: Callable[[], Coroutine[object, object, None]]) -> int:
    """Fork a process that runs only this; returns its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        asyncio.run(work())
        code = 0
    except BaseException:  # noqa: BLE001 - top level of a process: recorded, and never raised into the parent
        traceback.print_exc()
    finally:
        os._exit(code)


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def begin_simulator(settings: Settings, said: Path) -> tuple[int, Simulator]:
    reading, writing = os.pipe()

    async def provide() -> None:
        async with serve(settings=settings) as running:
            os.write(writing, f"{running.base_url}\n".encode())
            await asyncio.Event().wait()

    pid = forked(said, provide)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        url = pipe.readline().strip()
    assert url, "the simulator did not start"
    return pid, Simulator(url)
