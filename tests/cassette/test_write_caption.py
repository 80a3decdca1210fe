"""The words that go out with a clip."""

import pytest

from steps.text_model.ask_model import Asked, open_text_model
from steps.validate_prompt import Brief
from steps.write_caption import CAPTION_UNITS_MAX, Caption, CaptionDraft, joined, units, write_caption
from tests.cassette.conversation import BARCO, BOAT, Talk, template

pytestmark = pytest.mark.vcr


async def caption_of(talk: Talk, brief: Brief) -> tuple[Caption, Asked[CaptionDraft]]:
    async with open_text_model(talk.text_url, talk.text_key, 30) as client:
        return await write_caption(brief, brief.language, template("write_caption"), client, talk.text_model)


async def test_an_english_caption_fits_and_speaks_of_the_clip(talk: Talk) -> None:
    caption, asked = await caption_of(talk, BOAT)
    assert "boat" in caption.text.lower()
    assert 3 <= len(set(caption.hashtags)) == len(caption.hashtags) <= 8
    assert all(tag.startswith("#") and tag[1:].isalnum() for tag in caption.hashtags)
    assert units(joined(caption.text, caption.hashtags)) <= CAPTION_UNITS_MAX
    assert 0 < talk.text_cost(asked.tokens_in, asked.tokens_out) < 10_000
    sent, *_ = talk.requests()  # a word that the brand bans makes a second one
    assert BOAT.improved_prompt in sent["messages"][-1]["content"]
    assert "language: en" in sent["messages"][0]["content"].splitlines()


async def test_a_spanish_caption_is_asked_for_in_spanish(talk: Talk) -> None:
    caption, asked = await caption_of(talk, BARCO)
    assert "barco" in caption.text.lower()
    assert 3 <= len(set(caption.hashtags)) == len(caption.hashtags) <= 8
    assert 0 < talk.text_cost(asked.tokens_in, asked.tokens_out) < 10_000
    assert "language: es" in talk.requests()[0]["messages"][0]["content"].splitlines()
