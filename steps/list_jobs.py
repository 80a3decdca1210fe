"""Look through the provider's list, newest first, back to a moment. Free; complete only if it proves to be.

In       a provider, and how far back to look (epoch seconds)
Out      Look: the jobs, and whether every page back to that moment was read, with no error or repeated page
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
        if not new and (page.jobs or page.has_more):
            return Look(tuple(jobs.values()), False, "repeated_page")
        jobs |= {job.job_id: job for job in new}
        ended = page.has_more is False or (not page.jobs and page.has_more is None)
        if ended or _reaches(page.jobs, back_to):
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
    if not known:
        return False
    return known == sorted(known, reverse=True) and known[-1] < back_to
