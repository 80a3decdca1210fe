"""The data folder if ONETAKE_HOME is not set.

One per user, whatever the working directory: a key used in one directory must be known in every other. A `.onetake`
of an earlier version is still used where it exists: here, or above in the same checkout.
"""

import os
import tempfile
from pathlib import Path

from platformdirs import user_data_path

from pipeline.settings.nearest import nearest

HERE = ".onetake"


def default_home() -> Path:
    here = nearest(HERE)
    if here.is_symlink() and not here.is_dir():  # an unmounted disk: purchases recorded there are unknown here
        raise OSError(f"{here} is a broken link; mount its target or remove it")
    return here if here.is_dir() else user_home()


def user_home() -> Path:
    """By the platform's convention: `~/.local/share/onetake`, or `~/Library/Application Support/onetake`."""
    return user_data_path("onetake", appauthor=False)


def shown(folder: Path) -> str:
    """The path as one would type it in the working directory."""
    here = Path.cwd()
    return f"./{folder.relative_to(here)}" if folder.is_relative_to(here) else str(folder)


def why_unusable(home: Path) -> str | None:
    """Why this folder, existing or still to be made, cannot be written to; None if a temporary folder can be made."""
    existing = next(folder for folder in (home, *home.parents) if os.path.lexists(folder))
    try:
        with tempfile.TemporaryDirectory(prefix=".onetake-", dir=existing):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__
