"""What stands in a chat completion: the object that was asked for, a refusal, or the endpoint's error.

In       a completion as the SDK read it, whatever its parts turned out to be
Out      the texts of its message; what its refusal says
Effects  `unwrap` changes the message, so that instructor finds the object in it, or none
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from steps.text_model.wrapped_json import find_answer, holds_answer

THOUGHT_PARTS = ("think", "reason")  # in the type of a content part


def unwrap(completion: Any, output: type[BaseModel], asked: Sequence[str]) -> None:
    """Puts the object that was asked for where instructor looks for it, if the model wrapped it in something."""
    message = _message(completion)
    if message is None:
        return
    content = _content(message.content)
    found = None if refusal(completion) else find_answer([content, *_arguments(message)], output, asked)
    if found is not None:
        message.content, message.tool_calls, message.function_call = found, None, None
    elif holds_answer(content, output) or not isinstance(message.content, str | None):
        # instructor looks for an object by itself where no schema was asked for, and would take any
        message.content = content.replace("{", "(").replace("}", ")")


def refusal(completion: Any) -> str | None:
    """Why the model, or a filter behind it, gave no answer; None if nothing says that."""
    said = getattr(_message(completion), "refusal", None)
    if not said and getattr(_choice(completion), "finish_reason", None) == "content_filter":
        return "a content filter stopped its answer"
    return str(said) if said else None


def error_in(completion: Any) -> str:
    """The error that some gateways send with status 200, as JSON."""
    error = getattr(completion, "error", None)
    return json.dumps(error) if error else ""


def _choice(completion: Any) -> Any:
    choices = getattr(completion, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _message(completion: Any) -> Any:
    return getattr(_choice(completion), "message", None)


def _content(content: object) -> str:
    """A message's text: it may come in parts, or as the very object that was asked for. Thoughts are left out."""
    return "".join(map(_text_of, content if isinstance(content, list) else [content]))


def _text_of(part: object) -> str:
    if not isinstance(part, dict):
        return part if isinstance(part, str) else ""
    if any(word in str(part.get("type")) for word in THOUGHT_PARTS):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else json.dumps(part)


def _arguments(message: Any) -> Iterator[str]:
    """What the model gave to a tool that it does not have."""
    calls = getattr(message, "tool_calls", None)
    functions = [getattr(call, "function", None) for call in calls] if isinstance(calls, list) else []
    for function in (*functions, getattr(message, "function_call", None)):
        arguments = getattr(function, "arguments", None)
        if arguments:
            yield arguments if isinstance(arguments, str) else json.dumps(arguments)
