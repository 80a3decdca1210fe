"""Whether OpenRouter sent a callback."""

import hashlib
import hmac
from typing import Any

import pytest

from providers.vendors.openrouter import verify_callback

SECRET = "a secret of the workspace"
NOW = 1_700_000_000.0
BODY = b'{"type": "video.generation.completed", "data": {"id": "gen-vid-1"}}'


def signature(sent_at: str = "1700000000", body: bytes = BODY, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), f"{sent_at},".encode() + body, hashlib.sha256).hexdigest()


SIGNED = f"t=1700000000,v1={signature()}"


def verified(header: str = SIGNED, body: bytes = BODY, secret: str = SECRET, now: float = NOW) -> bool:
    return verify_callback({"x-openrouter-signature": header}, body, secret, now)


def test_signed_callback_is_verified_for_five_minutes() -> None:
    assert verified()
    assert verified(now=NOW + 300) and verified(now=NOW - 300)
    assert not verified(now=NOW + 301) and not verified(now=NOW - 301)


def test_signature_known_from_another_implementation_is_verified() -> None:
    """`printf '1700000000,{}' | openssl dgst -sha256 -hmac dev_secret`."""
    known = "bacdd267024c88db3912de7c03e346680375730ddd796d002a314e64ddbcbb20"
    assert verify_callback({"x-openrouter-signature": f"t=1700000000, v1={known}"}, b"{}", "dev_secret", NOW)


def test_one_of_several_signatures_is_enough() -> None:
    assert verified(f"t=1700000000,v1=00,v1={signature()}")


@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY + b" "},
        {"secret": "another"},
        {"secret": ""},
        {"secret": "", "header": f"t=1700000000,v1={signature(secret='')}"},
        {"header": ""},
        {"header": f"v1={signature()}"},
        {"header": "t=1700000000"},
        {"header": "t=1700000000,v1="},
        {"header": f"t=1700000000,v0={signature()}"},
        {"header": f"t=1700000001,v1={signature()}"},
        {"header": f"t=1700000000,t=1700000000,v1={signature()}"},
        {"header": f"t=1700000000.0,v1={signature('1700000000.0')}"},
        {"header": f"t=-1,v1={signature('-1')}"},
        {"header": f"t={'9' * 5000},v1={signature()}"},
        {"header": f"t=1700000000,v1={signature().upper()}"},
        {"header": "t=1700000000,v1=\udcff"},
        {"header": f"t=1700000000,v1={signature()[:-1]}"},
    ],
)
def test_any_other_callback_is_not_verified(changes: dict[str, Any]) -> None:
    assert not verified(**changes)


def test_callback_without_the_header_is_not_verified() -> None:
    assert not verify_callback({}, BODY, SECRET, NOW)
