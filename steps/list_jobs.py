"""Look through the provider's list, newest first, back to a known job or a moment. Free.

In       a provider; `past`: keys of jobs at which the look may stop; `back_to`: epoch seconds at which it may stop if
         there are none, by the list's own times, which are a hint
Out      Look: the jobs, and whether every page back to there was read, with no error or repeated page
"""

from collections.abc import Collection
from dataclasses import dataclass

from steps.download import ReadError
from steps.provider import VideoProvider
from steps.video_jobs import Job

PAGES_MAX = 50


@dataclass(frozen=True)
class Look:
    """`odd_rows`: rows that could not be read. The jobs beside them count, absence does not."""

    jobs: tuple[Job, ...]
    complete: bool
    why_incomplete: str = ""
    odd_rows: int = 0


async def look(
    provider: VideoProvider,
    *,
    back_to: float | None = None,
    past: Collection[str] = (),
    pages_max: int = PAGES_MAX,
) -> Look:
    jobs: dict[str, Job] = {}
    odd_rows = 0
    after: str | None = None

    def seen(why_incomplete: str = "") -> Look:
        return Look(tuple(jobs.values()), not why_incomplete, why_incomplete, odd_rows)

    for _ in range(pages_max):
        page = await provider.page(after)
        if isinstance(page, ReadError):
            return seen(f"list_unreadable: {page.detail}"[:200])
        odd_rows += page.odd_rows
        new = [job for job in page.jobs if job.job_id not in jobs]
        if not new and (page.jobs or page.has_more):
            return seen("repeated_page")
        jobs |= {job.job_id: job for job in new}
        empty = not page.jobs and not page.odd_rows
        if page.has_more is False or (empty and page.has_more is None):
            return seen()
        if _reaches(tuple(jobs.values()), page.jobs, past, back_to):
            return seen()
        if page.has_more is None:
            return seen("no_paging")
        after = page.last_id
    return seen("too_many_pages")


def _reaches(seen: tuple[Job, ...], jobs: tuple[Job, ...], past: Collection[str], back_to: float | None) -> bool:
    """Whether a page holds one of the known jobs; without any, whether its oldest is older than the moment.

    A list that gives old jobs first would be read no farther than its first page: where its times grow, it goes on.
    """
    if past:
        shown = [job.created_at for job in seen if job.created_at is not None]
        grows = len(shown) > 1 and shown == sorted(shown) and shown[0] < shown[-1]
        return any(job.key in past for job in jobs) and not grows
    times = [job.created_at for job in jobs if job.created_at is not None]
    if back_to is None or not times or len(times) < len(jobs):
        return False
    return times == sorted(times, reverse=True) and times[-1] < back_to
