"""What can be bought, where and at what price: `models.toml`, typed and checked.

In       the file, and the settings that choose a model
Out      VideoModel: prices in micro-dollars, lengths in seconds, sizes WIDTHxHEIGHT
Raises   CatalogueError: one sentence with what is wrong and what to do instead
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from providers.orders import OPENAI

UNLISTED_SECONDS = range(1, 21)  # an unlisted model may be ordered with 1 to 20 s, and any WIDTHxHEIGHT
MICROUSD = 1_000_000


class CatalogueError(Exception):
    """The model, the length or the size cannot be bought; nothing was."""


@dataclass(frozen=True)
class VideoModel:
    """One model; `base_url` None: at any endpoint. Empty `seconds`: 1 to 20; empty `sizes`: any."""

    name: str
    base_url: str | None
    microusd_per_second: int
    seconds: tuple[int, ...]
    sizes: tuple[str, ...]
    source: str
    price_date: date | None = None
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
    provider: str = OPENAI

    @property
    def absent_after(self) -> timedelta | None:
        """How long after its request a job can still appear in the list; None unless all three parts are known."""
        parts = (self.start_limit_seconds, self.render_limit_seconds, self.list_lag_seconds)
        known = [part for part in parts if part is not None]
        return timedelta(seconds=sum(known)) if len(known) == len(parts) else None


@dataclass(frozen=True)
class TextModel:
    name: str
    microusd_in: int  # per million tokens
    microusd_out: int


@dataclass(frozen=True)
class Catalogue:
    videos: tuple[VideoModel, ...]
    texts: tuple[TextModel, ...]


def load_catalogue(path: Path) -> Catalogue:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return Catalogue(
            tuple(_video_model(entry) for entry in table["video"]),
            tuple(_text_model(entry) for entry in table["text"]),
        )
    except (OSError, ValueError, ArithmeticError, KeyError, TypeError) as error:
        raise CatalogueError(f"{path.name} cannot be read ({error}); nothing was bought") from error


def choose_model(
    catalogue: Catalogue, name: str | None, base_url: str, usd_per_second: Decimal | None, today: date
) -> VideoModel:
    """The model that the settings name. A price in the settings overrides the listed one."""
    if not name:
        raise CatalogueError(f"VIDEO_MODEL: not set; choose one of: {_offers(catalogue, today)}")
    model = find_model(catalogue, name, base_url)
    if model and model.retired_on and model.retired_on <= today:
        raise CatalogueError(
            f"VIDEO_MODEL: {name} at {base_url} was switched off on {model.retired_on}; use {model.use_instead}"
        )
    if model is None and usd_per_second is None:
        raise CatalogueError(
            f"VIDEO_MODEL: the price of {name} at {base_url} is not known, and nothing is bought at an "
            f"unknown price; set VIDEO_USD_PER_SECOND, or choose one of: {_offers(catalogue, today)}"
        )
    if usd_per_second is not None:
        return _priced_by_settings(model, name, base_url, usd_per_second)
    assert model is not None
    return model


def offer_name(provider: str, name: str) -> str:
    """How people name a model: `provider/name`, or the bare name at VIDEO_BASE_URL."""
    return name if provider == OPENAI else f"{provider}/{name}"


def find_model(catalogue: Catalogue, name: str, base_url: str, provider: str = OPENAI) -> VideoModel | None:
    """The provider's model of this name at this endpoint, else the most expensive one that is bound to no endpoint."""
    same = [model for model in catalogue.videos if (model.provider, model.name) == (provider, name)]
    for model in same:
        if model.base_url and _is_at(model.base_url, base_url):
            return model
    anywhere = [m for m in same if m.base_url is None and (_is_local(base_url) or not m.local_only)]
    return max(anywhere, key=lambda m: m.microusd_per_video or m.microusd_per_second, default=None)


def price_microusd(model: VideoModel, seconds: int, size: str) -> int:
    if model.microusd_per_video is not None:
        return model.microusd_per_video
    return seconds * model.microusd_per_second_at.get(size, model.microusd_per_second)


def input_of(model: VideoModel, seconds: int, size: str) -> dict[str, Any]:
    """What the model is asked for besides the prompt, by its provider's names."""
    return {}


def check_shape(model: VideoModel, seconds: int, size: str) -> None:
    """Raises CatalogueError with the allowed values, before anything is reserved."""
    if seconds not in (model.seconds or UNLISTED_SECONDS):
        allowed = ", ".join(map(str, model.seconds)) or "1 to 20"
        raise CatalogueError(f"{model.name} makes videos of {allowed} seconds, not {seconds}; nothing was bought")
    if model.sizes and size not in model.sizes:
        raise CatalogueError(f"{model.name} makes {', '.join(model.sizes)}, not {size}; nothing was bought")
    if not _is_size(size):
        raise CatalogueError(f"a size is WIDTHxHEIGHT, such as 720x1280, not {size}; nothing was bought")


def text_cost_microusd(catalogue: Catalogue, name: str, tokens_in: int, tokens_out: int) -> int:
    """The cost, rounded up. An unlisted model is charged at the highest listed price, so it is never too low."""
    known = [text for text in catalogue.texts if text.name == name] or catalogue.texts
    price_in = max(text.microusd_in for text in known)
    price_out = max(text.microusd_out for text in known)
    return -(-(tokens_in * price_in + tokens_out * price_out) // 1_000_000)


def _offers(catalogue: Catalogue, today: date) -> str:
    """One line: each seller's models with their prices."""
    on_sale = [m for m in catalogue.videos if m.sold_by and not (m.retired_on and m.retired_on <= today)]
    sellers = dict.fromkeys(m.sold_by for m in on_sale)
    listed = {by: ", ".join(f"{m.name} ({_price_words(m)})" for m in on_sale if m.sold_by == by) for by in sellers}
    return "; ".join(f"at {by}: {models}" for by, models in listed.items())


def _price_words(model: VideoModel) -> str:
    if model.microusd_per_video is not None:
        return f"${model.microusd_per_video / MICROUSD:.3g} a video"
    return f"${model.microusd_per_second / MICROUSD:.3g}/s"


def _priced_by_settings(model: VideoModel | None, name: str, base_url: str, usd_per_second: Decimal) -> VideoModel:
    microusd = int((usd_per_second * MICROUSD).to_integral_value(ROUND_CEILING))
    if model is None:
        return VideoModel(name, base_url, microusd, (), (), source="VIDEO_USD_PER_SECOND")
    return replace(
        model,
        microusd_per_second=microusd,
        microusd_per_second_at={},
        microusd_per_video=None,
        source="VIDEO_USD_PER_SECOND",
    )


def _is_at(own: str, base_url: str) -> bool:
    """Whether two base URLs are one endpoint: the same host, or a region of it."""
    host, asked = urlsplit(own).hostname or "", urlsplit(base_url).hostname or ""
    return asked == host or asked.endswith("." + host)


def _is_local(base_url: str) -> bool:
    """This machine, or its own network: a private address, or a name without a dot."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(".localhost")


def _is_size(size: str) -> bool:
    width, _, height = size.partition("x")
    return width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192


def _microusd(usd: object) -> int:
    price = Decimal(str(usd))
    if not price.is_finite() or price < 0:
        raise ValueError(f"{usd} is not a price")
    return int((price * MICROUSD).to_integral_value(ROUND_CEILING))


def _video_model(entry: dict[str, Any]) -> VideoModel:
    entry = dict(entry)
    at = {size: _microusd(price) for size, price in entry.pop("usd_per_second_at", {}).items()}
    per_video = entry.pop("usd_per_video", None)
    model = VideoModel(
        name=entry.pop("name"),
        base_url=entry.pop("base_url", None),
        microusd_per_second=_microusd(entry.pop("usd_per_second") if per_video is None else 0),
        microusd_per_video=None if per_video is None else _microusd(per_video),
        seconds=tuple(entry.pop("seconds", ())),
        sizes=tuple(entry.pop("sizes", ())),
        microusd_per_second_at=at,
        **entry,
    )
    if model.create_body not in {"multipart", "json"}:
        raise ValueError(f"{model.name}: create_body is multipart or json, not {model.create_body}")
    if model.retired_on and not model.use_instead:
        raise ValueError(f"{model.name}: retired_on without use_instead")
    return model


def _text_model(entry: dict[str, Any]) -> TextModel:
    return TextModel(
        entry["name"],
        _microusd(entry["usd_per_million_tokens_in"]),
        _microusd(entry["usd_per_million_tokens_out"]),
    )
