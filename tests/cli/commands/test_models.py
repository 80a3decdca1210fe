"""`onetake models` needs no account, no database and no network."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from pipeline.settings.vendor_keys import KEYS

GATEWAY = "https://gateway.example/v1"
NOTHING_SET = {
    "ONETAKE_IGNORE_ENV_FILE": "1",
    "OPENAI_API_KEY": "",
    "OPENAI_BASE_URL": "",
    "VIDEO_API_KEY": "",
    "VIDEO_BASE_URL": "",
    "VIDEO_MODEL": "",
    "VIDEO_USD_PER_SECOND": "",
    "VIDEO_SIZE": "",
    "COLUMNS": "120",
    **{name.upper(): "" for names in KEYS.values() for name in names},
}


def models(*arguments: str, **settings: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], env=NOTHING_SET | settings)


def objects(*arguments: str, **settings: str) -> list[dict[str, Any]]:
    result = models(*arguments, "--json", **settings)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_provider_is_listed_without_any_setting() -> None:
    found = objects()
    assert len([each for each in found if each["provider"] != "openai"]) >= 30
    assert not any(each["configured"] or each["default"] for each in found)
    assert all(each["price_date"] and each["source"] and each["usd_per_8s"] > 0 for each in found)
    assert all(each["lost_answer"] for each in found)


def test_one_provider_is_listed_on_request() -> None:
    assert {each["provider"] for each in objects("--provider", "runware")} == {"runware"}
    piped = models("--provider", "luma").stdout
    assert [line.split()[0] for line in piped.splitlines()] == ["offer", "luma/ray-2", "luma/ray-flash-2"]


def test_unknown_provider_error_lists_those_that_are_known() -> None:
    result = models("--provider", "fall")
    assert result.exit_code == 2
    assert result.stderr.startswith("onetake: --provider: must be one of ark, fal, ")
    assert result.stderr.endswith("not fall\n")


def test_default_and_configured_offers_are_marked() -> None:
    first, *others = objects(VIDEO_MODEL="minimax/h3", VIDEO_BASE_URL=GATEWAY, VIDEO_API_KEY="k")
    assert (first["name"], first["default"], first["configured"]) == ("minimax/h3", True, True)
    assert not any(each["default"] for each in others)
    assert all(each["configured"] for each in others if each["provider"] == "openai")


@pytest.mark.parametrize(
    ("settings", "configured"),
    [
        ({"RUNWAYML_API_SECRET": "r", "ARK_API_KEY": "a"}, {"runway", "ark"}),
        ({"OPENAI_API_KEY": "k"}, set()),
        ({"OPENAI_API_KEY": "k", "VIDEO_MODEL": "minimax/h3"}, {"openai"}),
    ],
)
def test_offers_are_configured_by_their_providers_key(settings: dict[str, str], configured: set[str]) -> None:
    assert {each["provider"] for each in objects(**settings) if each["configured"]} == configured


def test_default_without_its_key_is_still_marked() -> None:
    first = objects(VIDEO_MODEL="fal/fal-ai/veo3.1/fast")[0]
    assert (first["name"], first["default"], first["configured"]) == ("fal/fal-ai/veo3.1/fast", True, False)


def test_unlisted_default_is_listed_with_the_price_in_the_settings() -> None:
    first = objects(VIDEO_MODEL="my-model", VIDEO_BASE_URL=GATEWAY, VIDEO_API_KEY="k", VIDEO_USD_PER_SECOND="0.5")[0]
    assert (first["name"], first["usd_per_8s"], first["source"]) == ("my-model", 4.0, "VIDEO_USD_PER_SECOND")


def test_unusable_video_model_does_not_prevent_the_list() -> None:
    assert not any(each["default"] for each in objects(VIDEO_MODEL="my-model", VIDEO_BASE_URL=GATEWAY))


@pytest.mark.parametrize("size", ["1280x720", "1080x1920"])
def test_prices_are_for_the_size_in_the_settings(size: str) -> None:
    found = {each["name"]: each for each in objects("--provider", "kling", VIDEO_SIZE=size)}
    assert found["kling/kling-v3"]["priced_size"] == size
    assert found["kling/kling-v3"]["usd_per_8s"] == (1.008 if size == "1280x720" else 1.344)
