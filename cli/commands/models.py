"""`onetake models`: what can be bought. Needs no account, no database and no network."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from app.exits import Stop

if TYPE_CHECKING:
    from pipeline.settings.config import Settings
    from providers.catalogue import Catalogue, VideoModel


def models(
    provider: Annotated[
        str | None, typer.Option(metavar="P", help="Only this provider's offers, such as fal.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """What can be bought: the price of 8 s, lengths, sizes, and how an order whose answer was lost ends there.

    VIDEO_MODEL sets the default. Offers without a key are listed with the setting that is missing.
    """
    from datetime import UTC, datetime

    from cli.output.offers import listed_offers, print_offers, print_offers_as_json
    from pipeline.settings.config import load_settings
    from pipeline.settings.resources import models_file
    from providers.catalogue import load_catalogue

    settings, catalogue = load_settings(), load_catalogue(models_file())
    known = sorted({model.provider for model in catalogue.videos})
    if provider is not None and provider not in known:
        raise Stop(f"--provider: must be one of {', '.join(known)}, not {provider}")
    today = datetime.now(UTC).date()
    default = _default(settings, catalogue)
    offers = listed_offers(catalogue, default, settings.video_size, _configured(settings, default), today)
    shown = [offer for offer in offers if provider in {None, offer.model.provider}]
    (print_offers_as_json if as_json else print_offers)(shown)


def _default(settings: "Settings", catalogue: "Catalogue") -> "VideoModel | None":
    """The offer that VIDEO_MODEL names, even if its key is missing."""
    from app.model_choice import choose_from_settings
    from providers.catalogue import CatalogueError, find_offer

    try:
        return choose_from_settings(settings)[1]
    except CatalogueError:
        return find_offer(catalogue, settings.video_model or "")


def _configured(settings: "Settings", default: "VideoModel | None") -> Collection[str]:
    """The providers whose key is set. That of the text model is one of VIDEO_MODEL too."""
    from pipeline.settings.endpoints import configured
    from pipeline.settings.setting_checks import ConfigError
    from providers.orders import OPENAI

    found = configured(settings)
    if default is None or default.provider != OPENAI:
        return found
    try:
        return (settings.video.provider, *found)
    except ConfigError:
        return found
