"""Lists that lie about one paid job, over HTTP: the job is never proved unmade, and nobody gets another's clip."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run, State
from pipeline.purchase.audit import audit, last_audit
from pipeline.purchase.settling import settle_found
from pipeline.run import admit, run
from simulator.text_model.writing import improved
from steps.check_limits import Admitted
from tests.guarantee.scenes.test_reconciliation import bought, looked, rendering_after
from tests.pipeline.test_run import driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, order_request

ODD_PROMPT = "a <b>paper</b> boat & 猫 drift down a quiet river of ﬁne stars 🚤"


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


async def lost(context: RunContext, sim: Simulator, prompt: str, model: str) -> Run:
    """A paid job whose answer was lost; no list was requested yet."""
    sim.trouble("list", "status", status=500, times=1)
    sim.trouble("create", "made_then_drop")
    request = replace(order_request(sim, prompt, user_id="cli:victim"), model=model)
    admitted = await admit(request, context.ledger)
    assert isinstance(admitted, Admitted), admitted
    row = await run(admitted.run_id, context)
    assert row is not None and row.state is State.UNCERTAIN, row
    return row


# The list's lie, given the ids of a job bought long ago, the one before the victim, the victim, and the one after it.
Lie = Callable[[str, str, str, str], Mapping[str, Any]]
HIDE = "hide"  # these jobs are missing from the list, without any hint
LIES: dict[str, Lie] = {
    "keeps it for its second page": lambda old, before, victim, after: {"list_first": [after, before], "page_size": 2},
    "is ordered by the last change, and hides prompts": lambda old, before, victim, after: {
        "list_first": [after, before],
        "null_prompts": True,
    },
    "is one half after the other": lambda *_: {"list_order": "shards", "page_size": 1},
    "came with an error beside its rows": lambda old, before, victim, after: {
        HIDE: victim,
        "list_says": {"error": {"message": "shard 2 timed out"}},
    },
    "calls itself partial": lambda old, before, victim, after: {HIDE: victim, "list_says": {"partial": True}},
    "is a part, by its status": lambda old, before, victim, after: {HIDE: victim, "list_status": 206},
    "names a next page in its headers": lambda old, before, victim, after: {
        HIDE: victim,
        "list_headers": {"Link": "</v1/videos?page=2>; rel=next"},
    },
    "counts one more in its headers": lambda old, before, victim, after: {
        HIDE: victim,
        "list_headers": {"X-Total-Count": "4"},
    },
    "warns in its headers": lambda old, before, victim, after: {
        HIDE: victim,
        "list_headers": {"Warning": '199 gateway "shard 2 timed out"'},
    },
    "is an older copy": lambda old, before, victim, after: {HIDE: victim, "cache_age": 30},
    "skips it with its cursor": lambda old, before, victim, after: {"list_says": {"last_id": victim}, "page_size": 1},
    "shows prompts one row off": lambda *_: {"prompts_shifted": True, "lies_in": ["list"]},
    "counts one more than it shows": lambda old, before, victim, after: {
        HIDE: victim,
        "list_says": {"total": 4},
    },
    "gives its id anew": lambda old, before, victim, after: {
        HIDE: old,
        "renamed": {victim: old},
        "null_prompts": True,
    },
    **{
        f"shows its prompt {rewrite}": lambda *_, rewrite=rewrite: {"prompt_rewrite": rewrite, "lies_in": ["list"]}
        for rewrite in ("escaped", "ascii", "middle", "redacted", "composed", "swapped", "translated")
    },
}


@pytest.mark.parametrize("lie", LIES)
async def test_lying_list_never_proves_that_a_paid_job_was_not_made(
    context: RunContext, simulator: Simulator, lie: str
) -> None:
    row = await _after_the_lie(context, simulator, LIES[lie], ODD_PROMPT)
    await _nothing_is_lost(row, context, simulator)


async def test_list_of_one_model_does_not_settle_a_run_of_another_model(
    context: RunContext, simulator: Simulator
) -> None:
    row = await _after_the_lie(
        context, simulator, lambda *_: {"list_models": ["sim-1"]}, "a paper boat", model="sim-1-pro"
    )
    assert (row.state, row.look_says) == (State.UNCERTAIN, "no_witness_before")


async def _after_the_lie(context: RunContext, sim: Simulator, lie: Lie, prompt: str, model: str = "sim-1") -> Run:
    old = await bought(context, sim, "a lighthouse", "cli:old")
    before = await bought(context, sim, "a lantern", "cli:before")
    row = await lost(context, sim, prompt, model)
    victim = next(job["id"] for job in _jobs(sim) if job["id"] not in {old.job_id, before.job_id})
    async with rendering_after(context, sim) as later:
        after = await context.ledger.load(later)
        assert after is not None and old.job_id and before.job_id and after.job_id
        habits = dict(lie(old.job_id, before.job_id, victim, after.job_id))
        if hidden := habits.pop(HIDE, None):
            sim.trouble("list", "missing_job", job_id=hidden, always=True)
        sim.control("POST", "/_sim/habits", habits)
        return await looked(row.run_id, context)


async def _nothing_is_lost(row: Run, context: RunContext, sim: Simulator) -> None:
    """The run has its own clip, or is in doubt and no audit is complete and clean."""
    if row.state is State.SAVED:
        assert row.job_id == next(job["id"] for job in _jobs(sim) if job["prompt"] == row.improved_prompt)
        return
    assert (row.state, row.held_microusd) == (State.UNCERTAIN, PRICE_MICROUSD)
    assert row.looks_complete == 0
    now = (await last_audit(context.ledger.rpc, context.account)).now
    found = await audit(context.ledger, context.account, context.waits, now - context.waits.audit)
    assert not found.clean


def _jobs(sim: Simulator) -> list[Any]:
    return list(sim.control("GET", "/_sim/jobs")["jobs"])


# -- whose clip it is


async def test_list_with_two_swapped_ids_does_not_deliver_the_wrong_clip(
    context: RunContext, simulator: Simulator
) -> None:
    await bought(context, simulator, "a lantern", "cli:before")
    row = await lost(context, simulator, "a paper boat", "sim-1")
    victim = _jobs(simulator)[-1]["id"]
    simulator.control("POST", "/_sim/jobs", {"prompt": "a stranger's castle at noon", "seconds": 8})
    stranger = _jobs(simulator)[-1]["id"]
    swapped = {victim: stranger, stranger: victim}
    simulator.control("POST", "/_sim/habits", {"renamed": swapped, "lies_in": ["list"]})
    async with asyncio.timeout(60):  # the stranger's row shows our prompt
        while stranger not in row.failed_jobs:
            row = await looked(row.run_id, context)
            assert row.file is None
    assert (row.state, row.job_id, row.held_microusd) == (State.UNCERTAIN, None, PRICE_MICROUSD)

    simulator.control("DELETE", "/_sim/habits")
    async with asyncio.timeout(60):
        while row.state is not State.SAVED:
            row = await looked(row.run_id, context)
    assert row.job_id == victim


async def _crossed(context: RunContext, sim: Simulator) -> tuple[UUID, str, str]:
    """A run whose answer named somebody else's job; that job's id, and the run's own."""
    theirs = await bought(context, sim, "a lantern on a hill", "cli:before")
    assert theirs.job_id is not None
    sim.control("POST", "/_sim/jobs", {"prompt": "a stranger's castle at noon", "seconds": 8})
    stranger = _jobs(sim)[-1]["id"]
    sim.trouble("create", "other_id", id=stranger)
    admitted = await admit(order_request(sim, "a paper boat", user_id="cli:victim"), context.ledger)
    assert isinstance(admitted, Admitted), admitted
    return admitted.run_id, stranger, theirs.job_id


async def test_job_with_another_prompt_is_fetched_only_after_an_operator_override(
    context: RunContext, simulator: Simulator
) -> None:
    run_id, stranger, _ = await _crossed(context, simulator)
    late = replace(context, waits=replace(context.waits, render_deadline=context.waits.look))
    row = await driven(run_id, late)
    assert (row.state, row.parked, row.file, row.job_id) == (State.RENDERING, True, None, stranger)
    operators = Operators(context.ledger.rpc)
    said = [event.detail for event in await operators.events(run_id) if event.outcome == "not_fetched"]
    assert any("another prompt" in str(detail) for detail in said), said

    await settle_found(row, stranger, "cli:op", "it is the one", operators, context.account, despite=True)
    row = await driven(run_id, late)
    assert (row.state, row.job_id) == (State.SAVED, stranger)


async def test_a_provider_that_rewrites_prompts_still_delivers(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    rewritten = {"prompt": "un barco pequeño cruza el mar en calma", "model": "the-gateways-own-name"}
    simulator.control("POST", "/_sim/habits", {"shown": rewritten})
    async with open_test_context(ledger_dsn, simulator, tmp_path, echoes_prompts=False) as context:
        await bought(context, simulator)


async def test_one_file_is_not_saved_for_two_different_orders(context: RunContext, simulator: Simulator) -> None:
    first = await bought(context, simulator, "a lantern on a hill", "cli:before")
    simulator.trouble("content", "of_job", job_id=first.job_id, always=True)
    admitted = await admit(order_request(simulator, "a paper boat", user_id="cli:victim"), context.ledger)
    assert isinstance(admitted, Admitted), admitted
    late = replace(context, waits=replace(context.waits, render_deadline=context.waits.look))
    row = await driven(admitted.run_id, late)
    assert (row.state, row.parked, row.file) == (State.RENDERING, True, None)

    simulator.control("DELETE", "/_sim/faults")
    async with asyncio.timeout(60):
        while row.state is not State.SAVED:
            row = await driven(admitted.run_id, late)
    assert row.file_sha256 != first.file_sha256


def _alike(one: str, other: str) -> str:
    """Another prompt for which the simulated model adds the very same words for camera, light and sound."""
    tail = improved(one, "en").removeprefix(one)
    return next(order_request for n in range(100_000) if improved(order_request := f"{other} {n}", "en").endswith(tail))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a red fox walks", "a grey owl sleeps"),
        ("рыжая лиса на снегу", "серая сова в лесу"),
        ("a kite", _alike("a kite", "a boat")),
    ],
)
async def test_runs_with_swapped_answers_do_not_get_each_others_clips(
    context: RunContext, simulator: Simulator, one: str, other: str
) -> None:
    """Both prompts share the added words for camera, light and sound; each job shows the other's whole prompt."""
    await lost(context, simulator, one, "sim-1")
    theirs = _jobs(simulator)[-1]["id"]
    simulator.trouble("create", "other_id", id=theirs)
    second = await admit(order_request(simulator, other, user_id="cli:two"), context.ledger)
    assert isinstance(second, Admitted)
    late = replace(context, waits=replace(context.waits, render_deadline=context.waits.look))

    row = await driven(second.run_id, late)
    assert (row.state, row.parked, row.file) == (State.RENDERING, True, None)


@pytest.mark.parametrize("created_at", ["", "missing"])
async def test_job_listed_under_another_id_is_not_adopted_by_another_run(
    context: RunContext, simulator: Simulator, created_at: str
) -> None:
    """Finished jobs are listed as assets; another user orders the exact same prompt, and that request never arrives."""
    simulator.control("POST", "/_sim/habits", {"asset_ids": True, "created_at": created_at})
    first = await bought(context, simulator, "a paper boat", "cli:one")
    simulator.trouble("create", "drop_before")
    second = await admit(order_request(simulator, "a paper boat", user_id="cli:two"), context.ledger)
    assert isinstance(second, Admitted)
    await run(second.run_id, context)
    async with rendering_after(context, simulator):
        row = await looked(second.run_id, context)
    assert (row.state, row.job_id, row.held_microusd) == (State.UNCERTAIN, None, PRICE_MICROUSD)
    assert first.file is not None
