"""A job, and a page of jobs, as any provider shows them. Pure: no I/O, no clock."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from providers.job_ids import canonical_id
from providers.refusals.content import blames_content

PROGRESS_DONE = 100
TIMES_APART_MAX = 2.0
DELETED = re.compile(
    r"\bexpire|\bdeleted\b|\bpurged\b|\bretention\b|\bno longer (?:available|stored|exists)\b"
    r"|\b(?:file|clip|video|output) (?:was |has been )?(?:removed|evicted|archived|cleaned up)\b"
)
ORDER_FIELDS = ("prompt", "model", "seconds", "size", "created_at")  # what does not change while a job is rendered


class JobStatus(StrEnum):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"  # was completed; its content is gone
    UNKNOWN = "unknown"  # a word we do not know: it is taken for still rendering


@dataclass(frozen=True)
class Job:
    """A job as the provider shows it; None is "not shown". Times in epoch seconds.

    `named`: the body names this job itself. One that does not may lead to the clip, but proves nothing.
    `described`: beside id, status and error it shows something that only a job has; a gateway's error may echo our id.
    `word`: the provider's own status word. `kept_back`: by which words an ended job has no clip, for its content.
    """

    job_id: str
    status: JobStatus
    progress: int | None = None
    prompt: str | None = None
    model: str | None = None
    seconds: int | None = None
    size: str | None = None
    created_at: float | None = None
    expires_at: float | None = None
    error: str | None = None
    error_code: str | None = None
    word: str | None = field(default=None, compare=False)
    named: bool = True
    described: bool = field(default=False, compare=False)
    kept_back: str | None = field(default=None, compare=False)
    also: tuple[str, ...] = field(default=(), compare=False)  # other ids that it shows
    done_at: float | None = field(default=None, compare=False)
    urls: tuple[str, ...] = field(default=(), repr=False)  # where its clip may be, if not at /content; often signed
    no_clip: bool = field(default=False, compare=False)  # it shows itself that it has none: nothing to fetch
    marker: str | None = field(default=None, compare=False)  # what it echoes of ours: an id, a seed, a callback's token
    request: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)  # the input that it echoes
    cost_microusd: int | None = field(default=None, compare=False)  # what the provider says that it charged

    @property
    def key(self) -> str:
        """By which the ledger's jobs are compared with it; to ask for the job again, `job_id` is needed."""
        return canonical_id(self.job_id)

    @property
    def keys(self) -> tuple[str, ...]:
        """By any of which a run may know it, the job's own first."""
        return tuple(dict.fromkeys((self.key, *map(canonical_id, self.also))))

    @property
    def running(self) -> bool:
        return self.status in {JobStatus.QUEUED, JobStatus.IN_PROGRESS}

    def shows_same_order(self, other: "Job") -> bool:
        """Whether two rows of one id show one order; what either hides differs in nothing."""
        both = ((getattr(self, name), getattr(other, name)) for name in ORDER_FIELDS)
        return all(one == two or one is None or two is None or _nearly(one, two) for one, two in both)

    @property
    def exists(self) -> bool:
        """Whether this body shows that there is such a job: it describes it, or calls it under way or done (rule 2)."""
        return self.named and (self.described or self.running or self.status is JobStatus.COMPLETED)

    @property
    def gave_up(self) -> bool:
        """`expired` before it was ever done: a render that timed out, not a clip that is gone."""
        # 1 may be all of it: JavaScript writes 1.0 so.
        said_so = (self.progress is not None and self.progress != 1) or self.error is not None
        return self.status is JobStatus.EXPIRED and not self.was_done and said_so

    @property
    def is_gone(self) -> bool:
        """The clip was made, and the provider has deleted it since: it is owed."""
        if self.status is JobStatus.EXPIRED:
            return not self.gave_up
        if self.status is not JobStatus.FAILED or not self.was_done or self.refuses_content(self.error or ""):
            return False
        at_its_end = (self.progress or 0) >= PROGRESS_DONE and self.done_at is not None
        return at_its_end or bool(DELETED.search((self.error or "").lower()))

    def refuses_content(self, words: str, prompt: str = "") -> bool:
        """Whether it ended for what it would have shown. `words`: on its end; they may quote the `prompt`."""
        return any(blames_content(each, prompt) for each in (self.error_code or "", words, self.kept_back or ""))

    @property
    def was_done(self) -> bool:
        """Whether it shows that its render once ended well, whatever its status is now."""
        return self.done_at is not None or (self.progress or 0) >= PROGRESS_DONE


@dataclass(frozen=True)
class ListPage:
    """One page of a list; `has_more` None means that the provider does not say. `odd_rows` could not be read.

    `flaw`: a stable word for why rows may be missing between this page and the next; empty without a sign of that.
    `total`, `pages`: how many rows and pages there are, if the page says so. `full`: it has as many rows as its own
    limit for a page, so there may be more.
    """

    jobs: tuple[Job, ...]
    has_more: bool | None
    last_id: str | None
    odd_rows: int = 0
    flaw: str = ""
    total: int = 0
    pages: int = 0
    full: bool = False
    next_page: str | None = None  # the provider's own cursor, where pages are not asked for by a job's id


def _nearly(one: object, two: object) -> bool:
    """Times that a server counts back from now, in whole seconds."""
    return isinstance(one, float) and isinstance(two, float) and abs(one - two) <= TIMES_APART_MAX
