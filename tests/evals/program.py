"""Runs `onetake prompts ...` in its own process and its own folder."""

import os
import subprocess
from pathlib import Path

from tests.support import warm


def onetake(*arguments: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Without this machine's settings; `cwd` is where it finds its prompts."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    clean = kept | {"ONETAKE_IGNORE_ENV_FILE": "1"} | environment
    return warm.run("cli", *arguments, env=clean, cwd=cwd)
