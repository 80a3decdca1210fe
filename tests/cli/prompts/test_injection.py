"""What a user writes cannot change the instructions, the shape of the answer, or reach Jinja: seen on the wire."""

import json
from typing import Any

import pytest

from cli.prompts.cases import Case, load_cases
from pipeline.resources import prompts_folder
from steps.ask_model import ask
from steps.brand import load_brand
from steps.contracts import CONTRACTS
from steps.templates import FENCE_CLOSE, FENCE_OPEN, fenced, load_template
from tests.steps.chat import completion, messages_of, text_model

ATTACKS = [case for case in load_cases(prompts_folder() / "cases") if "injection" in case.group]
ANSWERS: dict[str, dict[str, Any]] = {
    "validate_prompt": {
        "allowed": True, "reasons": [], "explanation": "x", "safe_rewrite": None, "improved_prompt": "x",
        "title": "x", "category": "other", "language": "es",
    },
    "write_caption": {"text": "x", "hashtags": ["#a", "#b", "#c"]},
}  # fmt: skip


async def sent(case: Case, **changes: object) -> dict[str, Any]:
    """The body that goes out for a case."""
    template = load_template(prompts_folder() / f"{case.template}.md")
    async with text_model(completion(ANSWERS[case.template])) as (server, client):
        await ask(client, template, {**case.input, **changes}, CONTRACTS[case.template].output, "m")
    body = json.loads(server.seen[0].body)
    assert body["messages"] == messages_of(server)
    return dict(body)


def free(case: Case) -> list[str]:
    template = load_template(prompts_folder() / f"{case.template}.md")
    return [name for name, spec in template.inputs.items() if spec.free]


def test_there_are_attacks_on_both_templates() -> None:
    assert {case.template for case in ATTACKS} == set(CONTRACTS)
    assert len(ATTACKS) >= 15


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.name)
async def test_an_attack_changes_the_text_in_the_fence_and_nothing_else(case: Case) -> None:
    tame = await sent(case, **dict.fromkeys(free(case), "a boat"))
    wild = await sent(case)
    assert {name: value for name, value in wild.items() if name != "messages"} == {
        name: value for name, value in tame.items() if name != "messages"
    }
    assert len(wild["messages"]) == len(tame["messages"])
    assert [each["role"] for each in wild["messages"]] == [each["role"] for each in tame["messages"]]
    assert wild["messages"][0] == tame["messages"][0], "the instructions"
    before, inside, after = around_fence(wild["messages"][-1]["content"])
    tame_before, _, tame_after = around_fence(tame["messages"][-1]["content"])
    assert (before, after) == (tame_before, tame_after)
    for name in free(case):
        defused = fenced(str(case.input[name])).removeprefix(FENCE_OPEN).removesuffix(FENCE_CLOSE).strip()
        assert defused in inside


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.name)
async def test_an_attack_is_never_rendered(case: Case) -> None:
    brand = load_brand(prompts_folder() / "brand.md")
    words = "{{ 7*7 }} {{ brand.tone }} {% for i in range(9) %}x{% endfor %} {# gone #}"
    name = free(case)[-1]
    body = await sent(case, **{name: words})
    assert words in body["messages"][-1]["content"]
    assert brand.tone not in body["messages"][-1]["content"]


def around_fence(content: str) -> tuple[str, str, str]:
    """What stands before, in and after the one fence."""
    assert content.count(FENCE_OPEN) == content.count(FENCE_CLOSE) == 1
    before, _, rest = content.partition(FENCE_OPEN)
    inside, _, after = rest.partition(FENCE_CLOSE)
    return before, inside, after
