"""Answers match the public description of the protocol, which lies beside the repository."""

from typing import Any

import pytest

from tests.simulator.conftest import Open, Provider
from tests.support.openapi import Check

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}, "hashtags": {"type": "array"}}}
CHAT = {
    "model": "gpt-x",
    "messages": [{"role": "user", "content": "<<<user_text\na fox\nuser_text>>>"}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}},
}


def test_schema_check_fails_on_missing_and_unknown_fields(holds: Check) -> None:
    incomplete: list[dict[str, Any]] = [{"id": "video_1"}, {"object": "list", "data": [], "first_id": None}]
    for wrong in incomplete:
        with pytest.raises(AssertionError):
            holds("VideoResource", wrong)
    with pytest.raises(AssertionError):
        holds("DeletedVideoResource", {"id": "v", "object": "video.deleted", "deleted": True, "why": "?"})


async def test_create_retrieve_list_and_delete_match_the_openapi_schema(open_provider: Open, holds: Check) -> None:
    async with open_provider(speed=100.0) as provider:
        _, made = await provider.buy()
        holds("VideoResource", made)
        await provider.ask("POST", "/_sim/speed", json={"speed": "instant"})
        _, seen = await provider.ask("GET", f"/v1/videos/{made['id']}")
        assert seen["status"] == "completed"
        holds("VideoResource", seen)
        await provider.buy()
        for query in ("", "?limit=1", f"?after={made['id']}"):
            _, page = await provider.ask("GET", f"/v1/videos{query}")
            holds("VideoListResource", page)
            for video in page["data"]:
                holds("VideoResource", video)
        _, deleted = await provider.ask("DELETE", f"/v1/videos/{made['id']}")
        holds("DeletedVideoResource", deleted)


async def test_failed_render_matches_the_openapi_schema(provider: Provider, holds: Check) -> None:
    _, video = await provider.buy(prompt="render-fails")
    assert video["status"] == "failed"
    holds("VideoResource", video)


async def test_error_responses_match_the_openapi_schema(provider: Provider, holds: Check) -> None:
    answers = [
        await provider.buy(seconds="5"),
        await provider.buy(prompt="provider-refuse"),
        await provider.ask("GET", "/v1/videos/none"),
        await provider.ask("GET", "/v1/videos?limit=x"),
        await provider.ask("GET", "/v1/videos", headers={"Authorization": ""}),
        await provider.ask("POST", "/v1/chat/completions", data=b"{"),
    ]
    for status in (429, 500):
        await provider.trouble("create", "status", status=status)
        answers.append(await provider.buy())
    for status, answer in answers:
        assert status >= 400
        holds("ErrorResponse", answer)


@pytest.mark.parametrize("kind", [None, "refusal", "invalid_json", "wrong_schema", "cut_short"])
async def test_chat_completions_match_the_openapi_schema_with_and_without_faults(
    provider: Provider, holds: Check, kind: str | None
) -> None:
    if kind is not None:
        await provider.trouble("chat", kind)
    status, completion = await provider.ask("POST", "/v1/chat/completions", json=CHAT)
    assert status == 200
    holds("CreateChatCompletionResponse", completion)
    holds("ChatCompletionResponseMessage", completion["choices"][0]["message"])
    holds("CompletionUsage", completion["usage"])
