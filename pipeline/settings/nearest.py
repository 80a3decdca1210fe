"""Finds `.env` and `.onetake`: the same one from every folder of a checkout.

Searches the working directory and, inside a checkout of onetake, each folder above it up to the checkout's root. Never
further up: files there belong to another project.
"""

import os
from pathlib import Path

PROJECT = 'name = "onetake"'  # a line of this project's pyproject.toml


def nearest(name: str | Path) -> Path:
    """The path of this name in the nearest folder that has it, or else in the working directory. Raises OSError."""
    here = Path.cwd()
    return next((folder / name for folder in _folders(here) if os.path.lexists(folder / name)), here / name)


def _folders(here: Path) -> list[Path]:
    above = [here, *here.parents]
    return next((above[: place + 1] for place, folder in enumerate(above) if _is_top(folder)), [here])


def _is_top(folder: Path) -> bool:
    try:
        return PROJECT in (folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
