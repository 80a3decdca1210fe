"""`POST /v1/chat/completions` with structured output: a text model whose answers are deterministic.

In       messages, and a JSON schema in `response_format`
Out      a completion that fits the schema; the task is recognized by the schema's property names
Effects  counted in the books
"""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from simulator.auth import turned_away
from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.state import STATE, SimulatorState
from simulator.text_model import fitting, reading, writing
from simulator.videos.errors import json_answer, refusal

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4

_VERDICT = frozenset({"allowed", "improved_prompt"})
_CAPTION = frozenset({"text", "hashtags"})


def add_chat(app: web.Application) -> None:
    """Mount the text model's routes."""
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)


async def complete(request: web.Request) -> web.StreamResponse:
    """Answer with one completion."""
    state = request.app[STATE]
    state.books.record_chat()
    if (away := turned_away(request)) is not None:
        return away
    asked = _asked(await request.read())
    if isinstance(asked, web.Response):
        return asked
    fault = state.faults.next("chat")
    answer = json_answer(completion(asked, fault))
    if fault is None:
        return answer
    return await wire.misbehave(request, fault, answer, state.settings.hang_seconds)


async def models(request: web.Request) -> web.StreamResponse:
    """The video models and the text model, as `GET /v1/models` lists them."""
    if (away := turned_away(request)) is not None:
        return away
    state: SimulatorState = request.app[STATE]
    names = [*state.settings.models, "sim-text"]
    data = [{"id": name, "object": "model", "created": 1_760_000_000, "owned_by": "simulator"} for name in names]
    return json_answer({"object": "list", "data": data})


def completion(asked: Mapping[str, Any], fault: Fault | None = None) -> dict[str, Any]:
    """The completion for a request. Everything but the time is a function of the messages."""
    kind = "" if fault is None else fault.kind
    content: str | None = _content(asked)
    refused = None
    finish = "stop"
    match kind:
        case "refusal":
            content, refused = None, "I'm sorry, I can't help with that."
        case "invalid_json":
            content = "Sure! Here is what you asked for: {allowed: yes,"
        case "wrong_schema":
            content = json.dumps({"unexpected": True})
        case "cut_short":
            content, finish = (content or "")[:20], "length"
        case _:
            pass
    return {
        "id": "chatcmpl-" + hashlib.sha256(json.dumps(asked["messages"]).encode()).hexdigest()[:24],
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": refused, "annotations": []},
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
        "usage": _usage(asked, content or refused or ""),
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }


def answer_to(messages: list[reading.Message], schema: Mapping[str, Any]) -> Any:
    """The model's answer: a verdict, a caption, or a value that fits an unknown schema."""
    names = set(fitting.properties(schema))
    text, language = reading.user_text(messages), reading.language(messages)
    if names >= _VERDICT:
        said: object = writing.verdict(text, language, fitting.enum_inside(schema, "reasons"))
    elif names >= _CAPTION:
        said = writing.caption(text, language, reading.unwanted(messages))
    else:
        said = fitting.MISSING
    return fitting.fit(said, schema)


def _content(asked: Mapping[str, Any]) -> str:
    wanted = asked.get("response_format") or {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    if isinstance(schema, dict):
        return json.dumps(answer_to(asked["messages"], schema), ensure_ascii=False)
    if wanted.get("type") == "json_object":
        return "{}"
    said = writing.caption(reading.user_text(asked["messages"]), reading.language(asked["messages"]))
    return str(said["text"])


def _asked(body: bytes) -> dict[str, Any] | web.Response:
    try:
        asked = json.loads(body)
    except ValueError:
        return refusal(400, "We could not parse the JSON body of your request.", code="invalid_body")
    if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
        return refusal(400, "you must provide a model parameter", code="missing_required_parameter", param="model")
    messages = asked.get("messages")
    if not (isinstance(messages, list) and messages and all(isinstance(each, dict) for each in messages)):
        words = "Missing required parameter: 'messages'."
        return refusal(400, words, code="missing_required_parameter", param="messages")
    if asked.get("stream"):
        return refusal(400, "Streaming is not supported here.", code="unsupported_value", param="stream")
    return asked


def _usage(asked: Mapping[str, Any], content: str) -> dict[str, Any]:
    read = reading.texts(asked["messages"])
    shape = len(json.dumps(asked.get("response_format") or ""))
    characters = sum(len(text) for _, text in read) + shape
    prompt = characters // CHARACTERS_PER_TOKEN + TOKENS_PER_MESSAGE * len(read)
    written = max(1, len(content) // CHARACTERS_PER_TOKEN)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
