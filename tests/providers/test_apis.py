"""The registry of providers, and how a lost answer ends at each."""

from dataclasses import replace
from typing import Any

import pytest

from providers.apis import APIS, api_of, facts_of, key_names, lost_answer_words
from providers.openai_videos.protocol import FACTS
from providers.orders import OPENAI
from providers.port import Callback, Marker

HOUR = 3600


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"marker": Marker.OWN_ID, "has_list": False}, "found by itself"),
        ({"marker": Marker.ECHOED_REQUEST}, "found by itself"),
        ({"marker": Marker.ECHOED_FIELD}, "found by itself"),
        ({"marker": Marker.ECHOED_REQUEST, "record_seconds": HOUR}, "found by itself within 1 hour"),
        ({"marker": Marker.OWN_ID, "record_seconds": 24 * HOUR}, "found by itself within 24 hours"),
        ({"marker": Marker.ECHOED_FIELD, "record_seconds": 7 * 24 * HOUR}, "found by itself"),
        ({"marker": Marker.ECHOED_REQUEST, "has_list": False}, "a person"),
        ({"marker": Marker.CALLBACK, "callback": Callback.SIGNED}, "by callback, else a person"),
        ({"marker": Marker.CALLBACK, "callback": Callback.UNSIGNED}, "by callback, else a person"),
        ({"marker": Marker.CALLBACK}, "a person"),
        ({"marker": Marker.NONE, "has_list": False}, "a person"),
    ],
)
def test_words_say_how_an_order_ends_whose_answer_was_lost(changes: dict[str, Any], words: str) -> None:
    assert lost_answer_words(replace(FACTS, **changes)) == words


@pytest.mark.parametrize("provider", APIS)
def test_every_provider_is_registered_under_its_own_name_and_says_which_settings_hold_its_key(provider: str) -> None:
    facts = facts_of(provider)
    assert facts is not None
    assert facts.name == provider
    assert key_names()[provider] == facts.key_names != ()
    assert api_of(provider, "https://double.example").base_url == "https://double.example"


def test_unknown_provider_has_no_facts() -> None:
    assert facts_of("nobody") is None
    assert OPENAI in key_names()
