"""Signatures of callbacks, against the example of the specification and against forgeries."""

import base64
import hmac

import pytest

from net.standard_webhooks import is_signed

# The example of the specification's own libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENT_AS = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT_AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": SENT_AS, "webhook-timestamp": str(SENT_AT), "webhook-signature": SIGNATURE}


def test_example_of_the_specification_is_signed() -> None:
    assert is_signed(HEADERS, BODY, SECRET, SENT_AT)
    assert is_signed(HEADERS, BODY, SECRET.removeprefix("whsec_"), SENT_AT)


def test_one_right_signature_of_several_is_enough() -> None:
    several = f"v1,{base64.b64encode(b'x' * 32).decode()} v1a,AAAA {SIGNATURE}"
    assert is_signed(HEADERS | {"webhook-signature": several}, BODY, SECRET, SENT_AT)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_another"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(SENT_AT + 1)},
        {"webhook-timestamp": f"+{SENT_AT}"},
        {"webhook-timestamp": f"{SENT_AT}.0"},
        {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook-signature": SIGNATURE.removeprefix("v1,")},
        {"webhook-signature": SIGNATURE.replace("g0", "h0")},
        {"webhook-signature": "v1,señal"},
    ],
)
def test_changed_callback_is_not_signed(changed: dict[str, str]) -> None:
    assert not is_signed(HEADERS | changed, BODY, SECRET, SENT_AT)


def test_changed_body_and_missing_headers_are_not_signed() -> None:
    assert not is_signed(HEADERS, BODY + b" ", SECRET, SENT_AT)
    assert not is_signed({}, BODY, SECRET, SENT_AT)


@pytest.mark.parametrize(("apart", "signed"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_old_callback_is_a_replay(apart: int, signed: bool) -> None:
    assert is_signed(HEADERS, BODY, SECRET, SENT_AT + apart) is signed


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"])
def test_wrong_secret_signs_nothing(secret: str) -> None:
    assert not is_signed(HEADERS, BODY, secret, SENT_AT)


def test_empty_secret_is_not_a_key_that_everybody_knows() -> None:
    forged = hmac.digest(b"", f"{SENT_AS}.{SENT_AT}.".encode() + BODY, "sha256")
    signature = f"v1,{base64.b64encode(forged).decode()}"
    assert not is_signed(HEADERS | {"webhook-signature": signature}, BODY, "", SENT_AT)
