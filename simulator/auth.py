"""Authentication: the bearer key, and its fingerprint for the books."""

import hashlib

from aiohttp import web

from simulator.state import STATE
from simulator.videos.errors import refusal

FINGERPRINT_CHARACTERS = 12


def bearer(request: web.Request) -> str | None:
    """The bearer key of the request, or None if the header is missing or of another kind."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def fingerprint(key: str | None) -> str | None:
    """Enough of a hash to tell keys apart; the books never store a key."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]


def turned_away(request: web.Request) -> web.Response | None:
    """The 401 for a missing or unknown key, or None for a valid one."""
    key = bearer(request)
    allowed = request.app[STATE].settings.api_keys
    if key is None:
        return refusal(401, "You didn't provide an API key.", code="missing_api_key")
    if allowed is not None and key not in allowed:
        return refusal(401, "Incorrect API key provided.", code="invalid_api_key")
    return None
