"""Put a complete clip where it stays. Saving twice is saving once.

In       a temporary file on the same file system, synced by whoever wrote it
Out      Clip: the final path, its length and sha256, and what the file says of itself
Raises   OSError: the disk does not take it; the final name then does not exist, or holds a complete clip
Effects  one rename, synced with its folder
"""

import errno
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from media.clip_file import NotAClip, read_clip
from steps.generate_video import Clip

CLIP_BYTES_PROBED = 64_000_000


def save(draft: Path, target: Path) -> Clip:
    """Gives the complete file its name. A clip that has it already is replaced by its like."""
    clip = stored(draft)
    if clip is None:
        raise FileNotFoundError(errno.ENOENT, "the draft has gone", os.fspath(draft))
    draft.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return replace(clip, path=target)


def stored(target: Path) -> Clip | None:
    """The clip under this name; None if there is none, or a file that is not a whole one."""
    try:
        facts = read_clip(target, transfer_complete=True)  # it got the name because it was
        if isinstance(facts, NotAClip):
            return None
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return Clip(target, file.tell(), digest.hexdigest(), facts)
    except FileNotFoundError:
        return None


def free_bytes(folder: Path) -> int:
    """Free space where the folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _reserve(file: int) -> None:
    """Room for a clip: a quota, or a limit on the length of files, says so here and not after the purchase."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(file, 0, CLIP_BYTES_PROBED)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:  # a file system that reserves nothing
            raise


def probe_folder(folder: Path) -> None:
    """Writes, syncs, renames and removes a file with room for a clip. Raises OSError if the folder takes none."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{uuid4().hex}.probe"
    try:
        with draft.open("wb") as file:
            file.write(b"probe")
            file.flush()
            _reserve(file.fileno())
            os.fsync(file.fileno())
        renamed = draft.with_suffix(".probed")
        draft.rename(renamed)
        renamed.unlink()
    finally:
        draft.unlink(missing_ok=True)
