"""The real Supabase CLI, as the developer of a hosted project runs it: one program, no Docker, no account.

In       a folder with `supabase/` in it, and the URL of a database, over TCP
Out      a command's JSON output; Absent, with the reason, if npm or the package is unavailable
Effects  once: a download of 65 MB into ${XDG_CACHE_HOME:-~/.cache}/onetake-tests
"""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.npm import Absent, fetched

VERSION = "3.1.0"
PACKAGES = {
    ("Linux", "x86_64"): "@supabase/cli-linux-x64",
    ("Linux", "aarch64"): "@supabase/cli-linux-arm64",
    ("Darwin", "x86_64"): "@supabase/cli-darwin-x64",
    ("Darwin", "arm64"): "@supabase/cli-darwin-arm64",
}
SECONDS = 120.0


@dataclass(frozen=True)
class SupabaseCli:
    program: Path
    folder: Path
    url: str

    def push(self) -> list[str]:
        """The versions it applied; none if the database was up to date, which its output must confirm."""
        said = self._said("db", "push", "--yes")
        assert said["upToDate"] is (said["migrations"] == []), said
        return [Path(name).name.partition("_")[0] for name in said["migrations"]]

    def migrations(self) -> list[tuple[str, str]]:
        """For each migration, its local and its remote version."""
        return [(each["local"], each["remote"]) for each in self._said("migration", "list")["migrations"]]

    def _said(self, *command: str) -> dict[str, Any]:
        ended = subprocess.run(
            self._line(command), env=self._environment(), capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        said: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
        return said

    def _line(self, command: Sequence[str]) -> list[str]:
        more = [f"--remote={self.url}", "--output-format=json", f"--workdir={self.folder}", "--agent=no"]
        return [str(self.program), *command, *more]

    def _environment(self) -> dict[str, str]:
        """Its own home folder, and no telemetry."""
        quiet = {"DO_NOT_TRACK": "1", "SUPABASE_TELEMETRY_DISABLED": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | quiet


def supabase_program() -> Path:
    """The path of the program. Raises Absent."""
    machine = (platform.system(), platform.machine())
    if machine not in PACKAGES:
        raise Absent(f"the Supabase CLI has no package for {' '.join(machine)}")
    return fetched(PACKAGES[machine], VERSION, "bin/supabase")
