"""What can be bought, where and at what price: `models.toml`, typed, checked, chosen from."""

from providers.catalogue.choosing import choose_model, find_model, find_offer, provider_of
from providers.catalogue.file import load_catalogue
from providers.catalogue.models import (
    MICROUSD,
    UNLISTED_SECONDS,
    Catalogue,
    CatalogueError,
    Duration,
    TextModel,
    VideoModel,
    offer_name,
)
from providers.catalogue.prices import price_microusd, text_cost_microusd
from providers.catalogue.shapes import check_shape, input_of, nearest_shape

__all__ = [
    "MICROUSD",
    "UNLISTED_SECONDS",
    "Catalogue",
    "CatalogueError",
    "Duration",
    "TextModel",
    "VideoModel",
    "check_shape",
    "choose_model",
    "find_model",
    "find_offer",
    "input_of",
    "load_catalogue",
    "nearest_shape",
    "offer_name",
    "price_microusd",
    "provider_of",
    "text_cost_microusd",
]
