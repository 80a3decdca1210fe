"""What every video provider is to the rest: facts, requests as data, answers as values. Pure: no I/O, no clock.

A provider is one module with a class that fits `VideoApi`. It decides nothing about money. The only code that sends
its requests is `providers/transport.py`: `create` once per run, everything else as often as needed.

A *reading* is a generator. It yields the requests that it needs, gets their replies, and returns what they mean:

    reading = api.job("job-1", "model")
    request = next(reading)
    request = reading.send(reply)       # another request, or StopIteration with the value
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol, TypeVar, runtime_checkable
from urllib.parse import quote

from providers.job import Job, ListPage
from providers.orders import Answer, ClearNo, Made, Order, Unclear

Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Request:
    """One HTTP request, without the key, which only the transport adds.

    `pays`: it may buy a video. The transport sends such a request in one place only, and never as part of a reading.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    pays: bool = False


@dataclass(frozen=True)
class Reply:
    """The answer to a request that costs nothing. Names of headers are in lower case."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadError:
    """A failed read; `status` None means no answer at all."""

    status: int | None
    detail: str


Reading = Generator[Request, Reply, Shown]


@dataclass(frozen=True)
class Scope:
    """What a list is read for. `models`: those whose jobs are wanted, for providers that list each model by itself.

    `since`: epoch seconds; older jobs may be left out.
    """

    models: tuple[str, ...] = ()
    since: float | None = None


class Marker(StrEnum):
    """By what a job is known to be a certain run's, although the answer to its order was lost."""

    OWN_ID = "own_id"  # the id that we gave it can be looked up
    ECHOED_REQUEST = "echoed_request"  # a list shows the whole request
    ECHOED_FIELD = "echoed_field"  # a list shows one field of ours, such as the seed, but no prompt
    CALLBACK = "callback"  # only a callback can name it
    NONE = "none"


class Callback(StrEnum):
    NONE = "none"
    UNSIGNED = "unsigned"
    SIGNED = "signed"


@dataclass(frozen=True)
class Facts:
    """What is known about a provider. None is "not known", and is then taken for whatever proves less.

    `name`: the prefix of model names. `key_names`: the settings that hold its credentials, by the vendor's own names.
    `absence`: parts of how long a job may still turn up in the list after its request, in seconds: start limit, longest
    render, list lag. `record_seconds`: how long jobs can be found. `clip_seconds`: how long a clip can be fetched.
    `per_model`: each model has a list of its own. `newest_first`: the list is ordered by creation.
    `lookup_proves_absence`: a look-up by our own id tells an unknown job from a running one.
    `unknown`: what nobody could find out without an account, each with the one call that would tell.
    `sources`: where each of these comes from.
    """

    name: str
    title: str
    base_url: str
    key_names: tuple[str, ...]
    marker: Marker
    has_list: bool
    echoes_prompts: bool = False
    shows_running: bool | None = None
    newest_first: bool = True
    per_model: bool = False
    lookup_proves_absence: bool | None = None
    start_limit_seconds: int | None = None
    render_limit_seconds: int | None = None
    list_lag_seconds: int | None = None
    record_seconds: int | None = None
    clip_seconds: int | None = None
    callback: Callback = Callback.NONE
    replays_by_key: bool = False
    refusal_may_bill: frozenset[int] = frozenset()
    failed_renders_free: bool | None = None
    refuses_429_before_work: bool = False
    cancel: str = ""
    extend: str = ""
    image_input: str = ""
    charge: str = ""
    sdk_repeats: str = ""
    unknown: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def absent_after(self) -> timedelta | None:
        """How long after its request a job may still turn up in the list; None unless all three parts are known."""
        parts = (self.start_limit_seconds, self.render_limit_seconds, self.list_lag_seconds)
        known = [part for part in parts if part is not None]
        return timedelta(seconds=sum(known)) if len(known) == len(parts) else None


class VideoApi(Protocol):
    """One provider's API at one base URL. All methods are pure."""

    @property
    def facts(self) -> Facts: ...

    @property
    def base_url(self) -> str: ...

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        """The headers that carry the key. `now`: epoch seconds, for keys that sign a time."""
        ...

    def create(self, order: Order) -> Request:
        """The one request that pays."""
        ...

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        """What the answer to `create` means. `our_key`: the run's id. `prompt`: as ordered; a refusal may repeat it."""
        ...

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """The job with this id, of this model."""
        ...

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        """One page of the list; `after`: what the page before named as next, or its last but one job."""
        ...

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        """Looks the order's job up by our own id; None: the provider does not know it. Only for Marker.OWN_ID."""
        ...

    def content(self, job_id: str) -> Request | None:
        """Where the clip is behind the key; None where jobs name public addresses."""
        ...

    def marker(self, order: Order) -> str | None:
        """What a job of this order shows as its `marker`; None if it shows nothing of ours."""
        ...


@runtime_checkable
class TellsCharges(Protocol):
    """A provider that tells what it charged for a job, at another address than the job's own."""

    def charge(self, job_id: str, since: float | None = None) -> Reading[int | ReadError | None]:
        """In micro-dollars; None: its books do not have the job yet. `since`: epoch seconds before the job's end."""
        ...


def in_path(job_id: str) -> str:
    """An id as one part of a path. Raises ValueError for dots, which would lead to another path."""
    if job_id in {"", ".", ".."}:
        raise ValueError("not an id")
    return quote(job_id, safe="")


def read_with(reading: Reading[Shown], answer: Callable[[Request], Reply]) -> Shown:
    """Runs a reading with a function that answers its requests, for tests and for doubles."""
    try:
        request = next(reading)
        while True:
            request = reading.send(answer(request))
    except StopIteration as end:
        found: Shown = end.value
        return found
