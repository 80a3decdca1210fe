"""What a chat reads on a card."""

import pytest

from bot import messages
from bot.delivery.cards import Scene, card
from bot.requests.for_sale import ForSale
from bot.translations import Words
from pipeline.ledger.records import State
from providers.catalogue import VideoModel
from tests.bot.harness import plain
from tests.cli.runs import NOW, run_in

OFFER = ForSale(VideoModel("sim-1", None, 100_000, (8,), (), "here"), "http://x/v1", "fp", "json", 8, "720x1280")


@pytest.mark.parametrize(
    ("language", "on_the_card", "in_a_list"),
    [
        (
            "en",
            "Your video seems to have failed; I am checking once more. Nothing is decided yet.",
            "seems to have failed; I am checking once more",
        ),
        (
            "es",
            "Parece que tu video falló; lo compruebo una vez más. Todavía no hay nada decidido.",
            "parece que falló; lo compruebo una vez más",
        ),
    ],
)
def test_run_seen_failing_once_is_shown_as_not_decided_yet(language: str, on_the_card: str, in_a_list: str) -> None:
    run = run_in(State.RENDERING, improved_prompt="a boat", failing_since=NOW, failing_words="content policy")
    words = Words(language)

    said = plain(card(run, words, Scene(OFFER)).text)

    assert on_the_card in said and "0.80" in said and "content policy" not in said
    assert messages.state(run, words) == in_a_list


@pytest.mark.parametrize("sign", ["\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068"])
def test_text_direction_characters_are_removed_from_a_card(sign: str) -> None:
    """Of a title that is in the ledger already, or of the prompt."""
    run = run_in(State.RENDERING, title=f"a {sign}boat", prompt=f"a {sign}boat", improved_prompt=f"a {sign}boat")
    said = card(run, Words("en"), Scene(OFFER)).text
    assert sign not in said and "a boat" in said


@pytest.mark.parametrize(
    ("language", "detail", "said"),
    [
        (
            "en",
            "I cannot make this video because it centres on weapons.",
            "turned down. I cannot make this video because",
        ),
        ("es", "No puedo hacer este video porque muestra armas.", "no se aceptó. No puedo hacer este video porque"),
        ("en", None, "turned down. It breaks the rules. Nothing was charged."),
        ("es", None, "no se aceptó. Incumple las reglas. No se cobró nada."),
    ],
)
def test_rejection_card_gives_the_reason_in_whole_sentences(language: str, detail: str | None, said: str) -> None:
    run = run_in(State.REJECTED, detail=detail)
    assert said in plain(card(run, Words(language), Scene(OFFER)).text)


def test_order_sent_before_a_restore_is_not_called_uncharged_and_offers_no_second_order() -> None:
    """The ledger forgot that its one request was sent; the provider may have charged it."""
    shown = card(run_in(State.FAILED, reason="already_sent"), Words("en"), Scene(OFFER))
    assert "It was not ordered or charged again." in plain(shown.text) and "Nothing was charged" not in shown.text
    assert shown.keyboard is None or not shown.keyboard.inline_keyboard
    failed = card(run_in(State.FAILED, reason="render_failed"), Words("en"), Scene(OFFER))
    assert "Nothing was charged" in plain(failed.text)
