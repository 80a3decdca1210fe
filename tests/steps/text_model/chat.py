"""Chat completions as a server would send them, for the steps that ask the text model."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from steps.text_model.ask_model import TextModelClient, open_text_model
from steps.text_model.prompt_store import PromptStore
from tests.providers.scripted import Reply, Server, answer, in_turn, scripted

KEY = "sk-the-text-models-key"
SHELF = PromptStore(Path(__file__).parents[3] / "prompts")


def completion(content: Any, *, refusal: str | None = None, finish: str = "stop", **changes: Any) -> Reply:
    """One answer, 100 tokens in and 20 out; content that is not text is sent as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }
    return answer(200, body | changes)


@asynccontextmanager
async def text_model(*replies: Reply) -> AsyncIterator[tuple[Server, TextModelClient]]:
    async with scripted(in_turn(*replies)) as server, open_text_model(server.url, KEY, 60) as client:
        yield server, client


def messages_of(server: Server, ask: int = 0) -> list[dict[str, Any]]:
    messages = json.loads(server.seen[ask].body)["messages"]
    assert isinstance(messages, list)
    return messages
