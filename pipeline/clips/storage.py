"""Where clips lie: in this machine's folder, and in a bucket of Storage, if one is configured.

    .<run>.<uuid>.part     being written
    .<run>.<job>.clip      complete, of this job, which may yet turn out to be another run's
    <run>.mp4              the clip of a saved run; .mov or .webm if that is what it is

In       runs, and the files of their jobs
Out      `upload_soon` and `keep`: around the commit that says `saved`; `at_hand`: the clip as a file here
Raises   `at_hand`: FileNotFoundError. An upload that fails is tried again by `maintenance`: it holds up no run.
Effects  uploads, downloads, renames; notes on the row
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path, PurePath
from uuid import UUID, uuid4

from media.clip_file import Facts, Kind, as_ordered, read_clip
from pipeline.clips.bucket import BucketError, BucketUnavailable
from pipeline.context import RunContext
from pipeline.ledger.clip_records import ClipRecords
from pipeline.ledger.records import Run
from providers.openai_videos.jobs import Job, JobStatus
from steps.generate_video import Clip, fetch

UPLOAD_SOON_SECONDS = 20.0  # for which a run waits for Storage before it is saved; what takes longer goes afterwards

log = logging.getLogger(__name__)

Source = Callable[[Run, Path, RunContext], Awaitable[str | None]]  # the sha256 of what it put into the draft


def path_of(run_id: UUID | str, kind: Kind, context: RunContext) -> Path:
    return context.media / f"{run_id}.{kind}"


def saved_path(run: Run, context: RunContext) -> Path:
    """Where the clip of a saved run lies on this machine, whichever machine saved it."""
    return path_of(run.run_id, kind_of_run(run), context)


def kind_of_run(run: Run) -> Kind:
    """By the name that was recorded with the clip."""
    extension = PurePath(run.file or "").suffix.removeprefix(".")
    return Kind(extension) if extension in set(Kind) else Kind.MP4


def facts_of(run: Run, path: Path | None = None) -> Facts:
    """What the clip is, by the row; by its file if the row does not say (a crash, or an older version saved it)."""
    if run.clip_kind is None and path is not None:
        found = read_clip(path, transfer_complete=True)
        if isinstance(found, Facts):
            return found
    kind = kind_of_run(run) if run.clip_kind is None else Kind(run.clip_kind)
    return Facts(kind, run.clip_width, run.clip_height, run.clip_seconds)


def files_in(media: Path) -> dict[str, Path]:
    """The clips in the folder by their run; other people's files are none of ours."""
    found = (path for kind in Kind for path in media.glob(f"*.{kind}"))
    return {run_id: path for path in found if (run_id := run_of(path)) is not None}


def run_of(path: Path) -> str | None:
    """The run whose file this is."""
    try:
        return str(UUID(path.name.removeprefix(".").partition(".")[0]))
    except ValueError:
        return None


def fetched_path(run: Run, context: RunContext) -> Path:
    """The file of the run's job: named by the job too, for a late proof may give the run another one."""
    assert run.job_id is not None, f"run {run.ref} has no job"
    return context.media / clip_name(run.run_id, run.job_id)


def clip_name(run_id: UUID | str, job_id: str) -> str:
    """The file name of a job's complete clip, before the ledger says that it is the run's."""
    return f".{run_id}.{hashlib.sha256(job_id.encode()).hexdigest()[:16]}.clip"


def new_draft(run_id: UUID | str, context: RunContext) -> Path:
    return context.media / f".{run_id}.{uuid4().hex}.part"


async def upload_soon(run_id: UUID | str, clip: Clip, context: RunContext) -> str | None:
    """Into the bucket: answers 'bucket/key', or None if there is none or it does not take the clip now."""
    if context.bucket is None:
        return None
    try:
        async with asyncio.timeout(UPLOAD_SOON_SECONDS):
            return await context.bucket.put(clip.path, path_of(run_id, clip.facts.kind, context).name)
    except TimeoutError:
        log_not_uploaded(run_id, BucketUnavailable(f"not within {UPLOAD_SOON_SECONDS:.0f} s"))
    except (BucketError, OSError) as error:  # another worker here may have saved it, and given the file its name
        log_not_uploaded(run_id, error)
    return None


async def keep(run: Run, clip: Clip, stored_as: str | None, context: RunContext) -> Run:
    """Gives the file its final name, if the row says it is this run's; `maintenance` judges any other."""
    if run.file_sha256 != clip.sha256:
        return run
    _give_name(clip.path, saved_path(run, context))
    if stored_as is not None:
        return await ClipRecords(context.ledger.rpc).note_stored(run.run_id, stored_as, clip.sha256)
    return run


async def finish(run: Run, context: RunContext) -> bool:
    """Gives the clip of a saved run its name, if a crash came before that."""
    if run.job_id is None or run.file_sha256 is None:
        return False
    fetched = fetched_path(run, context)
    if not await asyncio.to_thread(is_clip, fetched, run.file_sha256):
        return False
    try:
        _give_name(fetched, saved_path(run, context))
    except OSError as error:  # busy, say: it is tried again whenever the clip is wanted
        log.error("storage", extra={"action": "not_renamed", "run": run.ref, "error": str(error)})
        return False
    return True


def log_not_uploaded(run_id: UUID | str, error: Exception) -> None:
    log.warning("storage", extra={"action": "not_uploaded", "run_id": str(run_id), "error": str(error)})


async def at_hand(run: Run, context: RunContext) -> Path:
    """The clip as a file on this machine; if it is missing here, from the bucket, or else from the provider again."""
    path = saved_path(run, context)
    for there in (Path(run.file or ""), path):
        if await asyncio.to_thread(is_clip, there, run.file_sha256):
            return there
    if await finish(run, context):
        return path
    if run.file_sha256 is not None and run.dropped_at is None:
        for source in (_from_bucket, _from_provider):
            if await _brought(run, path, source, context):
                return path
    raise FileNotFoundError(run.file)


async def _brought(run: Run, path: Path, source: Source, context: RunContext) -> bool:
    """False if the source does not have it, or not what the row says."""
    draft = new_draft(run.run_id, context)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sha256 = await source(run, draft, context)
        if sha256 is not None and sha256 == run.file_sha256:
            draft.replace(path)
            return True
        if sha256 is not None:
            log.error("storage", extra={"action": "not_the_clip", "run": run.ref})
    except BucketError as error:
        log.warning("storage", extra={"action": "not_fetched", "run": run.ref, "error": str(error)})
    except OSError as error:  # the disk is full, say; another machine may have room
        log.error("storage", extra={"action": "not_written", "run": run.ref, "error": str(error)})
    finally:
        with contextlib.suppress(OSError):  # where no folder could be made, there is no draft
            draft.unlink()
    return False


async def _from_bucket(run: Run, draft: Path, context: RunContext) -> str | None:
    if context.bucket is None:
        return None
    return await context.bucket.get(run.stored or f"{context.bucket.name}/{saved_path(run, context).name}", draft)


async def _from_provider(run: Run, draft: Path, context: RunContext) -> str | None:
    """The clip was paid for, and fetching it again is free."""
    if run.job_id is None or not context.account.matches(run):
        return None
    seen = await context.account.provider.job(run.job_id)
    job = seen if isinstance(seen, Job) else Job(run.job_id, JobStatus.UNKNOWN, named=False)
    got = await fetch(job, context.account.provider, draft, partial(as_ordered, seconds=run.seconds, size=run.size))
    if isinstance(got, Clip):
        return got.sha256
    log.warning("storage", extra={"action": "not_fetched", "run": run.ref, "error": got.detail or f"HTTP {got.status}"})
    return None


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
