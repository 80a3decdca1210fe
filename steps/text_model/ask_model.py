"""The one door to the text model: a template in, a checked value out. It has no tools to call.

In       a template's messages and a pydantic model of the answer
Out      Asked: the value, tokens, milliseconds, and how often it was asked (at most twice: once more with
         what was wrong with the first answer; and once more for each form of answer that the endpoint refuses)
Raises   TextModelUnreachable, TextModelRefused, TextModelUnusable, each with the tokens it cost
Effects  one or two chat completions, at most two more that are refused; nothing is stored

Never `context=`: with it, instructor renders every message as a Jinja template, user text included.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from net.certificates import forget_headers, keep_quiet, proxy_for, trusted
from steps.text_model.completions import error_in, refusal, unwrap
from steps.text_model.templates import Message, Template, digest
from steps.text_model.usage import Usage

REASKS_MAX = 1  # instructor counts retries: one more call, carrying what was wrong with the first answer

CONNECTIONS_MAX = 1000  # as the SDK's own client; httpx2's 100 would make the hundred-and-first run wait

NO_SUCH_PATH = "is /v1 missing in OPENAI_BASE_URL, or is there no such LLM_MODEL?"
STATUS_WORDS = {
    401: "the text model does not accept OPENAI_API_KEY",
    404: f"the text model answered HTTP 404 ({NO_SUCH_PATH})",
    405: f"the text model answered HTTP 405 ({NO_SUCH_PATH})",
}
# By these words an endpoint refuses the form that the answer is asked for in, with one of these statuses.
FORM_REFUSED = frozenset({400, 404, 415, 422, 501})
NAMES_FORM = re.compile(
    r"response[_ .]?format|json[_ ]?(?:object|mode|output)|schema|structured[_ ]output|guided[_ ](?:json|decoding)"
    r"|\bgrammar|requested parameters",
    re.I,
)
NOT_MADE = re.compile(r"not (?:yet )?(?:implemented|supported)|unsupported", re.I)  # what a 500 must say as well
FILTERED = {"content_filter", "content_policy_violation"}  # by these codes a filter refuses what was asked

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

    from net.bounded_body import bound_body

    # It logs every failure with what was asked and answered, key fragments included; ours say what happened.
    logging.getLogger("instructor").setLevel(logging.CRITICAL)
    keep_quiet()
    forget_headers()
    http = httpx2.AsyncClient(
        timeout=timeout_seconds,
        transport=transport,
        follow_redirects=True,
        limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=100),
        verify=trusted(),
        proxy=None if transport else proxy_for(base_url),
        trust_env=False,
        event_hooks={"response": [bound_body]},
    )
    async with AsyncOpenAI(
        base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout_seconds, http_client=http
    ) as sdk:
        modes = (instructor.Mode.JSON_SCHEMA, instructor.Mode.JSON, instructor.Mode.MD_JSON)
        forms = [instructor.from_openai(sdk, mode=mode) for mode in modes]
        yield _InstructorClient(forms, timeout_seconds * (REASKS_MAX + 1))


class _InstructorClient:
    """Asks for a schema, or, where the endpoint refuses that, for any JSON object, or for no form at all.

    What is refused once is not asked for again: the refused request costs time at each question.
    """

    def __init__(self, forms: Sequence[Any], total_seconds: float) -> None:
        self._forms = forms
        self._form = 0
        self._total_seconds = total_seconds

    async def answer(
        self, messages: Sequence[Message], output: type[Answered], model: str, settings: dict[str, Any]
    ) -> Asked[Answered]:
        from instructor.core import IncompleteOutputException, InstructorRetryException
        from instructor.core.hooks import Hooks

        begun, spent = time.monotonic(), Usage()
        hooks = Hooks()
        hooks.on("completion:kwargs", spent.on_ask)
        hooks.on("completion:response", spent.on_completion)
        asked = [each["content"] for each in messages if each["role"] == "user"]
        hooks.on("completion:response", partial(unwrap, output=output, asked=asked))
        asking = {"response_model": output, "model": model, "max_retries": REASKS_MAX, "hooks": hooks, **settings}
        try:
            async with asyncio.timeout(self._total_seconds):
                value = await self._ask(messages, asking, spent)
        except TimeoutError as error:  # the client's own timeouts begin anew with every byte of a slow answer
            raise TextModelUnreachable("the text model did not answer in time", **spent.as_arguments()) from error
        except InstructorRetryException as error:
            raise _named(error, spent) from error
        except IncompleteOutputException as error:
            raise TextModelUnusable("the text model's answer was cut off", **spent.as_arguments()) from error
        ms = int((time.monotonic() - begun) * 1000)
        return Asked(value, spent.tokens_in, spent.tokens_out, spent.asks, ms)

    async def _ask(self, messages: Sequence[Message], asking: dict[str, Any], spent: Usage) -> Any:
        """With the form that the endpoint is known to take, and with less as long as it refuses that."""
        from instructor.core import InstructorRetryException

        for form in range(self._form, len(self._forms)):
            copies = [dict(message) for message in messages]
            try:
                value, _ = await self._forms[form].create_with_completion(messages=copies, **asking)
            except InstructorRetryException as error:
                if form + 1 == len(self._forms) or not _refuses_form(error, spent):
                    raise
                self._form = max(self._form, form + 1)
            else:
                return value
        raise AssertionError("the last form either answers or raises")


def _named(error: Any, so_far: Usage) -> TextModelError:
    """What instructor's one exception stands for: no connection, a refusal, or answers that never fit."""
    from openai import APIConnectionError, APIStatusError

    spent, cause = so_far.as_arguments(), _cause(error)
    if isinstance(cause, APIStatusError) and str(cause.code) in FILTERED:
        return TextModelRefused("the text model declined: a content filter stopped the question", **spent)
    if isinstance(cause, APIStatusError):
        words = STATUS_WORDS.get(cause.status_code, f"the text model answered HTTP {cause.status_code}")
        return TextModelUnreachable(words, **spent)
    if isinstance(cause, APIConnectionError):
        return TextModelUnreachable("the text model cannot be reached", **spent)
    if isinstance(so_far.last_completion, str):  # what the SDK makes of an answer that is no JSON
        words = "a web page answers where the text model was expected (is /v1 missing in OPENAI_BASE_URL?)"
        return TextModelUnusable(words, **spent)
    if declined := refusal(so_far.last_completion):
        return TextModelRefused(f"the text model declined: {declined}", **spent)
    return TextModelUnusable("the text model's answers never fitted what was asked for", **spent)


def _refuses_form(error: Any, so_far: Usage) -> bool:
    from openai import APIStatusError

    cause = _cause(error)
    if cause is None:
        return NAMES_FORM.search(error_in(so_far.last_completion)) is not None
    if not isinstance(cause, APIStatusError):
        return False
    words = cause.response.content.decode(errors="replace")
    known = cause.status_code in FORM_REFUSED or (cause.status_code == 500 and NOT_MADE.search(words) is not None)
    return known and NAMES_FORM.search(words) is not None


def _cause(error: BaseException) -> BaseException | None:
    """The SDK's error behind instructor's."""
    from openai import APIConnectionError, APIStatusError

    cause = error.__cause__
    while cause is not None and not isinstance(cause, APIConnectionError | APIStatusError):
        cause = cause.__cause__
    return cause
