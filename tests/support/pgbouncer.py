"""A real pgbouncer in front of a test's database, in either pool mode.

In       the connection string of a database whose server listens on a Unix socket
Out      a connection string to the same database through it, over TCP; Absent, with the reason, if not installed
Effects  its own process and a folder under /tmp, both removed afterwards
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

from tests.support.npm import Absent
from tests.support.ports import free_port
from tests.support.postgres17 import plain_user

START_SECONDS = 60.0
USUAL_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"))


Mode = Literal["session", "transaction"]


@contextmanager
def pooled(dsn: str, mode: Mode, **settings: object) -> Iterator[str]:
    """Like `open_pgbouncer`; skips the test if it is missing."""
    with ExitStack() as opened:
        try:
            through = opened.enter_context(open_pgbouncer(dsn, mode, **settings))
        except Absent as why:
            pytest.skip(str(why))
        yield through


@contextmanager
def open_pgbouncer(dsn: str, mode: Mode, **settings: object) -> Iterator[str]:
    """`settings` are pgbouncer's own. Raises Absent."""
    program = shutil.which("pgbouncer", path=USUAL_PLACES)
    if program is None:
        raise Absent("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    user = plain_user()
    as_user: dict[str, Any] = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="onetake-pgbouncer-", dir="/tmp"))
    try:
        port = free_port()
        (folder / "pgbouncer.ini").write_text(_configuration(dsn, port, {"pool_mode": mode} | settings))
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [program, folder / "pgbouncer.ini"], stdout=log, stderr=log, cwd=folder, **as_user
            )
            try:
                through = psycopg.conninfo.make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable")
                _wait_for(through, process, folder / "log")
                yield through
            finally:
                process.kill()  # on SIGTERM it waits for its clients
                process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configuration(dsn: str, port: int, settings: dict[str, object]) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    behind = f"host={parts['host']} port={parts.get('port') or 5432} dbname={parts['dbname']} user={parts['user']}"
    lines = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "any"} | settings
    return f"[databases]\n{parts['dbname']} = {behind}\n[pgbouncer]\n" + "".join(
        f"{name} = {value}\n" for name, value in lines.items()
    )


def _wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(address, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"pgbouncer does not start: {error}; {log.read_text()[-500:]}") from error
            time.sleep(0.05)
