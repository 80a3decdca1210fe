"""What a vendor's module gives to the core, and what the core shows it.

In       a job from the books, and the habits of one answer
Out      `View`: the job for that answer; `Vendor`: how the vendor reads and writes
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulator.settings import Habits
from simulator.state import SimulatorState
from simulator.videos import jobs
from simulator.videos.books import Job
from simulator.videos.errors import Refuse
from simulator.videos.neighbours import with_prompt
from simulator.videos.orders import Order
from simulator.videos.views import clip_url, shown

NO_CLIP = frozenset({"failed", "expired"})


@dataclass(frozen=True, slots=True)
class View:
    """A job as one answer shows it: the truth, unless a habit or a fault bends it; then a value may be any JSON.

    `status`: queued, in_progress, completed, failed, or another word, shown as it is. Times in epoch seconds.
    `input`: as echoed; None once the vendor has removed it. `base`: the vendor's base URL as the client wrote it.
    `clip_url`: only of a completed job. `job`: the truth.
    """

    id: Any
    status: Any
    model: Any
    prompt: Any
    seconds: Any
    size: Any
    created_at: Any
    completed_at: Any
    error: Any
    input: dict[str, Any] | None
    clip_url: str | None
    base: str
    job: Job

    def word(self, words: Mapping[str, str]) -> Any:
        """The vendor's word for the status."""
        return words.get(self.status, self.status) if isinstance(self.status, str) else self.status

    @property
    def error_message(self) -> str:
        """The words of a failed job's error."""
        return str(self.error.get("message", "")) if isinstance(self.error, Mapping) else ""


@dataclass(frozen=True, slots=True)
class Report:
    """The body of a callback, and its headers, the signature among them."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's protocol.

    `key_of`: the API key that a request carries. `read_order`: the order in a create; a response refuses it, a job is
    one that the vendor had already made of it. `made`: the JSON that answers it, with `made_status`.
    `refusal`: an error with this status and these words. `moderation`: the refusal of a prompt.
    `id_names`: the members that hold the job's id. `repeated`: what a second copy of an order hears, where the first
    one's id is known again. `callback`: the report of a job's end; its last argument asks for a wrong signature.
    """

    name: str
    key_of: Callable[[web.Request], str | None]
    read_order: Callable[[web.Request, bytes], Order | Job | web.Response]
    made: Callable[[View], Any]
    refusal: Refuse
    moderation: Callable[[], web.Response]
    new_id: Callable[[], str]
    id_names: tuple[str, ...] = ("id",)
    made_status: int = 200
    repeated: Callable[[View], web.Response] | None = None
    callback: Callable[[View, bool], Report] | None = None


def view_of(
    state: SimulatorState,
    root: str,
    job: Job,
    where: str,
    habits: Habits,
    *,
    at: float | None = None,
) -> View:
    """The job as the answer `where` (create, retrieve, list) shows it, in its state `at` a given time."""
    now = state.now() if at is None else at
    video = shown(state, root, job, where, habits, at=at, anew=where == "retrieve")
    done = jobs.status_of(job, now) == "completed" and video.get("status") not in NO_CLIP
    removed = habits.input_seconds is not None and now >= job.ready_at + habits.input_seconds
    return View(
        id=video.get("id"),
        status=video.get("status"),
        model=video.get("model"),
        prompt=video.get("prompt"),
        seconds=video.get("seconds"),
        size=video.get("size"),
        created_at=video.get("created_at"),
        completed_at=video.get("completed_at"),
        error=video.get("error"),
        input=None if removed else with_prompt(job.input, job.prompt, video.get("prompt")),
        clip_url=clip_url(root, job) if done and not removed else None,
        base=f"{root}/{job.provider}",
        job=job,
    )
