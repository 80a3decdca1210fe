"""Answers, pages and clips that lie about one paid job, over HTTP: no paid clip is lost, nobody gets another's."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.context import RunContext
from pipeline.ledger.records import State
from pipeline.run import run
from tests.pipeline.test_run import admitted, driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, quick_waits


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


async def test_signed_clip_url_on_the_same_host_is_followed_without_the_key(
    context: RunContext, simulator: Simulator
) -> None:
    """Object storage at the provider's own address rejects a request that is signed and also has a key."""
    simulator.control("POST", "/_sim/habits", {"clip_signed": True})
    row = await driven(await admitted(context, simulator), context)
    assert row.state is State.SAVED


IN_OUR_WAY = (
    lambda job: {"error": {"message": "Only one video at a time", "video_id": job, "status": "in_progress"}},
    lambda job: {"detail": {"message": "You already have a generation running", "id": job, "status": "in_progress"}},
    lambda job: {"error": {"message": "Concurrency limit"}, "job": {"id": job, "object": "video", "status": "queued"}},
)


def _colleagues_job(sim: Simulator) -> str:
    """A job on the same key that looks like ours in everything a page shows."""
    sim.control("POST", "/_sim/habits", {"null_prompts": True})
    job = {"prompt": "a colleague's film", "model": "sim-1", "seconds": 8, "size": "720x1280", "created_at_offset": -20}
    return str(sim.control("POST", "/_sim/jobs", job)["id"])


@pytest.mark.parametrize("shape", IN_OUR_WAY)
@pytest.mark.parametrize("status", [400, 402, 403, 423])
async def test_job_named_in_a_refusal_of_our_order_is_not_adopted(
    context: RunContext, simulator: Simulator, status: int, shape: Any
) -> None:
    theirs = _colleagues_job(simulator)
    simulator.trouble("create", "status", status=status, body=shape(theirs))
    row = await run(await admitted(context, simulator), context)
    assert row is not None and (row.state, row.job_id) == (State.UNCERTAIN, None)


@pytest.mark.parametrize(
    "headers", [{"cf-aig-cache-status": "HIT"}, {"X-Cache-Status": "Hit", "Age": "300"}, {"helicone-cache": "HIT"}]
)
async def test_cached_submission_answer_leaves_the_run_in_doubt(
    context: RunContext, simulator: Simulator, headers: dict[str, str]
) -> None:
    theirs = _colleagues_job(simulator)
    job = {"id": theirs, "object": "video", "status": "queued", "seconds": "8", "size": "720x1280"}
    simulator.trouble("create", "status", status=200, body=job, headers=headers)
    row = await run(await admitted(context, simulator), context)
    assert row is not None and (row.state, row.doubt, row.job_id) == (State.UNCERTAIN, "answer_from_a_cache", None)


async def test_server_error_after_the_job_was_made_leaves_the_run_in_doubt(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("create", "refused", name="broken_inside", made=True)
    simulator.trouble("list", "status", status=500, always=True)
    row = await run(await admitted(context, simulator), context)
    assert row is not None and (row.state, row.held_microusd) == (State.UNCERTAIN, PRICE_MICROUSD)
    assert simulator.paid_calls() == 1


@pytest.mark.parametrize(
    "shown",
    [
        {"status": "failed", "progress": 40, "error": {"code": "task_failed", "message": "查询任务失败：上游超时"}},
        {"status": "failed", "progress": 40, "error": {"code": "task_failed", "message": "fetch failed"}},
        {"status": "failed", "progress": 40, "error": {"code": "worker_oom", "will_retry": True}},
        {"status": "failed", "progress": 40, "error": {"code": "worker_oom"}, "next_retry_at": 1_999_999_999},
    ],
    ids=str,
)
async def test_gateway_error_shaped_like_a_failed_job_does_not_end_the_run(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, shown: dict[str, Any]
) -> None:
    simulator.control("POST", "/_sim/habits", {"shown": shown | {"completed_at": None}, "lies_in": ["retrieve"]})
    simulator.trouble("content", "status", status=404, always=True)
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="1")) as context:
        row = await driven(await admitted(context, simulator), context)
        assert (row.state, row.parked, row.held_microusd) == (State.RENDERING, True, PRICE_MICROUSD)
        simulator.control("DELETE", "/_sim/habits")
        simulator.control("DELETE", "/_sim/faults")
        row = await driven(row.run_id, context)
        assert row.state is State.SAVED


async def test_repeatedly_read_cached_failure_does_not_end_the_run(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    failed = {"status": "failed", "progress": 10, "completed_at": None, "error": {"message": "the worker was lost"}}
    lie = {"shown": failed, "lies_in": ["retrieve"], "answer_headers": {"X-Cache": "TCP_HIT"}}
    simulator.trouble("content", "status", status=404, always=True)
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="1")) as context:
        run_id = await admitted(context, simulator)
        simulator.trouble("retrieve", "lie", habits=lie, always=True)
        row = await driven(run_id, context)
        assert (row.state, row.parked, row.held_microusd) == (State.RENDERING, True, PRICE_MICROUSD)


@pytest.mark.parametrize(
    "shown",
    [
        {"status": "expired", "progress": 1},
        {"status": "expired", "progress": "100%"},
        {"status": "expired", "progress": 99, "completed_at": "2026-11-29T10:00:00.123456"},
        {"status": "failed", "progress": 100, "error": {"code": "gone", "message": "output file removed"}},
    ],
    ids=str,
)
async def test_run_whose_finished_clip_is_gone_fails_as_expired_and_is_charged(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, shown: dict[str, Any]
) -> None:
    simulator.control("POST", "/_sim/habits", {"shown": shown, "lies_in": ["retrieve"]})
    simulator.trouble("content", "status", status=404, always=True)
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="1")) as context:
        row = await driven(await admitted(context, simulator), context)
        assert (row.state, row.reason, row.spent_microusd) == (State.FAILED, "expired", PRICE_MICROUSD)
