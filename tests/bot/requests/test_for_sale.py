"""What is for sale: several models, each with its own prices, lengths and formats."""

from dataclasses import replace

import pytest

from bot.requests.for_sale import ForSale
from bot.settings import settings_page, short
from bot.translations import Words
from pipeline.ledger.users import Preferences
from providers.catalogue import VideoModel
from tests.pipeline.purchase.evidence_rows import run

SIM = VideoModel("sim-1", None, 100_000, (4, 8, 12), ("720x1280", "1280x720"), "here")
FAL = VideoModel("veo", None, 150_000, (4, 6, 8), ("720x1280",), "fal", provider="fal")
LONG = replace(FAL, name="long", seconds=tuple(range(4, 16)))
OTHERS = (
    ForSale(FAL, "http://fal", "fal-fp", "json", 8, "720x1280"),
    ForSale(LONG, "http://fal", "fal-fp", "json", 8, "720x1280"),
)
SHOP = ForSale(SIM, "http://sim", "fp", "multipart", 8, "720x1280", others=OTHERS)
WORDS = Words("en")


def test_offer_is_found_by_its_name_and_the_default_stands_for_any_other() -> None:
    assert SHOP.of("fal/veo").model is FAL
    assert SHOP.of(None) is SHOP
    assert SHOP.of("fal/gone") is SHOP


def test_offer_of_a_run_is_where_it_was_ordered() -> None:
    ordered = run(provider="fal", model="veo", base_url="http://fal", key_fingerprint="fal-fp")
    assert SHOP.for_run(ordered).model is FAL
    assert SHOP.for_run(ordered).sold(ordered)
    for other in (
        replace(ordered, provider="openai"),
        replace(ordered, model="gone"),
        replace(ordered, base_url="http://x"),
        replace(ordered, key_fingerprint="other"),
    ):
        assert SHOP.for_run(other) is SHOP and not SHOP.sold(other)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        ((4, 8, 12), (4, 8, 12)),
        (tuple(range(4, 16)), (4, 8, 11, 15)),
        ((2, 3, 4, 5, 8), (2, 3, 5, 8)),
        ((), (4, 8, 12)),
    ],
)
def test_few_lengths_are_shown_and_the_usual_one_is_among_them(
    seconds: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    offer = replace(SHOP, model=replace(SIM, seconds=seconds))
    assert offer.lengths == shown


def test_settings_show_the_models_and_the_price_of_the_chosen_one() -> None:
    text, keyboard = settings_page(Preferences(model="fal/veo"), 1, WORDS, SHOP)
    labels = [button.text for row in keyboard.inline_keyboard for button in row]
    assert "$1.20 a video" in text and "Model: fal/veo" in text
    assert {"sim-1", "● fal/veo", "fal/long"} <= set(labels)
    assert {"4 s", "6 s", "● 8 s"} <= set(labels) and "12 s" not in labels
    assert all(len(button.callback_data or "") <= 64 for row in keyboard.inline_keyboard for button in row)


def test_settings_of_a_bot_with_one_model_name_none() -> None:
    text, keyboard = settings_page(Preferences(), 1, WORDS, replace(SHOP, others=()))
    labels = [button.text for row in keyboard.inline_keyboard for button in row]
    assert "Model" not in text and "sim-1" not in "".join(labels)


def test_request_is_for_the_provider_and_in_its_words() -> None:
    request = SHOP.of("fal/veo").request(
        "a paper boat", "tg:1", "key", {"language": "en"}, chosen=Preferences(), confirm=False
    )
    assert (request.provider, request.model, request.base_url) == ("fal", "veo", "http://fal")
    assert request.price_microusd == 1_200_000 and request.callback_url is None


def test_request_has_an_address_of_its_own_to_call_back() -> None:
    offer = replace(SHOP.of("fal/veo"), public_url="https://bot.example")
    both = [
        offer.request("a boat", "tg:1", "key", {"language": "en"}, chosen=Preferences(), confirm=False).callback_url
        for _ in range(2)
    ]
    assert all(url and url.startswith("https://bot.example/callbacks/fal/") for url in both)
    assert both[0] != both[1]


def test_short_names_of_offers_differ() -> None:
    assert short("fal/veo") != short("fal/long")
