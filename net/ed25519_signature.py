"""Callbacks signed with Ed25519 (RFC 8032) by a key of a published set (RFC 8037). Pure: the time is an argument."""

import base64
import binascii
import hashlib
from collections.abc import Sequence

SECONDS_MAX = 300  # how far a callback's time may be from ours
TIMESTAMP_DIGITS_MAX = 11
KEYS_MAX = 20  # of one set


def is_signed_by_one_of(keys: object, signature: str, signed: Sequence[str], body: bytes, now: float) -> bool:
    """Whether a key signed these lines, of which the last is the time, and the SHA-256 of the body below them.

    `keys`: the `keys` of a key set. `signature`: in hexadecimal. `now`: epoch seconds.
    """
    sent_at = signed[-1]
    is_time = sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= TIMESTAMP_DIGITS_MAX
    if not isinstance(keys, list) or not is_time or abs(now - int(sent_at)) > SECONDS_MAX:
        return False
    message = "\n".join((*signed, hashlib.sha256(body).hexdigest())).encode(errors="replace")
    try:
        given = bytes.fromhex(signature)
    except ValueError:
        return False
    return any(_signed(message, given, each) for each in keys[:KEYS_MAX])


def _signed(message: bytes, given: bytes, key: object) -> bool:
    # Imported here: loading it takes longer than everything else that a command of the terminal imports from here.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not isinstance(key, dict) or (key.get("kty"), key.get("crv")) != ("OKP", "Ed25519"):
        return False
    try:
        public = base64.urlsafe_b64decode(str(key.get("x")) + "=" * (-len(str(key.get("x"))) % 4))
        Ed25519PublicKey.from_public_bytes(public).verify(given, message)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
