"""Simulators, each in its own process, forked from one with everything imported: 20 ms of work instead of 200.

In       options of `python -m simulator`
Out      WarmProcesses, which starts and stops them; `python -m tests.support.warm_processes` is the process that forks
Effects  all end with the process that requested them, however it ends: the pipe between the two is then closed
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
END_SECONDS = 60


class WarmProcesses:
    """The requesting side. One request at a time, from any thread."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    @contextlib.contextmanager
    def simulator(self, *options: str) -> Iterator[str]:
        """Yields the first line that the simulator prints."""
        born = self._ask({"begin": options})
        try:
            yield born["said"]
        finally:
            self._ask({"end": born["pid"]})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        if self.owner == os.getpid():
            self._process.communicate()


def _serve() -> None:
    """The forking side: single-threaded, so that a fork is a complete copy."""
    import av  # noqa: F401 - clips are made with it, and each child would load it anew
    import PIL.ImageFont  # noqa: F401 - likewise

    from simulator.__main__ import main

    born: dict[int, int] = {}  # pid -> read end of its output
    for line in sys.stdin:
        request = json.loads(line)
        if "begin" in request:
            reading, writing = os.pipe()
            pid = os.fork()
            if not pid:
                _live(main, request["begin"], writing)
            os.close(writing)
            born[pid] = reading
            print(json.dumps({"pid": pid, "said": _first_line(reading)}), flush=True)
        else:
            _end(request["end"])
            os.close(born.pop(request["end"]))
            print("{}", flush=True)
    for pid in born:
        _end(pid)


def _live(main: Callable[[list[str]], int], options: list[str], writing: int) -> NoReturn:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(writing, 1)
        code = main(options)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _first_line(reading: int) -> str:
    said = b""
    while not said.endswith(b"\n") and (more := os.read(reading, 4096)):
        said += more
    return said.decode()


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + END_SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > give_up:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(0.002)


if __name__ == "__main__":
    _serve()
