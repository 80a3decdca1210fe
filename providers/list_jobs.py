"""Read the provider's list, newest first, past a known job or a time, or to its end. Free.

In       a provider; `past`: keys of jobs past which the look may stop; `back_to`: without such keys, epoch seconds past
         which it may stop, by the list's own times, which are a hint
Out      Look: the jobs, and whether every page up to there was read, with no error or repeated page

A list that is not really sorted may show a known job first and a newer one pages later. So a look continues for
ROWS_BEYOND rows past the known job, and to the end of the list if any row is newer than the one before it. A list of
fewer than a thousand rows is always read completely.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from providers.job import Job, ListPage
from providers.port import ReadError, Scope
from providers.transport import EVERYTHING, VideoProvider

PAGES_MAX = 50
ROWS_BEYOND = 1000
SAME_MOMENT_SECONDS = 1.0  # jobs created within this may be in any order


@dataclass(frozen=True)
class Look:
    """`odd_rows`: rows that could not be read, or that contradict another row of the same id.

    With any of them, the listed jobs still count, but the absence of a job proves nothing.
    """

    jobs: tuple[Job, ...]
    complete: bool
    why_incomplete: str = ""
    odd_rows: int = 0

    @property
    def keys(self) -> list[str]:
        """All keys by which runs may know the jobs."""
        return list(dict.fromkeys(key for job in self.jobs for key in job.keys))


async def look(
    provider: VideoProvider,
    *,
    back_to: float | None = None,
    past: Collection[str] = (),
    pages_max: int = PAGES_MAX,
    rows_beyond: int = ROWS_BEYOND,
    scope: Scope = EVERYTHING,
) -> Look:
    """`scope`: the models, for providers that list each by itself."""
    reading = _Reading(past, back_to, rows_beyond, to_its_end=not provider.api.facts.newest_first)
    for _ in range(pages_max):
        page = await provider.page(reading.after, scope)
        if isinstance(page, ReadError):
            return reading.ended(f"list_unreadable: {page.detail}"[:200])
        end = reading.turn(page)
        if end is not None:
            return reading.ended(end)
    return reading.ended("too_many_pages")


class _Reading:
    """The pages read so far. `beyond`: rows since the page that reached far enough; None before that page."""

    def __init__(
        self, past: Collection[str], back_to: float | None, rows_beyond: int, *, to_its_end: bool = False
    ) -> None:
        self._to_its_end = to_its_end
        self._past = past
        self._back_to = back_to
        self._rows_beyond = rows_beyond
        self._jobs: dict[str, Job] = {}
        self._odd_rows = 0
        self._beyond: int | None = None
        self._pages = 0
        self._more_promised = False
        self._cannot_overlap = False
        self._overlap: str | None = None  # the key of a row that the next page must show again
        self.after: str | None = None

    def ended(self, why_incomplete: str) -> Look:
        if self._cannot_overlap:
            why_incomplete = why_incomplete or "pages_of_one_row"
        return Look(tuple(self._jobs.values()), not why_incomplete, why_incomplete, self._odd_rows)

    def turn(self, page: ListPage) -> str | None:
        """Adds a page. None: the next page is needed; otherwise why the look is incomplete, empty if it is complete."""
        news = self._take(page)
        self._pages += 1
        if page.flaw:
            return page.flaw
        self._cannot_overlap |= (
            self._pages == 1 and page.has_more is True and len(page.jobs) == 1 and page.next_page is None
        )
        if news and self._overlap and self._overlap not in {job.key for job in page.jobs}:
            return "pages_leave_a_gap"
        empty = not page.odd_rows and [job.key for job in page.jobs] in ([], [self._overlap])
        if page.has_more is False or (empty and page.has_more is None):
            return self._at_its_end(page, empty=empty)
        if not news:
            return self._nothing_new(page)
        if self._to_its_end or not self._is_newest_first():
            self._beyond = None
        elif self._beyond is not None:
            self._beyond += len(news)
        elif _reaches(page.jobs, self._past, self._back_to):
            self._beyond = 0
        self._more_promised = page.has_more is True
        self._turn_to_next(page)
        return "" if self._beyond is not None and self._beyond >= self._rows_beyond else None

    def _turn_to_next(self, page: ListPage) -> None:
        """Pages overlap by one row. A server that pages by creation second skips rows of the same second; then the row
        that should come first is missing.
        """
        if page.next_page is not None:
            self.after, self._overlap = page.next_page, None
        elif len(page.jobs) > 1:
            self.after, self._overlap = page.jobs[-2].job_id, page.jobs[-1].key
        else:
            self.after, self._overlap = page.last_id, None

    def _at_its_end(self, page: ListPage, *, empty: bool) -> str:
        """The list says that this was the last page; its own totals and promises must agree."""
        if empty and self._more_promised:
            return "empty_page_after_more"
        rows = len(self._jobs) + self._odd_rows
        return "fewer_rows_than_it_says" if page.total > rows or page.pages > self._pages else ""

    def _is_newest_first(self) -> bool:
        times = [job.created_at for job in self._jobs.values() if job.created_at is not None]
        return all(later <= earlier + SAME_MOMENT_SECONDS for earlier, later in pairwise(times))

    def _take(self, page: ListPage) -> dict[str, Job]:
        news: dict[str, Job] = {}
        self._odd_rows += page.odd_rows
        on_page = Counter(job.job_id for job in page.jobs)
        for job in page.jobs:
            known = self._jobs.get(job.job_id)
            if known is None:
                news[job.job_id] = job
            elif not known.shows_same_order(job):  # one of the two is another job
                self._odd_rows += 1
        self._odd_rows += sum(times - 1 for times in on_page.values())  # one id twice in a page may be two jobs
        names: dict[str, str] = {job.key: job.job_id for job in self._jobs.values()}
        # Two servers behind one gateway may use the same numbers, so two packed ids with one inner id may be two jobs.
        self._odd_rows += sum(names.setdefault(job.key, job.job_id) != job.job_id for job in news.values())
        self._jobs |= news
        return news

    def _nothing_new(self, page: ListPage) -> str:
        if page.has_more:
            return "repeated_page"
        # The server ignores `after` and always returns this page; that is the whole list if it reaches far enough.
        return "no_paging" if self._beyond is None or page.full else ""


def _reaches(jobs: tuple[Job, ...], past: Collection[str], back_to: float | None) -> bool:
    """Whether a page holds one of the known jobs; with none known, whether its oldest job is older than `back_to`."""
    if past:
        return any(job.key in past for job in jobs)
    times = [job.created_at for job in jobs if job.created_at is not None]
    if back_to is None or not times or len(times) < len(jobs):
        return False
    return times[-1] < back_to
