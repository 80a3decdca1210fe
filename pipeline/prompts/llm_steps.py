"""The two steps that ask the text model, and what the ledger keeps of them.

Their calls may be repeated after a crash (cents); the first stored result wins, and every call's cost is booked.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from pipeline import run_log
from pipeline.cancellation import stop
from pipeline.context import RunContext
from pipeline.ledger.answers import Cost
from pipeline.ledger.records import Run, State
from pipeline.prompts.versions import versions_of
from steps.text_model.ask_model import Asked, TextModelError, TextModelUnreachable
from steps.text_model.front_matter import TemplateError
from steps.text_model.templates import Template
from steps.validate_prompt import Brief, Rejected, validate_prompt
from steps.write_caption import Caption, plain_caption, write_caption

ASKS_MAX = 2
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


async def validate(run: Run, context: RunContext) -> Run:
    """reserved -> approved or rejected; failed if the text model cannot be reached or never gives a valid answer."""
    templates = await context.prompts.present("validate_prompt")
    template = templates["validate_prompt"]
    for ask in range(1, ASKS_MAX + 1):
        try:
            verdict, asked = await validate_prompt(
                run.prompt, run.language, run.seconds, template, context.text.client, context.text.model
            )
            break
        except TextModelError as error:
            cost = _cost_of_failure(error, template, context)
            await context.ledger.record_event(run.run_id, "validate_prompt", error.reason, cost)
            if ask == ASKS_MAX or not isinstance(error, TextModelUnreachable):
                await context.ledger.fail(run.run_id, State.RESERVED, error.reason, str(error))
                return await _fresh(run, context)
            await context.sleep(RETRY_SECONDS)
    return await _store_verdict(run, verdict, templates, _cost(run, asked, template, context), context)


async def _store_verdict(
    run: Run, verdict: Brief | Rejected, templates: Mapping[str, Template], cost: Cost, context: RunContext
) -> Run:
    """Stores the versions of all prompts with it, so that the later steps of an approved run use the same ones."""
    if isinstance(verdict, Rejected):
        return await context.ledger.reject(
            run.run_id,
            reasons=verdict.reasons,
            explanation=verdict.explanation,
            safe_rewrite=verdict.safe_rewrite,
            template=templates["validate_prompt"].versions,
            cost=cost,
        )
    return await context.ledger.approve(
        run.run_id,
        improved_prompt=verdict.improved_prompt,
        title=verdict.title,
        category=verdict.category,
        language=verdict.language,
        template=versions_of(templates),
        confirm_seconds=context.waits.confirm.total_seconds(),
        cost=cost,
    )


async def caption(run: Run, context: RunContext) -> Run:
    """Stores a caption on the run: the model's, else a plain one, so that a clip never waits for text."""
    if run.caption is not None:
        return run
    brief = brief_of(run)
    try:
        template = await context.prompts.of(run, "write_caption")
        words, asked = await write_caption(brief, run.language, template, context.text.client, context.text.model)
    except TextModelError as error:
        cost = _cost_of_failure(error, template, context)
        return await _store_caption(run, plain_caption(brief, template.brand), "plain", template, cost, context)
    except TemplateError as error:
        log.error("template", extra={"action": "broken_template", "run": run.ref, "error": str(error)})
        return await _store_caption(run, plain_caption(brief), "plain", None, Cost(), context)
    return await _store_caption(run, words, "model", template, _cost(run, asked, template, context), context)


def brief_of(run: Run) -> Brief:
    """What the caption is written from."""
    return Brief(
        improved_prompt=run.improved_prompt or run.prompt,
        title=run.title or run.prompt[:80],
        category=run.category or "other",
        language=run.language,
    )


@contextlib.asynccontextmanager
async def caption_meanwhile(run: Run, context: RunContext) -> AsyncIterator[asyncio.Task[Run]]:
    """Writes the caption while the clip renders; canceled if the block ends before it is written."""
    task = asyncio.create_task(caption(run, context))
    try:
        yield task
    finally:
        await stop(task)


async def _store_caption(
    run: Run, words: Caption, by: str, template: Template | None, cost: Cost, context: RunContext
) -> Run:
    captioned = await context.ledger.record_caption(
        run.run_id,
        caption=words.text,
        hashtags=words.hashtags,
        by=by,
        template=template.versions if template else {},
        cost=cost,
    )
    run_log.note("write_caption", captioned, by=captioned.caption_by, ms=cost.ms)
    return captioned


def _cost(run: Run, asked: Asked[object], template: Template, context: RunContext) -> Cost:
    """The cost, with what `pipeline/prompts/sent.py` needs to show the messages again."""
    model = template.model or context.text.model
    microusd = context.text.cost_microusd(model, asked.tokens_in, asked.tokens_out)
    how = {"model": model, "asks": asked.asks, "versions": template.versions, "messages": asked.messages}
    return Cost(microusd, asked.ms, how | {"seconds": run.seconds})


def _cost_of_failure(error: TextModelError, template: Template, context: RunContext) -> Cost:
    model = template.model or context.text.model
    microusd = context.text.cost_microusd(model, error.tokens_in, error.tokens_out)
    return Cost(microusd, 0, {"model": model, "asks": error.asks, "error": str(error)})


async def _fresh(run: Run, context: RunContext) -> Run:
    fresh = await context.ledger.load(run.run_id)
    assert fresh is not None, f"run {run.ref} has left the ledger"
    return fresh
