"""`onetake prompts ...` in a process of its own, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path


def onetake(*arguments: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Nothing of this machine's settings; `cwd` is where it finds its prompts."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    program = str(Path(sys.executable).with_name("onetake"))
    clean = kept | {"ONETAKE_IGNORE_ENV_FILE": "1"} | environment
    return subprocess.run([program, *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=False)
