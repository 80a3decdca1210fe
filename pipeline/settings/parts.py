"""What the settings are handed out as: small typed parts, each with all that one room needs."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Literal


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
    """Every wait of a run's life."""

    submit_deadline: timedelta
    connect_timeout: timedelta
    request_timeout: timedelta
    request_slack: timedelta  # after both, no request of ours is under way any more
    clock_skew: timedelta
    heartbeat: timedelta  # how long a run is left alone after its last sign of life
    look: timedelta  # between two looks through the provider's list
    reconcile_grace: timedelta
    reconcile_looks: int
    render_deadline: timedelta
    parked: timedelta
    audit: timedelta  # between two automatic audits
    confirm: timedelta
    pause_patience: timedelta
    poll_seconds: float | None  # None: adapted to what renders take

    @property
    def request_over(self) -> timedelta:
        """How long after the fence was passed a request with these deadlines can still be under way."""
        return self.submit_deadline + self.connect_timeout + self.request_timeout + self.request_slack
