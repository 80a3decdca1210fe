"""A person's decision on a run in doubt: its job was found, nothing was charged, or the last decision is undone."""

import typer

from app.context import open_shop_if_set
from app.exits import Exit, Stop
from app.ledger_session import open_to_change
from cli.output import sentences
from cli.request_parsing import user_id
from pipeline.ledger.records import Run
from pipeline.operator_text import found_words, taken_back_words, why_not_found, why_not_settled, why_not_taken_back
from pipeline.purchase import settling
from pipeline.purchase.settling import Contradicts, NotSeen
from pipeline.settings.config import load_settings

CERTAIN = 'Check the id; if you are certain, add --unseen --why "...".'
DESPITE = "If it is this order anyway, add --despite."
EARLY = 'If the provider\'s books show that it was not made, add --early --why "...".'
FETCHES = "`onetake worker` or the same `onetake create --key` fetches the video."


async def settle_found(ref: str, job_id: str, why: str | None, *, unseen: bool, despite: bool) -> Exit:
    settings, job_id = load_settings(), job_id.strip()
    if not job_id:
        raise Stop("--job: must be the provider's job id, not empty")
    async with open_to_change(settings) as session, open_shop_if_set(settings) as account:
        run = await session.find(ref)
        found = await settling.settle_found(
            run, job_id, user_id(None), why, session.operators, account, unseen=unseen, despite=despite
        )
        run = await session.find(run.ref)
        if isinstance(found, NotSeen | Contradicts) and not _is_open(run):
            typer.echo(why_not_settled(run))
        elif isinstance(found, NotSeen):
            typer.echo(f"{settling.not_seen_words(found)} {CERTAIN}")
        elif isinstance(found, Contradicts):
            typer.echo(f"{settling.contradiction_words(run, found)} {DESPITE}")
        elif not found.recorded.recorded:
            typer.echo(why_not_found(run, found.recorded, job_id))
        else:
            words = found_words(run, job_id, found.job)
            typer.echo(words if run.file is not None else f"{words} {FETCHES}")
            return Exit.DONE
        return Exit.ENDED_OTHERWISE


async def settle_not_charged(ref: str, why: str | None, *, early: bool) -> Exit:
    settings = load_settings()
    async with open_to_change(settings) as session, open_shop_if_set(settings) as account:
        before = await session.find(ref)
        settled = await settling.settle_not_charged(
            before, user_id(None), why, session.ledger, account, settings.waits, early=early
        )
        run = await session.find(before.ref)
        if settled.settled:
            typer.echo(f"{sentences.ending(run)} {settling.on_whose_word(before)}".rstrip())
            return Exit.DONE
        early_words = f"{settling.early_words(run, settled)} {EARLY}"
        to_insist = settled.why in settling.NOT_YET and _is_open(run)
        typer.echo(early_words if to_insist else why_not_settled(run, settled.why))
        return Exit.ENDED_OTHERWISE


def _is_open(run: Run) -> bool:
    """Whether the run can still be settled; only then does --unseen, --despite or --early help."""
    return run.in_doubt or run.parked


async def take_back(ref: str, why: str | None) -> Exit:
    async with open_to_change(load_settings()) as session:
        before = await session.find(ref)
        settled = await session.operators.take_back(before.run_id, user_id(None), why)
        run = await session.find(before.ref)
        typer.echo(taken_back_words(before, run) if settled.settled else why_not_taken_back(run, settled.why))
    return Exit.DONE if settled.settled else Exit.ENDED_OTHERWISE
