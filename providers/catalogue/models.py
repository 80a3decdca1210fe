"""The records of `models.toml`; an offer is one model at one provider. Prices are in micro-dollars."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from providers.orders import OPENAI

UNLISTED_SECONDS = range(1, 21)  # an unlisted model may be ordered with 1 to 20 s, and any WIDTHxHEIGHT
MICROUSD = 1_000_000


class CatalogueError(Exception):
    """The model, the length or the size cannot be bought; nothing was."""


def offer_name(provider: str, name: str) -> str:
    """The name that people use: `provider/name`, and the bare name for the OpenAI Videos protocol."""
    return name if provider == OPENAI else f"{provider}/{name}"


@dataclass(frozen=True)
class Duration:
    """How a model is told the length: in this field, as 8, "8" or "8s"."""

    form: Literal["integer", "8", "8s"]
    field: str = "duration"

    def written(self, seconds: int) -> int | str:
        forms: dict[str, int | str] = {"integer": seconds, "8": str(seconds), "8s": f"{seconds}s"}
        return forms[self.form]


@dataclass(frozen=True)
class VideoModel:
    """One offer; `base_url` None: at any endpoint, or at its provider's own. Empty `seconds`: 1 to 20; `sizes`: any.

    `name`: the provider's own name of the model. `input`, `size_input`, `duration`: what it is asked for besides the
    prompt, by its own names; see `input_of`. `sound`: whether clips have it; "" is not known, and with "choice" it is
    as `input` says. `watermark` None: not known.
    """

    name: str
    base_url: str | None
    microusd_per_second: int
    seconds: tuple[int, ...]
    sizes: tuple[str, ...]
    source: str
    price_date: date | None = None
    provider: str = OPENAI
    input: Mapping[str, Any] = field(default_factory=dict)
    size_input: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by size
    duration: Duration | None = None
    takes_image: bool = False
    image_input: str = ""  # how it takes one, for people
    sound: Literal["", "always", "never", "choice"] = ""
    watermark: bool | None = None
    microusd_per_second_at: Mapping[str, int] = field(default_factory=dict)  # by size
    microusd_per_video: int | None = None  # for any length; takes precedence over the price per second
    local_only: bool = False  # elsewhere this name is another model
    sold_by: str = ""  # where it is sold, for people
    create_body: Literal["multipart", "json"] = "multipart"
    list_shows_all: bool = True
    list_echoes_prompts: bool = True
    start_limit_seconds: int | None = None  # a job starts within this, or not at all
    render_limit_seconds: int | None = None  # the longest render
    list_lag_seconds: int | None = None  # how late a job may appear in the list
    failed_renders_free: bool = False
    refuses_429_before_work: bool = False
    retired_on: date | None = None
    use_instead: str | None = None
    typical_render_seconds: int = 90

    @property
    def offer(self) -> str:
        return offer_name(self.provider, self.name)

    @property
    def absent_after(self) -> timedelta | None:
        """How long after its request a job can still appear in the list; None unless all three parts are known."""
        parts = (self.start_limit_seconds, self.render_limit_seconds, self.list_lag_seconds)
        known = [part for part in parts if part is not None]
        return timedelta(seconds=sum(known)) if len(known) == len(parts) else None

    def is_retired(self, today: date) -> bool:
        return self.retired_on is not None and self.retired_on <= today


@dataclass(frozen=True)
class TextModel:
    name: str
    microusd_in: int  # per million tokens
    microusd_out: int


@dataclass(frozen=True)
class Catalogue:
    videos: tuple[VideoModel, ...]
    texts: tuple[TextModel, ...]
