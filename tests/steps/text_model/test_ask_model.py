"""The only way to the text model: at most two asks, every token counted, every failure named."""

import asyncio
import gzip
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from steps.text_model.ask_model import (
    Asked,
    TextModelError,
    TextModelRefused,
    TextModelUnreachable,
    TextModelUnusable,
    ask,
    open_text_model,
)
from steps.text_model.templates import Template, load_template
from tests.providers.scripted import Reply, Server, answer, in_turn, scripted
from tests.steps.text_model.chat import KEY, completion, messages_of, text_model

TEMPLATE = """---
id: number
purpose: to have something to ask
inputs: {word: {type: str, example: seven}}
output: Number
model: %s
settings: {max_tokens: 50}
languages: [en]
---
## system
language: en
## user
{{ fenced(word) }}
"""


class Number(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: int


def template(folder: Path, model: str = "null") -> Template:
    path = folder / "number.md"
    path.write_text(TEMPLATE % model, encoding="utf-8")
    return load_template(path)


GOOD, BAD = completion({"value": 7}), completion({"value": "seven"})


@pytest.mark.asyncio
async def test_valid_answer_takes_one_request_without_tools(tmp_path: Path) -> None:
    async with text_model(GOOD) as (server, client):
        asked = await ask(client, template(tmp_path), {"word": "x"}, Number, "gpt-6-luna")
    assert (asked.value.value, asked.tokens_in, asked.tokens_out, asked.asks) == (7, 100, 20, 1)
    body = json.loads(server.seen[0].body)
    assert body["model"] == "gpt-6-luna"
    assert body["max_tokens"] == 50
    assert body["response_format"]["json_schema"]["schema"]["properties"].keys() == {"value"}
    assert "tools" not in body
    assert server.seen[0].path == "/v1/chat/completions"


@pytest.mark.asyncio
async def test_invalid_answer_is_retried_once_with_the_validation_error(tmp_path: Path) -> None:
    async with text_model(BAD, GOOD) as (server, client):
        asked = await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert (asked.value.value, asked.tokens_in, asked.tokens_out, asked.asks) == (7, 200, 40, 2)
    assert "integer" in json.dumps(messages_of(server, 1))


REFUSED_SCHEMA = answer(400, {"error": {"message": "This response_format type is unavailable now"}})
REFUSED_OBJECT = answer(
    422, {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]}
)


def form_of(server: Server, ask: int) -> str | None:
    form = json.loads(server.seen[ask].body).get("response_format")
    return form["type"] if form else None


@pytest.mark.asyncio
async def test_endpoint_without_json_schema_falls_back_and_the_fallback_is_remembered(tmp_path: Path) -> None:
    fenced = completion('```json\n{"value": 7}\n```')
    async with text_model(REFUSED_SCHEMA, REFUSED_OBJECT, fenced) as (server, client):
        asked = await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
        again = await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert [form_of(server, at) for at in range(4)] == ["json_schema", "json_object", None, None]
    assert (asked.value.value, asked.asks, again.value.value, again.asks) == (7, 3, 7, 1)
    assert '\\"value\\"' in server.seen[1].body.decode(), "without a schema, the message says what is wanted"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "refusal",
    [
        answer(400, {"error": {"message": "JSON mode is not enabled for this model"}}),
        answer(400, {"error": {"message": "Failed to compile grammar"}}),
        answer(400, {"error": {"message": "Invalid schema: additionalProperties"}}),
        answer(404, {"error": {"message": "No endpoints found that can handle the requested parameters."}}),
        answer(200, {"error": {"message": "response_format is not available", "code": 400}}),
        answer(500, {"error": {"message": "response_format is not implemented"}}),
    ],
    ids=lambda reply: reply.raw.decode().partition("message")[2][4:24],
)
async def test_response_format_errors_are_recognized_in_many_wordings(refusal: Reply, tmp_path: Path) -> None:
    async with text_model(refusal, GOOD) as (server, client):
        asked = await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert [form_of(server, at) for at in range(2)] == ["json_schema", "json_object"]
    assert (asked.value.value, asked.asks) == (7, 2)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(answer(400, {"error": {"message": "Unknown model"}}), id="about something else"),
        pytest.param(answer(500, {"error": {"message": "response_format crashed"}}), id="a broken server"),
        pytest.param(answer(401, {"error": {"message": "response_format"}}), id="a wrong key"),
    ],
)
async def test_other_errors_do_not_trigger_the_response_format_fallback(refusal: Reply, tmp_path: Path) -> None:
    async with text_model(refusal, GOOD) as (server, client):
        with pytest.raises(TextModelUnreachable):
            await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert len(server.seen) == 1


@pytest.mark.asyncio
async def test_endpoint_rejecting_every_response_format_is_asked_three_times(tmp_path: Path) -> None:
    async with text_model(REFUSED_SCHEMA) as (server, client):
        with pytest.raises(TextModelUnreachable, match="HTTP 400") as caught:
            await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert (caught.value.asks, len(server.seen)) == (3, 3)


@pytest.mark.asyncio
async def test_slowly_dripping_text_model_times_out(tmp_path: Path) -> None:
    """Some gateways send blanks to keep a connection alive; each one restarts the client's own timeout."""
    head = b"HTTP/1.1 200 -\r\ncontent-type: application/json\r\n\r\n"
    script = in_turn(Reply(head + b" " * 1000, drip=0.05))
    async with scripted(script) as server, open_text_model(server.url, KEY, 2) as client:
        async with asyncio.timeout(40):  # the blanks take fifty seconds
            with pytest.raises(TextModelUnreachable, match="in time"):
                await ask(client, template(tmp_path), {"word": "x"}, Number, "m")


@pytest.mark.asyncio
async def test_template_model_overrides_the_default_model(tmp_path: Path) -> None:
    async with text_model(GOOD) as (server, client):
        await ask(client, template(tmp_path, "own-model"), {"word": "x"}, Number, "gpt-6-luna")
    assert json.loads(server.seen[0].body)["model"] == "own-model"


@pytest.mark.asyncio
async def test_template_syntax_in_user_text_is_not_rendered_even_on_retry(tmp_path: Path) -> None:
    words = "{{ 7*7 }} {% for x in y %} {{ fenced(word) }}"
    async with text_model(BAD, GOOD) as (server, client):
        await ask(client, template(tmp_path), {"word": words}, Number, "m")
    for turn in (0, 1):
        sent = json.dumps(messages_of(server, turn))
        assert words in sent
        assert "49" not in sent


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("replies", "failure", "spent", "says"),
    [
        pytest.param([BAD], TextModelUnusable, (200, 40, 2), "never fitted", id="never valid"),
        pytest.param([completion("no JSON")], TextModelUnusable, (200, 40, 2), "never fitted", id="prose"),
        pytest.param([completion(None)], TextModelUnusable, (200, 40, 2), "never fitted", id="nothing"),
        pytest.param(
            [completion(None, refusal="I cannot help with that")],
            TextModelRefused,
            (200, 40, 2),
            "I cannot help with that",
            id="a refusal",
        ),
        pytest.param(
            [completion({"value": 7}, finish="content_filter")], TextModelRefused, (200, 40, 2), "filter", id="filtered"
        ),
        pytest.param(
            [answer(400, {"error": {"code": "content_filter", "message": "Filtered by policy"}})],
            TextModelRefused,
            (0, 0, 1),
            "filter",
            id="a filtered question",
        ),
        pytest.param([completion('{"va', finish="length")], TextModelUnusable, (100, 20, 1), "cut off", id="cut off"),
        pytest.param(
            [BAD, completion('{"va', finish="length")],
            TextModelUnusable,
            (200, 40, 2),
            "cut off",
            id="cut off later",
        ),
        pytest.param([completion("", choices=[])], TextModelUnusable, (100, 20, 1), "never fitted", id="no choices"),
        pytest.param([completion("", choices=None)], TextModelUnusable, (100, 20, 1), "never", id="null choices"),
        pytest.param([answer(200, "<html>")], TextModelUnusable, (0, 0, 2), "never fitted", id="a web page"),
        pytest.param(
            [answer(200, "<html>", content_type="text/html")],
            TextModelUnusable,
            (0, 0, 2),
            r"is /v1 missing in OPENAI_BASE_URL\?",
            id="a web page by its type",
        ),
        pytest.param([answer(404, {})], TextModelUnreachable, (0, 0, 1), "is /v1 missing", id="no such path"),
        pytest.param([answer(200, [1])], TextModelUnusable, (0, 0, 2), "never fitted", id="another JSON"),
        pytest.param([answer(200, {"error": "x"})], TextModelUnusable, (0, 0, 1), "never", id="an error as 200"),
        pytest.param([answer(401, {"error": KEY})], TextModelUnreachable, (0, 0, 1), "OPENAI_API_KEY", id="wrong key"),
        pytest.param([answer(500)], TextModelUnreachable, (0, 0, 1), "HTTP 500", id="a broken server"),
        pytest.param([answer(429)], TextModelUnreachable, (0, 0, 1), "HTTP 429", id="too many"),
        pytest.param(
            [answer(200, gzip.compress(bytes(20_000_000)), content_encoding="gzip")],
            TextModelUnreachable,
            (0, 0, 1),
            "cannot be reached",
            id="a gzip bomb",
        ),
        pytest.param([Reply(b"")], TextModelUnreachable, (0, 0, 1), "cannot be reached", id="hung up"),
        pytest.param([BAD, answer(503)], TextModelUnreachable, (100, 20, 2), "HTTP 503", id="gone the second time"),
    ],
)
async def test_each_text_model_failure_has_its_error_type_and_cost(
    replies: list[Reply],
    failure: type[TextModelError],
    spent: tuple[int, int, int],
    says: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with text_model(*replies) as (server, client):
        with pytest.raises(failure, match=says) as caught:
            await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    error = caught.value
    assert (error.tokens_in, error.tokens_out, error.asks) == spent
    assert len(server.seen) == spent[2]
    assert KEY not in str(error)
    assert capfd.readouterr().err == ""


@pytest.mark.asyncio
async def test_refused_text_model_connection_is_unreachable(tmp_path: Path) -> None:
    async with open_text_model("http://127.0.0.1:9/v1", KEY, 2) as client:
        with pytest.raises(TextModelUnreachable, match="cannot be reached"):
            await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert logging.getLogger("instructor").level == logging.CRITICAL


@pytest.mark.asyncio
async def test_silent_text_model_is_unreachable_after_the_timeout(tmp_path: Path) -> None:
    silent = scripted(in_turn(Reply(b"", then_hang=True)))
    async with silent as server, open_text_model(server.url, KEY, 0.2) as client:
        with pytest.raises(TextModelUnreachable, match="cannot be reached"):
            await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert len(server.seen) == 1


@pytest.mark.asyncio
async def test_answer_without_token_usage_is_accepted_with_zero_tokens(tmp_path: Path) -> None:
    async with text_model(completion({"value": 7}, usage=None)) as (_, client):
        asked: Asked[Number] = await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert (asked.value.value, asked.tokens_in, asked.tokens_out) == (7, 0, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("told", [10**13, 10**30, -5, float("inf"), "many", 200_001], ids=str)
async def test_implausible_token_usage_is_estimated_from_the_messages(told: object, tmp_path: Path) -> None:
    usage = {"prompt_tokens": told, "completion_tokens": told, "total_tokens": told}
    async with text_model(completion({"value": 7}, usage=usage)) as (server, client):
        asked: Asked[Number] = await ask(client, template(tmp_path), {"word": "x"}, Number, "m")
    assert asked.value.value == 7
    assert 100 < asked.tokens_in < 2 * len(server.seen[0].body), "as many as the messages have bytes"
    assert 10 < asked.tokens_out < 1000


TALK = """
import asyncio, sys
from providers.transport import open_provider
from tests.steps.text_model.chat import completion, text_model
from tests.providers.openai_videos.test_videos_protocol import ORDER

class Number(__import__("pydantic").BaseModel):
    value: int

async def talk():
    async with text_model(completion({"value": 7})) as (server, client):
        await client.answer([{"role": "user", "content": "a red kite"}], Number, "m", {})
        async with open_provider(server.url, "a-key-of-the-provider") as provider:
            await provider.post(ORDER, lambda: None)

asyncio.run(talk())
"""


def test_environment_variables_cannot_make_the_libraries_log_prompts() -> None:
    talked = subprocess.run(
        [sys.executable, "-c", TALK],
        env=os.environ | {"OPENAI_LOG": "debug", "HTTPX_LOG_LEVEL": "trace"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (talked.stdout, talked.stderr) == ("", "")
