"""Callbacks signed as the Standard Webhooks specification says. Pure: the time is an argument.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
from collections.abc import Mapping

SECONDS_MAX = 300  # how far a callback's time may be from ours
TIMESTAMP_DIGITS_MAX = 11


def is_signed(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Whether the body is signed with this secret, at most five minutes from `now` (epoch seconds).

    `webhook-signature` holds one or more of `v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`, separated by spaces.
    `headers`: names in lower case. `secret`: `whsec_<base64>`.
    """
    sent_as, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = _decoded(secret.removeprefix("whsec_"))
    is_time = sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= TIMESTAMP_DIGITS_MAX
    if not key or not sent_as or not is_time or abs(now - int(sent_at)) > SECONDS_MAX:
        return False
    right = hmac.digest(key, f"{sent_as}.{sent_at}.".encode(errors="replace") + body, "sha256")
    given = (each.partition(",") for each in headers.get("webhook-signature", "").split())
    return any(hmac.compare_digest(_decoded(value), right) for version, _, value in given if version == "v1")


def _decoded(text: str) -> bytes:
    """Empty if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
