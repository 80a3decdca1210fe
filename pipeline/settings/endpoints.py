"""Which accounts the settings name, and the endpoint of each."""

from pipeline.settings.config import Settings, fingerprint
from pipeline.settings.parts import VideoEndpoint
from pipeline.settings.setting_checks import ConfigError
from pipeline.settings.vendor_keys import KEYS
from providers.apis import FACTS
from providers.orders import OPENAI


def endpoint_of(settings: Settings, provider: str) -> VideoEndpoint:
    """The account at a provider. Raises ConfigError, naming its settings, if it is not configured."""
    if provider == OPENAI:
        return settings.video
    key = settings.credentials(provider)
    if key is None:
        names = " and ".join(name.upper() for name in KEYS[provider])
        raise ConfigError(f"{names}: missing; {FACTS[provider].title} gives it to its customers")
    return VideoEndpoint(
        base_url=settings.base_url_of(provider) or FACTS[provider].base_url,
        api_key=key,
        fingerprint=fingerprint(key),
        model=settings.video_model,
        usd_per_second=None,
        create_body=None,
        connect_seconds=settings.connect_timeout_seconds,
        request_seconds=settings.request_timeout_seconds,
        provider=provider,
    )


def configured(settings: Settings) -> tuple[str, ...]:
    """The providers with an account here. A key that was set for the text model alone is none."""
    openai = (OPENAI,) if settings.video_api_key or settings.video_base_url else ()
    return (*openai, *(name for name in KEYS if name in FACTS and settings.credentials(name)))
