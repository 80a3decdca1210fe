"""What can be bought: prices in whole micro-dollars, and clear errors for what cannot."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from providers.catalogue import (
    Catalogue,
    CatalogueError,
    VideoModel,
    check_shape,
    choose_model,
    find_model,
    load_catalogue,
    price_microusd,
    text_cost_microusd,
)

CATALOGUE = load_catalogue(Path(__file__).parents[3] / "models.toml")
OPENAI = "https://api.openai.com/v1"
GATEWAY = "https://gateway.example/v1"
LOCAL = "http://127.0.0.1:8123/v1"
TODAY = date(2026, 11, 23)


def chosen(name: str | None, base_url: str = GATEWAY, usd: str | None = None, today: date = TODAY) -> VideoModel:
    return choose_model(CATALOGUE, name, base_url, Decimal(usd) if usd else None, today)


@pytest.mark.parametrize("name", ["sora-2", "sora-2-pro"])
@pytest.mark.parametrize(
    "base_url", [OPENAI, OPENAI + "/", "https://API.openai.com/v1", "https://eu.api.openai.com/v1"]
)
@pytest.mark.parametrize("usd", [None, "0.10"])
def test_retired_model_is_rejected_with_an_alternative(name: str, base_url: str, usd: str | None) -> None:
    with pytest.raises(CatalogueError, match=f"{name} at .* was switched off on 2026-09-24; use .*(SayGM|LiteLLM)"):
        chosen(name, base_url, usd)


def test_model_is_available_until_the_day_before_it_is_retired() -> None:
    assert chosen("sora-2", OPENAI, today=date(2026, 9, 23)).microusd_per_second == 100_000
    with pytest.raises(CatalogueError, match="switched off"):
        chosen("sora-2", OPENAI, today=date(2026, 9, 24))


def test_retired_model_name_works_at_another_endpoint_with_a_configured_price() -> None:
    with pytest.raises(CatalogueError, match="VIDEO_USD_PER_SECOND"):
        chosen("sora-2", "https://api.openai.com.example/v1")
    assert chosen("sora-2", GATEWAY, "0.12").microusd_per_second == 120_000


def test_missing_model_error_lists_models_sellers_and_prices_on_one_line() -> None:
    with pytest.raises(CatalogueError) as caught:
        chosen(None)
    line = str(caught.value)
    assert line.startswith("VIDEO_MODEL: not set")
    assert "\n" not in line
    for for_sale in (
        "at SayGM: minimax/h3 ($0.072/s);",
        "at Runway through your own LiteLLM: gen4_turbo",
        "at LaoZhang: gemini-omni-1.2-flash ($0.45 a video)",
        "veo-3.1-fast ($0.1/s), veo-3.1 ($0.4/s)",
        "of fal, replicate, ark, runware, kling, higgsfield, runway, openrouter, luma: `onetake models` lists them",
    ):
        assert for_sale in line
    assert "sora" not in line
    assert "sim-1" not in line


def test_model_without_a_known_price_is_rejected() -> None:
    with pytest.raises(CatalogueError, match=r"price of my-model at .* is not known.*VIDEO_USD_PER_SECOND"):
        chosen("my-model")


def test_an_unlisted_model_with_a_price_takes_1_to_20_seconds_and_any_size() -> None:
    model = chosen("my-model", usd="0.0333333")
    for seconds in (1, 20):
        check_shape(model, seconds, "640x480")
    for seconds in (0, 21, -1):
        with pytest.raises(CatalogueError, match=f"1 to 20 seconds, not {seconds}"):
            check_shape(model, seconds, "640x480")
    for size in ("wide", "640", "640x", "0x0", "640X480", "99999x1", "-1x20", "٣x٤"):
        with pytest.raises(CatalogueError, match="WIDTHxHEIGHT"):
            check_shape(model, 8, size)
    assert price_microusd(model, 3, "640x480") == 3 * 33_334
    assert model.failed_renders_free is False


def test_unsupported_seconds_or_size_error_lists_the_allowed_values() -> None:
    model = chosen("sim-1", LOCAL)
    with pytest.raises(CatalogueError, match="4, 8, 12 seconds, not 5"):
        check_shape(model, 5, "720x1280")
    with pytest.raises(CatalogueError, match="720x1280, 1280x720, 1024x1792, 1792x1024, not 1x1"):
        check_shape(model, 8, "1x1")


@pytest.mark.parametrize(
    ("name", "base_url", "seconds", "size", "microusd"),
    [
        ("sim-1", LOCAL, 8, "720x1280", 800_000),
        ("sim-1", "http://localhost:1/v1", 4, "1792x1024", 400_000),
        ("sim-1", "http://simulator:8080/v1", 12, "1280x720", 1_200_000),
        ("minimax/h3", GATEWAY, 15, "720x1280", 1_080_000),
        ("gen4_turbo", GATEWAY, 5, "720x1280", 250_000),
        ("veo-3.1", GATEWAY, 8, "720x1280", 3_200_000),
        ("gemini-omni-1.2-flash", GATEWAY, 4, "720x1280", 450_000),
        ("gemini-omni-1.2-flash", GATEWAY, 12, "720x1280", 450_000),
    ],
)
def test_listed_model_prices_are_computed_in_microusd(
    name: str, base_url: str, seconds: int, size: str, microusd: int
) -> None:
    model = chosen(name, base_url)
    check_shape(model, seconds, size)
    assert price_microusd(model, seconds, size) == microusd


def test_listed_price_can_depend_on_the_size() -> None:
    model = chosen("sora-2-pro", OPENAI, today=date(2026, 9, 1))
    assert price_microusd(model, 4, "720x1280") == 1_200_000
    assert price_microusd(model, 4, "1792x1024") == 2_000_000


def test_configured_price_overrides_only_the_listed_price() -> None:
    model = chosen("gemini-omni-1.2-flash", usd="0.01")
    assert price_microusd(model, 8, "720x1280") == 80_000
    assert chosen("sim-1", LOCAL, "0.20").seconds == (4, 8, 12)


def test_simulator_model_is_not_found_at_a_public_endpoint() -> None:
    assert find_model(CATALOGUE, "sim-1", GATEWAY) is None


def test_most_expensive_offer_sets_the_price_of_a_model_with_two_offers() -> None:
    model = find_model(CATALOGUE, "minimax/h3", GATEWAY)
    assert model is not None
    assert model.sold_by == "SayGM"


def test_every_listed_price_has_a_date_and_a_source() -> None:
    assert all(model.price_date and model.source for model in CATALOGUE.videos)


def test_text_cost_is_rounded_up_and_unlisted_models_cost_the_highest_price() -> None:
    assert text_cost_microusd(CATALOGUE, "gpt-6-luna", 1_000_000, 1_000_000) == 600_000
    assert text_cost_microusd(CATALOGUE, "gpt-6-luna", 1, 0) == 1
    assert text_cost_microusd(CATALOGUE, "gpt-6-luna", 0, 0) == 0
    listed = [text_cost_microusd(CATALOGUE, text.name, 1000, 1000) for text in CATALOGUE.texts]
    assert text_cost_microusd(CATALOGUE, "somebody's", 1000, 1000) >= max(listed)


ENTRY = """
[[video]]
name = "m"
usd_per_second = 0.1
source = "s"
{more}
[[text]]
name = "t"
usd_per_million_tokens_in = 1
usd_per_million_tokens_out = 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "more",
    [
        'create_body = "jason"',
        "retired_on = 2026-01-01",
        "secnods = [4]",
        'usd_per_second_at = { "1x1" = -1 }',
        'usd_per_second_at = { "1x1" = nan }',
        'usd_per_video = "cheap"',
        "[[video]]",
        "seconds = 4",
        "not toml",
    ],
)
def test_invalid_models_toml_is_rejected_with_a_clear_error(more: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"models\.toml cannot be read .*nothing was bought"):
        load_catalogue(written(tmp_path, ENTRY.format(more=more)))


def test_valid_models_toml_loads(tmp_path: Path) -> None:
    loaded = load_catalogue(written(tmp_path, ENTRY.format(more="")))
    assert isinstance(loaded, Catalogue)
    assert [model.microusd_per_second for model in loaded.videos] == [100_000]


def test_missing_models_toml_is_rejected_with_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"models\.toml cannot be read"):
        load_catalogue(tmp_path / "models.toml")
