"""The providers that this version knows, by the names that go before a model's name."""

from collections.abc import Callable, Mapping

from providers.openai_videos.protocol import OpenAIVideos
from providers.orders import OPENAI, Order
from providers.port import Callback, Facts, Marker, VideoApi
from providers.vendors.ark import Ark
from providers.vendors.fal import Fal
from providers.vendors.higgsfield import Higgsfield
from providers.vendors.kling import Kling
from providers.vendors.luma import Luma
from providers.vendors.openrouter import OpenRouter
from providers.vendors.replicate import Replicate
from providers.vendors.runware import Runware
from providers.vendors.runway import Runway

HOUR_SECONDS = 3600
SHORT_RECORD_SECONDS = 86_400  # jobs that can be found for longer than a day are found long before that

APIS: Mapping[str, Callable[[str], VideoApi]] = {
    OPENAI: OpenAIVideos,
    "fal": Fal,
    "replicate": Replicate,
    "ark": Ark,
    "runware": Runware,
    "kling": Kling,
    "higgsfield": Higgsfield,
    "runway": Runway,
    "openrouter": OpenRouter,
    "luma": Luma,
}

FACTS: Mapping[str, Facts] = {name: api("").facts for name, api in APIS.items()}


def api_of(provider: str, base_url: str, extra_headers: Mapping[str, str] | None = None) -> VideoApi:
    """The API of a provider at a base URL. Raises KeyError for a provider that this version does not know.

    `extra_headers`: for gateways that speak the OpenAI Videos protocol and need them.
    """
    return OpenAIVideos(base_url, extra_headers) if provider == OPENAI else APIS[provider](base_url)


def marks_of(order: Order) -> frozenset[str]:
    """All that a job of this order may show as its marker; how some providers show it, only their modules know."""
    marker = api_of(order.provider, "").marker(order) if order.provider in APIS else None
    return order.marks if marker is None else order.marks | {marker}


def facts_of(provider: str) -> Facts | None:
    """None for a provider that this version does not know."""
    return FACTS.get(provider)


def key_names() -> dict[str, tuple[str, ...]]:
    """The settings that hold each provider's credentials."""
    return {provider: facts.key_names for provider, facts in FACTS.items()}


def lost_answer_words(facts: Facts) -> str:
    """How an order whose answer was lost ends at this provider."""
    looked_up = facts.marker is Marker.OWN_ID
    listed = facts.has_list and facts.marker in {Marker.ECHOED_REQUEST, Marker.ECHOED_FIELD}
    if looked_up or listed:
        return f"found by itself{_within(facts.record_seconds)}"
    if facts.callback is not Callback.NONE:
        return "by callback, else a person"
    return "a person"


def _within(record_seconds: int | None) -> str:
    if record_seconds is None or record_seconds > SHORT_RECORD_SECONDS:
        return ""
    hours = record_seconds / HOUR_SECONDS
    return f" within {hours:g} hour{'' if hours == 1 else 's'}"
