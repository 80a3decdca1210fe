"""A run as the ledger has it: the row read back as frozen, typed values.

Everything a restart needs is here. Times are aware UTC datetimes by the database's clock, and `read_at` is that
clock at the moment of reading: decisions about time compare the two and never use this machine's clock.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import ValidationError

from pipeline.ledger.functions import read_value
from providers.orders import OPENAI, Order

log = logging.getLogger(__name__)

Row = TypeVar("Row")


class State(StrEnum):
    """What is true of a run now (docs/design.md, "The life of a run")."""

    RESERVED = "reserved"
    APPROVED = "approved"
    SUBMITTING = "submitting"
    UNCERTAIN = "uncertain"
    RENDERING = "rendering"
    SAVED = "saved"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    CANCELED = "canceled"
    FAILED = "failed"


ENDED = frozenset({State.SAVED, State.DELIVERED, State.REJECTED, State.CANCELED, State.FAILED})
IN_DOUBT = frozenset({State.SUBMITTING, State.UNCERTAIN})


class JobSource(StrEnum):
    """How we came to a job id: proof, or a guess that proof overrules."""

    ANSWER = "answer"
    MARKER = "marker"  # the provider shows it with something that only this run's request had
    LIST = "list"
    PERSON = "person"


@dataclass(frozen=True)
class Slots:
    """How many videos the provider renders at once, and how many orders a minute it takes; None: no limit."""

    in_flight_max: int | None = None
    creates_per_minute: int | None = None


ANY_NUMBER = Slots()


@dataclass(frozen=True)
class Run:
    """One row of the ledger. Money in micro-dollars, lengths in seconds, sizes 'WIDTHxHEIGHT'."""

    run_id: UUID
    ref: str
    request_key: str
    user_id: str
    audience: Mapping[str, Any]
    language: str
    prompt: str
    model: str
    seconds: int
    size: str
    create_body: str
    price_microusd: int
    bills_failed: bool
    base_url: str
    key_fingerprint: str
    state: State
    state_since: datetime
    read_at: datetime
    reserved_at: datetime
    attempts: int
    held_microusd: int
    spent_microusd: int
    released_microusd: int
    text_microusd: int
    looks_complete: int
    needs_confirmation: bool
    provider: str = OPENAI
    input: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    callback_job_id: str | None = None  # a hint: the job that a callback named
    charged_microusd: int | None = None  # what the provider says that it charged
    told_state: State | None = None
    reason: str | None = None
    detail: str | None = None
    improved_prompt: str | None = None
    title: str | None = None
    category: str | None = None
    reasons: tuple[str, ...] | None = None
    safe_rewrite: str | None = None
    confirm_until: datetime | None = None
    confirmed_at: datetime | None = None
    deferred_since: datetime | None = None
    deferred_by: str | None = None
    job_id: str | None = None
    job_source: JobSource | None = None
    progress: int | None = None
    doubt: str | None = None
    gateway_attempts: int = 0  # further requests that a gateway says it sent for ours
    first_look_at: datetime | None = None
    last_look_at: datetime | None = None
    parked_at: datetime | None = None
    next_look_at: datetime | Literal["infinity"] | None = None  # infinity: never automatically
    caption: str | None = None
    hashtags: tuple[str, ...] | None = None
    caption_by: str | None = None
    file: str | None = None
    file_bytes: int | None = None
    file_sha256: str | None = None
    clip_kind: str | None = None  # what the file says of itself, as are the next three
    clip_width: int | None = None
    clip_height: int | None = None
    clip_seconds: float | None = None
    stored: str | None = None  # 'bucket/name' of the clip in Storage
    dropped_at: datetime | None = None  # when its files were removed for their age
    templates: Mapping[str, str] = field(default_factory=dict)
    approved_at: datetime | None = None
    submitting_at: datetime | None = None
    uncertain_at: datetime | None = None
    rendering_at: datetime | None = None
    saved_at: datetime | None = None
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    request_hash: str = ""
    position: int | None = None  # how many runs wait before it; only from `load_runs`
    answered_job_id: str | None = None  # what the real answer named, even if another run owns that job
    failing_since: datetime | None = None  # the first look that showed the job as failed or expired
    failing_words: str | None = None
    failed_jobs: tuple[str, ...] = ()  # adopted once, and failed: never adopted again
    done_seen_at: datetime | None = None  # the first look at the job's own address that showed it completed
    shown_otherwise: tuple[str, ...] = ()  # fields that its answer already showed otherwise than ordered
    provider_word: str | None = None  # the provider's own status word, as last seen
    look_says: str | None = None  # why the last look, through the list or at a parked job, settled nothing
    request_seconds: float | None = None  # how long its request may be in flight, as its sender said
    job_seen_at: datetime | None = None  # the last look at the job's own address that showed this job

    @property
    def offer(self) -> str:
        """What was ordered, as people name it: `provider/model`, or the bare model at VIDEO_BASE_URL."""
        return self.model if self.provider == OPENAI else f"{self.provider}/{self.model}"

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def parked(self) -> bool:
        return self.parked_at is not None and self.state in {State.UNCERTAIN, State.RENDERING}

    @property
    def job_exists(self) -> bool:
        """Whether the provider has shown the job itself: an id in an answer, or named by a person, is not enough."""
        shown = self.job_seen_at is not None or self.progress is not None or self.file is not None
        return self.job_id is not None and (shown or self.job_source in {JobSource.MARKER, JobSource.LIST})

    @property
    def failure_shown(self) -> bool:
        """Whether the job's own address showed the failure, and not merely the answer that named the job."""
        since, seen = self.failing_since, self.job_seen_at
        return since is not None and seen is not None and seen >= since

    @property
    def in_doubt(self) -> bool:
        return self.state in IN_DOUBT

    def age(self, since: datetime | None) -> timedelta:
        """How long before the row was read `since` was; zero for None."""
        return self.read_at - since if since else timedelta()

    def order(self) -> Order:
        """What is, or was, sent to the provider. Only an approved run has one."""
        assert self.improved_prompt is not None, f"run {self.ref} has no approved prompt"
        return Order(
            run_id=str(self.run_id),
            prompt=self.improved_prompt,
            model=self.model,
            seconds=self.seconds,
            size=self.size,
            create_body=self.create_body,
            provider=self.provider,
            input=self.input,
            callback_url=self.callback_url,
        )


def read_run(row: object) -> Run:
    """Turns a row as JSON into a Run. Raises pydantic.ValidationError if it does not fit this program."""
    return read_value(Run, row)


def each_readable(rows: Iterable[object], read: Callable[[object], Row], what: str) -> tuple[Row, ...]:
    """The readable rows; an unreadable one is logged and left out, so that it does not block the others."""
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except ValidationError as error:
            fields = sorted({".".join(map(str, each["loc"])) for each in error.errors(include_input=False)})
            log.error(what, extra={"action": f"{what}_unreadable", "fields": ", ".join(fields)})
    return tuple(found)
