"""What the text model says about a prompt, and what becomes of it."""

import pytest

from steps.text_model.ask_model import Asked, TextModelRefused, TextModelUnusable, open_text_model
from steps.validate_prompt import Brief, Rejected, Verdict, validate_prompt
from tests.cassette.conversation import Talk, template

pytestmark = pytest.mark.vcr

CENT_MICROUSD = 10_000


async def ask(talk: Talk, prompt: str, language: str) -> tuple[Brief | Rejected, Asked[Verdict]]:
    async with open_text_model(talk.text_url, talk.text_key, 30) as client:
        return await validate_prompt(prompt, language, 4, template("validate_prompt"), client, talk.text_model)


async def test_a_harmless_prompt_is_approved_and_improved(talk: Talk) -> None:
    prompt = "a paper boat on a river in the rain"
    brief, asked = await ask(talk, prompt, "en")
    assert isinstance(brief, Brief)
    assert (brief.category, brief.language, asked.value.language) == ("nature", "en", "en")
    assert asked.value.allowed
    assert asked.value.reasons == []
    assert "boat" in brief.title.lower()
    assert len(brief.improved_prompt) > len(prompt)
    assert asked.asks == 1
    assert 0 < talk.text_cost(asked.tokens_in, asked.tokens_out) < CENT_MICROUSD
    (sent,) = talk.requests()
    assert f"<<<user_text\n{prompt}\nuser_text>>>" in sent["messages"][-1]["content"]
    assert sent["model"] == talk.text_model


async def test_a_spanish_prompt_gets_a_spanish_title(talk: Talk) -> None:
    brief, asked = await ask(talk, "un barco de papel en un río bajo la lluvia", "es")
    assert isinstance(brief, Brief)
    assert (brief.category, brief.language, asked.value.language) == ("nature", "es", "es")
    assert "barco" in brief.title.lower()
    assert "barco" in talk.requests()[0]["messages"][-1]["content"]
    assert 0 < talk.text_cost(asked.tokens_in, asked.tokens_out) < CENT_MICROUSD


async def test_a_violent_prompt_is_rejected_with_a_safe_rewrite(talk: Talk) -> None:
    rejected, asked = await ask(talk, "two robots fight until the street is covered in blood", "en")
    assert isinstance(rejected, Rejected)
    assert rejected.reasons == ("violence",)
    assert rejected.explanation
    assert rejected.safe_rewrite is not None
    assert "robots" in rejected.safe_rewrite.lower()
    assert "blood" not in rejected.safe_rewrite.lower()
    assert not asked.value.allowed
    assert asked.value.language == "en"
    assert 0 < talk.text_cost(asked.tokens_in, asked.tokens_out) < CENT_MICROUSD


async def test_a_template_in_a_prompt_reaches_the_model_as_it_was_written(talk: Talk) -> None:
    brief, asked = await ask(talk, "a garden sign that reads {{ 7*7 }}", "en")
    assert isinstance(brief, Brief)
    assert asked.value.language == "en"
    assert (brief.category, brief.language) == ("nature", "en")
    assert "{{ 7*7 }}" in talk.requests()[0]["messages"][-1]["content"]
    assert 0 < talk.text_cost(asked.tokens_in, asked.tokens_out) < CENT_MICROUSD


@pytest.mark.simulator_only
async def test_a_refusal_of_the_model_is_a_refusal_and_is_paid_for(talk: Talk) -> None:
    talk.control("/_sim/faults", {"target": "chat", "kind": "refusal", "times": 2})
    with pytest.raises(TextModelRefused, match=r"declined: I'm sorry, I can't help with that\.") as refused:
        await ask(talk, "a paper boat on a river", "en")
    assert refused.value.asks == 2
    refusals = {answer["choices"][0]["message"]["refusal"] for answer in talk.answers()}
    assert refusals == {"I'm sorry, I can't help with that."}
    assert 0 < talk.text_cost(refused.value.tokens_in, refused.value.tokens_out) < CENT_MICROUSD


@pytest.mark.simulator_only
async def test_an_answer_that_never_fits_is_asked_for_twice_and_no_more(talk: Talk) -> None:
    talk.control("/_sim/faults", {"target": "chat", "kind": "wrong_schema", "times": 2})
    with pytest.raises(TextModelUnusable) as unusable:
        await ask(talk, "a paper boat on a river", "en")
    assert unusable.value.asks == 2
    assert 0 < talk.text_cost(unusable.value.tokens_in, unusable.value.tokens_out) < CENT_MICROUSD
    first, second = talk.requests()
    assert len(second["messages"]) > len(first["messages"])
    assert "allowed" in second["messages"][-1]["content"]


@pytest.mark.simulator_only
async def test_an_answer_that_fits_the_second_time_is_taken_and_both_are_paid_for(talk: Talk) -> None:
    talk.control("/_sim/faults", {"target": "chat", "kind": "invalid_json", "times": 1})
    brief, asked = await ask(talk, "a paper boat on a river", "en")
    assert isinstance(brief, Brief)
    assert (brief.category, asked.value.language, asked.asks) == ("nature", "en", 2)
    assert 0 < talk.text_cost(asked.tokens_in, asked.tokens_out) < CENT_MICROUSD
