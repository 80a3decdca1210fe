"""The settings in small typed parts, each with everything that one package needs."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from providers.orders import OPENAI


@dataclass(frozen=True)
class VideoEndpoint:
    base_url: str
    api_key: str = field(repr=False)
    fingerprint: str  # of the key: a run is polled only with the key that bought it
    model: str | None
    usd_per_second: Decimal | None
    create_body: Literal["multipart", "json"] | None  # None: as models.toml says
    connect_seconds: float
    request_seconds: float
    provider: str = OPENAI


@dataclass(frozen=True)
class TextEndpoint:
    base_url: str
    api_key: str = field(repr=False)
    model: str
    timeout_seconds: float


@dataclass(frozen=True)
class SupabaseProject:
    url: str
    key: str = field(repr=False)
    bucket: str


@dataclass(frozen=True)
class Waits:
    """All waits in the life of a run."""

    submit_deadline: timedelta
    connect_timeout: timedelta
    request_timeout: timedelta
    request_slack: timedelta  # on top of both timeouts; after that, no request of ours can be in flight
    clock_skew: timedelta
    heartbeat: timedelta  # how long other processes leave a run alone after its last heartbeat
    look: timedelta  # between two looks at the provider's list, or at a job
    reconcile_grace: timedelta
    reconcile_looks: int
    render_deadline: timedelta
    parked: timedelta
    audit: timedelta  # between two automatic audits
    confirm: timedelta
    pause_patience: timedelta
    poll_seconds: float | None  # None: adapted to the expected render time

    @property
    def request_over(self) -> timedelta:
        """How long after `begin_submission` a request with these deadlines can still be in flight."""
        return self.submit_deadline + self.connect_timeout + self.request_timeout + self.request_slack
