"""Finds crash points by watching every call through which a process has an effect outside itself.

In       the data folder, a log, and where (and by which signal) this process ends
Out      one line in the log for every point reached: a name, and `#2` for its second time
Effects  patches psycopg, httpx2 and the file functions in this process; permanently

Watched: SQL statements (psycopg's cursor: the ledger and the queue), HTTP requests (httpx2's transport), files under
the data folder (opened for writing, renamed, synced, removed). Any other outside effect raises one of Python's
audit events and becomes a point named `outside the trace points`.
"""

import builtins
import io
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import psycopg

WRITING = re.compile(r"[wax+]")
FUNCTION = re.compile(r'select "?public"?\."?(\w+)"?\(')
QUEUE = re.compile(r"\bprocrastinate_(\w+)")
# Audit events that Python raises for any caller. fsync has none, and no effect that another process could see.
ANNOUNCED = frozenset(
    {
        "socket.connect",
        "socket.sendto",
        "subprocess.Popen",
        "os.system",
        "os.posix_spawn",
        "os.exec",
        "os.rename",
        "os.remove",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.mkdir",
        "os.rmdir",
        "open",
    }
)
_inside: ContextVar[bool] = ContextVar("inside a trace point", default=False)


@dataclass(frozen=True)
class End:
    """Where a life ends: at the point of this name, or at its n-th occurrence; killed, or frozen until resumed."""

    at: str | int
    by: signal.Signals = signal.SIGKILL


class TracePoints:
    """The watched calls of one process."""

    def __init__(self, home: Path, log: Path, end: End | None) -> None:
        self._home = str(home)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._end = end
        self._reached: Counter[str] = Counter()
        self._files: dict[int, str] = {}

    def watch(self) -> None:
        """Start watching: from here on, every outside effect is a point."""
        self._around_async(psycopg.AsyncCursor, "execute", _statement)
        self._around_async(psycopg.AsyncCursor, "executemany", _statement)
        self._around_async(httpx2.AsyncHTTPTransport, "handle_async_request", _request)
        for name in ("rename", "replace", "unlink", "remove", "mkdir", "fsync", "fdatasync"):
            self._around(os, name)
        self._around(os, "open")
        self._around(io, "open")
        self._around(builtins, "open")
        sys.addaudithook(self._announced)

    def reach(self, name: str) -> None:
        self._reached[name] += 1
        turn = self._reached[name]
        point = name if turn == 1 else f"{name} #{turn}"
        os.write(self._log, f"{point}\n".encode())
        if self._end and self._end.at in {point, self._reached.total()}:
            os.kill(os.getpid(), self._end.by)

    def _around_async(self, owner: type, name: str, name_of: Callable[..., str | None]) -> None:
        original = getattr(owner, name)

        async def watched(*args: Any, **kwargs: Any) -> Any:
            point = name_of(*args)
            if point is None:
                return await original(*args, **kwargs)
            self.reach(f"{point}.before")
            token = _inside.set(True)
            try:
                answer = await original(*args, **kwargs)
            finally:
                _inside.reset(token)
            self.reach(f"{point}.after")
            return answer

        mock.patch.object(owner, name, watched).start()

    def _around(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            what = None if _inside.get() else self._touched(name, args, kwargs)
            if what is None:
                return self._known(original(*args, **kwargs), args) if name == "open" else original(*args, **kwargs)
            self.reach(f"file.{name} {what}.before")
            token = _inside.set(True)
            try:
                answer = original(*args, **kwargs)
            finally:
                _inside.reset(token)
            if name == "open":
                descriptor = answer if isinstance(answer, int) else answer.fileno()
                self._files[descriptor] = what
            self.reach(f"file.{name} {what}.after")
            return answer

        mock.patch.object(owner, name, watched).start()

    def _touched(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """What a file operation changes; None if the file is not in the data folder or nothing changes."""
        if name in {"fsync", "fdatasync"}:
            return self._files.get(args[0])
        return self._kind(args[0]) if name != "open" or _writes(*args, **kwargs) else None

    def _known(self, opened: Any, args: tuple[Any, ...]) -> Any:
        """Remember a folder that is opened for reading: it is synced next, and the point of the sync needs its name."""
        if isinstance(opened, int):
            self._files[opened] = f"{self._kind(args[0]) or 'elsewhere'} folder"
        return opened

    def _kind(self, path: Any) -> str | None:
        """`answers draft`, `answers`, `media draft`: the same for every run. None outside the data folder."""
        if isinstance(path, int):
            return None
        full = os.fsdecode(path)
        if not full.startswith(self._home + os.sep):
            return None
        first, _, rest = full[len(self._home) + 1 :].partition(os.sep)
        return f"{first} draft" if rest.startswith(".") else first

    def _announced(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in ANNOUNCED or _inside.get():
            return
        if event.startswith("socket."):
            if _is_elsewhere(args[1]):
                self.reach(f"outside the trace points: {event}")
        elif event in {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"}:
            self.reach(f"outside the trace points: {event}")
        elif (event != "open" or _announces_writing(args)) and (kind := self._kind(args[0])):
            self.reach(f"outside the trace points: {event} {kind}")


def _statement(_: object, query: Any, *__: object) -> str | None:
    text = query.decode() if isinstance(query, bytes) else str(query)
    if match := FUNCTION.search(text):
        return f"ledger.{match[1]}"
    if match := QUEUE.search(text):
        return f"queue.{match[1]}"
    word = text.split(maxsplit=1)
    # `set` configures a new connection and dies with it; and how many connections a pool opens is random.
    return f"sql.{word[0].lower()}" if word and word[0].lower() != "set" else None


def _request(_: object, request: httpx2.Request) -> str:
    path = re.sub(r"^/v1", "", request.url.path)
    path = re.sub(r"(?<=^/videos/)[^/]+", "ID", path)
    return f"http.{request.method} {path}"


def _writes(_path: Any, mode: Any = "r", *_: Any, flags: int = 0, **__: Any) -> bool:
    if isinstance(mode, int):  # os.open
        return bool((mode | flags) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return bool(WRITING.search(mode))


def _announces_writing(args: tuple[Any, ...]) -> bool:
    return bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(args[2], int) else False


def _is_elsewhere(address: Any) -> bool:
    """False for asyncio's internal sockets, which wake its loop."""
    return not (isinstance(address, str | bytes) and not address)
