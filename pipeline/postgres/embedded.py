"""The embedded PostgreSQL of one data folder: its first user starts it, its last user stops it.

Each process that uses the server holds a shared file lock, which the system releases when the process ends. So a
`kill -9` neither keeps the server running for ever nor stops it while others use it. Starting and stopping happen
under an exclusive lock. On a network folder, machines share the locks but not the server: a second machine is refused.
(The library's own count of users is a list of pids, from which killed processes are never removed.)

Started as root, the server itself runs as the user `pgserver`, and the folders above the data are opened to everybody
for it (chmod go+rx), up to `/`: on a shared machine, run onetake as a user of its own.
"""

import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg

from pipeline.postgres import server
from pipeline.postgres.library import StartFailed

DATABASE = "onetake"
ROOM_BYTES_MIN = 100_000_000  # a new database takes some 60 MB

_threads = threading.Lock()  # file locks exclude other processes; this one excludes other threads


class DatabaseUnavailable(Exception):
    """The database cannot be used; the message says which, why, and what to do."""


@contextmanager
def open_server(home: Path) -> Iterator[str]:
    """Yields a connection string of the database `onetake` in `home/postgres`.

    Raises DatabaseUnavailable: the folder is not writable, the disk is full, the server does not start.
    """
    data = (home / "postgres").resolve()
    users, lock = _open_locks(home)
    with users, lock:
        try:
            with _alone(lock):
                dsn = _ready(data, users)
                fcntl.flock(users, fcntl.LOCK_SH)
            yield dsn
        finally:
            with _alone(lock):
                _leave(data, users)


def is_made(home: Path) -> bool:
    """Whether this folder has a database, running or not; an unreadable folder counts as having one."""
    try:
        return (home / "postgres" / "PG_VERSION").exists()
    except OSError:
        return True


def _open_locks(home: Path) -> tuple[IO[bytes], IO[bytes]]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        return (home / "postgres.users").open("a+b"), (home / "postgres.lock").open("a+b")
    except OSError as error:
        raise no_folder(home, error.strerror) from error


def no_folder(home: Path, why: str | None) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the data folder {home} cannot be used ({why}); nothing was bought. Choose another with ONETAKE_HOME."
    )


@contextmanager
def _alone(lock: IO[bytes]) -> Iterator[None]:
    with _threads:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)


def _leave(data: Path, users: IO[bytes]) -> None:
    """Releases the shared lock; stops the server if no other process holds it."""
    fcntl.flock(users, fcntl.LOCK_UN)
    if _nobody_else(users):
        server.stop(data)


def _nobody_else(users: IO[bytes]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ready(data: Path, users: IO[bytes]) -> str:
    try:
        address = server.answering(data)
        if address is None:
            address = _start_again(data, users)
        return _database(address)
    except (StartFailed, OSError, psycopg.Error) as error:
        raise _unavailable(data, str(error)) from error


def _start_again(data: Path, users: IO[bytes]) -> str:
    """Starts a server when none answers. A running one is stopped first, unless others may still use it."""
    used = not _nobody_else(users)
    machine = data.parent / "postgres.machine"
    if used and machine.exists() and machine.read_text() != _this_machine():
        raise StartFailed("another machine is using this folder; give each machine its own ONETAKE_HOME")
    if used and server.running(data):
        raise StartFailed("it runs, others use it, and it does not answer")
    server.stop(data)
    address = server.start(data)
    machine.write_text(_this_machine())
    return address


def _this_machine() -> str:
    """The host name and the boot id; two containers of one host have two names."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''}"


def _database(address: str) -> str:
    """Creates our database if it is missing. Raises psycopg.Error."""
    with psycopg.connect(address, autocommit=True, connect_timeout=server.PING_SECONDS) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            connection.execute(f"create database {DATABASE} encoding 'UTF8' template template0")
    return psycopg.conninfo.make_conninfo(address, dbname=DATABASE)


def _unavailable(data: Path, why: str) -> DatabaseUnavailable:
    room = os.statvfs(data.parent)
    hint = f"Its log would be {data / 'log'}."
    if room.f_bavail * room.f_frsize < ROOM_BYTES_MIN:
        hint = "The disk is full."
    return DatabaseUnavailable(
        f"the embedded database in {data} does not start ({why.strip()}); nothing was bought. {hint}"
    )
