"""Move a complete clip to its final path. Idempotent: the first complete clip stays.

In       a temporary file on the same file system, already synced
Out      Clip: the final path, its length and sha256, and what the file states about itself
Raises   OSError: the disk refuses; the final name then does not exist, or holds a complete clip
Effects  one rename, and a sync of the folder
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
    """Renames the complete file to its final name, unless a whole clip has it: the first one stays.

    Another process may be about to record that clip in the ledger, and a provider may send other bytes the second time.
    """
    if there := stored(target):
        return there
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
    """The clip under this name; None if there is no file, or it is not a whole clip."""
    try:
        facts = read_clip(target, transfer_complete=True)  # only complete files get this name
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
    """Reserves room for a clip, so that a quota or a limit on file size fails here and not after the purchase."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(file, 0, CLIP_BYTES_PROBED)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:  # the file system cannot reserve space
            raise


def probe_folder(folder: Path) -> None:
    """Writes, syncs, renames and removes a file with room for a clip. Raises OSError if that fails."""
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
