"""Which accounts the settings name: keys by the vendors' own names, base URLs, headers for gateways."""

import pytest

from pipeline.settings.config import Settings, fingerprint, load_settings
from pipeline.settings.endpoints import configured, endpoint_of
from pipeline.settings.setting_checks import ConfigError
from pipeline.settings.vendor_keys import KEYS, OUR_HEADERS, headers_in
from providers.apis import FACTS
from providers.orders import OPENAI

VENDORS = [name for name in FACTS if name != OPENAI]
SECRET = "sesame-of-some-length"


def read(**environment: str) -> Settings:
    return load_settings(environment, None)


def keys_of(provider: str) -> dict[str, str]:
    return {name.upper(): f"{SECRET}-{n}" for n, name in enumerate(KEYS[provider])}


def test_every_provider_has_the_settings_that_its_facts_name() -> None:
    assert {name: {key.upper() for key in keys} for name, keys in KEYS.items() if name in FACTS} == {
        name: set(FACTS[name].key_names) for name in VENDORS
    }


@pytest.mark.parametrize("provider", VENDORS)
def test_account_has_its_own_key_at_the_vendors_address_or_another(provider: str) -> None:
    endpoint = endpoint_of(read(**keys_of(provider)), provider)
    key = ":".join(keys_of(provider).values())
    assert (endpoint.provider, endpoint.base_url, endpoint.api_key) == (provider, FACTS[provider].base_url, key)
    assert endpoint.fingerprint == fingerprint(key)
    assert SECRET not in repr(endpoint), "a traceback would show it"

    elsewhere = {f"{provider.upper()}_BASE_URL": "https://proxy.test/here/"}
    assert endpoint_of(read(**keys_of(provider), **elsewhere), provider).base_url == "https://proxy.test/here"


@pytest.mark.parametrize("provider", VENDORS)
def test_account_without_a_whole_key_is_not_configured_and_the_error_names_its_settings(provider: str) -> None:
    for missing in KEYS[provider]:
        settings = read(**{name: value for name, value in keys_of(provider).items() if name != missing.upper()})
        assert provider not in configured(settings)
        with pytest.raises(ConfigError) as refused:
            endpoint_of(settings, provider)
        assert missing.upper() in str(refused.value) and FACTS[provider].title in str(refused.value)


def test_all_accounts_with_a_key_are_configured_and_no_others() -> None:
    assert configured(read()) == ()
    assert configured(read(OPENAI_API_KEY=SECRET)) == (), "that key is for the text model"
    assert configured(read(VIDEO_API_KEY=SECRET, **keys_of("luma"), **keys_of("fal"))) == (OPENAI, "fal", "luma")
    assert configured(read(VIDEO_BASE_URL="http://127.0.0.1:1/v1", **keys_of("kling"))) == (OPENAI, "kling")


def test_account_at_the_video_endpoint_is_the_one_of_its_own_settings() -> None:
    settings = read(VIDEO_API_KEY=SECRET, VIDEO_BASE_URL="http://127.0.0.1:1/v1")
    assert endpoint_of(settings, OPENAI) == settings.video
    with pytest.raises(ConfigError):
        endpoint_of(read(**keys_of("fal")), OPENAI)


@pytest.mark.parametrize("provider", VENDORS)
@pytest.mark.parametrize("key", ["two words", "accént", "line\nbreak", "tab\tinside", "nul\0"])
def test_key_that_fits_no_header_is_refused_without_being_shown(provider: str, key: str) -> None:
    name = KEYS[provider][0].upper()
    with pytest.raises(ConfigError) as refused:
        read(**{name: key})
    assert name in str(refused.value) and key not in str(refused.value)


@pytest.mark.parametrize("name", ["PUBLIC_URL", *(f"{each.upper()}_BASE_URL" for each in KEYS)])
@pytest.mark.parametrize("url", ["o.test", "ftp://o.test", "https://", "https://a:b@o.test", "https://o.test/?a=1"])
def test_address_that_is_no_base_url_is_refused(name: str, url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**{name: url})
    assert name in str(refused.value)


def test_public_url_has_no_slash_at_its_end() -> None:
    assert read(PUBLIC_URL="https://o.test/bot/").public_url == "https://o.test/bot"
    assert read().public_url is None


# -- headers for gateways


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("Helicone-Auth: Bearer x", {"Helicone-Auth": "Bearer x"}),
        ("cf-aig-authorization: Bearer a:b ; X-Two:2", {"cf-aig-authorization": "Bearer a:b", "X-Two": "2"}),
    ],
)
def test_headers_are_read_in_pairs(text: str, headers: dict[str, str]) -> None:
    assert headers_in(text) == headers
    assert read(VIDEO_EXTRA_HEADERS=text).extra_headers == headers


@pytest.mark.parametrize(
    "text",
    [
        *(
            "no colon",
            "Name:",
            ": value",
            "A: 1;",
            "Two Words: 1",
            "Náme: 1",
            "Name: é",
            "Name: a\x01b",
            "A: 1\r\nB: 2",
        ),
        *(f"{name}: 1" for name in OUR_HEADERS),
        "Idempotency-Key: 1",
    ],
)
def test_headers_that_are_none_or_that_onetake_sets_itself_are_refused(text: str) -> None:
    """One of ours, given twice, could undo the key that keeps a gateway from buying twice."""
    with pytest.raises(ValueError, match=r"must be headers|which onetake sets itself"):
        headers_in(text)
    with pytest.raises(ConfigError):
        read(VIDEO_EXTRA_HEADERS=text)


def test_settings_show_neither_keys_nor_headers() -> None:
    every = {name: value for provider in VENDORS for name, value in keys_of(provider).items()}
    settings = read(**every, VIDEO_EXTRA_HEADERS=f"X-Key: {SECRET}")
    assert SECRET not in repr(settings) and SECRET not in str(settings)
