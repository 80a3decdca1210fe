"""Where clips lie: in this machine's folder, and in a bucket of Storage, if one is configured.

In       runs whose clip is complete on this machine, or saved by another one
Out      `upload` after saving; `at_hand`: the clip as a file here; `Tending`: what was not uploaded, what is too old
Raises   `at_hand`: FileNotFoundError; the others: what the road raises. An upload that fails is tried again later: it
         never holds up a run.
Effects  uploads, downloads, removes; notes on the row
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from pathlib import Path
from uuid import UUID, uuid4

from pipeline.bucket import BucketError, BucketRefused
from pipeline.records import Run
from pipeline.world import World

TEND_SECONDS = 60.0
AT_ONCE = 500  # runs in one question
DAY_SECONDS = 86_400.0
AWAY_AFTER = 3  # uploads refused one after another: Storage is away, and asked again in the next round

log = logging.getLogger(__name__)


def path_of(run_id: UUID | str, world: World) -> Path:
    return world.media / f"{run_id}.mp4"


async def upload(run_id: UUID | str, clip: Path, world: World) -> None:
    """Into the bucket, and noted. One that does not go now is found again by `Tending`."""
    try:
        await _put(run_id, clip, world)
    except BucketError as error:
        _log_not_uploaded(run_id, error)


async def _put(run_id: UUID | str, clip: Path, world: World) -> None:
    if world.bucket is not None:
        stored = await world.bucket.put(clip, clip.name)
        await world.ledger.note_stored(run_id, stored)


def _log_not_uploaded(run_id: UUID | str, error: BucketError) -> None:
    log.warning("storage", extra={"action": "not_uploaded", "run_id": str(run_id), "error": str(error)})


async def at_hand(run: Run, world: World) -> Path:
    """The clip as a file on this machine, fetched from the bucket if another machine saved it."""
    for path in (Path(run.file or ""), path_of(run.run_id, world)):
        if await asyncio.to_thread(_is_the_clip, path, run):
            return path
    if world.bucket is None or run.file_sha256 is None or run.dropped_at is not None:
        raise FileNotFoundError(run.file)
    path = path_of(run.run_id, world)
    try:
        body = await world.bucket.get(path.name)
    except BucketError as error:
        log.warning("storage", extra={"action": "not_fetched", "run": run.ref, "error": str(error)})
        raise FileNotFoundError(run.file) from error
    if hashlib.sha256(body).hexdigest() != run.file_sha256:
        log.error("storage", extra={"action": "not_the_clip", "run": run.ref})
        raise FileNotFoundError(run.file)
    try:
        await asyncio.to_thread(_write, path, body)
    except OSError as error:  # the disk is full, say; another machine may have room
        log.error("storage", extra={"action": "not_written", "run": run.ref, "error": str(error)})
        raise FileNotFoundError(run.file) from error
    return path


def _is_the_clip(path: Path, run: Run) -> bool:
    """There, and what the row says: a file of this name may be of a job that the run no longer has, or cut short."""
    try:
        with path.open("rb") as file:
            return run.file_sha256 is None or hashlib.file_digest(file, "sha256").hexdigest() == run.file_sha256
    except OSError:
        return False


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{uuid4().hex}.part")
    try:
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())  # else a power cut leaves an empty file under the final name
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class Tending:
    """Uploads what lies here and not in the bucket, and removes what its user has had for MEDIA_KEEP_DAYS."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._settled: set[str] = set()  # nothing to upload any more

    async def for_ever(self, pause_seconds: float = TEND_SECONDS) -> None:
        """Until canceled; what goes wrong is logged and tried again."""
        while True:
            try:
                await self.once()
            except Exception:  # clips are kept, whatever it was; a loop that ends would fill the disk
                log.exception("storage", extra={"action": "tend_failed"})
            await asyncio.sleep(pause_seconds)

    async def once(self) -> None:
        """One round. Raises what the road raises."""
        if self._world.bucket is not None:
            await self._upload_the_rest()
        if self._world.keep_days:
            await _drop_old(self._world)

    async def _upload_the_rest(self) -> None:
        here = [run_id for run_id in _runs_in(self._world.media) if run_id not in self._settled]
        refused_in_a_row = 0
        for first in range(0, len(here), AT_ONCE):
            wanted, settled = await self._world.ledger.not_stored(here[first : first + AT_ONCE])
            self._settled |= settled
            for run_id in wanted:
                try:
                    await _put(run_id, path_of(run_id, self._world), self._world)
                except BucketRefused as error:  # this one, perhaps; the next may fit
                    _log_not_uploaded(run_id, error)
                except (BucketError, OSError) as error:  # or this one alone: the others have their turn
                    log.warning("storage", extra={"action": "not_uploaded", "run_id": run_id, "error": str(error)})
                    refused_in_a_row += 1
                    if refused_in_a_row == AWAY_AFTER:
                        return
                else:
                    refused_in_a_row = 0


async def _drop_old(world: World) -> None:
    before = time.time() - world.keep_days * DAY_SECONDS
    here = [run_id for run_id in _runs_in(world.media) if path_of(run_id, world).stat().st_mtime < before][:AT_ONCE]
    for run_id, stored in await world.ledger.clips_to_drop(world.keep_days, here, AT_ONCE):
        clip = path_of(run_id, world)
        if stored is not None and world.bucket is None:  # a machine without the bucket's settings
            clip.unlink(missing_ok=True)
            continue
        if stored is not None and world.bucket is not None:
            try:
                await world.bucket.remove([clip.name])
            except BucketError as error:
                log.warning("storage", extra={"action": "not_removed", "run_id": run_id, "error": str(error)})
                return
        clip.unlink(missing_ok=True)
        await world.ledger.note_dropped(run_id)


def _runs_in(media: Path) -> list[str]:
    """The runs whose clips lie here; other people's films are none of ours."""
    found = []
    for path in media.glob("*.mp4"):
        with contextlib.suppress(ValueError):
            found.append(str(UUID(path.stem)))
    return found
