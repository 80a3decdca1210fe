"""The inputs and the results of judging a look through the provider's list. The rules are in `evidence`."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID


@dataclass(frozen=True)
class ListFacts:
    """What models.toml and the operator say about this account's jobs and their list.

    `echoes_prompts`: a job that shows a prompt shows the ordered one, as far as anybody can tell.
    `absent_after` (T): the provider's start limit, longest render and list lag together; None if not known.
    `record`: how long the provider can show a job; None if not known.
    `newest_first`: the list is ordered by creation; one that is not is read to its end instead. `per_model`: each model
    has a list of its own, which shows no other model's jobs. `has_list`: there is one at all.
    `looked_up`: the provider finds a job by the id that we gave it. `lookup_proves_absence`: and tells an unknown job
    from one that is still rendering.
    `absence_without_witness`: the operator says that T may replace the witnesses. `exclusive_key`: the operator says
    that nobody else uses this key.
    """

    shows_all: bool = True
    echoes_prompts: bool = True
    absent_after: timedelta | None = None
    absence_without_witness: bool = False
    exclusive_key: bool = False
    record: timedelta | None = None
    newest_first: bool = True
    per_model: bool = False
    has_list: bool = True
    looked_up: bool = False
    lookup_proves_absence: bool = False


@dataclass(frozen=True)
class Adopt:
    """The jobs to adopt, as pairs of run id and job id. `by_marker`: what only the run's own request had shows it."""

    pairs: tuple[tuple[UUID, str], ...]
    by_marker: bool = False


@dataclass(frozen=True)
class Absent:
    """This look shows that the run has no job here: one of those that together prove "never made"."""


@dataclass(frozen=True)
class InDoubt:
    """`why`: a stable word. `candidates`: ids of jobs that could be the run's; any of them resets the look count."""

    why: str
    candidates: tuple[str, ...] = ()


Verdict = Adopt | Absent | InDoubt


@dataclass(frozen=True)
class Patience:
    """`request_over`: after this, a request of ours can no longer be in flight. `apart`: LOOK_SECONDS."""

    request_over: timedelta
    apart: timedelta
    skew: timedelta
