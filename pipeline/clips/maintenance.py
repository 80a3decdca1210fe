"""Maintenance of stored clips: final names after a crash, retries of failed uploads, removal of old clips.

In       the clips in this machine's folder
Out      `ClipMaintenance`: one round a minute
Raises   what the transport raises
Effects  uploads, removes and renames clips; updates their rows
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from media.clip_file import kind_of
from pipeline.clips import storage
from pipeline.clips.bucket import Bucket, BucketError, BucketPublic, BucketRefused
from pipeline.context import RunContext
from pipeline.ledger.clip_records import ClipRecord, ClipRecords
from pipeline.ledger.records import State

TEND_SECONDS = 60.0
AT_ONCE = 500  # runs per query
DAY_SECONDS = 86_400.0
AWAY_AFTER = 3  # uploads failed in a row: Storage is down, retry in the next round

log = logging.getLogger(__name__)


class ClipMaintenance:
    """Uploads clips that the bucket lacks, and removes clips that were delivered MEDIA_KEEP_DAYS ago."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._records = ClipRecords(context.ledger.rpc)
        self._settled: set[str] = set()  # runs with nothing left to upload

    async def for_ever(self, pause_seconds: float = TEND_SECONDS) -> None:
        """Runs rounds until canceled; logs errors and retries in the next round."""
        while True:
            try:
                await self.once()
            except Exception:  # no error may end the loop: the disk would fill
                log.exception("storage", extra={"action": "tend_failed"})
            await asyncio.sleep(pause_seconds)

    async def once(self) -> None:
        """Runs one round. Raises what the transport raises."""
        await self._finish()
        self._context.answers.drop_drafts(time.time() - DAY_SECONDS)
        if (bucket := self._context.bucket) is not None and await self._is_safe(bucket):
            await self._upload_the_rest(bucket)
        if self._context.keep_days:
            await self._drop_old()

    async def _finish(self) -> None:
        """Cleans up after a crash: gives each run's clip its final name, removes other jobs' clips and old drafts.

        A clip proves more than any report about its run, so none is removed within a day of the run's end.
        """
        fetched = [(run_id, path) for path in self._context.media.glob(".*.clip") if (run_id := storage.run_of(path))]
        records = {each.run_id: each async for each in self._records_of({run_id for run_id, _ in fetched})}
        for run_id, path in fetched:
            record = records.get(run_id)
            if record is None:
                continue
            wanted = record.sha256 is not None and not record.dropped
            if wanted and await asyncio.to_thread(storage.is_clip, path, record.sha256):
                with contextlib.suppress(FileNotFoundError):  # another process renamed it first
                    kind = await asyncio.to_thread(kind_of, path)
                    path.replace(storage.path_of(record.run_id, kind, self._context))
            elif self._proves_a_job(record, path):
                await self._context.ledger.reopen(record.run_id, str(record.job_id))
            elif record.ended_seconds_ago > DAY_SECONDS:
                path.unlink(missing_ok=True)
        for draft in self._context.media.glob(".*.part"):
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < time.time() - DAY_SECONDS:
                    draft.unlink()

    def _proves_a_job(self, record: ClipRecord, path: Path) -> bool:
        """Whether a failed run's own job has its whole clip here: then the job was made, whatever was reported."""
        if record.state is not State.FAILED or record.job_id is None:
            return False
        return path.name == storage.clip_name(record.run_id, record.job_id)

    async def _is_safe(self, bucket: Bucket) -> bool:
        """Whether the bucket is still private: somebody may have changed it meanwhile."""
        try:
            await bucket.prepare()
        except BucketPublic as public:
            log.error("storage", extra={"action": "bucket_public", "error": str(public)})
            await self._records.tell_broken(str(public))
            return False
        except BucketRefused as refused:
            log.error("storage", extra={"action": "bucket_refused", "error": str(refused)})
            await self._records.tell_broken(str(refused))
            return False
        except BucketError as error:
            log.warning("storage", extra={"action": "bucket_away", "error": str(error)})
            return False
        return True

    async def _upload_the_rest(self, bucket: Bucket) -> None:
        files = storage.files_in(self._context.media)
        here = [run_id for run_id in files if run_id not in self._settled]
        refused_in_a_row = 0
        async for record in self._records_of(here):
            if record.stored is not None or record.dropped or record.sha256 is None:
                self._settled.add(record.run_id)
                continue
            path = files[record.run_id]
            if not await asyncio.to_thread(storage.is_clip, path, record.sha256):
                log.error("storage", extra={"action": "not_the_clip", "run_id": record.run_id})
                continue
            try:
                stored = await bucket.put(path, path.name)
            except BucketRefused as error:  # perhaps this clip only; the next may fit
                storage.log_not_uploaded(record.run_id, error)
                await self._records.tell_broken(str(error))
            except (BucketError, OSError) as error:  # perhaps this clip only; try the others
                storage.log_not_uploaded(record.run_id, error)
                refused_in_a_row += 1
                if refused_in_a_row == AWAY_AFTER:
                    return
            else:
                refused_in_a_row = 0
                await self._records.note_stored(record.run_id, stored, record.sha256)

    async def _drop_old(self) -> None:
        media, bucket = self._context.media, self._context.bucket
        before = time.time() - self._context.keep_days * DAY_SECONDS
        files = storage.files_in(media)
        here = [run_id for run_id, path in files.items() if path.stat().st_mtime < before]
        for run_id, stored in await self._records.to_drop(self._context.keep_days, here[:AT_ONCE], AT_ONCE):
            clip = files.get(run_id)
            if stored is not None and bucket is None:  # a machine without the bucket's settings
                _remove(clip)
                continue
            if stored is not None and bucket is not None:
                try:
                    await bucket.remove(stored)
                except BucketError as error:
                    log.warning("storage", extra={"action": "not_removed", "run_id": run_id, "error": str(error)})
                    return
            _remove(clip)
            await self._records.note_dropped(run_id)

    async def _records_of(self, run_ids: Iterable[str]) -> AsyncIterator[ClipRecord]:
        asked = list(run_ids)
        for first in range(0, len(asked), AT_ONCE):
            for record in await self._records.of(asked[first : first + AT_ONCE]):
                yield record


def _remove(clip: Path | None) -> None:
    if clip is not None:
        clip.unlink(missing_ok=True)
