"""Buy one clip, then poll and fetch it. `submit` spends money and must never repeat; the rest is free to repeat.

In       an order / a job id
Out      Answer (raw) / Rendered, SaysFailed or StillRendering / Clip, Missing or ReadError
Raises   OSError if the clip cannot be written
Effects  `submit`: one POST, never repeated by this function, by the client, or by a caller
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from media.clip_file import Facts
from providers.clips.download import ClipGone, Content
from providers.job import Job, JobStatus
from providers.openai_videos.job_links import URLS_MAX, is_picture
from providers.openai_videos.jobs import clip_urls_in
from providers.openai_videos.missing_clip import GONE
from providers.orders import Answer, Order
from providers.port import ReadError
from providers.transport import VideoProvider

HTTP_OK = 200
HTTP_GONE = 410
POLL_SECONDS_MIN = 2.0
POLL_SECONDS_MAX = 15.0
NOT_IMPLEMENTED = frozenset({405, 501})
ANSWERED = frozenset({200, 203, 206})
ANSWER_BYTES_MAX = 100_000
POLL_SHARE = 0.1  # a look every tenth of the expected render time


@dataclass(frozen=True)
class Rendered:
    job: Job


@dataclass(frozen=True)
class SaysFailed:
    """The job itself says that it failed, with `detail` as its words. One look is not enough to end a run."""

    job: Job
    detail: str


@dataclass(frozen=True)
class StillRendering:
    """The deadline passed; the job may still complete. `job`: as last seen; `error`: why the last look failed.

    Both are set if the look showed another order's job.
    """

    job: Job | None = None
    error: ReadError | None = None

    @property
    def not_found(self) -> bool:
        return self.error is not None and self.error.status in GONE


@dataclass(frozen=True)
class Clip:
    """A whole clip on this machine; `facts`: what its file states about itself."""

    path: Path
    bytes: int
    sha256: str
    facts: Facts


@dataclass(frozen=True)
class Missing:
    """The provider has no content for this job, not yet or no longer; `detail` holds its words."""

    status: int = 404
    detail: str = ""


async def submit(order: Order, provider: VideoProvider, before_send: Callable[[], None]) -> Answer:
    return await provider.post(order, before_send)


def poll_delay(expected_seconds: float, elapsed_seconds: float, jitter: float, unread: int = 0) -> float:
    """Seconds until a look: the first after half the expected time, then 2 to 15 s, spread by `jitter`, 0..1.

    Every consecutive look that failed (`unread`) doubles the delay.
    """
    half = expected_seconds / 2
    if elapsed_seconds < half:
        return max(0.05, half - elapsed_seconds)
    pace = min(POLL_SECONDS_MAX, max(POLL_SECONDS_MIN, expected_seconds * POLL_SHARE))
    spread = pace * (0.8 + 0.4 * jitter) * float(2 ** min(unread, 10))
    return min(POLL_SECONDS_MAX, max(POLL_SECONDS_MIN, spread))


async def wait(
    job_id: str,
    provider: VideoProvider,
    *,
    model: str = "",
    expected_seconds: float,
    elapsed_seconds: float,
    deadline_seconds: float,
    poll_seconds: float | None,
    looked: Callable[[Job], Awaitable[None]],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    jitter: Callable[[], float],
    failing_words: str | None = None,
    why_another: Callable[[Job], str | None] = lambda _: None,
) -> Rendered | SaysFailed | StillRendering:
    """Polls until the render ends or `deadline_seconds` from now have passed; polls at least once.

    `looked(job)` is called after every look that shows the job unfinished. A look that fails is repeated: neither a
    read error nor a body that does not describe the job ever fails a run.
    `failing_words`: the failure that an earlier look at the job's own address showed, if that is so long ago that
    "not found" confirms it. `why_another`: why the job shown cannot be this one; such a look counts as unread.
    """
    begun, first, unread = clock(), True, 0
    while True:
        waited = clock() - begun
        if not (first and deadline_seconds <= 0):
            delay = poll_seconds or poll_delay(expected_seconds, elapsed_seconds + waited, jitter(), unread)
            await sleep(min(delay, max(0.0, deadline_seconds - waited)))
        first = False
        shown = seen = await provider.job(job_id, model)
        if isinstance(shown, Job) and (why := why_another(shown)):
            seen = ReadError(HTTP_OK, why)
        unread = 0 if isinstance(seen, Job) else unread + 1
        if isinstance(seen, Job):
            if detail := failure_of(seen):
                return SaysFailed(seen, detail)
            if seen.status is JobStatus.COMPLETED:
                return Rendered(seen)
            await looked(seen)
        elif failing_words and seen.status in GONE:
            return SaysFailed(Job(job_id, JobStatus.FAILED), failing_words)
        if clock() - begun >= deadline_seconds:
            if isinstance(seen, Job):
                return StillRendering(seen)
            return StillRendering(shown if isinstance(shown, Job) else None, error=seen)


def failure_of(job: Job) -> str | None:
    """Why a job says that it failed, expired, or was withheld for its content; None if it says anything else.

    Only a body that names and describes the job counts: a gateway's error may echo the requested id (rule 1).
    """
    if not (job.named and job.described):
        return None
    if job.status is JobStatus.FAILED or job.gave_up:
        return job.error or job.kept_back or "the provider gave no reason"
    if job.kept_back:
        return job.kept_back
    return "the provider says that the clip has expired" if job.status is JobStatus.EXPIRED else None


async def fetch(
    job: Job, provider: VideoProvider, into: Path, fits: Callable[[Facts], bool] = lambda _: True
) -> Clip | Missing | ReadError:
    """Fetches the clip of a job into a temporary file, whatever the job's status: the clip is the proof.

    `fits`: selects among files at several addresses; there may be a preview beside the clip.
    """
    got = ClipGone(HTTP_GONE) if job.no_clip else await provider.content(job.job_id, into)
    if _may_be_elsewhere(got):
        named = clip_urls_in(await asyncio.to_thread(_text_in, into), job.job_id)
        got = await _fetch_elsewhere((*named, *job.urls), got, provider, into, fits)
    match got:
        case ClipGone(status=status, detail=detail):
            return Missing(status, detail)
        case ReadError():
            return got
        case Content():
            return Clip(into, got.bytes, got.sha256, got.facts)


def _may_be_elsewhere(got: Content | ClipGone | ReadError) -> bool:
    """Whether to try other addresses: absent here, no such route, or no clip but a page or JSON with an address."""
    return isinstance(got, ClipGone) or (isinstance(got, ReadError) and got.status in NOT_IMPLEMENTED | ANSWERED)


def _text_in(path: Path) -> str:
    """The body that came instead of a clip, if it is short enough to be an answer with the clip's address."""
    try:
        small = path.stat().st_size <= ANSWER_BYTES_MAX
        return path.read_bytes().decode(errors="replace") if small else ""
    except FileNotFoundError:
        return ""


async def _fetch_elsewhere(
    urls: Sequence[str],
    got: Content | ClipGone | ReadError,
    provider: VideoProvider,
    into: Path,
    fits: Callable[[Facts], bool],
) -> Content | ClipGone | ReadError:
    """The first clip at these addresses that fits; else the first retryable error, else any clip, else `got`."""
    later: ReadError | None = None
    unfit: list[str] = []
    for url in list(dict.fromkeys(urls))[:URLS_MAX]:
        found = await provider.content_at(url, into)
        if isinstance(found, Content) and fits(found.facts):
            return found
        if isinstance(found, Content):
            unfit.append(url)
        if isinstance(found, ReadError) and not is_picture(url):
            later = later or found
    if later is None and unfit:
        return await provider.content_at(unfit[0], into)
    return later or got
