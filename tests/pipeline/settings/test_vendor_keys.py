"""Accounts at vendors: their keys and base URLs, extra headers, and what the bot offers besides its default."""

import pytest

from pipeline.settings.config import load_settings
from pipeline.settings.endpoints import configured, endpoint_of
from pipeline.settings.setting_checks import ConfigError
from pipeline.settings.vendor_keys import KEYS, headers_in
from providers.apis import FACTS
from providers.orders import OPENAI

TEXT = {"OPENAI_API_KEY": "text-key-of-the-text-model"}


def test_every_provider_has_the_settings_that_its_facts_name() -> None:
    named = {name: FACTS[name].key_names for name in FACTS if name != OPENAI}
    assert named == {name: tuple(part.upper() for part in parts) for name, parts in KEYS.items()}


def test_key_of_the_text_model_alone_is_no_account() -> None:
    assert configured(load_settings(TEXT, None)) == ()
    assert configured(load_settings(TEXT | {"VIDEO_API_KEY": "video-key"}, None)) == (OPENAI,)
    assert configured(load_settings(TEXT | {"FAL_KEY": "fal-key"}, None)) == ("fal",)


def test_account_needs_all_parts_of_its_key_and_has_the_vendors_address() -> None:
    half = load_settings(TEXT | {"KLING_ACCESS_KEY": "access"}, None)
    whole = load_settings(TEXT | {"KLING_ACCESS_KEY": "access", "KLING_SECRET_KEY": "secret"}, None)
    assert configured(half) == ()
    with pytest.raises(ConfigError, match="KLING_ACCESS_KEY and KLING_SECRET_KEY: missing"):
        endpoint_of(half, "kling")
    endpoint = endpoint_of(whole, "kling")
    assert (endpoint.api_key, endpoint.base_url) == ("access:secret", FACTS["kling"].base_url)


def test_base_url_of_a_vendor_can_be_another() -> None:
    settings = load_settings(TEXT | {"FAL_KEY": "fal-key", "FAL_BASE_URL": "http://127.0.0.1:9/fal/"}, None)
    assert endpoint_of(settings, "fal").base_url == "http://127.0.0.1:9/fal"
    with pytest.raises(ConfigError, match="FAL_BASE_URL: must begin with http"):
        load_settings({"FAL_BASE_URL": "fal.run"}, None)


def test_two_keys_of_one_vendor_are_two_accounts() -> None:
    one, other = (endpoint_of(load_settings({"FAL_KEY": key}, None), "fal") for key in ("a-key", "b-key"))
    assert one.fingerprint != other.fingerprint


def test_extra_headers_are_read_and_none_of_ours_is_replaced() -> None:
    assert headers_in("x-portkey-provider: openai; x-other: a:b") == {"x-portkey-provider": "openai", "x-other": "a:b"}
    for wrong in ("x-portkey-provider", "x y: z", "x: ", "x: ñ"):
        with pytest.raises(ValueError, match="must be headers"):
            headers_in(wrong)
    for ours in ("Authorization: Bearer x", "idempotency-key: 1", "Host: h", "content-type: text/plain"):
        with pytest.raises(ValueError, match="which onetake sets itself"):
            headers_in(ours)


def test_values_of_extra_headers_are_secrets() -> None:
    settings = load_settings({"VIDEO_EXTRA_HEADERS": "x-gateway-token: secret-of-a-gateway"}, None)
    assert "secret-of-a-gateway" in settings.secrets()


def test_models_that_the_bot_offers_are_listed_once_each() -> None:
    settings = load_settings({"VIDEO_MODELS": "fal/a, kling/b,,fal/a"}, None)
    assert settings.also_offered == ("fal/a", "kling/b")
