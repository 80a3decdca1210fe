"""Whether an answer comes from a cache. Pure.

Two answers from one cache count as one look at the provider (rule 2), and an old list proves nothing (rule 6).
"""

import re
from collections.abc import Mapping

CACHE_SAYS = (
    *("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status", "cache-status"),  # nginx, CDNs, RFC 9211
    *("x-vercel-cache", "server-timing", "cf-aig-cache-status", "helicone-cache", "x-portkey-cache-status"),
)
CACHE_HIT = re.compile(r"(?<![a-z])(?:hit|stale|updating)(?![a-z])")  # Azure and Akamai write TCP_HIT
COUNTED = re.compile(r"[1-9]")  # Fastly counts its hits
TWO_IDS = re.compile(r"\d+ \d+")  # Varnish: ids of this request, and of the one that filled the cache
FROM_A_CACHE = "a cache gave this answer, and it may be old"


def is_cached(headers: Mapping[str, str]) -> bool:
    """By `Age` (RFC 9111), or by the cache's own headers. Header names in lower case."""
    told = " ".join(headers.get(name, "") for name in CACHE_SAYS).lower()
    counted = COUNTED.search(headers.get("x-cache-hits", "")) or TWO_IDS.search(headers.get("x-varnish", ""))
    return headers.get("age", "").strip() not in {"", "0"} or bool(counted or CACHE_HIT.search(told))
