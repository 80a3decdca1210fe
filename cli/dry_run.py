"""`onetake create --dry-run`: shows what would happen; nothing is held, bought or written.

In       a Request, and the settings
Out      0 it would be bought, 1 the prompt would not pass or could not be judged, 3 the limits refuse
Effects  reads the ledger; asks the text model once (cents, not booked: there is no run to book them on)
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.context import open_partners
from app.exits import Exit
from app.ledger_session import LedgerSession, open_ledger
from app.model_choice import choose_from_settings
from cli.output import refusals
from cli.output.outcome import Outcome
from pipeline.context import TextModel
from pipeline.formatting import MICROUSD, usd
from pipeline.ledger.records import Run
from pipeline.ledger.users import Customers
from pipeline.settings.config import Settings
from providers.catalogue import offer_name
from providers.orders import Order
from providers.shown_request import shown_request
from steps.check_limits import Refused, Request, prompt_hash
from steps.contracts import CONTRACTS
from steps.text_model.ask_model import TextModelError
from steps.text_model.prompt_store import PromptStore
from steps.validate_prompt import Brief, Rejected, validate_prompt

RUN_ID_TO_BE = "(the run's id)"
PIPED_WIDTH = 10_000


@dataclass(frozen=True)
class Rehearsed:
    """What would happen: the key's existing run, if any; a refusal by the limits, if any; the text model's verdict."""

    known: Run | None
    refused: Refused | None
    verdict: Brief | Rejected | TextModelError


async def rehearse(request: Request, settings: Settings, ready: Callable[[], None], *, as_json: bool) -> Exit:
    catalogue, model = choose_from_settings(settings, offer_name(request.provider, request.model))
    async with open_partners(settings, catalogue, model) as (_, text), open_ledger(settings, reads=True) as session:
        known = await session.ledger.find_key(request.key)
        refused = None if known else await _limits(request, session)
        rehearsed = Rehearsed(known, refused, await _verdict(request, text, settings.prompts))
    ready()
    _print(request, rehearsed, Console(stderr=as_json, highlight=False))
    if as_json:
        typer.echo(json.dumps(_object(request, rehearsed), ensure_ascii=False))
    if rehearsed.refused:
        return Exit.REFUSED
    return Exit.DONE if isinstance(rehearsed.verdict, Brief) else Exit.ENDED_OTHERWISE


async def _limits(request: Request, session: LedgerSession) -> Refused | None:
    return await Customers(session.ledger.rpc).preview(
        request.user_id, prompt_hash(request.prompt), request.price_microusd, again=request.again
    )


async def _verdict(request: Request, text: TextModel, prompts: Path) -> Brief | Rejected | TextModelError:
    template = PromptStore(prompts, contracts=CONTRACTS).get("validate_prompt")
    try:
        verdict, _ = await validate_prompt(
            request.prompt, request.language, request.seconds, template, text.client, text.model
        )
    except TextModelError as error:
        return error
    return verdict


def http_request(request: Request, prompt: str) -> dict[str, object]:
    """The one request that would be sent, without the API key."""
    order = Order(
        RUN_ID_TO_BE,
        prompt,
        request.model,
        request.seconds,
        request.size,
        request.create_body,
        request.provider,
        request.input,
        request.callback_url,
    )
    return shown_request(order, request.base_url)


def limits_words(request: Request, rehearsed: Rehearsed) -> str:
    if rehearsed.known:
        known = rehearsed.known
        return f"this key belongs to run {known.ref} ({known.state}); it would be shown, not bought again"
    if rehearsed.refused:
        return refusals.refusal(rehearsed.refused, datetime.now(UTC))
    return f"{request.user_id} may order; {usd(request.price_microusd)} would be set aside"


def verdict_words(verdict: Brief | Rejected | TextModelError) -> tuple[str, str]:
    """The verdict in one word, and its explanation."""
    match verdict:
        case Brief():
            return "passed", f'"{verdict.title}" ({verdict.category}, {verdict.language})'
        case Rejected():
            rewrite = f' This would pass: "{verdict.safe_rewrite}"' if verdict.safe_rewrite else ""
            return "refused", f"{verdict.explanation}{rewrite}"
        case _:
            return "unknown", str(verdict)


def _print(request: Request, rehearsed: Rehearsed, console: Console) -> None:
    word, about = verdict_words(rehearsed.verdict)
    rows = [("limits", limits_words(request, rehearsed)), ("prompt", f"{word}: {about}")]
    if isinstance(rehearsed.verdict, Brief):
        rows.append(("improved", rehearsed.verdict.improved_prompt))
    offer = offer_name(request.provider, request.model)
    rows.append(("price", f"{usd(request.price_microusd)} for {request.seconds} s of {offer}, {request.size}"))
    sent = http_request(request, _prompt_of(request, rehearsed))
    rows.append(("request", f"{sent['method']} {sent['url']}"))
    for part in ("headers", "body"):
        fields = sent[part]
        assert isinstance(fields, dict)
        rows += [("", f"{name}: {value}") for name, value in fields.items()]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in rows:
        table.add_row(name, Text(words))
    if not console.is_terminal:
        console.width = PIPED_WIDTH  # piped output is not wrapped
    console.print(Text("dry run: nothing is held, nothing is bought", "bold cyan"))
    console.print(table)


def _prompt_of(request: Request, rehearsed: Rehearsed) -> str:
    verdict = rehearsed.verdict
    return verdict.improved_prompt if isinstance(verdict, Brief) else request.prompt


def _object(request: Request, rehearsed: Rehearsed) -> dict[str, object]:
    """The object of `create`, and under `dry_run` what only a dry run knows."""
    verdict, refused, known = rehearsed.verdict, rehearsed.refused, rehearsed.known
    error = refusals.refusal(refused, datetime.now(UTC)) if refused else None
    if error is None and not isinstance(verdict, Brief):
        error = verdict_words(verdict)[1]
    outcome = Outcome(
        ref=known.ref if known else None,
        run_id=str(known.run_id) if known else None,
        refused=refused.kind.value if refused else None,
        duplicate_of=refused.of_ref if refused else None,
        title=verdict.title if isinstance(verdict, Brief) else None,
        seconds=request.seconds,
        size=request.size,
        error=error,
    )
    return outcome.as_object() | {
        "dry_run": {
            "verdict": verdict_words(verdict)[0],
            "improved_prompt": verdict.improved_prompt if isinstance(verdict, Brief) else None,
            "price_usd": request.price_microusd / MICROUSD,
            "request": http_request(request, _prompt_of(request, rehearsed)),
        }
    }
