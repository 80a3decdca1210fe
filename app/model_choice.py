"""Choose the model that is ordered, and the account that sells it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.settings.config import Settings
from pipeline.settings.endpoints import configured, endpoint_of
from pipeline.settings.parts import VideoEndpoint
from pipeline.settings.resources import models_file
from providers.catalogue import Catalogue, CatalogueError, VideoModel, choose_model, load_catalogue


@dataclass(frozen=True)
class Choice:
    """A model, and the account it is bought from."""

    model: VideoModel
    endpoint: VideoEndpoint


def choose_from_settings(settings: Settings, name: str | None = None) -> tuple[Catalogue, VideoModel]:
    """The model of this name, or the one that VIDEO_MODEL names. VIDEO_USD_PER_SECOND is the price of that one alone.

    Raises CatalogueError with what can be bought and what needs no account.
    """
    catalogue = load_catalogue(models_file())
    name = name or settings.video_model
    try:
        model = choose_model(
            catalogue,
            name,
            settings.video_base_url or settings.openai_base_url,
            settings.video_usd_per_second if name == settings.video_model else None,
            datetime.now(UTC).date(),
            configured(settings),
        )
    except CatalogueError as error:
        raise CatalogueError(f"{error}. `make demo` needs no account.") from error
    return catalogue, model


def choose_offer(settings: Settings, name: str | None = None) -> Choice:
    """The model and its account. Raises CatalogueError, or ConfigError if the account is not configured."""
    _, model = choose_from_settings(settings, name)
    return Choice(model, endpoint_of(settings, model.provider))


def choose_for_accounts(settings: Settings) -> tuple[Catalogue, VideoModel]:
    """What stands for the accounts where nothing is ordered: the model of VIDEO_MODEL, or any of a configured provider.

    Raises CatalogueError or ConfigError if no account is configured.
    """
    if settings.video_model is None and (providers := configured(settings)):
        catalogue = load_catalogue(models_file())
        known = (model for model in catalogue.videos if model.provider == providers[0])
        if (model := next(known, None)) is not None:
            return catalogue, model
    return choose_from_settings(settings)
