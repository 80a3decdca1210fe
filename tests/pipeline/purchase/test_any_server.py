"""A run at servers that each speak the protocol in their own way."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import State
from pipeline.purchase.audit import audit
from pipeline.purchase.settling import Found, settle_found
from simulator.videos import lies
from tests.pipeline.purchase.test_misread_answers import kept_bodies
from tests.pipeline.test_run import admitted, driven
from tests.support.fixtures import Simulator, open_test_context, quick_waits


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("habits", "body"),
    [
        ({"sparse": True}, "multipart"),
        ({"null_prompts": True}, "multipart"),
        ({"no_list_status": 404}, "multipart"),
        ({"json_only": True}, "json"),
        ({"model_prefix": "openai/"}, "json"),
        ({"integer_ids": True}, "multipart"),
        ({"envelope": "code_request"}, "multipart"),
    ],
)
async def test_run_is_saved_at_servers_with_each_protocol_variant(
    context: RunContext, simulator: Simulator, habits: dict[str, object], body: str
) -> None:
    simulator.control("POST", "/_sim/habits", habits)

    row = await driven(await admitted(context, simulator, create_body=body), context)

    assert row.state is State.SAVED
    assert simulator.paid_calls() == 1


async def test_clip_is_fetched_at_the_deadline_if_every_answer_shows_another_id(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control("POST", "/_sim/habits", {"strange_ids": True})
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="1")) as context:
        row = await driven(await admitted(context, simulator), context)
    assert row.state is State.SAVED
    assert simulator.paid_calls() == 1


@pytest.mark.parametrize("habits", [{"integer_ids": True}, {"task_ids": True}], ids=str)
async def test_audit_matches_listed_jobs_by_any_id_that_the_answer_named(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, habits: dict[str, object]
) -> None:
    simulator.control("POST", "/_sim/habits", habits)
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="1")) as context:
        for prompt in ("a paper boat", "a grey owl"):
            row = await driven(await admitted(context, simulator, prompt, user_id=f"cli:{prompt}"), context)
            assert row.state is State.SAVED
        found = await audit(context.ledger, context.account, context.waits, row.reserved_at - timedelta(hours=1))
    assert (found.complete, found.differences) == (True, ())


async def test_answer_with_several_ids_is_kept_and_the_right_job_id_is_used(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("create", "enveloped", envelope="code_request")
    row = await driven(await admitted(context, simulator), context)
    [job] = simulator.control("GET", "/_sim/jobs")["jobs"]
    assert (row.state, row.job_id) == (State.SAVED, job["id"])
    assert any("req-77" in body for body in await kept_bodies(row, context))


async def test_run_in_doubt_can_be_settled_with_a_numeric_job_id(context: RunContext, simulator: Simulator) -> None:
    simulator.control("POST", "/_sim/habits", {"integer_ids": True, "no_list_status": 404})
    simulator.trouble("create", "made_then_drop")
    row = await driven(await admitted(context, simulator), context)
    assert (row.state, row.parked) == (State.UNCERTAIN, True)
    [job] = simulator.control("GET", "/_sim/jobs")["jobs"]

    number = str(lies.number(job["id"]))
    found = await settle_found(row, number, "op", "their console", Operators(context.ledger.rpc), context.account)
    assert isinstance(found, Found) and found.recorded.recorded
    row = await driven(row.run_id, context)
    assert (row.state, row.job_id) == (State.SAVED, number)
