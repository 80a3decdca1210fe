"""The exact messages sent to the text model for a run: rendered again from the kept versions, and proven by a hash.

In       a run, its events, the ledger's template texts
Out      Sent: the messages of one step; `proven` if they have the sha256 that was noted when they were sent
Raises   TemplateError; what the transport raises
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.ledger.operators import Event
from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerCall
from pipeline.prompts.llm_steps import brief_of
from pipeline.prompts.versions import recall
from steps import validate_prompt, write_caption
from steps.text_model.templates import Message, digest


@dataclass(frozen=True)
class Sent:
    """`versions`: file -> sha256. `asks`: number of requests; the second one says what was wrong with the answer."""

    step: str
    versions: Mapping[str, str]
    messages: Sequence[Message]
    asks: int
    proven: bool


async def sent_for(run: Run, events: Sequence[Event], rpc: LedgerCall) -> tuple[Sent, ...]:
    """One for each step that called the model, from its last call that counted."""
    calls = {event.step: event for event in events if "messages" in event.detail}
    return tuple([await _sent(run, step, event, rpc) for step, event in calls.items()])


async def _sent(run: Run, step: str, event: Event, rpc: LedgerCall) -> Sent:
    versions: Mapping[str, str] = event.detail["versions"]
    template = await recall(step, versions, rpc)
    messages = template.render(**_inputs(run, step, event))
    return Sent(step, versions, messages, int(event.detail["asks"]), digest(messages) == event.detail["messages"])


def _inputs(run: Run, step: str, event: Event) -> dict[str, object]:
    if step == validate_prompt.CONTRACT.id:  # the length may have been changed since
        return validate_prompt.inputs(run.prompt, run.language, int(event.detail["seconds"]))
    return write_caption.inputs(brief_of(run), run.language)
