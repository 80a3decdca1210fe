"""The ledger's answers that are more than a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.ledger.records import Run
from providers.orders import Order


@dataclass(frozen=True)
class Won:
    """This caller, and no other, may send the order. `submitting_at` is the database's time."""

    order: Order


@dataclass(frozen=True)
class NotWon:
    """The fence refused: `refused` is state, paused, breaker_open, not_confirmed, no_slot or unknown_run."""

    refused: str
    until: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Amended:
    """The run afterwards; `refused` says why it is unchanged: too_late, or budget_exhausted (`what`: day or month)."""

    run: Run
    refused: str | None = None
    what: str | None = None


@dataclass(frozen=True)
class Recorded:
    """Whether a job became a run's, and if not, why: owned, not_the_winner, state or unknown_run.

    `owner`: the ref of the run that has it, if it is owned.
    """

    recorded: bool
    why: str | None = None
    owner: str | None = None


@dataclass(frozen=True)
class Cost:
    """What a call of the text model took: micro-dollars, milliseconds, and details for the event."""

    microusd: int = 0
    ms: int = 0
    detail: Mapping[str, Any] | None = None

    def as_args(self) -> dict[str, object]:
        return {"cost_microusd": self.microusd, "ms": self.ms, "detail": self.detail or {}}
