"""Choose the model and the endpoint that the settings name."""

from datetime import UTC, datetime

from pipeline.settings.config import Settings
from pipeline.settings.resources import models_file
from providers.catalogue import Catalogue, CatalogueError, VideoModel, choose_model, load_catalogue


def choose_from_settings(settings: Settings) -> tuple[Catalogue, VideoModel]:
    """The model that these settings name. Raises CatalogueError with what can be bought and what needs no account."""
    catalogue = load_catalogue(models_file())
    try:
        model = choose_model(
            catalogue,
            settings.video_model,
            settings.video_base_url or settings.openai_base_url,
            settings.video_usd_per_second,
            datetime.now(UTC).date(),
        )
    except CatalogueError as error:
        raise CatalogueError(f"{error}. `make demo` needs no account.") from error
    return catalogue, model
