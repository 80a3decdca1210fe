"""Whether an answer came from a cache, by the headers of the caches in use."""

import pytest

from net.caching import is_cached


@pytest.mark.parametrize(
    "headers",
    [
        {"age": "9"},
        {"x-cache": "HIT"},
        {"x-cache": "TCP_HIT"},  # Azure Front Door
        {"x-cache": "TCP_MEM_HIT from a23-1-2-3 (AkamaiGHost/9.5)"},
        {"x-cache": "Hit from cloudfront"},
        {"x-vercel-cache": "HIT"},
        {"x-varnish": "32770 3"},
        {"x-cache-hits": "3"},  # Fastly
        {"x-cache-hits": "0, 1"},
        {"server-timing": "cdn-cache; desc=HIT"},
        {"cf-cache-status": "STALE"},
        {"cache-status": "ExampleCache; hit"},  # RFC 9211
        {"cf-aig-cache-status": "HIT"},
        {"helicone-cache": "HIT"},
        {"x-portkey-cache-status": "SEMANTIC HIT"},
    ],
    ids=str,
)
def test_cache_hit_headers_are_recognized(headers: dict[str, str]) -> None:
    assert is_cached(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"age": "0"},
        {"x-cache": "MISS"},
        {"x-cache": "TCP_MISS"},
        {"x-cache": "Miss from cloudfront"},
        {"x-varnish": "32770"},
        {"x-cache-hits": "0"},
        {"server-timing": "cdn-cache; desc=MISS, edge; dur=1, origin; dur=17"},
        {"cf-cache-status": "DYNAMIC"},
        {"cache-status": "ExampleCache; fwd=uri-miss"},
        {"x-portkey-cache-status": "DISABLED"},
    ],
    ids=str,
)
def test_responses_without_cache_hit_headers_are_not_cached(headers: dict[str, str]) -> None:
    assert not is_cached(headers)
