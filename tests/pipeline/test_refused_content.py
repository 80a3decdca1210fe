"""A job refused for its content: its user is told so and pays nothing, and no breaker opens."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.context import RunContext
from pipeline.ledger.records import State
from pipeline.run import run
from tests.pipeline.test_run import admitted, driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, quick_waits


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        yield context


@pytest.mark.parametrize(
    "shown",
    [
        {"status": "failed", "failure_reason": "This video violates our content policy"},
        {"status": "Content Moderated"},
        {"status": "failed", "errors": [{"code": "content_policy_violation", "message": "No"}]},
        {"status": "failed", "error": {"message": "Stopped", "innererror": {"code": "content_policy_violation"}}},
        {"status": "failed", "base_resp": {"status_code": 1026, "status_msg": "the prompt has sensitive content"}},
        {"status": "rejected", "error": {"message": "potentially unsafe content"}},
        {"status": "completed", "data": [], "rai_media_filtered_reasons": ["The clip shows violence"]},
        {"status": "completed", "output": [], "nsfw": True},
        {"status": "completed", "error": {"code": "content_filtered", "message": "No clip"}},
        {"status": "completed", "output": None, "finish_reason": "content_filter"},
        {"status": "completed", "url": None, "moderation": {"flagged": True, "categories": ["violence"]}},
        {"status": "completed", "raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["celebrity likeness"]},
        {"status": "completed", "result": {"videos": [], "filtered_reason": "Content policy"}},
        {"status": "completed", "video": None, "blocked": True},
        {"status": "failed_safety", "error": {"message": "Stopped"}},
        {"status": "failed", "error": {"message": "Stopped", "details": [{"info": {"reason": "content_filter"}}]}},
    ],
    ids=str,
)
async def test_content_refusal_in_each_known_form_ends_as_prompt_refused_and_uncharged(
    context: RunContext, simulator: Simulator, shown: dict[str, object]
) -> None:
    simulator.trouble("retrieve", "lie", habits={"shown": shown}, always=True)
    simulator.trouble("content", "expired", always=True)
    row = await driven(await admitted(context, simulator), context)
    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "prompt_refused", PRICE_MICROUSD)
    assert simulator.creates() == 1


@pytest.mark.parametrize(
    "shown",
    [
        {"status": "completed", "output": [], "nsfw": True},
        {"status": "completed", "finish_reason": "content_filter", "blocked": True},
        {"status": "failed_safety", "error": {"message": "Stopped"}},
    ],
    ids=str,
)
async def test_available_clip_is_saved_even_if_its_job_reports_a_content_refusal(
    context: RunContext, simulator: Simulator, shown: dict[str, object]
) -> None:
    simulator.trouble("retrieve", "lie", habits={"shown": shown}, always=True)
    row = await driven(await admitted(context, simulator), context)
    assert row.state is State.SAVED


async def test_clip_withheld_by_the_providers_safety_system_is_not_charged(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    said = {"error": {"message": "The clip was blocked by our safety system"}}
    simulator.trouble("content", "status", status=404, body=said, always=True)
    waits = quick_waits(RENDER_DEADLINE_SECONDS="0.3", PARKED_SECONDS="1")
    async with open_test_context(ledger_dsn, simulator, tmp_path, waits) as context:
        run_id = await admitted(context, simulator)
        async with asyncio.timeout(60):
            while (row := await run(run_id, context)) and not row.ended:
                await asyncio.sleep(0.1)

    assert row is not None and (row.state, row.reason) == (State.FAILED, "prompt_refused")
    assert row.released_microusd == PRICE_MICROUSD
