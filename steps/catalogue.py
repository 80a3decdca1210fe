"""What can be bought, where and at what price: `models.toml`, typed and checked.

In       the file, and the settings that choose a model
Out      VideoModel: prices in micro-dollars, lengths in seconds, sizes WIDTHxHEIGHT
Raises   CatalogueError: one sentence with what is wrong and what to do instead
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Literal

UNLISTED_SECONDS = range(1, 21)  # what an unlisted model is asked for: 1 to 20 s, any WIDTHxHEIGHT
MICROUSD = 1_000_000


class CatalogueError(Exception):
    """Nothing was bought: the model, its length or its size cannot be."""


@dataclass(frozen=True)
class VideoModel:
    """One model; `base_url` None: wherever it is served. Empty `seconds`: 1 to 20; empty `sizes`: any."""

    name: str
    base_url: str | None
    microusd_per_second: int
    seconds: tuple[int, ...]
    sizes: tuple[str, ...]
    source: str
    price_date: date | None = None
    microusd_per_second_at: Mapping[str, int] = field(default_factory=dict)  # by size
    sold_by: str = ""  # for a person who looks for it
    create_body: Literal["multipart", "json"] = "multipart"
    list_shows_all: bool = True
    list_echoes_prompts: bool = True
    list_trusted: bool = False
    failed_renders_free: bool = False
    refuses_429_before_work: bool = False
    retired_on: date | None = None
    use_instead: str | None = None
    typical_render_seconds: int = 90


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
            tuple(_video_model(entry) for entry in table.get("video", [])),
            tuple(_text_model(entry) for entry in table.get("text", [])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogueError(f"{path.name} cannot be read ({error}); nothing was bought") from error


def choose_model(
    catalogue: Catalogue, name: str | None, base_url: str, usd_per_second: Decimal | None, today: date
) -> VideoModel:
    """The model that the settings name. A price in the settings overrides the listed one."""
    if not name:
        raise CatalogueError(f"VIDEO_MODEL: not set; can be bought: {_offers(catalogue, today)}")
    model = find_model(catalogue, name, base_url)
    if model and model.retired_on and model.retired_on <= today:
        raise CatalogueError(
            f"VIDEO_MODEL: {name} at {base_url} was switched off on {model.retired_on}; use {model.use_instead}"
        )
    if model is None and usd_per_second is None:
        raise CatalogueError(
            f"VIDEO_MODEL: the price of {name} at {base_url} is not known, and nothing is bought at an unknown price; "
            f"set VIDEO_USD_PER_SECOND, or choose one of: {_offers(catalogue, today)}"
        )
    if usd_per_second is not None:
        return _priced_by_settings(model, name, base_url, usd_per_second)
    assert model is not None
    return model


def find_model(catalogue: Catalogue, name: str, base_url: str) -> VideoModel | None:
    """The listed model of this name at this endpoint, else the one of this name that is bound to no endpoint."""
    same = [model for model in catalogue.videos if model.name == name]
    here = [model for model in same if model.base_url and model.base_url.rstrip("/") == base_url.rstrip("/")]
    return next(iter(here or [model for model in same if model.base_url is None]), None)


def price_microusd(model: VideoModel, seconds: int, size: str) -> int:
    return seconds * model.microusd_per_second_at.get(size, model.microusd_per_second)


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
    """Rounded up. A model that is not listed is booked at the dearest listed price: never too little."""
    known = [text for text in catalogue.texts if text.name == name] or list(catalogue.texts)
    price_in = max(text.microusd_in for text in known)
    price_out = max(text.microusd_out for text in known)
    return -(-(tokens_in * price_in + tokens_out * price_out) // 1_000_000)


def _offers(catalogue: Catalogue, today: date) -> str:
    """One line: model at endpoint, and its price."""
    on_sale = [m for m in catalogue.videos if m.sold_by and not (m.retired_on and m.retired_on <= today)]
    return "; ".join(f"{m.name} at {m.sold_by} (${m.microusd_per_second / MICROUSD:.3g}/s)" for m in on_sale)


def _priced_by_settings(
    model: VideoModel | None, name: str, base_url: str, usd_per_second: Decimal
) -> VideoModel:
    microusd = int((usd_per_second * MICROUSD).to_integral_value(ROUND_CEILING))
    if model is None:
        return VideoModel(name, base_url, microusd, (), (), source="VIDEO_USD_PER_SECOND")
    fields = {key: getattr(model, key) for key in VideoModel.__dataclass_fields__}
    fields |= {"microusd_per_second": microusd, "microusd_per_second_at": {}}
    return VideoModel(**fields | {"source": "VIDEO_USD_PER_SECOND"})


def _is_size(size: str) -> bool:
    width, _, height = size.partition("x")
    return width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192


def _microusd(usd: object) -> int:
    return int((Decimal(str(usd)) * MICROUSD).to_integral_value(ROUND_CEILING))


def _video_model(entry: dict[str, Any]) -> VideoModel:
    entry = dict(entry)
    at = {size: _microusd(price) for size, price in entry.pop("usd_per_second_at", {}).items()}
    return VideoModel(
        name=entry.pop("name"),
        base_url=entry.pop("base_url", None),
        microusd_per_second=_microusd(entry.pop("usd_per_second")),
        seconds=tuple(entry.pop("seconds", ())),
        sizes=tuple(entry.pop("sizes", ())),
        microusd_per_second_at=at,
        **entry,
    )


def _text_model(entry: dict[str, Any]) -> TextModel:
    return TextModel(
        entry["name"],
        _microusd(entry["usd_per_million_tokens_in"]),
        _microusd(entry["usd_per_million_tokens_out"]),
    )
