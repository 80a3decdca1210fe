"""A person's word on a run in doubt: its job was found, or nothing was charged."""

import typer

from cli import sentences
from cli.desks import open_ledger
from cli.exits import Exit
from cli.wishes import user_id
from pipeline.amounts import usd
from pipeline.config import load_settings
from pipeline.operators_words import found_words, why_not_found, why_not_settled


async def settle_found(ref: str, job_id: str, why: str | None) -> Exit:
    async with open_ledger(load_settings()) as desk:
        run = await desk.find(ref)
        job_id = job_id.strip()
        recorded = await desk.operators.settle_found(run.run_id, job_id, user_id(None), why)
        run = await desk.find(run.ref)
    if recorded.recorded and run.file is not None:
        typer.echo(found_words(run, job_id))
        return Exit.DONE
    if recorded.recorded:
        typer.echo(
            f"Run {run.ref} is job {run.job_id}: {sentences.STATE_WORDS[run.state]}. "
            f"{usd(run.price_microusd)} counts for it. "
            "`onetake worker` fetches its video, or the same `onetake create --key` again."
        )
        return Exit.DONE
    typer.echo(why_not_found(run, recorded, job_id))
    return Exit.ENDED_OTHERWISE


async def settle_not_charged(ref: str, why: str | None) -> Exit:
    async with open_ledger(load_settings()) as desk:
        run = await desk.find(ref)
        shown = {"state": run.state.value, "job_id": run.job_id}
        settled = await desk.operators.settle_not_charged(run.run_id, user_id(None), why, shown)
        run = await desk.find(run.ref)
    typer.echo(sentences.ending(run) if settled.settled else why_not_settled(run, settled.why))
    return Exit.DONE if settled.settled else Exit.ENDED_OTHERWISE
