"""A person's word on a run in doubt: its job was found, or nothing was charged."""

import typer

from cli import sentences
from cli.desks import open_ledger
from cli.exits import Exit
from cli.wishes import user_id
from pipeline.amounts import usd
from pipeline.config import load_settings
from pipeline.ledger import Recorded
from pipeline.records import JobSource, Run, State


async def settle_found(ref: str, job_id: str) -> Exit:
    async with open_ledger(load_settings()) as desk:
        run = await desk.find(ref)
        recorded = await desk.ledger.record_submission(run.run_id, job_id.strip(), JobSource.PERSON)
        run = await desk.find(run.ref)
    if recorded.recorded:
        typer.echo(
            f"Run {run.ref} is job {run.job_id}: {sentences.STATE_WORDS[run.state]}. "
            f"{usd(run.price_microusd)} counts for it. "
            "`onetake worker` fetches its video, or the same `onetake create --key` again."
        )
        return Exit.DONE
    typer.echo(_why_not(run, recorded, job_id))
    return Exit.ENDED_OTHERWISE


async def settle_not_charged(ref: str, why: str | None) -> Exit:
    async with open_ledger(load_settings()) as desk:
        run = await desk.find(ref)
        settled = await desk.operators.settle_not_charged(run.run_id, user_id(None), why)
        run = await desk.find(run.ref)
    typer.echo(sentences.ending(run) if settled.settled else _not_in_doubt(run))
    return Exit.DONE if settled.settled else Exit.ENDED_OTHERWISE


def _why_not(run: Run, recorded: Recorded, job_id: str) -> str:
    if recorded.why == "owned":
        return f"Job {job_id} belongs to another run, by the provider's own answer. Nothing was changed."
    if run.parked and run.job_id:
        return (
            f"Run {run.ref} has job {run.job_id} by the provider's own answer; another cannot replace it. "
            "Nothing was changed."
        )
    return _not_in_doubt(run)


def _not_in_doubt(run: Run) -> str:
    if run.state is State.SUBMITTING:
        return f"Run {run.ref} is being bought at this moment; try again in two minutes. Nothing was changed."
    return (
        f"Run {run.ref} is neither in doubt nor parked, so there is nothing to settle: "
        f"{sentences.STATE_WORDS[run.state]}. Nothing was changed."
    )
