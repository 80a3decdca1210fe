"""Asks one case, through the same client as in production: from its recording, or at an endpoint.

In       a template, a case's input, a tape
Out      Answer: the fields, tokens and time; or why there is none
Effects  none from a recording; one or two chat completions at an endpoint
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evals.recordings import REPLAY_URL, Tape, Unplayable, is_simulated, usage
from steps.contracts import CONTRACTS
from steps.text_model.ask_model import TextModelError, ask, open_text_model
from steps.text_model.brand import Brand
from steps.text_model.templates import Template
from steps.write_caption import Caption, branded, draft_without


@dataclass(frozen=True)
class Endpoint:
    """Where questions are sent. `name`: its name in tables."""

    base_url: str
    api_key: str = field(repr=False)
    model: str
    name: str
    seconds: float = 60


RECORDED = "a recording"


@dataclass(frozen=True)
class Answer:
    """`fields`: those of the output model, as JSON values; None if no answer fits, with the reason in `error`."""

    fields: Mapping[str, Any] | None
    error: str
    asks: int
    tokens_in: int
    tokens_out: int
    ms: int
    simulated: bool


async def ask_case(template: Template, given: Mapping[str, Any], tape: Tape, where: Endpoint) -> Answer:
    """Raises TemplateError for an input that does not fit, Unplayable if the recording is of another question."""
    output = CONTRACTS[template.id].output
    if template.id == "write_caption":
        output = draft_without(template.brand.banned_words)
    async with open_text_model(where.base_url, where.api_key, where.seconds, tape) as client:
        try:
            asked = await ask(client, template, dict(given), output, where.model)
        except TextModelError as error:
            fields, why, asks, ms = None, str(error), error.asks, 0
        else:
            fields, why, asks, ms = (
                _as_sent(asked.value.model_dump(mode="json"), template.brand),
                "",
                asked.asks,
                asked.ms,
            )
    if tape.problem:
        raise Unplayable(tape.problem)
    tokens_in, tokens_out = usage(tape.kept)
    return Answer(fields, why, asks, tokens_in, tokens_out, ms, is_simulated(tape.kept))


def replaying(model: str) -> Endpoint:
    return Endpoint(REPLAY_URL, "none", model, RECORDED)


def _as_sent(fields: dict[str, Any], brand: Brand) -> dict[str, Any]:
    """A caption with the brand's hashtags, as users get it."""
    if set(fields) != {"text", "hashtags"}:
        return fields
    caption = branded(Caption(fields["text"], tuple(fields["hashtags"])), brand)
    return {"text": caption.text, "hashtags": list(caption.hashtags)}
