"""How runs in doubt end, through every real part: trust, complete looks, twins, late answers, shifting pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from cli.output import sentences
from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, Run, State
from pipeline.operator_text import DOUBTS
from pipeline.prompts import llm_steps
from pipeline.purchase.audit import audit, last_audit
from pipeline.purchase.differences import Kind
from pipeline.purchase.settling import settle_not_charged
from pipeline.run import admit, run
from providers.list_jobs import look
from steps.check_limits import Admitted
from tests.pipeline.test_run import driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, order_request, request_ended


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


async def asked(context: RunContext, sim: Simulator, prompt: str = "a paper boat", user: str = "cli:a") -> UUID:
    answer = await admit(order_request(sim, prompt, user_id=user, base_url=context.account.base_url), context.ledger)
    assert isinstance(answer, Admitted), answer
    return answer.run_id


async def bought(context: RunContext, sim: Simulator, prompt: str = "a paper boat", user: str = "cli:a") -> Run:
    row = await driven(await asked(context, sim, prompt, user), context)
    assert row.state is State.SAVED, row
    return row


async def settled(run_id: UUID, context: RunContext, seconds: float = 60) -> Run:
    """Keep processing the run even when parked: looks go on."""
    async with asyncio.timeout(seconds):
        while True:
            row = await run(run_id, request_ended(context))
            assert row is not None
            if row.ended:
                return row
            await asyncio.sleep(0.1)


async def looked(run_id: UUID, context: RunContext, seconds: float = 60) -> Run:
    """Process the run until it ends or is parked, its request being over."""
    return await driven(run_id, request_ended(context), seconds=seconds)


async def lost(
    context: RunContext, sim: Simulator, prompt: str = "a paper boat", user: str = "cli:a", **how: object
) -> Run:
    """A run whose answer was lost and whose first look meets an unreadable list."""
    sim.trouble("list", "status", status=500, times=1)
    sim.trouble("create", str(how.pop("kind", "made_then_drop")), **how)
    row = await run(await asked(context, sim, prompt, user), context)
    assert row is not None and row.state is State.UNCERTAIN, row
    return row


async def events(context: RunContext, run_id: UUID) -> list[str]:
    return [event.outcome for event in await Operators(context.ledger.rpc).events(run_id)]


async def audited(context: RunContext) -> list[Kind]:
    now = (await last_audit(context.ledger.rpc, context.account)).now
    found = await audit(context.ledger, context.account, context.waits, now - context.waits.audit)
    assert found.complete
    return [difference.kind for difference in found.differences]


@asynccontextmanager
async def rendering_after(context: RunContext, sim: Simulator) -> AsyncIterator[UUID]:
    """A later purchase of ours whose job the list shows while it renders: without one, a list proves nothing."""
    sim.control("POST", "/_sim/speed", {"speed": 0.001})
    run_id = await asked(context, sim, "a grey owl", "cli:after")
    waiting = asyncio.create_task(driven(run_id, context))
    while (row := await context.ledger.load(run_id)) is None or row.state is not State.RENDERING:
        await asyncio.sleep(0.02)
    try:
        yield run_id
    finally:
        sim.control("POST", "/_sim/speed", {"speed": "instant"})
        await waiting


async def test_list_with_witnesses_before_and_after_proves_the_job_was_not_made(
    context: RunContext, simulator: Simulator
) -> None:
    await bought(context, simulator, "a lantern", "cli:before")
    row = await lost(context, simulator, kind="drop_before")
    async with rendering_after(context, simulator):
        row = await settled(row.run_id, context)

    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "not_made", PRICE_MICROUSD)
    assert row.looks_complete >= 5


async def test_list_that_proves_the_job_was_not_made_withdraws_an_earlier_candidate(
    context: RunContext, simulator: Simulator
) -> None:
    await bought(context, simulator, "a lantern", "cli:before")
    row = await lost(context, simulator, kind="drop_before")
    await context.ledger.record_look(
        row.run_id, counts=False, candidates=1, running_shown=False, says="unowned_job", next_look_at=None, detail={}
    )
    async with rendering_after(context, simulator), asyncio.timeout(60):
        waits = replace(request_ended(context).waits, render_deadline=timedelta())
        while True:
            fresh = await context.ledger.load(row.run_id)
            assert fresh is not None
            settled = await settle_not_charged(fresh, "op", "theirs", context.ledger, context.account, waits)
            if settled.settled:
                break
            assert settled.why in {"shown", "early"}
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("habits", "says"),
    [
        ({"list_share": 0.0}, "witness_missing"),
        ({"list_hides": ["completed", "in_progress", "queued"]}, "witness_missing"),
        ({"list_order": "oldest_first"}, "list_out_of_order"),
        ({"odd_rows": ["nul_id"]}, "unreadable_row"),
    ],
)
async def test_incomplete_or_altered_list_does_not_settle_a_run_in_doubt(
    context: RunContext, simulator: Simulator, habits: dict[str, object], says: str
) -> None:
    await bought(context, simulator, "a lantern", "cli:before")
    row = await lost(context, simulator, kind="drop_before")
    async with rendering_after(context, simulator):
        simulator.control("POST", "/_sim/habits", habits)
        row = await looked(row.run_id, context)

    assert row.state is State.UNCERTAIN and row.parked and row.held_microusd == PRICE_MICROUSD
    assert (row.look_says, row.looks_complete) == (says, 0)


async def test_empty_list_after_a_provider_restart_does_not_settle_a_run_in_doubt(
    context: RunContext, simulator: Simulator
) -> None:
    await bought(context, simulator, "a lantern", "cli:before")
    row = await lost(context, simulator)
    simulator.control("POST", "/_sim/restart", {"are_404": True})

    row = await looked(row.run_id, context)

    assert (row.state, row.look_says, row.held_microusd) == (State.UNCERTAIN, "witness_missing", PRICE_MICROUSD)


@pytest.mark.parametrize("shift", [-600, 28_800, -28_800])
async def test_job_with_the_same_prompt_is_adopted_despite_a_wrong_creation_time(
    context: RunContext, simulator: Simulator, shift: int
) -> None:
    simulator.control("POST", "/_sim/clock", {"skew_seconds": shift})
    await bought(context, simulator, "a lantern", "cli:before")

    row = await settled((await lost(context, simulator)).run_id, context)

    assert (row.state, row.job_source) == (State.SAVED, JobSource.LIST)


async def test_list_without_prompts_leaves_all_runs_in_doubt(context: RunContext, simulator: Simulator) -> None:
    simulator.control("POST", "/_sim/habits", {"null_prompts": True})
    rows = [await lost(context, simulator, f"wish {n}", f"cli:{n}") for n in range(3)]
    simulator.control("POST", "/_sim/jobs", {"prompt": "somebody else's", "seconds": 8})

    rows = [await looked(row.run_id, context) for row in rows]

    assert [(row.state, row.job_id, row.look_says) for row in rows] == [(State.UNCERTAIN, None, "prompts_hidden")] * 3


async def test_failed_list_scans_do_not_count_as_evidence(context: RunContext, simulator: Simulator) -> None:
    await bought(context, simulator, "a lantern", "cli:before")
    row = await lost(context, simulator, kind="drop_before")
    async with rendering_after(context, simulator):
        simulator.trouble("list", "status", status=500, always=True)
        row = await looked(row.run_id, context)
        row = await looked(row.run_id, context)
        assert row.state is State.UNCERTAIN and row.looks_complete == 0 and row.parked

        simulator.control("DELETE", "/_sim/faults")
        assert (await settled(row.run_id, context)).reason == "not_made"


async def test_next_purchase_reschedules_a_parked_run_that_lacked_a_witness(
    context: RunContext, simulator: Simulator
) -> None:
    await bought(context, simulator, "a lantern", "cli:before")
    row = await lost(context, simulator, kind="drop_before")
    row = await looked(row.run_id, context)
    assert row.parked and row.look_says == "running_never_shown"
    await context.ledger.wait_until(row.run_id, None)

    async with rendering_after(context, simulator):
        woken = await context.ledger.load(row.run_id)
        assert woken is not None and woken.next_look_at is None
        assert (await settled(row.run_id, context)).reason == "not_made"


async def test_two_runs_in_doubt_for_the_same_prompt_adopt_one_job_each(
    context: RunContext, simulator: Simulator
) -> None:
    one = await lost(context, simulator, user="cli:a")
    other = await lost(context, simulator, user="cli:b")

    rows = [await settled(each.run_id, context) for each in (one, other)]

    assert [row.state for row in rows] == [State.SAVED, State.SAVED]
    assert len({row.job_id for row in rows}) == 2 and simulator.paid_calls() == 2


async def test_one_job_for_two_matching_runs_in_doubt_is_not_adopted(context: RunContext, simulator: Simulator) -> None:
    one = await lost(context, simulator, user="cli:a")
    other = await lost(context, simulator, user="cli:b", kind="drop_before")

    rows = [await looked(each.run_id, context, seconds=3) for each in (one, other)]

    assert [(row.state, row.job_id) for row in rows] == [(State.UNCERTAIN, None)] * 2
    assert sum(row.held_microusd for row in rows) == 2 * PRICE_MICROUSD
    assert await audited(context) == [Kind.IN_DOUBT] * 2


async def test_late_job_is_adopted_despite_a_full_budget_and_another_active_run(
    context: RunContext, simulator: Simulator
) -> None:
    row = await lost(context, simulator)
    operators = Operators(context.ledger.rpc)
    await operators.settle_not_charged(row.run_id, "test")
    await operators.set_limit("cooldown_seconds", 0, "test")
    another = await asked(context, simulator, "another boat", "cli:a")
    await operators.set_limit("budget_day_microusd", 1, "test")
    await operators.set_limit("budget_month_microusd", 1, "test")

    assert await audited(context) == [Kind.LATE_JOB]

    late = await context.ledger.load(row.run_id)
    assert late is not None and (late.state, late.job_source) == (State.RENDERING, JobSource.LIST)
    assert late.held_microusd == PRICE_MICROUSD
    assert "adopted_late" in await events(context, row.run_id)
    assert (await settled(row.run_id, context)).spent_microusd == PRICE_MICROUSD
    beside = await context.ledger.load(another)
    assert beside is not None and beside.state is State.RESERVED
    assert await audited(context) == []


async def test_submission_answer_takes_the_job_from_a_run_that_adopted_it(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.control("POST", "/_sim/habits", {"null_prompts": True})
    guesser = await lost(context, simulator, "a boat", "cli:a", kind="drop_before")
    job = simulator.control("POST", "/_sim/jobs", {"prompt": "a train", "seconds": 8})["id"]
    assert (await context.ledger.record_submission(guesser.run_id, job, JobSource.LIST)).recorded

    owner = await asked(context, simulator, "a train", "cli:b")
    token = "the token of the one that was answered"
    row = await context.ledger.load(owner)
    assert row is not None and (await llm_steps.validate(row, context)).state is State.APPROVED
    await context.ledger.begin_submission(owner, token)
    recorded = await context.ledger.record_submission(owner, job, JobSource.ANSWER, token=token)

    assert recorded.recorded
    robbed = await context.ledger.load(guesser.run_id)
    assert robbed is not None
    assert (robbed.state, robbed.job_id, robbed.held_microusd) == (State.UNCERTAIN, None, PRICE_MICROUSD)
    assert DOUBTS["job_was_another_runs"] in sentences.in_doubt(robbed)
    assert (await settled(owner, context)).spent_microusd == PRICE_MICROUSD


async def test_run_in_doubt_is_parked_while_another_provider_is_configured(
    context: RunContext, simulator: Simulator
) -> None:
    row = await lost(context, simulator)
    elsewhere = replace(context, account=replace(context.account, key_fingerprint="another key"))

    row = await driven(row.run_id, elsewhere)
    assert row.state is State.UNCERTAIN and row.parked and row.held_microusd == PRICE_MICROUSD
    assert "parked" in await events(context, row.run_id)
    assert "accepted for another provider or key" in sentences.other_provider(row, "http://new.example/v1")

    assert (await settled(row.run_id, context)).state is State.SAVED
    assert simulator.creates() == 1


@pytest.mark.parametrize("skew", [-115, 115])
async def test_job_is_adopted_although_the_provider_clock_is_two_minutes_off(
    context: RunContext, simulator: Simulator, skew: int
) -> None:
    simulator.control("POST", "/_sim/clock", {"skew_seconds": skew})

    row = await settled((await lost(context, simulator)).run_id, context)

    assert row.state is State.SAVED and row.job_source is JobSource.LIST


async def test_a_job_on_a_later_page_is_found_while_new_jobs_shift_the_pages(
    context: RunContext, simulator: Simulator
) -> None:
    row = await lost(context, simulator)
    for number in range(105):
        simulator.control("POST", "/_sim/jobs", {"prompt": f"somebody else's {number}"})
    simulator.trouble("list", "shifted", times=3, count=3)

    row = await settled(row.run_id, context)

    assert row.state is State.SAVED and simulator.paid_calls() == 1
    seen = await look(context.account.provider, back_to=0)
    assert seen.complete and len(seen.jobs) >= 106
