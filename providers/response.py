"""The parts of an HTTP answer besides its meaning: its text, its `Location`, a gateway's own attempts. Pure."""

import httpx2

from net.error_text import storable

# Headers in which gateways count the requests they sent for ours, and the value if there was only one.
GATEWAY_ATTEMPTS = {
    "x-litellm-attempted-retries": 0,
    "x-litellm-attempted-fallbacks": 0,
    "x-portkey-retry-attempt-count": 0,
    "ngrok-aig-attempts": 1,
    "x-envoy-attempt-count": 1,
    "cf-aig-step": 0,
}
COUNT_DIGITS_MAX = 9
ATTEMPTS_MAX = 1000  # more is a made-up number, and several headers of nine digits would not fit the ledger's column


def same_server(url: httpx2.URL, home: httpx2.URL) -> bool:
    """The same scheme, host and port, or the same host upgraded from plain HTTP to TLS on the default ports."""
    if (url.scheme, url.host, url.port) == (home.scheme, home.host, home.port):
        return True
    upgraded = (home.scheme, url.scheme) == ("http", "https") and (home.port, url.port) == (None, None)
    return upgraded and url.host == home.host


def body_of(response: httpx2.Response) -> str:
    """As UTF-8, whatever charset the header names: some make the decoder fail, and JSON is always UTF-8."""
    try:
        return response.content.decode(errors="replace")
    except (httpx2.HTTPError, httpx2.StreamError):
        return ""


def path_of(location: str) -> str:
    """The path alone: the query after it may be a signature."""
    try:
        return storable(httpx2.URL(location).path) if location else ""
    except httpx2.InvalidURL:
        return ""


def gateway_attempts(headers: httpx2.Headers) -> int:
    """How many further requests a gateway says it sent for this one; ATTEMPTS_MAX at most."""
    told = ((headers[name].strip(), only) for name, only in GATEWAY_ATTEMPTS.items() if name in headers)
    return min(ATTEMPTS_MAX, sum(max(0, int(count) - only) if _is_count(count) else 1 for count, only in told))


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= COUNT_DIGITS_MAX
