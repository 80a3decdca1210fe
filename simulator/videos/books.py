"""The provider's own books: every create request, every job, every charge. The tests judge by them.

In       what the create route decided, before it answers
Out      entries, jobs in creation order, totals
Effects  with a path, appends one JSON line per event and hands it to the operating system before
                  the answer is sent: the books are right even if the answer is lost, and after `kill -9`
"""

import bisect
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

OPENAI = "openai"

Fate = Literal["completes", "fails", "stuck", "unknown_status"]


@dataclass(slots=True)
class Job:
    """One render. Its status is a function of the clock, so a restart does not change it.

    `provider`: whose protocol it was ordered in. `input`: the order's whole input, as received. `own_id`: the id that
    the client gave it. `callback_url`: where the end is reported.
    """

    id: str
    prompt: str
    model: str
    seconds: int
    size: str
    made_at: float
    created_at: int
    started_at: float
    ready_at: float
    work_seconds: float
    fate: Fate = "completes"
    error_code: str = "generation_failed"
    error_message: str = "The video could not be generated."
    status_word: str = "post_processing"
    owner: str = "client"
    deleted: bool = False
    sequence: int = 0
    provider: str = OPENAI
    input: dict[str, Any] = field(default_factory=dict)
    own_id: str | None = None
    callback_url: str | None = None

    @property
    def place(self) -> tuple[int, int]:
        """The job's sort key in a list ordered by creation."""
        return (self.created_at, self.sequence)


@dataclass(slots=True)
class Create:
    """One create request as it arrived, with its answer and its charge."""

    at: float
    key: str | None
    authorization_fingerprint: str | None
    prompt: str | None
    model: str | None
    seconds: str | None
    size: str | None
    job_id: str | None
    outcome_sent: str
    charged_microusd: int
    content_type: str
    provider: str = OPENAI


@dataclass(slots=True)
class FileFetch:
    """One request for a clip at its own URL, to which the client must not send its key."""

    job_id: str
    authorization: bool


@dataclass(slots=True)
class CallbackSent:
    """One attempt to report the end of a job; `status` None means that nobody answered. `last`: none follows."""

    at: float
    provider: str
    job_id: str
    url: str
    status: int | None
    last: bool


class Books:
    """Entries and jobs, in memory and optionally in an append-only file.

    `owed`: the jobs whose end has not been reported to their callback address.
    """

    def __init__(self, path: Path | None, *, refund_failed: bool) -> None:
        self.refund_failed = refund_failed
        self.creates: list[Create] = []
        self.jobs: dict[str, Job] = {}
        self.chat_calls = 0
        self.reads = 0
        self.files: list[FileFetch] = []
        self.callbacks: list[CallbackSent] = []
        self.owed: dict[str, Job] = {}
        self._order: list[Job] = []
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._replay(path)
            self._file = path.open("a", encoding="utf-8")

    def record_create(self, create: Create, job: Job | None) -> None:
        """Record a request and its job in one line, so that neither is stored without the other."""
        self._append({"create": asdict(create), "job": None if job is None else asdict(job)})
        self.creates.append(create)
        if job is not None:
            self._shelve(job)

    def record_job(self, job: Job) -> None:
        """Record a job that the client did not order, or a known job's new state."""
        self._append({"job": asdict(job)})
        if job.id not in self.jobs:
            self._shelve(job)

    def record_chat(self) -> None:
        """Count one text model call."""
        self._append({"chat": 1})
        self.chat_calls += 1

    def record_file(self, fetch: FileFetch) -> None:
        """Record a request for a clip's own URL."""
        self._append({"file": asdict(fetch)})
        self.files.append(fetch)

    def record_callback(self, sent: CallbackSent) -> None:
        """Record an attempt to report the end of a job."""
        self._append({"callback": asdict(sent)})
        self._note_callback(sent)

    def job(self, job_id: str) -> Job | None:
        """A job by id, unless deleted."""
        job = self.jobs.get(job_id)
        return None if job is None or job.deleted else job

    def ordered(self, provider: str = OPENAI) -> list[Job]:
        """Jobs of one provider that are not deleted, oldest first."""
        return [job for job in self._order if job.provider == provider and not job.deleted]

    def charged(self, create: Create, now: float) -> int:
        """The charge for a request so far: a failed render is refunded only if the provider does that."""
        job = None if create.job_id is None else self.jobs.get(create.job_id)
        failed = job is not None and job.fate == "fails" and now >= job.ready_at
        return 0 if failed and self.refund_failed else create.charged_microusd

    def charge_for(self, job_id: str, now: float) -> int | None:
        """What the client's job with this id cost, in micro-dollars; None if no request of the client made it."""
        return next((self.charged(create, now) for create in self.creates if create.job_id == job_id), None)

    def as_json(self, *, entries: bool = True) -> dict[str, Any]:
        """The complete books, as `GET /_sim/books` shows them."""
        now = time.time()
        paid = [create for create in self.creates if create.job_id is not None]
        totals = {
            **self._sums(self.creates, now),
            "distinct_prompts": len({create.prompt for create in paid}),
            "foreign_jobs": sum(job.owner != "client" for job in self.jobs.values()),
            "repeated_by_proxy": sum(job.owner == "proxy" for job in self.jobs.values()),
            "files": len(self.files),
            "files_with_authorization": sum(fetch.authorization for fetch in self.files),
            "callbacks": len(self.callbacks),
            "by_provider": self._by_provider(now),
        }
        shown = [asdict(c) | {"charged_microusd": self.charged(c, now)} for c in self.creates] if entries else []
        reports = [asdict(callback) for callback in self.callbacks] if entries else []
        rest = {"chat_calls": self.chat_calls, "reads": self.reads, "callbacks": reports}
        return {"creates": shown, "totals": totals, **rest}

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _sums(self, creates: list[Create], now: float) -> dict[str, int]:
        return {
            "creates": len(creates),
            "paid_calls": sum(create.job_id is not None for create in creates),
            "charged_microusd": sum(self.charged(create, now) for create in creates),
        }

    def _by_provider(self, now: float) -> dict[str, dict[str, int]]:
        names = sorted({create.provider for create in self.creates})
        return {name: self._sums([each for each in self.creates if each.provider == name], now) for name in names}

    def _shelve(self, job: Job) -> None:
        job.sequence = job.sequence or len(self.jobs) + 1
        self.jobs[job.id] = job
        if job.callback_url is not None:
            self.owed[job.id] = job
        bisect.insort(self._order, job, key=lambda each: each.place)

    def _note_callback(self, sent: CallbackSent) -> None:
        self.callbacks.append(sent)
        if sent.last:
            self.owed.pop(sent.job_id, None)

    def _append(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
            self._file.flush()

    def _replay(self, path: Path) -> None:
        for line in _whole_lines(path):
            self.chat_calls += line.get("chat", 0)
            if line.get("create"):
                self.creates.append(Create(**line["create"]))
            if line.get("file"):
                self.files.append(FileFetch(**line["file"]))
            if line.get("callback"):
                self._note_callback(CallbackSent(**line["callback"]))
            if line.get("job"):
                self._replay_job(Job(**line["job"]))

    def _replay_job(self, job: Job) -> None:
        known = self.jobs.get(job.id)
        if known is None:
            self._shelve(job)
        else:
            known.started_at, known.ready_at, known.deleted = job.started_at, job.ready_at, job.deleted


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines. A process killed while writing leaves a partial last line: it is cut off."""
    if not path.exists():
        return
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        path.write_bytes(whole)
    for line in whole.splitlines():
        yield json.loads(line)
