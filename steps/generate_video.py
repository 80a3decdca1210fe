"""Buy one clip, then come back for it. `submit` spends and must never repeat; the rest is free and must.

In       an order / a job id
Out      Answer (raw) / Rendered, RenderFailed or StillRendering / Clip, Expired, Missing or ReadError
Raises   OSError if the disk does not take the clip
Effects  `submit`: one POST, never repeated by this function, by the client, or by a caller
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from steps.provider import Gone, ReadError, VideoProvider
from steps.videos_protocol import Answer, Job, JobStatus, Order

POLL_SECONDS_MIN = 2.0
POLL_SECONDS_MAX = 15.0
POLL_SHARE = 0.1  # of what the render should take: ten looks over its expected length


@dataclass(frozen=True)
class Rendered:
    job: Job


@dataclass(frozen=True)
class RenderFailed:
    """The provider itself says that it failed; `detail` are its words."""

    detail: str


@dataclass(frozen=True)
class StillRendering:
    """The deadline passed; the job may yet end well."""


@dataclass(frozen=True)
class Clip:
    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Expired:
    """The provider made the clip and no longer has it."""

    detail: str


@dataclass(frozen=True)
class Missing:
    """A 404 for the content of a job that has ended well: not there yet, or not there any more."""


async def submit(order: Order, provider: VideoProvider, before_send: Callable[[], None]) -> Answer:
    return await provider.post(order, before_send)


def poll_delay(expected_seconds: float, elapsed_seconds: float, jitter: float, unread: int = 0) -> float:
    """Seconds to a look: the first after half the expected time, then 2 to 15 s, spread by `jitter`, 0..1.

    Every look in a row that could not be read (`unread`) doubles the distance.
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
    expected_seconds: float,
    elapsed_seconds: float,
    deadline_seconds: float,
    poll_seconds: float | None,
    attend_seconds: float,
    alive: Callable[[int | None], Awaitable[None]],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    jitter: Callable[[], float],
) -> Rendered | RenderFailed | StillRendering:
    """Looks until the render ends or `deadline_seconds` from now have passed; looks at least once.

    `alive(progress)` is called after every look and at least every `attend_seconds`. A look that fails is
    repeated: no error on reading a job ever fails a run.
    """
    begun, first, unread = clock(), True, 0
    while True:
        waited = clock() - begun
        if not (first and deadline_seconds <= 0):
            delay = poll_seconds or poll_delay(expected_seconds, elapsed_seconds + waited, jitter(), unread)
            await _sleep_attended(min(delay, max(0.0, deadline_seconds - waited)), attend_seconds, alive, sleep)
        first = False
        seen = await provider.job(job_id)
        unread = 0 if isinstance(seen, Job) else unread + 1
        if isinstance(seen, Job):
            match seen.status:
                case JobStatus.COMPLETED | JobStatus.EXPIRED:
                    return Rendered(seen)
                case JobStatus.FAILED:
                    return RenderFailed(seen.error or "the provider gave no reason")
        await alive(seen.progress if isinstance(seen, Job) else None)
        if clock() - begun >= deadline_seconds:
            return StillRendering()


async def _sleep_attended(
    seconds: float,
    attend_seconds: float,
    alive: Callable[[int | None], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    while seconds > attend_seconds:
        await sleep(attend_seconds)
        seconds -= attend_seconds
        await alive(None)
    await sleep(seconds)


async def fetch(job: Job, provider: VideoProvider, into: Path) -> Clip | Expired | Missing | ReadError:
    """Brings the clip of a job that has ended well to a temporary file."""
    if job.status is JobStatus.EXPIRED:
        return Expired("the provider says that the clip has expired")
    got = await provider.content(job.job_id, into)
    match got:
        case Gone(status=404):
            return Missing()
        case Gone(status=status):
            return Expired(f"the provider no longer has the clip (HTTP {status})")
        case ReadError():
            return got
        case _:
            return Clip(into, got.bytes, got.sha256)
