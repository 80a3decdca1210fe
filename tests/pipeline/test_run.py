"""A run from request to clip, through every real part, with a simulator that can be made to misbehave."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, Run, State
from pipeline.prompts.versions import PromptVersions
from pipeline.run import admit, run
from steps.check_limits import Admitted, RefusalKind, Refused
from steps.text_model.prompt_store import PromptStore
from tests.support.fixtures import (
    PRICE_MICROUSD,
    PROVES_ABSENCE,
    ROOT,
    Simulator,
    open_test_context,
    order_request,
    quick_waits,
    request_ended,
)


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        yield context


async def admitted(context: RunContext, simulator: Simulator, prompt: str = "a paper boat", **changes: object) -> UUID:
    answer = await admit(order_request(simulator, prompt, **changes), context.ledger)
    assert isinstance(answer, Admitted), answer
    return answer.run_id


async def driven(run_id: UUID, context: RunContext, *, seconds: float = 60) -> Run:
    """Runs it again and again until it ends or is parked, as a worker would."""
    until = time.monotonic() + seconds
    while True:
        row = await run(run_id, context)
        assert row is not None
        if row.ended or row.parked or time.monotonic() > until:
            return row
        await asyncio.sleep(0.05)


async def test_a_request_becomes_a_saved_clip_with_a_caption_for_one_paid_call(
    context: RunContext, simulator: Simulator
) -> None:
    row = await driven(await admitted(context, simulator), context)

    assert row.state is State.SAVED
    assert row.file and Path(row.file).read_bytes()[4:8] == b"ftyp"
    assert row.caption and row.hashtags and 3 <= len(row.hashtags) <= 8
    assert (row.held_microusd, row.spent_microusd, row.released_microusd) == (0, PRICE_MICROUSD, 0)
    assert row.text_microusd > 0
    assert set(row.templates) == {"validate_prompt", "write_caption", "brand"}
    books = simulator.books()
    assert books["totals"]["paid_calls"] == 1
    assert books["totals"]["charged_microusd"] == PRICE_MICROUSD
    assert books["creates"][0]["key"] == str(row.run_id)


async def test_running_a_finished_run_again_makes_no_provider_or_text_model_calls(
    context: RunContext, simulator: Simulator
) -> None:
    run_id = await admitted(context, simulator)
    await driven(run_id, context)
    before = simulator.books()

    again = await run(run_id, context)

    assert again is not None and again.state is State.SAVED
    assert simulator.books()["totals"] == before["totals"]
    assert simulator.books()["chat_calls"] == before["chat_calls"]


async def test_run_processed_by_five_workers_at_once_is_ordered_once(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as first:
        run_id = await admitted(first, simulator)

    async def somebody(number: int) -> Run:
        async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
            return await driven(run_id, context)

    rows = await asyncio.gather(*map(somebody, range(5)))

    assert {row.state for row in rows} == {State.SAVED}
    assert simulator.creates() == 1


async def test_same_key_replays_the_run_and_same_prompt_under_another_key_is_a_duplicate(
    context: RunContext, simulator: Simulator
) -> None:
    request = order_request(simulator)
    first = await admit(request, context.ledger)
    second = await admit(replace(request, call_id=uuid4()), context.ledger)
    third = await admit(replace(request, key="cli:other", call_id=uuid4()), context.ledger)

    assert isinstance(first, Admitted) and isinstance(second, Admitted) and isinstance(third, Refused)
    assert second.replayed and second.run_id == first.run_id
    assert third.kind is RefusalKind.DUPLICATE and third.of_ref == first.ref


async def test_a_refused_prompt_releases_the_money_and_offers_a_rewrite(
    context: RunContext, simulator: Simulator
) -> None:
    row = await driven(await admitted(context, simulator, "a fight with blood everywhere"), context)

    assert row.state is State.REJECTED
    assert row.reasons == ("violence",)
    assert row.safe_rewrite
    assert row.released_microusd == PRICE_MICROUSD
    assert simulator.creates() == 0


@pytest.mark.parametrize("prompt", ["{{ 7*7 }} in neon", "{% for x in y %} {{ config }}"])
async def test_template_syntax_in_a_prompt_is_not_rendered(
    context: RunContext, simulator: Simulator, prompt: str
) -> None:
    row = await driven(await admitted(context, simulator, prompt), context)

    assert row.state is State.SAVED
    assert row.prompt == prompt
    assert "49" not in (row.improved_prompt or "")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("drop", "text_model_unreachable"),
        ("invalid_json", "text_model_unusable"),
        ("wrong_schema", "text_model_unusable"),
        ("refusal", "text_model_refused"),
    ],
)
async def test_text_model_failure_fails_the_run_before_any_purchase(
    context: RunContext, simulator: Simulator, kind: str, reason: str
) -> None:
    simulator.trouble("chat", kind, always=True)

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.reason) == (State.FAILED, reason)
    assert row.released_microusd == PRICE_MICROUSD
    assert simulator.creates() == 0


async def test_caption_falls_back_to_the_title_when_the_text_model_fails(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("chat", "drop", skip=1, times=20)

    row = await driven(await admitted(context, simulator), context)

    assert row.state is State.SAVED
    assert row.caption_by == "plain"
    assert row.caption == row.title


async def test_prompt_refused_by_the_provider_fails_the_run_uncharged(
    context: RunContext, simulator: Simulator
) -> None:
    row = await driven(await admitted(context, simulator, "a cat, provider-refuse"), context)

    assert (row.state, row.reason) == (State.FAILED, "prompt_refused")
    assert row.released_microusd == PRICE_MICROUSD
    assert simulator.paid_calls() == 0


async def test_failed_render_is_charged_only_if_the_provider_bills_failed_renders(
    context: RunContext, simulator: Simulator
) -> None:
    free = await driven(await admitted(context, simulator, "render-fails one", user_id="cli:a"), context)
    billed = await driven(
        await admitted(context, simulator, "render-fails two", user_id="cli:b", bills_failed=True), context
    )

    assert (free.state, free.reason, free.released_microusd) == (
        State.FAILED,
        "render_failed",
        PRICE_MICROUSD,
    )
    assert (billed.reason, billed.spent_microusd) == ("render_failed", PRICE_MICROUSD)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "moderation_blocked", "message": "Your request was blocked."},
        {"code": "1301", "message": "Failure to pass the risk control system"},
        {"code": "OutputVideoSensitiveContentDetected", "message": "see our rules"},
    ],
    ids=str,
)
async def test_job_failed_for_its_content_is_prompt_refused_and_does_not_open_the_breaker(
    context: RunContext, simulator: Simulator, error: dict[str, str]
) -> None:
    simulator.trouble("retrieve", "shows_failed", error=error, always=True)
    simulator.trouble("content", "expired", always=True)
    for user in range(6):  # so many failures of the provider would stop ordering for all
        row = await driven(await admitted(context, simulator, f"boat {user}", user_id=f"cli:{user}"), context)
        assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "prompt_refused", PRICE_MICROUSD)
    simulator.control("DELETE", "/_sim/faults")
    assert (await driven(await admitted(context, simulator, "a kite", user_id="cli:a"), context)).state is State.SAVED


async def test_render_past_its_deadline_is_parked_with_money_held_and_saved_once_it_completes(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    waits = quick_waits(RENDER_DEADLINE_SECONDS="0.3")
    async with open_test_context(ledger_dsn, simulator, tmp_path, waits) as context:
        run_id = await admitted(context, simulator)
        parked = await driven(run_id, context)
        assert parked.state is State.RENDERING and parked.parked
        assert parked.held_microusd == PRICE_MICROUSD
        another = await admit(order_request(simulator, "another"), context.ledger)
        assert isinstance(another, Refused) and another.kind is RefusalKind.COOLDOWN, "not busy any more"

        simulator.control("POST", "/_sim/speed", {"speed": "instant"})
        row = await run(run_id, context)

    assert row is not None and row.state is State.SAVED
    assert simulator.creates() == 1


async def test_parked_render_is_saved_if_its_missing_content_appears_in_time(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control("POST", "/_sim/habits", {"sparse": True})  # it does not say how long it keeps a clip
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    waits = quick_waits(RENDER_DEADLINE_SECONDS="0.3")
    async with open_test_context(ledger_dsn, simulator, tmp_path, waits) as context:
        run_id = await admitted(context, simulator)
        await driven(run_id, context)
        simulator.control("POST", "/_sim/speed", {"speed": "instant"})
        simulator.trouble("content", "status", status=404, times=3)

        for _ in range(3):
            row = await run(run_id, context)
            assert row is not None and row.state is State.RENDERING and row.parked, row
            await asyncio.sleep(2 * context.waits.look.total_seconds())
        row = await run(run_id, context)

    assert row is not None and row.state is State.SAVED


async def test_run_whose_clip_stays_missing_for_the_parking_time_fails_as_expired(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control("POST", "/_sim/habits", {"sparse": True})  # it does not say how long it keeps a clip
    simulator.trouble("content", "status", status=404, times=1000)
    waits = quick_waits(RENDER_DEADLINE_SECONDS="0.3", PARKED_SECONDS="1")
    async with open_test_context(ledger_dsn, simulator, tmp_path, waits) as context:
        run_id = await admitted(context, simulator)
        async with asyncio.timeout(60):
            while (row := await run(run_id, context)) and not row.ended:
                await asyncio.sleep(0.1)

    assert row is not None and (row.state, row.reason) == (State.FAILED, "expired")
    assert row.spent_microusd == PRICE_MICROUSD


async def test_broken_caption_template_gives_a_plain_caption_and_the_clip_is_saved(
    context: RunContext, simulator: Simulator, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts"
    shutil.copytree(ROOT / "prompts", prompts)
    (prompts / "write_caption.md").write_text("no front matter")
    broken = replace(context, prompts=PromptVersions(PromptStore(prompts), context.ledger.rpc))

    row = await driven(await admitted(context, simulator), broken)

    assert (row.state, row.caption_by) == (State.SAVED, "plain")
    assert set(row.templates) == {"validate_prompt"}


async def test_trusted_list_without_the_job_fails_a_lost_request_as_not_made(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path, **PROVES_ABSENCE) as context:
        simulator.trouble("create", "drop_before")
        run_id = await admitted(context, simulator)
        await run(run_id, context)
        async with asyncio.timeout(60):
            while (row := await run(run_id, request_ended(context))) and not row.ended:
                await asyncio.sleep(0.1)

    assert row is not None and (row.state, row.reason) == (State.FAILED, "not_made")
    assert row.looks_complete >= 5
    assert row.released_microusd == PRICE_MICROUSD
    assert simulator.creates() == 1 and simulator.paid_calls() == 0


async def test_untrusted_list_leaves_a_lost_request_in_doubt_with_the_money_held(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("create", "drop_before")

    row = await driven(await admitted(context, simulator), context)

    assert row.state is State.UNCERTAIN and row.parked
    assert row.held_microusd == PRICE_MICROUSD


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("made_then_drop", {}),
        ("half_answer", {}),
        ("garbage_json", {}),
        ("id_missing", {}),
        ("error_body", {}),
        ("status", {"status": 500, "made": True}),
        ("status", {"status": 429, "made": True}),
        ("redirect", {"made": True}),
    ],
)
async def test_lost_answer_is_never_ordered_again_and_its_job_is_adopted_from_the_list(
    context: RunContext, simulator: Simulator, kind: str, how: dict[str, object]
) -> None:
    simulator.trouble("create", kind, **how)

    row = await driven(await admitted(context, simulator), context)

    assert simulator.creates() == 1
    if simulator.paid_calls() == 1:
        assert row.state is State.SAVED
        assert row.job_source is JobSource.LIST
        assert row.spent_microusd == PRICE_MICROUSD
    else:
        assert row.state is State.UNCERTAIN
        assert row.held_microusd == PRICE_MICROUSD


async def test_job_of_an_order_that_timed_out_is_adopted_from_the_list(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.trouble("create", "made_then_timeout")
    waits = quick_waits(REQUEST_TIMEOUT_SECONDS="2")
    async with open_test_context(ledger_dsn, simulator, tmp_path, waits) as context:
        row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.job_source) == (State.SAVED, JobSource.LIST)
    assert simulator.creates() == simulator.paid_calls() == 1


async def test_read_errors_during_the_render_never_fail_a_run(context: RunContext, simulator: Simulator) -> None:
    for kind in ("drop", "garbage", "half_answer"):
        simulator.trouble("retrieve", kind)
    simulator.trouble("retrieve", "status", status=404)
    simulator.trouble("content", "truncated")
    simulator.trouble("content", "not_mp4")
    simulator.trouble("content", "status", status=500)

    row = await driven(await admitted(context, simulator), context)
    assert row.state is State.SAVED
    assert simulator.creates() == 1


async def test_duration_of_the_save_event_includes_the_download(context: RunContext, simulator: Simulator) -> None:
    simulator.trouble("content", "slow_headers", seconds=0.3)
    row = await driven(await admitted(context, simulator), context)

    (saved,) = [each for each in await Operators(context.ledger.rpc).events(row.run_id) if each.step == "save_video"]
    assert saved.ms is not None and saved.ms >= 300
