"""A person's settlement is checked against what the provider shows before the ledger accepts it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, State
from pipeline.purchase.settling import (
    Contradicts,
    Found,
    NotSeen,
    Unseen,
    early_words,
    settle_found,
    settle_not_charged,
)
from pipeline.settings.parts import Waits
from providers.order_match import Shown
from tests.pipeline.purchase.test_fence import fresh, sent
from tests.support.fixtures import Simulator, open_test_context, quick_waits


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits()) as context:
        yield context


async def test_job_named_by_a_person_must_match_what_the_provider_shows_unless_they_insist(
    context: RunContext, simulator: Simulator
) -> None:
    row, token = await sent(context, simulator)
    await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    operators, row = Operators(context.ledger.rpc), await fresh(context, row)
    other = simulator.control("POST", "/_sim/jobs", {"prompt": "somebody else's", "seconds": 8})["id"]

    typo = await settle_found(row, "video_nope", "op", None, operators, context.account)
    assert isinstance(typo, NotSeen) and typo.why is Unseen.UNKNOWN
    differs = await settle_found(row, other, "op", None, operators, context.account)
    assert isinstance(differs, Contradicts) and Shown.PROMPT in differs.parts
    assert (await fresh(context, row)).job_id is None

    insisted = await settle_found(
        row, other, "op", "our proxy rewrites prompts", operators, context.account, despite=True
    )
    assert isinstance(insisted, Found) and insisted.recorded.recorded
    row = await fresh(context, row)
    assert (row.state, row.job_id) == (State.RENDERING, other)


async def test_settling_on_an_error_that_echoes_the_job_id_is_refused(
    context: RunContext, simulator: Simulator
) -> None:
    row, token = await sent(context, simulator)
    await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    operators, row = Operators(context.ledger.rpc), await fresh(context, row)
    job = simulator.control("POST", "/_sim/jobs", {"prompt": row.improved_prompt, "seconds": row.seconds})["id"]
    simulator.trouble("retrieve", "echo")

    echo = await settle_found(row, job, "op", None, operators, context.account)
    assert isinstance(echo, NotSeen) and echo.why is Unseen.UNNAMED
    assert "upstream request failed" in echo.words
    shown = await settle_found(row, job, "op", None, operators, context.account)
    assert isinstance(shown, Found) and shown.recorded.recorded


async def test_not_charged_is_refused_while_the_provider_shows_the_job(
    context: RunContext, simulator: Simulator
) -> None:
    """Even long after it should have turned up: a render may take longer than anybody waits for it."""
    row, token = await sent(context, simulator)
    job = simulator.control("POST", "/_sim/jobs", {"prompt": row.improved_prompt, "seconds": row.seconds})["id"]
    await context.ledger.record_submission(row.run_id, job, JobSource.ANSWER, token=token)
    await context.ledger.park(row.run_id, "render_deadline", None)
    row, waits = await fresh(context, row), _over(context)

    settled = await settle_not_charged(row, "op", "gone", context.ledger, context.account, waits)
    assert (settled.settled, settled.why, settled.shown) == (False, "shown", "completed")
    assert f"shows job {job} of {row.ref} as completed" in early_words(row, settled)
    assert (await fresh(context, row)).state is State.RENDERING

    simulator.trouble("retrieve", "not_found", always=True)
    settled = await settle_not_charged(row, "op", "gone", context.ledger, context.account, waits)
    assert settled.settled


@pytest.mark.parametrize(
    ("says", "taken"), [("prompts_hidden", False), ("unowned_job", False), ("witness_missing", True), ("absent", True)]
)
async def test_not_charged_rests_on_the_last_look_while_the_list_cannot_be_read(
    context: RunContext, simulator: Simulator, says: str, taken: bool
) -> None:
    simulator.trouble("list", "status", status=503, always=True)
    row, token = await sent(context, simulator)
    await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    await context.ledger.record_look(
        row.run_id, counts=False, candidates=0, running_shown=False, says=says, next_look_at=None, detail={}
    )
    row, waits = await fresh(context, row), _over(context)

    settled = await settle_not_charged(row, "op", "their books", context.ledger, context.account, waits)
    assert (settled.settled, settled.why) == (taken, None if taken else "shown")
    assert taken or "a job that may be the order of" in early_words(row, settled)
    insisted = await settle_not_charged(
        row, "op", "it is another's", context.ledger, context.account, waits, early=True
    )
    assert insisted.settled is not taken, "settled by the first, or by insisting"


async def test_not_charged_scans_the_list_again_before_it_settles(context: RunContext, simulator: Simulator) -> None:
    """The last look may be hours old: a job that turned up since counts, and one that is gone does not."""
    row, token = await sent(context, simulator)
    await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    await context.ledger.park(row.run_id, "witness_missing", None)
    row, waits = await fresh(context, row), _over(context)
    job = simulator.control("POST", "/_sim/jobs", {"prompt": row.improved_prompt, "seconds": row.seconds})["id"]

    settled = await settle_not_charged(row, "op", "their books", context.ledger, context.account, waits)
    assert (settled.settled, settled.why, settled.shown) == (False, "shown", job)
    assert f"may be the order of {row.ref}: {job}. Nothing was changed." in early_words(row, settled)
    assert (await fresh(context, row)).state is State.UNCERTAIN

    insisted = await settle_not_charged(row, "op", "no", context.ledger, context.account, waits, early=True)
    assert insisted.settled


async def test_list_that_proves_nothing_does_not_withdraw_an_earlier_candidate(
    context: RunContext, simulator: Simulator
) -> None:
    """An empty list without a witness may be that of a restarted provider."""
    row, token = await sent(context, simulator)
    await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    await context.ledger.record_look(
        row.run_id, counts=False, candidates=1, running_shown=False, says="unowned_job", next_look_at=None, detail={}
    )
    row, waits = await fresh(context, row), _over(context)

    settled = await settle_not_charged(row, "op", "theirs", context.ledger, context.account, waits)
    assert (settled.settled, settled.why) == (False, "shown")


async def test_job_that_is_another_equal_runs_by_a_guess_still_blocks_not_charged(
    context: RunContext, simulator: Simulator
) -> None:
    """Two equal orders, two jobs, one failed: which is whose is unknown, and a failed render may be billed."""
    rows = []
    for user in ("cli:a", "cli:b"):
        row, token = await sent(context, simulator, user, "a paper boat")
        await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
        rows.append(await fresh(context, row))
    assert rows[0].improved_prompt == rows[1].improved_prompt
    order = {"prompt": rows[0].improved_prompt, "seconds": rows[0].seconds}
    simulator.control("POST", "/_sim/jobs", order)
    simulator.trouble("render", "fails")
    simulator.control("POST", "/_sim/jobs", order)

    settled = await settle_not_charged(rows[0], "op", "theirs", context.ledger, context.account, _over(context))
    assert (settled.settled, settled.why) == (False, "shown")


def _over(context: RunContext) -> Waits:
    """No job can turn up any more."""
    now = timedelta()
    waits = replace(context.waits, submit_deadline=now, connect_timeout=now, request_timeout=now)
    return replace(waits, request_slack=now, render_deadline=now)
