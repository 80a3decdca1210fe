"""Look through the provider's list, newest first, back to a moment. Free, and complete only if it says so itself.

In       a provider, and how far back to look (epoch seconds)
Out      Look: the jobs, and whether every page back to that moment was read, without an error or a repeated page
"""

from dataclasses import dataclass

from steps.provider import ReadError, VideoProvider
from steps.videos_protocol import Job

PAGES_MAX = 50


@dataclass(frozen=True)
class Look:
    jobs: tuple[Job, ...]
    complete: bool
    why_incomplete: str = ""


async def look(provider: VideoProvider, *, back_to: float, pages_max: int = PAGES_MAX) -> Look:
    jobs: dict[str, Job] = {}
    after: str | None = None
    for _ in range(pages_max):
        page = await provider.page(after)
        if isinstance(page, ReadError):
            return Look(tuple(jobs.values()), False, f"list_unreadable: {page.detail}"[:200])
        new = [job for job in page.jobs if job.job_id not in jobs]
        if page.jobs and not new:
            return Look(tuple(jobs.values()), False, "repeated_page")
        jobs |= {job.job_id: job for job in new}
        if not page.jobs or page.has_more is False or _reaches(page.jobs, back_to):
            return Look(tuple(jobs.values()), True)
        if page.has_more is None:
            return Look(tuple(jobs.values()), False, "no_paging")
        after = page.last_id
    return Look(tuple(jobs.values()), False, "too_many_pages")


def _reaches(jobs: tuple[Job, ...], back_to: float) -> bool:
    """Whether a page goes back past the moment: its oldest job, in a list from new to old, is older."""
    times = [job.created_at for job in jobs]
    if any(at is None for at in times):
        return False
    known = [at for at in times if at is not None]
    return known == sorted(known, reverse=True) and known[-1] < back_to
