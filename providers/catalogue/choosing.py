"""Finds an offer by its name, and chooses the one that the settings name.

`provider/name` is another provider's offer. A bare name is one at the OpenAI-protocol endpoint of VIDEO_BASE_URL, and
may have slashes too: `minimax/h3` there is not `fal/minimax/h3/text-to-video`.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from ipaddress import ip_address
from urllib.parse import urlsplit

from providers.apis import key_names
from providers.catalogue.models import Catalogue, CatalogueError, VideoModel
from providers.catalogue.prices import microusd_of, price_words
from providers.orders import OPENAI


def choose_model(
    catalogue: Catalogue,
    name: str | None,
    base_url: str,
    usd_per_second: Decimal | None,
    today: date,
    configured: Collection[str] = (),
    keys: Mapping[str, tuple[str, ...]] | None = None,
) -> VideoModel:
    """The model that the settings name. A price in the settings overrides the listed one.

    `configured`: providers whose key is set. `keys`: the settings that hold it, by provider; None: as `APIS` knows
    them. A gateway may use a provider's name too, so without that provider's key a name with a price in the settings
    is one at VIDEO_BASE_URL, as every bare name is.
    """
    if not name:
        raise CatalogueError(f"VIDEO_MODEL: not set; choose one of: {_offers(catalogue, today)}")
    provider = provider_of(catalogue, name)
    if provider != OPENAI and (provider in configured or usd_per_second is None):
        offer = _chosen_offer(catalogue, name, provider, today)
        _check_key(offer, configured, key_names() if keys is None else keys)
        return offer if usd_per_second is None else _priced_by_settings(offer, usd_per_second)
    model = find_model(catalogue, name, base_url)
    if model and model.is_retired(today):
        raise CatalogueError(
            f"VIDEO_MODEL: {name} at {base_url} was switched off on {model.retired_on}; use {model.use_instead}"
        )
    if usd_per_second is not None:
        known = model or VideoModel(name, base_url, 0, (), (), source="VIDEO_USD_PER_SECOND")
        return _priced_by_settings(known, usd_per_second)
    if model is None:
        raise CatalogueError(
            f"VIDEO_MODEL: the price of {name} at {base_url} is not known, and nothing is bought at an "
            f"unknown price; set VIDEO_USD_PER_SECOND, or choose one of: {_offers(catalogue, today)}"
        )
    return model


def find_model(catalogue: Catalogue, name: str, base_url: str, provider: str = OPENAI) -> VideoModel | None:
    """The provider's model of this name at this endpoint, else the most expensive one that is bound to no endpoint."""
    same = [model for model in catalogue.videos if (model.provider, model.name) == (provider, name)]
    for model in same:
        if model.base_url and _is_at(model.base_url, base_url):
            return model
    anywhere = [m for m in same if m.base_url is None and (_is_local(base_url) or not m.local_only)]
    return max(anywhere, key=lambda m: m.microusd_per_video or m.microusd_per_second, default=None)


def find_offer(catalogue: Catalogue, offer: str, base_url: str | None = None) -> VideoModel | None:
    """The offer with this public name. `base_url`: where bare names are looked for; None: nowhere."""
    found = next((m for m in catalogue.videos if m.provider != OPENAI and m.offer == offer), None)
    return found if found or base_url is None else find_model(catalogue, offer, base_url)


def provider_of(catalogue: Catalogue, offer: str) -> str:
    """The provider that a public name begins with; OPENAI for a bare name."""
    prefix, slash, _ = offer.partition("/")
    return prefix if slash and prefix in {model.provider for model in catalogue.videos} else OPENAI


def _chosen_offer(catalogue: Catalogue, name: str, provider: str, today: date) -> VideoModel:
    offer = find_offer(catalogue, name)
    if offer is None:
        sold = ", ".join(m.offer for m in catalogue.videos if m.provider == provider and not m.is_retired(today))
        raise CatalogueError(f"VIDEO_MODEL: {name} is not in models.toml; choose one of: {sold}")
    if offer.is_retired(today):
        raise CatalogueError(f"VIDEO_MODEL: {name} was switched off on {offer.retired_on}; use {offer.use_instead}")
    return offer


def _check_key(offer: VideoModel, configured: Collection[str], keys: Mapping[str, tuple[str, ...]]) -> None:
    """Raises CatalogueError with the settings that are missing."""
    if offer.provider not in keys:
        raise CatalogueError(f"VIDEO_MODEL: this version cannot buy {offer.offer}: it does not know {offer.provider}")
    if offer.provider not in configured:
        missing = " and ".join(keys[offer.provider])
        raise CatalogueError(f"VIDEO_MODEL: {offer.offer} needs a key of {offer.provider}; set {missing}")


def _offers(catalogue: Catalogue, today: date) -> str:
    """One line: each seller's models with their prices."""
    on_sale = [m for m in catalogue.videos if not m.is_retired(today)]
    sellers = dict.fromkeys(m.sold_by for m in on_sale if m.sold_by)
    listed = [
        f"at {by}: " + ", ".join(f"{m.name} ({price_words(m)})" for m in on_sale if m.sold_by == by) for by in sellers
    ]
    others = [m.provider for m in on_sale if m.provider != OPENAI]
    if others:
        listed.append(f"{len(others)} of {', '.join(dict.fromkeys(others))}: `onetake models` lists them")
    return "; ".join(listed)


def _priced_by_settings(model: VideoModel, usd_per_second: Decimal) -> VideoModel:
    return replace(
        model,
        microusd_per_second=microusd_of(usd_per_second),
        microusd_per_second_at={},
        microusd_per_video=None,
        source="VIDEO_USD_PER_SECOND",
    )


def _is_at(own: str, base_url: str) -> bool:
    """Whether two base URLs are one endpoint: the same host, or a region of it."""
    host, asked = urlsplit(own).hostname or "", urlsplit(base_url).hostname or ""
    return asked == host or asked.endswith("." + host)


def _is_local(base_url: str) -> bool:
    """This machine, or its own network: a private address, or a name without a dot."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(".localhost")
