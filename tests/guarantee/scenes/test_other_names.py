"""One account under several names: a new key, a second address, a restored ledger. Nobody gets another's job."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run, State
from pipeline.purchase.audit import Audit, audit, last_audit
from pipeline.run import admit, run
from simulator.text_model.writing import improved
from steps.check_limits import Admitted
from tests.pipeline.test_run import driven
from tests.support.fixtures import (
    PRICE_MICROUSD,
    Simulator,
    open_test_context,
    order_request,
    quick_waits,
    request_ended,
)

CLOSE = quick_waits(CLOCK_SKEW_SECONDS="1")  # so that a few seconds separate an earlier job from a later one
APART_SECONDS = 4.0


async def ordered(context: RunContext, sim: Simulator, prompt: str, user: str) -> UUID:
    of_shop = {"base_url": context.account.base_url, "key_fingerprint": context.account.key_fingerprint}
    admitted = await admit(order_request(sim, prompt, user_id=user, **of_shop), context.ledger)
    assert isinstance(admitted, Admitted), admitted
    return admitted.run_id


async def bought(context: RunContext, sim: Simulator, prompt: str, user: str) -> Run:
    row = await driven(await ordered(context, sim, prompt, user), context)
    assert row.state is State.SAVED, row
    return row


async def lost(context: RunContext, sim: Simulator, prompt: str, user: str, kind: str = "made_then_drop") -> Run:
    """An order in doubt: its job was made and the answer lost, or with `drop_before` the request never arrived."""
    sim.trouble("list", "status", status=500, times=1)
    sim.trouble("create", kind)
    row = await run(await ordered(context, sim, prompt, user), context)
    assert row is not None and row.state is State.UNCERTAIN, row
    return row


async def looked(row: Run, context: RunContext) -> Run:
    return await driven(row.run_id, request_ended(context), seconds=30)


async def audited(context: RunContext) -> Audit:
    now = (await last_audit(context.ledger.rpc, context.account)).now
    return await audit(context.ledger, context.account, context.waits, now - context.waits.audit)


def rekeyed(context: RunContext) -> RunContext:
    return replace(context, account=replace(context.account, key_fingerprint="fp2"))


async def test_run_under_a_new_key_does_not_adopt_a_job_ordered_under_the_old_key(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as old:
        await bought(old, simulator, "a lantern", "cli:before")
        theirs = await lost(old, simulator, "a paper boat", "cli:a")
        new = rekeyed(old)
        mine = await lost(new, simulator, "a paper boat", "cli:b", "drop_before")
        mine = await looked(mine, new)
        assert (mine.state, mine.job_id, mine.held_microusd) == (State.UNCERTAIN, None, PRICE_MICROUSD)
        fresh = await new.ledger.load(theirs.run_id)
        assert fresh is not None and fresh.held_microusd == PRICE_MICROUSD


async def test_audit_under_a_new_key_does_not_adopt_a_job_ordered_under_the_old_key(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as old:
        await bought(old, simulator, "a lantern", "cli:before")
        await lost(old, simulator, "a paper boat", "cli:a")
        new = rekeyed(old)
        mine = await lost(new, simulator, "a paper boat", "cli:b", "drop_before")
        await Operators(new.ledger.rpc).settle_not_charged(mine.run_id, "cli:op", "none shown", early=True)
        assert not (await audited(new)).clean
        assert (await driven(mine.run_id, new)).job_id is None


async def test_exclusive_key_does_not_adopt_a_job_ordered_under_the_replaced_key(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control("POST", "/_sim/habits", {"null_prompts": True})
    async with open_test_context(ledger_dsn, simulator, tmp_path, CLOSE, exclusive_key=True) as old:
        new = rekeyed(old)
        await bought(new, simulator, "a lantern", "cli:before")
        await asyncio.sleep(APART_SECONDS)
        await lost(old, simulator, "a paper boat", "cli:a")
        mine = await lost(new, simulator, "a red fox in the snow", "cli:b", "drop_before")
        assert (await looked(mine, new)).job_id is None


async def test_job_bought_through_one_address_is_not_adopted_through_another(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path, CLOSE) as context:
        first = await bought(context, simulator, "a paper boat", "cli:a")
    await asyncio.sleep(APART_SECONDS)
    public = Simulator(simulator.url.replace("127.0.0.1", "localhost"))
    async with open_test_context(ledger_dsn, public, tmp_path, CLOSE) as context:
        mine = await lost(context, public, "a paper boat", "cli:b", "drop_before")
        await bought(context, public, "a grey owl", "cli:c")
        mine = await looked(mine, context)
        assert first.job_id is not None and mine.job_id is None


@contextmanager
def _restored(ledger_dsn: str, postgres_uri: str) -> Iterator[str]:
    """A copy of the ledger in its current state."""
    source, name = psycopg.conninfo.conninfo_to_dict(ledger_dsn)["dbname"], f"restored_{uuid4().hex}"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(f"create database {name} template {source}".encode())
        try:
            yield psycopg.conninfo.make_conninfo(postgres_uri, dbname=name)
        finally:
            connection.execute(f"drop database {name} with (force)".encode())


@pytest.mark.parametrize("by", ["looks", "audit"])
async def test_restored_ledger_does_not_adopt_a_job_made_before_its_order(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, postgres_uri: str, by: str
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path, CLOSE) as context:
        await bought(context, simulator, "a lantern", "cli:before")
    with _restored(ledger_dsn, postgres_uri) as backup:
        async with open_test_context(ledger_dsn, simulator, tmp_path, CLOSE) as context:
            await bought(context, simulator, "a paper boat", "cli:a")
        await asyncio.sleep(APART_SECONDS)
        async with open_test_context(backup, simulator, tmp_path, CLOSE) as context:
            mine = await lost(context, simulator, "a paper boat", "cli:b", "drop_before")
            if by == "audit":
                await Operators(context.ledger.rpc).settle_not_charged(mine.run_id, "cli:op", "none shown", early=True)
                assert not (await audited(context)).clean
                mine = await driven(mine.run_id, context)
            else:
                mine = await looked(mine, context)
            assert mine.job_id is None


@pytest.mark.parametrize("later", [True, False])
async def test_older_foreign_job_with_the_same_prompt_is_not_adopted(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, later: bool
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        words = {"prompt": improved("a paper boat", "en"), "seconds": 8, "model": "sim-1"}
        simulator.control("POST", "/_sim/jobs", words | {"created_at_offset": -1800})
        mine = await lost(context, simulator, "a paper boat", "cli:b", "drop_before")
        if later:
            await bought(context, simulator, "a grey owl", "cli:c")
        assert (await looked(mine, context)).job_id is None
