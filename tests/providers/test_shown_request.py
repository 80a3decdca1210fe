"""The paid request as people may read it: all of it, but the key."""

import json
from urllib.parse import urlsplit

import pytest

from providers.apis import FACTS, api_of
from providers.orders import OPENAI, Order
from providers.shown_request import HIDDEN, SHOWN_KEY, shown_request
from tests.providers.vendors.ordered import INPUT_OF, KEY_OF, MODEL_OF


def order(provider: str) -> Order:
    model, asked = MODEL_OF.get(provider, "sim-1"), INPUT_OF.get(provider, {})
    return Order("1f0c-run", "a paper boat", model, 8, "720x1280", "multipart", provider, asked)


@pytest.mark.parametrize("provider", FACTS)
def test_shown_request_is_the_one_that_is_sent_without_the_key(provider: str) -> None:
    api = api_of(provider, "https://double.test/v1")
    sent, shown = api.create(order(provider)), shown_request(order(provider), "https://double.test/v1")
    assert (shown["method"], shown["url"]) == (sent.method, sent.url)
    assert "a paper boat" in json.dumps(shown["body"])
    assert urlsplit(str(shown["url"])).hostname == "double.test"
    if provider != OPENAI:
        assert shown["body"] == json.loads(sent.body)

    headers = shown["headers"]
    assert isinstance(headers, dict)
    key_headers = api.authorization(KEY_OF.get(provider, "test-key-of-some-length"), 1_700_000_000.0)
    assert key_headers.keys() <= headers.keys()
    for name, value in key_headers.items():
        scheme, _, secret = value.rpartition(" ")
        assert headers[name] == f"{scheme} {HIDDEN}".strip()
        assert secret not in json.dumps(shown) and SHOWN_KEY not in json.dumps(shown)


@pytest.mark.parametrize("provider", FACTS)
def test_request_itself_carries_no_key(provider: str) -> None:
    """So nothing that keeps or hashes it can keep a key."""
    sent = api_of(provider, "https://double.test/v1").create(order(provider))
    assert not {name.lower() for name in sent.headers} & {"authorization", "x-api-key", "api-key", "cookie"}
