"""Where clips lie: in this machine's folder, and in a bucket of Storage, if one is configured.

    .<run>.<uuid>.part     being written
    .<run>.<job>.clip      complete, of this job, which may yet turn out to be another run's
    <run>.mp4              the clip of a saved run

In       runs, and the files of their jobs
Out      `upload_soon` and `keep`: around the commit that says `saved`; `at_hand`: the clip as a file here
Raises   `at_hand`: FileNotFoundError. An upload that fails is tried again by `pipeline.tending`: it holds up no run.
Effects  uploads, downloads, renames; notes on the row
"""

import asyncio
import hashlib
import logging
import os
from pathlib import Path
from uuid import UUID, uuid4

from pipeline.bucket import BucketError, BucketUnavailable
from pipeline.clip_records import ClipRecords
from pipeline.records import Run
from pipeline.world import World
from steps.generate_video import Clip

UPLOAD_SOON_SECONDS = 20.0  # for which a run waits for Storage before it is saved; what takes longer goes afterwards

log = logging.getLogger(__name__)


def path_of(run_id: UUID | str, world: World) -> Path:
    return world.media / f"{run_id}.mp4"


def fetched_path(run: Run, world: World) -> Path:
    """The file of the run's job: named by the job too, for a late proof may give the run another one."""
    assert run.job_id is not None, f"run {run.ref} has no job"
    job = hashlib.sha256(run.job_id.encode()).hexdigest()[:16]
    return world.media / f".{run.run_id}.{job}.clip"


def new_draft(run_id: UUID | str, world: World) -> Path:
    return world.media / f".{run_id}.{uuid4().hex}.part"


async def upload_soon(run_id: UUID | str, clip: Path, world: World) -> str | None:
    """Into the bucket: answers 'bucket/key', or None if there is none or it does not take the clip now."""
    if world.bucket is None:
        return None
    try:
        async with asyncio.timeout(UPLOAD_SOON_SECONDS):
            return await world.bucket.put(clip, path_of(run_id, world).name)
    except TimeoutError:
        log_not_uploaded(run_id, BucketUnavailable(f"not within {UPLOAD_SOON_SECONDS:.0f} s"))
    except (BucketError, OSError) as error:  # another worker here may have saved it, and given the file its name
        log_not_uploaded(run_id, error)
    return None


async def keep(run: Run, clip: Clip, stored_as: str | None, world: World) -> Run:
    """Gives the file its final name, if the row says that it is the run's; another run's is thrown away."""
    if run.file_sha256 != clip.sha256:
        clip.path.unlink(missing_ok=True)
        return run
    _give_name(clip.path, path_of(run.run_id, world))
    if stored_as is not None:
        return await ClipRecords(world.ledger.rpc).note_stored(run.run_id, stored_as, clip.sha256)
    return run


async def finish(run: Run, world: World) -> bool:
    """Gives the clip of a saved run its name, if a crash came before that."""
    if run.job_id is None or run.file_sha256 is None:
        return False
    fetched = fetched_path(run, world)
    if not await asyncio.to_thread(is_clip, fetched, run.file_sha256):
        return False
    _give_name(fetched, path_of(run.run_id, world))
    return True


def log_not_uploaded(run_id: UUID | str, error: Exception) -> None:
    log.warning("storage", extra={"action": "not_uploaded", "run_id": str(run_id), "error": str(error)})


async def at_hand(run: Run, world: World) -> Path:
    """The clip as a file on this machine, fetched from the bucket if another machine saved it."""
    path = path_of(run.run_id, world)
    for there in (Path(run.file or ""), path):
        if await asyncio.to_thread(is_clip, there, run.file_sha256):
            return there
    if await finish(run, world):
        return path
    if world.bucket is None or run.file_sha256 is None or run.dropped_at is not None:
        raise FileNotFoundError(run.file)
    try:
        body = await world.bucket.get(run.stored or f"{world.bucket.name}/{path.name}")
    except BucketError as error:
        log.warning("storage", extra={"action": "not_fetched", "run": run.ref, "error": str(error)})
        raise FileNotFoundError(run.file) from error
    if hashlib.sha256(body).hexdigest() != run.file_sha256:
        log.error("storage", extra={"action": "not_the_clip", "run": run.ref})
        raise FileNotFoundError(run.file)
    try:
        await asyncio.to_thread(_write, path, new_draft(run.run_id, world), body)
    except OSError as error:  # the disk is full, say; another machine may have room
        log.error("storage", extra={"action": "not_written", "run": run.ref, "error": str(error)})
        raise FileNotFoundError(run.file) from error
    return path


def is_clip(path: Path, sha256: str | None) -> bool:
    """There, and what the row says: a file of this name may be cut short, or come from elsewhere."""
    try:
        with path.open("rb") as file:
            return sha256 is None or hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _give_name(fetched: Path, path: Path) -> None:
    """Not synced: whichever name a power cut leaves, `at_hand` finds the clip under it."""
    try:
        fetched.replace(path)
    except FileNotFoundError:  # somebody was as quick
        if not path.exists():
            raise


def _write(path: Path, draft: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())  # else a power cut leaves an empty file under the final name
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
