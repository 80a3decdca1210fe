"""Where clips are stored: in this machine's folder and, if one is configured, in a bucket of Storage.

    .<run>.<uuid>.part     being written
    .<run>.<job>.clip      complete; its job may still turn out to be another run's
    <run>.mp4              the clip of a saved run; .mov or .webm if that is its format

In       runs, and the files of their jobs
Out      `upload_soon` before and `keep` after the run is marked saved; `at_hand`: the clip as a file here
Raises   `at_hand`: FileNotFoundError. A failed upload blocks no run: `maintenance` retries it.
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
from providers.job import Job, JobStatus
from steps.generate_video import Clip, fetch

UPLOAD_SOON_SECONDS = 20.0  # how long a run waits for Storage before it is saved; a slower clip is uploaded afterwards

log = logging.getLogger(__name__)

Source = Callable[[Run, Path, RunContext], Awaitable[str | None]]  # returns the sha256 of what it wrote


def path_of(run_id: UUID | str, kind: Kind, context: RunContext) -> Path:
    return context.media / f"{run_id}.{kind}"


def saved_path(run: Run, context: RunContext) -> Path:
    """The path of a saved run's clip on this machine, whichever machine saved it."""
    return path_of(run.run_id, kind_of_run(run), context)


def kind_of_run(run: Run) -> Kind:
    """The clip's format, by its recorded file name; MP4 without one."""
    extension = PurePath(run.file or "").suffix.removeprefix(".")
    return Kind(extension) if extension in set(Kind) else Kind.MP4


def facts_of(run: Run, path: Path | None = None) -> Facts:
    """The clip's properties by the row, or by its file if the row has none (a crash, or saved by an older version)."""
    if run.clip_kind is None and path is not None:
        found = read_clip(path, transfer_complete=True)
        if isinstance(found, Facts):
            return found
    kind = kind_of_run(run) if run.clip_kind is None else Kind(run.clip_kind)
    return Facts(kind, run.clip_width, run.clip_height, run.clip_seconds)


def files_in(media: Path) -> dict[str, Path]:
    """The clips in the folder by run id; other files are ignored."""
    found = (path for kind in Kind for path in media.glob(f"*.{kind}"))
    return {run_id: path for path in found if (run_id := run_of(path)) is not None}


def run_of(path: Path) -> str | None:
    """The id of the run whose file this is; None for any other file."""
    try:
        return str(UUID(path.name.removeprefix(".").partition(".")[0]))
    except ValueError:
        return None


def fetched_path(run: Run, context: RunContext) -> Path:
    """The file of the run's job. Its name includes the job, because a late proof may give the run another one."""
    assert run.job_id is not None, f"run {run.ref} has no job"
    return context.media / clip_name(run.run_id, run.job_id)


def clip_name(run_id: UUID | str, job_id: str) -> str:
    """The file name of a job's complete clip, before the ledger has recorded it as the run's."""
    return f".{run_id}.{hashlib.sha256(job_id.encode()).hexdigest()[:16]}.clip"


def new_draft(run_id: UUID | str, context: RunContext) -> Path:
    return context.media / f".{run_id}.{uuid4().hex}.part"


async def upload_soon(run_id: UUID | str, clip: Clip, context: RunContext) -> str | None:
    """Uploads the clip; returns 'bucket/key', or None if there is no bucket or it does not take the clip now."""
    if context.bucket is None:
        return None
    try:
        async with asyncio.timeout(UPLOAD_SOON_SECONDS):
            return await context.bucket.put(clip.path, path_of(run_id, clip.facts.kind, context).name)
    except TimeoutError:
        log_not_uploaded(run_id, BucketUnavailable(f"not within {UPLOAD_SOON_SECONDS:.0f} s"))
    except (BucketError, OSError) as error:  # OSError: another worker here may have saved and renamed it
        log_not_uploaded(run_id, error)
    return None


async def keep(run: Run, clip: Clip, stored_as: str | None, context: RunContext) -> Run:
    """Renames the file and notes its upload, if the row has its sha256; leaves any other file to `maintenance`."""
    if run.file_sha256 != clip.sha256:
        return run
    _give_name(clip.path, saved_path(run, context))
    if stored_as is not None:
        return await ClipRecords(context.ledger.rpc).note_stored(run.run_id, stored_as, clip.sha256)
    return run


async def finish(run: Run, context: RunContext) -> bool:
    """Gives a saved run's clip its final name, if a crash came before that; returns whether it did."""
    if run.job_id is None or run.file_sha256 is None:
        return False
    fetched = fetched_path(run, context)
    if not await asyncio.to_thread(is_clip, fetched, run.file_sha256):
        return False
    try:
        _give_name(fetched, saved_path(run, context))
    except OSError as error:  # busy, for example; retried whenever the clip is needed
        log.error("storage", extra={"action": "not_renamed", "run": run.ref, "error": str(error)})
        return False
    return True


def log_not_uploaded(run_id: UUID | str, error: Exception) -> None:
    log.warning("storage", extra={"action": "not_uploaded", "run_id": str(run_id), "error": str(error)})


async def at_hand(run: Run, context: RunContext) -> Path:
    """The clip as a file on this machine; if it is missing, fetched from the bucket, or else from the provider."""
    context = context.for_run(run)
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
    """Fetches the clip from a source; False if the source has no file with the row's sha256."""
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
    except OSError as error:  # for example a full disk; another machine may have room
        log.error("storage", extra={"action": "not_written", "run": run.ref, "error": str(error)})
    finally:
        with contextlib.suppress(OSError):  # without a folder there is no draft
            draft.unlink()
    return False


async def _from_bucket(run: Run, draft: Path, context: RunContext) -> str | None:
    if context.bucket is None:
        return None
    return await context.bucket.get(run.stored or f"{context.bucket.name}/{saved_path(run, context).name}", draft)


async def _from_provider(run: Run, draft: Path, context: RunContext) -> str | None:
    """Fetches the clip from the provider again, which is free."""
    if run.job_id is None or not context.account.matches(run):
        return None
    seen = await context.account.provider.job(run.job_id, run.model)
    job = seen if isinstance(seen, Job) else Job(run.job_id, JobStatus.UNKNOWN, named=False)
    got = await fetch(job, context.account.provider, draft, partial(as_ordered, seconds=run.seconds, size=run.size))
    if isinstance(got, Clip):
        return got.sha256
    log.warning("storage", extra={"action": "not_fetched", "run": run.ref, "error": got.detail or f"HTTP {got.status}"})
    return None


def is_clip(path: Path, sha256: str | None) -> bool:
    """Whether the file exists and has this sha256: a file of this name may be truncated, or come from elsewhere."""
    try:
        with path.open("rb") as file:
            return sha256 is None or hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _give_name(fetched: Path, path: Path) -> None:
    """Renames the file. Not synced: after a power cut, `at_hand` finds the clip under either name."""
    try:
        fetched.replace(path)
    except FileNotFoundError:  # another process renamed it first
        if not path.exists():
            raise
