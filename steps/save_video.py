"""Put a complete clip where it stays. Saving twice is saving once.

In       a temporary file on the same file system, synced by whoever wrote it
Out      Clip: the final path, its length and sha256
Raises   OSError: the disk does not take it; the final name then does not exist, or holds a complete clip
Effects  one rename, synced with its folder
"""

import hashlib
import os
import shutil
from pathlib import Path

from steps.generate_video import Clip


def save(draft: Path, target: Path) -> Clip:
    """Gives the file its final name. A clip that has it already was complete, and is replaced by its like."""
    draft.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    clip = stored(target)
    assert clip is not None, f"{target} vanished while it was saved"
    return clip


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
