"""What was typed becomes a request: whose, under which key, in which language."""

import getpass

import pytest

from app.exits import Stop
from cli.request_parsing import CreateOptions, language, request_key, to_request, user_id
from pipeline.settings.config import load_settings
from providers.catalogue import CatalogueError
from providers.orders import OPENAI
from steps.check_limits import Request

GATEWAY = {"VIDEO_BASE_URL": "https://gateway.example/v1", "VIDEO_API_KEY": "k"}
PRICED = GATEWAY | {"VIDEO_MODEL": "my-model", "VIDEO_USD_PER_SECOND": "0.001"}
RUNWAY = {"RUNWAYML_API_SECRET": "r"}


def requested(environment: dict[str, str], model: str | None = None, size: str | None = None) -> Request:
    options = CreateOptions("A dog runs.", 8, size, None, "ana", "en", again=False, model=model)
    return to_request(options, load_settings(environment, None), environment)


def test_each_command_without_a_key_gets_its_own_request_key() -> None:
    assert request_key(None) != request_key(None)
    assert request_key(None).startswith("cli:")


def test_given_key_gets_the_cli_prefix_and_is_otherwise_unchanged() -> None:
    assert request_key("order 7") == "cli:order 7"


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "x" * 201])
def test_empty_multiline_or_overlong_key_is_refused(key: str) -> None:
    with pytest.raises(Stop):
        request_key(key)


def test_bare_user_name_gets_the_cli_prefix_and_a_full_id_is_kept() -> None:
    assert user_id("ana") == "cli:ana"
    assert user_id("tg:42") == "tg:42"
    assert user_id(None) == f"cli:{getpass.getuser()}"


@pytest.mark.parametrize(
    ("asked", "environment", "spoken"),
    [
        ("en", {"LANG": "es_MX.UTF-8"}, "en"),
        (None, {"LANG": "es_MX.UTF-8"}, "es"),
        (None, {"LC_ALL": "es_ES", "LANG": "en_US"}, "es"),
        (None, {"LANG": "de_DE"}, "en"),
        (None, {}, "en"),
    ],
)
def test_language_comes_from_the_option_or_the_terminals_locale(
    asked: str | None, environment: dict[str, str], spoken: str
) -> None:
    assert language(asked, environment) == spoken


def test_offer_of_another_provider_is_asked_for_in_its_own_words() -> None:
    request = requested(RUNWAY, "runway/gen4.5")
    assert (request.provider, request.model, request.price_microusd) == ("runway", "gen4.5", 960_000)
    assert request.input == {"ratio": "720:1280", "duration": 8}
    assert requested(RUNWAY | {"VIDEO_MODEL": "runway/gen4.5"}).input == request.input


def test_missing_key_error_names_its_setting() -> None:
    with pytest.raises(CatalogueError, match="set RUNWAYML_API_SECRET"):
        requested(GATEWAY, "runway/gen4.5")


def test_size_that_the_provider_has_no_words_for_is_refused_with_what_is_possible() -> None:
    with pytest.raises(CatalogueError, match=r"gen4\.5 makes 720x1280, 1280x720, not 1080x1920; nothing was bought"):
        requested(RUNWAY, "runway/gen4.5", "1080x1920")


def test_configured_price_is_that_of_video_model_alone() -> None:
    default = requested(PRICED | RUNWAY)
    assert (default.provider, default.model, default.price_microusd) == (OPENAI, "my-model", 8_000)
    assert requested(PRICED | RUNWAY, "runway/gen4.5").price_microusd == 960_000
    with pytest.raises(CatalogueError, match=r"the price of other-model at .* is not known"):
        requested(PRICED, "other-model")
