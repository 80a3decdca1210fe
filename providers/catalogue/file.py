"""Reads and checks `models.toml`; its head says what each entry means."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers.catalogue.models import Catalogue, CatalogueError, Duration, TextModel, VideoModel
from providers.catalogue.prices import microusd_of
from providers.catalogue.shapes import is_size
from providers.orders import OPENAI

SOUNDS = {"", "always", "never", "choice"}
FORMS = {"integer", "8", "8s"}
BODIES = {"multipart", "json"}


def load_catalogue(path: Path) -> Catalogue:
    """Raises CatalogueError: one sentence with what is wrong."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        videos = tuple(_video_model(entry) for entry in table["video"])
        _check_names(videos)
        return Catalogue(videos, tuple(_text_model(entry) for entry in table["text"]))
    except (OSError, ValueError, ArithmeticError, KeyError, TypeError, AttributeError) as error:
        raise CatalogueError(f"{path.name} cannot be read ({error}); nothing was bought") from error


def _video_model(entry: dict[str, Any]) -> VideoModel:
    entry = dict(entry)
    at = {size: microusd_of(price) for size, price in entry.pop("usd_per_second_at", {}).items()}
    per_video = entry.pop("usd_per_video", None)
    sizes = entry.pop("sizes", ())
    duration = entry.pop("duration", None)
    model = VideoModel(
        name=entry.pop("name"),
        base_url=entry.pop("base_url", None),
        microusd_per_second=microusd_of(entry.pop("usd_per_second") if per_video is None else 0),
        microusd_per_video=None if per_video is None else microusd_of(per_video),
        seconds=tuple(entry.pop("seconds", ())),
        sizes=tuple(sizes),
        size_input=sizes if isinstance(sizes, Mapping) else {},
        duration=None if duration is None else Duration(**duration),
        microusd_per_second_at=at,
        **entry,
    )
    _check(model)
    if model.provider != OPENAI:
        _check_input(model)
    return model


def _check(model: VideoModel) -> None:
    if model.create_body not in BODIES:
        raise ValueError(f"{model.offer}: create_body is multipart or json, not {model.create_body}")
    if model.retired_on and not model.use_instead:
        raise ValueError(f"{model.offer}: retired_on without use_instead")
    if model.sound not in SOUNDS:
        raise ValueError(f"{model.offer}: sound is always, never or choice, not {model.sound}")
    if wrong := [size for size in (*model.sizes, *model.microusd_per_second_at) if not is_size(size)]:
        raise ValueError(f"{model.offer}: {wrong[0]} is not a size")
    if model.sizes and (unknown := set(model.microusd_per_second_at) - set(model.sizes)):
        raise ValueError(f"{model.offer}: a price for {min(unknown)}, which is not among its sizes")


def _check_input(model: VideoModel) -> None:
    """Another provider's offer must say how each length and size is asked for, and name no field twice."""
    if model.duration is None or model.duration.form not in FORMS:
        raise ValueError(f"{model.offer}: duration needs a form: integer, 8 or 8s")
    if not model.seconds or not model.size_input or model.price_date is None:
        raise ValueError(f"{model.offer}: seconds, a table of sizes, and price_date are needed")
    if model.base_url is not None:
        raise ValueError(f"{model.offer}: base_url is the provider's own; the account sets another")
    length = model.duration.field
    fixed = {*model.input, length}
    if length in model.input or any(fixed & set(words) for words in model.size_input.values()):
        raise ValueError(f"{model.offer}: a field is in more than one of input, sizes and duration")


def _check_names(videos: tuple[VideoModel, ...]) -> None:
    offers = [model.offer for model in videos if model.provider != OPENAI]
    if twice := [offer for offer in offers if offers.count(offer) > 1]:
        raise ValueError(f"{twice[0]} is listed twice")


def _text_model(entry: dict[str, Any]) -> TextModel:
    return TextModel(
        entry["name"],
        microusd_of(entry["usd_per_million_tokens_in"]),
        microusd_of(entry["usd_per_million_tokens_out"]),
    )
