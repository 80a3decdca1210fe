"""Put a complete clip where it stays. Saving twice is saving once.

In       a temporary file on the same file system, synced by whoever wrote it
Out      Clip: the final path, its length and sha256
Raises   OSError: the disk does not take it; the final name then does not exist, or holds a complete clip
Effects  one rename, synced with its folder
"""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from steps.generate_video import Clip


def save(draft: Path, target: Path) -> Clip:
    """Gives the complete file its name. A clip that has it already is replaced by its like."""
    clip = stored(draft)
    if clip is None:
        raise FileNotFoundError(draft)
    draft.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return replace(clip, path=target)


def stored(target: Path) -> Clip | None:
    """The clip under its final name, if there is one; only complete files ever get that name."""
    try:
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return Clip(target, file.tell(), digest.hexdigest())
    except FileNotFoundError:
        return None


def free_bytes(folder: Path) -> int:
    """Free space where the folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
