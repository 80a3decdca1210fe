"""What a gateway's headers say of its own attempts."""

import httpx2
import pytest

from providers.response import ATTEMPTS_MAX, gateway_attempts


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [
        ({}, 0),
        ({"x-litellm-attempted-retries": "2", "x-litellm-attempted-fallbacks": "1"}, 3),
        ({"x-envoy-attempt-count": "3", "cf-aig-step": "1"}, 3),
        ({"x-envoy-attempt-count": "not a number", "cf-aig-step": ""}, 2),
        ({"x-litellm-attempted-retries": "999"}, 999),
        ({"x-litellm-attempted-retries": "9" * 9}, ATTEMPTS_MAX),
        ({"x-litellm-attempted-retries": "9" * 9, "x-litellm-attempted-fallbacks": "9" * 9}, ATTEMPTS_MAX),
        ({"x-litellm-attempted-retries": "9" * 10}, 1),
        ({"x-litellm-attempted-retries": "-9"}, 1),
    ],
)
def test_attempts_of_all_headers_are_added_up_to_a_number_that_the_ledger_takes(
    headers: dict[str, str], attempts: int
) -> None:
    assert gateway_attempts(httpx2.Headers(headers)) == attempts
