"""Lengths and sizes: which are possible, and how a provider is asked for them. Pure.

A size is asked for as WIDTHxHEIGHT. Where a provider speaks ratios and resolutions, `models.toml` names its words for
each size that it makes to the pixel; any other size is refused before anything is reserved.
"""

from typing import Any

from providers.catalogue.models import UNLISTED_SECONDS, CatalogueError, VideoModel
from providers.orders import OPENAI


def check_shape(model: VideoModel, seconds: int, size: str) -> None:
    """Raises CatalogueError with the allowed values, before anything is reserved."""
    if seconds not in (model.seconds or UNLISTED_SECONDS):
        allowed = ", ".join(map(str, model.seconds)) or "1 to 20"
        raise CatalogueError(f"{model.offer} makes videos of {allowed} seconds, not {seconds}; nothing was bought")
    if model.sizes and size not in model.sizes:
        raise CatalogueError(f"{model.offer} makes {', '.join(model.sizes)}, not {size}; nothing was bought")
    if not is_size(size):
        raise CatalogueError(f"a size is WIDTHxHEIGHT, such as 720x1280, not {size}; nothing was bought")


def input_of(model: VideoModel, seconds: int, size: str) -> dict[str, Any]:
    """Everything that the model is asked for besides the prompt, by its provider's names: `Order.input`.

    Empty for the OpenAI Videos protocol, which has fields of its own for both. Raises CatalogueError as `check_shape`.
    """
    check_shape(model, seconds, size)
    if model.provider == OPENAI or model.duration is None:
        return {}
    length = {model.duration.field: model.duration.written(seconds)}
    return dict(model.input) | dict(model.size_input[size]) | length


def nearest_shape(model: VideoModel, seconds: int, size: str) -> tuple[int, str]:
    """The possible length nearest to this one, the shorter of two; and this size, else the model's first."""
    lengths = model.seconds or UNLISTED_SECONDS
    nearest = min(lengths, key=lambda possible: (abs(possible - seconds), possible))
    return nearest, size if not model.sizes or size in model.sizes else model.sizes[0]


def is_size(size: str) -> bool:
    width, _, height = size.partition("x")
    return width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192
