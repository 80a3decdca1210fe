"""The one door to the text model: a template in, a checked value out. It has no tools to call.

In       a template's messages and a pydantic model of the answer
Out      Asked: the value, tokens, milliseconds, and how often it was asked (at most twice: once more with
         what was wrong with the first answer)
Raises   TextModelUnreachable, TextModelRefused, TextModelUnusable, each with the tokens it cost
Effects  one or two chat completions; nothing is stored

Never `context=`: with it, instructor renders every message as a Jinja template, user text included.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from steps.certificates import trusted
from steps.templates import Message, Template, digest

REASKS_MAX = 1  # instructor counts retries: one more call, carrying what was wrong with the first answer

CONNECTIONS_MAX = 1000  # as the SDK's own client; httpx2's 100 would make the hundred-and-first run wait

Answered = TypeVar("Answered", bound=BaseModel)
Value_co = TypeVar("Value_co", covariant=True)


@dataclass(frozen=True)
class Asked(Generic[Value_co]):
    value: Value_co
    tokens_in: int
    tokens_out: int
    asks: int
    ms: int
    messages: str = ""  # the sha256 of what was sent


class TextModelError(Exception):
    """The text model gave nothing to go on. The message is for a person; `reason` is a stable word."""

    reason = "text_model"

    def __init__(self, message: str, *, tokens_in: int = 0, tokens_out: int = 0, asks: int = 1) -> None:
        super().__init__(message)
        self.tokens_in = tokens_in
        self.tokens_out = tokens_out
        self.asks = asks


class TextModelUnreachable(TextModelError):
    reason = "text_model_unreachable"


class TextModelRefused(TextModelError):
    reason = "text_model_refused"


class TextModelUnusable(TextModelError):
    reason = "text_model_unusable"


class TextModelClient(Protocol):
    """Whatever answers: the real model through instructor, or, in a benchmark, nothing at all."""

    async def answer(
        self, messages: Sequence[Message], output: type[Answered], model: str, settings: dict[str, Any]
    ) -> Asked[Answered]: ...


async def ask(
    client: TextModelClient,
    template: Template,
    inputs: dict[str, object],
    output: type[Answered],
    model: str,
) -> Asked[Answered]:
    """Renders the template and asks; the template's own model, if it names one, goes before `model`."""
    messages = template.render(**inputs)
    asked = await client.answer(messages, output, template.model or model, dict(template.settings))
    return replace(asked, messages=digest(messages))


@asynccontextmanager
async def open_text_model(
    base_url: str, api_key: str, timeout_seconds: float, transport: Any = None
) -> AsyncIterator[TextModelClient]:
    """The model at an endpoint. `transport`: an httpx2 transport that takes the network's place."""
    import httpx2
    import instructor
    from openai import AsyncOpenAI

    # It logs every failure with what was asked and answered, key fragments included; ours say what happened.
    logging.getLogger("instructor").setLevel(logging.CRITICAL)
    http = httpx2.AsyncClient(
        timeout=timeout_seconds,
        transport=transport,
        follow_redirects=True,
        limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=100),
        verify=trusted(),
        trust_env=base_url.lower().startswith("https:"),  # plain HTTP is one's own server: no proxy in between
    )
    async with AsyncOpenAI(
        base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout_seconds, http_client=http
    ) as sdk:
        model = instructor.from_openai(sdk, mode=instructor.Mode.JSON_SCHEMA)
        yield _InstructorClient(model, timeout_seconds * (REASKS_MAX + 1))


class _InstructorClient:
    def __init__(self, client: Any, total_seconds: float) -> None:
        self._client = client
        self._total_seconds = total_seconds

    async def answer(
        self, messages: Sequence[Message], output: type[Answered], model: str, settings: dict[str, Any]
    ) -> Asked[Answered]:
        from instructor.core import IncompleteOutputException, InstructorRetryException
        from instructor.core.hooks import Hooks

        begun, spent = time.monotonic(), _Spent()
        hooks = Hooks()
        hooks.on("completion:kwargs", spent.on_ask)
        hooks.on("completion:response", spent.on_completion)
        try:
            async with asyncio.timeout(self._total_seconds):
                value, _ = await self._client.create_with_completion(
                    response_model=output,
                    messages=[dict(message) for message in messages],
                    model=model,
                    max_retries=REASKS_MAX,
                    hooks=hooks,
                    **settings,
                )
        except TimeoutError as error:  # the client's own timeouts begin anew with every byte of a slow answer
            raise TextModelUnreachable("the text model did not answer in time", **spent.as_arguments()) from error
        except InstructorRetryException as error:
            raise _named(error, spent) from error
        except IncompleteOutputException as error:
            raise TextModelUnusable("the text model's answer was cut off", **spent.as_arguments()) from error
        ms = int((time.monotonic() - begun) * 1000)
        return Asked(value, spent.tokens_in, spent.tokens_out, spent.asks, ms)


class _Spent:
    """What one question has cost so far. instructor's own totals are lost with a cut-off answer."""

    def __init__(self) -> None:
        self.asks = 0
        self.tokens_in = 0
        self.tokens_out = 0

    def on_ask(self, *_: object, **__: object) -> None:
        self.asks += 1

    def on_completion(self, completion: object) -> None:
        usage = getattr(completion, "usage", None)
        self.tokens_in += int(getattr(usage, "prompt_tokens", 0) or 0)
        self.tokens_out += int(getattr(usage, "completion_tokens", 0) or 0)

    def as_arguments(self) -> dict[str, int]:
        return {"tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "asks": self.asks}


def _named(error: Any, so_far: _Spent) -> TextModelError:
    """What instructor's one exception stands for: no connection, a refusal, or answers that never fit."""
    from openai import APIConnectionError, APIStatusError, AuthenticationError

    spent = so_far.as_arguments()
    cause = error.__cause__
    while cause is not None and not isinstance(cause, APIConnectionError | APIStatusError):
        cause = cause.__cause__
    if isinstance(cause, AuthenticationError):
        return TextModelUnreachable("the text model does not accept OPENAI_API_KEY", **spent)
    if isinstance(cause, APIStatusError):
        return TextModelUnreachable(f"the text model answered HTTP {cause.status_code}", **spent)
    if isinstance(cause, APIConnectionError):
        return TextModelUnreachable("the text model cannot be reached", **spent)
    if refusal := _refusal(error.last_completion):
        return TextModelRefused(f"the text model declined: {refusal}", **spent)
    return TextModelUnusable("the text model's answers never fitted what was asked for", **spent)


def _refusal(completion: Any) -> str | None:
    choices = getattr(completion, "choices", None) or []
    return getattr(choices[0].message, "refusal", None) if choices else None
