"""Parses a create request, multipart or JSON, and applies the provider's rules.

In       the raw body and its content type
Out      `Order`, or the refusal that the provider would send
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulator.settings import SECONDS_MAX, Habits, Model, Settings
from simulator.videos.books import OPENAI
from simulator.videos.errors import refusal

PROMPT_CHARACTERS_MAX = 32_000
PROVIDER_REFUSES = ("provider-refuse", "proveedor-rechaza")

_NAME = re.compile(rb'name="?([A-Za-z_\[\]]+)"?')
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_SIZE = re.compile(r"[1-9]\d{1,3}x[1-9]\d{1,3}")

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """A valid order for one video.

    `input`: all that was sent, for protocols whose lists echo it. `own_id`: the id that the client gave the job.
    `job_id`: the id that the job gets, where the client chooses it.
    """

    prompt: str
    model: str
    seconds: int
    size: str
    price_microusd: int
    provider: str = OPENAI
    input: Mapping[str, Any] = field(default_factory=dict)
    own_id: str | None = None
    callback_url: str | None = None
    job_id: str | None = None


def read_fields(body: bytes, content_type: str) -> Fields | None:
    """The text fields of a body, or None if it does not parse as its content type."""
    try:
        if content_type.startswith("multipart/form-data"):
            return _multipart(body, content_type)
        if content_type.startswith("application/json"):
            return _json(body)
    except ValueError:
        return None
    return None


def read_order(fields: Fields, settings: Settings, habits: Habits) -> Order | web.Response:
    """Check an order in the provider's sequence: prompt, model, seconds, size, moderation."""
    prompt = fields.get("prompt", "")
    if not prompt.strip():
        return refusal(400, "Missing required parameter: 'prompt'.", code="missing_required_parameter", param="prompt")
    if len(prompt) > PROMPT_CHARACTERS_MAX:
        return refusal(400, "The prompt is too long.", code="string_above_max_length", param="prompt")
    name = fields.get("model") or next(iter(settings.models))
    model = _model(name, settings, habits)
    if model is None:
        return refusal(400, f"The model '{name}' does not exist.", code="model_not_found", param="model")
    seconds = _seconds(fields.get("seconds") or "4", model)
    if seconds is None:
        return _unsupported("seconds", fields.get("seconds", ""), [str(each) for each in model.seconds])
    size = fields.get("size") or "720x1280"
    if not _SIZE.fullmatch(size) or (model.sizes and size not in model.sizes):
        return _unsupported("size", size, list(model.sizes))
    if is_refused(prompt):
        words = "Your request was blocked by our moderation system."
        return refusal(400, words, code="moderation_blocked", kind="image_generation_user_error")
    return Order(prompt, name, seconds, size, seconds * model.microusd_per_second)


def is_refused(prompt: str) -> bool:
    """Whether the prompt asks the simulated moderation for a refusal."""
    return any(word in prompt.lower() for word in PROVIDER_REFUSES)


def _model(name: str, settings: Settings, habits: Habits) -> Model | None:
    known = settings.models.get(name)
    if known is None and habits.unknown_models:
        return Model(settings.unknown_model_microusd_per_second, seconds=(), sizes=())
    return known


def _seconds(text: str, model: Model) -> int | None:
    if not text.isascii() or not text.isdigit():
        return None
    seconds = int(text)
    return seconds if seconds in (model.seconds or range(1, SECONDS_MAX + 1)) else None


def _unsupported(param: str, value: str, allowed: list[str]) -> web.Response:
    supported = f"Supported values are: {', '.join(allowed)}." if allowed else "It is out of range."
    return refusal(400, f"Invalid value: '{value}'. {supported}", code="invalid_value", param=param)


def _json(body: bytes) -> Fields | None:
    data = json.loads(body)
    if not isinstance(data, dict):
        return None
    return {name: str(value) for name, value in data.items() if isinstance(value, str | int)}


def _multipart(body: bytes, content_type: str) -> Fields:
    # A full multipart parser costs more than the rest of the request; the fields here are short texts.
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise ValueError("no boundary")
    fields = {}
    for part in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is not None and b"filename=" not in head:
            fields[name[1].decode()] = value.removesuffix(b"\r\n").decode()
    return fields
