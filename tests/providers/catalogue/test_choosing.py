"""An offer by its public name: which provider it means, and what is missing to buy it."""

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from providers.catalogue import (
    CatalogueError,
    VideoModel,
    choose_model,
    find_model,
    find_offer,
    load_catalogue,
    provider_of,
)
from providers.orders import OPENAI
from tests.providers.catalogue.entries import PROVIDER_ENTRY, RETIRED, written

CATALOGUE = load_catalogue(Path(__file__).parents[3] / "models.toml")
GATEWAY = "https://gateway.example/v1"
TODAY = date(2026, 11, 23)
KEYS = {OPENAI: ("VIDEO_API_KEY",), "fal": ("FAL_KEY",), "kling": ("KLING_ACCESS_KEY", "KLING_SECRET_KEY")}
VEO = "fal/fal-ai/veo3.1/fast"


def chosen(name: str, configured: Collection[str] = (), usd: str | None = None) -> VideoModel:
    return choose_model(CATALOGUE, name, GATEWAY, Decimal(usd) if usd else None, TODAY, configured, KEYS)


def test_public_name_is_the_provider_and_its_own_name_of_the_model() -> None:
    model = find_offer(CATALOGUE, VEO)
    assert model is not None
    assert (model.provider, model.name, model.offer, model.base_url) == ("fal", "fal-ai/veo3.1/fast", VEO, None)


def test_bare_name_is_looked_up_only_at_the_openai_protocols_endpoint() -> None:
    assert find_offer(CATALOGUE, "minimax/h3") is None
    bare = find_offer(CATALOGUE, "minimax/h3", GATEWAY)
    assert bare is not None
    assert (bare.provider, bare.sold_by, bare.offer) == (OPENAI, "SayGM", "minimax/h3")


def test_a_providers_offer_is_never_mistaken_for_a_gateways_model_of_that_name() -> None:
    at_fal = find_offer(CATALOGUE, "fal/minimax/h3/text-to-video", GATEWAY)
    assert at_fal is not None
    assert at_fal.provider == "fal"
    for name in ("minimax/h3/text-to-video", "fal/minimax/h3/text-to-video", "ray-2", "veo3.1", "gen4.5"):
        assert find_model(CATALOGUE, name, GATEWAY) is None


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        (VEO, "fal"),
        ("runware/google:3@3", "runware"),
        ("luma/not-listed", "luma"),
        ("luma", OPENAI),
        ("minimax/h3", OPENAI),
        ("google/veo-3.1-fast", OPENAI),
        ("sim-1", OPENAI),
    ],
)
def test_the_first_part_of_a_name_is_its_provider_if_it_is_one(name: str, provider: str) -> None:
    assert provider_of(CATALOGUE, name) == provider


def test_configured_offer_is_chosen_whatever_the_openai_endpoint() -> None:
    assert chosen(VEO, {"fal"}).offer == VEO


@pytest.mark.parametrize(
    ("name", "settings"), [(VEO, "FAL_KEY"), ("kling/kling-v3", "KLING_ACCESS_KEY and KLING_SECRET_KEY")]
)
def test_missing_key_error_names_the_settings(name: str, settings: str) -> None:
    with pytest.raises(CatalogueError, match=f"VIDEO_MODEL: {name} needs a key of .*; set {settings}$"):
        chosen(name, {OPENAI})


def test_offer_of_a_provider_that_this_version_does_not_know_cannot_be_bought() -> None:
    with pytest.raises(CatalogueError, match="cannot buy luma/ray-2: it does not know luma"):
        chosen("luma/ray-2", {OPENAI})


def test_unlisted_offer_error_lists_those_of_the_provider() -> None:
    with pytest.raises(CatalogueError, match=r"fal/veo-9 is not in models\.toml; choose one of: .*fal/fal-ai/veo3\.1"):
        chosen("fal/veo-9", {"fal"})


def test_configured_price_overrides_the_offers() -> None:
    model = chosen("fal/minimax/h3/text-to-video", {"fal"}, "0.2")
    assert (model.microusd_per_second, model.microusd_per_second_at) == (200_000, {})


def test_gateways_name_that_begins_with_a_provider_stays_bare_without_that_providers_key() -> None:
    model = chosen("runway/gen4.5", {OPENAI}, "0.2")
    assert (model.provider, model.name, model.base_url) == (OPENAI, "runway/gen4.5", GATEWAY)


def test_retired_offer_is_rejected_with_an_alternative(tmp_path: Path) -> None:
    catalogue = load_catalogue(written(tmp_path, PROVIDER_ENTRY.replace("[video.sizes]", f"{RETIRED}[video.sizes]")))
    for usd in (None, Decimal("0.1")):
        with pytest.raises(CatalogueError, match="p/m was switched off on 2026-11-01; use p/other"):
            choose_model(catalogue, "p/m", GATEWAY, usd, TODAY, {"p"}, {"p": ("P_KEY",)})
    assert choose_model(catalogue, "p/m", GATEWAY, None, date(2026, 10, 31), {"p"}, {"p": ("P_KEY",)}).offer == "p/m"
