"""The providers that this version knows, by the names that go before a model's name."""

from collections.abc import Callable, Mapping

from providers.openai_videos.protocol import OpenAIVideos
from providers.orders import OPENAI, Order
from providers.port import Facts, VideoApi
from providers.vendors.ark import Ark
from providers.vendors.higgsfield import Higgsfield
from providers.vendors.openrouter import OpenRouter
from providers.vendors.runway import Runway

APIS: Mapping[str, Callable[[str], VideoApi]] = {
    OPENAI: OpenAIVideos,
    "ark": Ark,
    "higgsfield": Higgsfield,
    "runway": Runway,
    "openrouter": OpenRouter,
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
