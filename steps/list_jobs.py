"""Look through the provider's list, newest first, past a known job or a moment, or to its end. Free.

In       a provider; `past`: keys of jobs past which the look may stop; `back_to`: epoch seconds past which it may stop
         if there are none, by the list's own times, which are a hint
Out      Look: the jobs, and whether every page past there was read, with no error or repeated page

A list that is in another order than it seems to be shows a known job and keeps a newer one for a later page. So a look
goes on for PAGES_BEYOND pages: a list of less than a thousand rows is always read to its end.
"""

from collections.abc import Collection
from dataclasses import dataclass

from steps.download import ReadError
from steps.provider import VideoProvider
from steps.video_jobs import Job, Page

PAGES_MAX = 50
PAGES_BEYOND = 10


@dataclass(frozen=True)
class Look:
    """`odd_rows`: rows that could not be read, or that show one job in two ways.

    The jobs beside them count, absence does not.
    """

    jobs: tuple[Job, ...]
    complete: bool
    why_incomplete: str = ""
    odd_rows: int = 0

    @property
    def keys(self) -> list[str]:
        """By any of which runs may know the jobs."""
        return list(dict.fromkeys(key for job in self.jobs for key in job.keys))


async def look(
    provider: VideoProvider,
    *,
    back_to: float | None = None,
    past: Collection[str] = (),
    pages_max: int = PAGES_MAX,
    pages_beyond: int = PAGES_BEYOND,
) -> Look:
    reading = _Reading(past, back_to, pages_beyond)
    for _ in range(pages_max):
        page = await provider.page(reading.after)
        if isinstance(page, ReadError):
            return reading.ended(f"list_unreadable: {page.detail}"[:200])
        end = reading.turn(page)
        if end is not None:
            return reading.ended(end)
    return reading.ended("too_many_pages")


class _Reading:
    """What was read so far. `beyond`: pages since the one that reached far enough; None before."""

    def __init__(self, past: Collection[str], back_to: float | None, pages_beyond: int) -> None:
        self._past = past
        self._back_to = back_to
        self._pages_beyond = pages_beyond
        self._jobs: dict[str, Job] = {}
        self._odd_rows = 0
        self._beyond: int | None = None
        self.after: str | None = None

    def ended(self, why_incomplete: str) -> Look:
        return Look(tuple(self._jobs.values()), not why_incomplete, why_incomplete, self._odd_rows)

    def turn(self, page: Page) -> str | None:
        """Takes a page. None: the next one is needed; otherwise why the look is incomplete, empty if it is complete."""
        news = self._take(page)
        if page.flaw:
            return page.flaw
        empty = not page.jobs and not page.odd_rows
        if page.has_more is False or (empty and page.has_more is None):
            return ""
        if not news:
            return self._nothing_new(page)
        if self._beyond is not None:
            self._beyond += 1
        elif _reaches(tuple(self._jobs.values()), page.jobs, self._past, self._back_to):
            self._beyond = 0
        self.after = page.last_id
        return "" if self._beyond == self._pages_beyond else None

    def _take(self, page: Page) -> dict[str, Job]:
        news: dict[str, Job] = {}
        self._odd_rows += page.odd_rows
        for job in page.jobs:
            known = self._jobs.get(job.job_id) or news.setdefault(job.job_id, job)
            if not known.shows_same_order(job):  # one of the two is another job
                self._odd_rows += 1
        self._jobs |= news
        return news

    def _nothing_new(self, page: Page) -> str:
        if page.has_more:
            return "repeated_page"
        # It gives its one page whatever is asked for: whole, as far as anybody can say, if that reaches far enough.
        return "no_paging" if self._beyond is None else ""


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
