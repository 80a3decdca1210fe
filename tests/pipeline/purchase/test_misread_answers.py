"""Answers that name no job, name it in a refusal, or come from a proxy: no paid job is failed, none is invented.

Over real HTTP, from the order to the end; the simulator's books say what was made.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.output import sentences
from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase.audit import audit
from pipeline.purchase.settling import Found, settle_found
from pipeline.run import run
from tests.pipeline.test_run import admitted, driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, quick_waits

UPSTREAM = {"error": {"message": "upstream error", "type": "upstream_error"}}
NAMES_ITS_REQUEST: dict[str, Any] = {"id": "req_9", "status": "error", **UPSTREAM}
LOOKS_LIKE_A_JOB = NAMES_ITS_REQUEST | {"object": "video", "status": "failed"}


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="1")) as opened:
        yield opened


async def kept_bodies(row: Run, context: RunContext) -> list[str]:
    events = await Operators(context.ledger.rpc).events(row.run_id)
    return [event.detail["body"] for event in events if event.outcome == "answer_kept"]


async def resting(run_id: Any, context: RunContext, *, looks: int = 6) -> Run:
    """The run after several looks, each at least LOOK_SECONDS apart."""
    for _ in range(looks):
        row = await run(run_id, context)
        await asyncio.sleep(2 * context.waits.look.total_seconds())
    assert row is not None
    return row


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_error_status_with_the_job_as_its_body_is_read_as_that_job(
    context: RunContext, simulator: Simulator, status: int
) -> None:
    simulator.trouble("create", "job_in_error", status=status)

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)
    assert (simulator.creates(), simulator.paid_calls()) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "how", "doubt"),
    [
        ("job_in_error", {"status": 400, "word": "failed"}, "refusal_names_a_job"),
        ("job_in_error", {"status": 422, "word": "error"}, "refusal_names_a_job"),
        ("html", {"status": 403}, "refusal_unreadable"),
        ("html", {"status": 400, "made": True}, "refusal_unreadable"),
        ("status", {"status": 404, "body": "", "made": True}, "refusal_unreadable"),
        ("status", {"status": 413, "body": "too large", "made": True}, "refusal_unreadable"),
        ("refused", {"name": "idempotency_key_reuse", "made": True}, "key_used_before"),
        ("refused", {"name": "lost_answer", "made": True}, "refusal_of_a_lost_answer"),
        (
            "status",
            {"status": 400, "body": {"error": {"message": "Polling limit exceeded, the task runs on"}}, "made": True},
            "refusal_after_the_job",
        ),
        (
            "status",
            {"status": 402, "body": {"error": "Video generated. No credits to download it"}, "made": True},
            "refusal_after_the_job",
        ),
        ("echoes_key", {}, "echoes_our_key"),
        ("echoes_key", {"form": "upper"}, "echoes_our_key"),
        ("echoes_key", {"form": "bare"}, "echoes_our_key"),
    ],
)
async def test_ambiguous_answer_leaves_the_run_in_doubt_and_is_kept_on_the_timeline(
    context: RunContext, simulator: Simulator, kind: str, how: dict[str, Any], doubt: str
) -> None:
    simulator.control("POST", "/_sim/habits", {"no_list_status": 404})
    simulator.trouble("create", kind, **how)

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.doubt, row.job_id, row.answered_job_id) == (State.UNCERTAIN, doubt, None, None)
    assert row.held_microusd == PRICE_MICROUSD
    assert len(await kept_bodies(row, context)) == 1
    assert (simulator.creates(), simulator.paid_calls()) == (1, 1)


async def test_location_header_of_an_unreadable_answer_is_kept_on_the_timeline(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.control("POST", "/_sim/habits", {"no_list_status": 404})
    headers = {"Location": "/v1/videos/video_77?signature=abc"}
    simulator.trouble("create", "status", status=202, body="", headers=headers, made=True)

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.doubt) == (State.UNCERTAIN, "unreadable")
    events = await Operators(context.ledger.rpc).events(row.run_id)
    kept = [event.detail for event in events if event.outcome == "answer_kept"]
    assert kept == [{"status": 202, "body": "", "location": "/v1/videos/video_77"}]


async def test_refusal_quoting_the_prompt_is_clear_whatever_the_prompt_contains(
    context: RunContext, simulator: Simulator
) -> None:
    prompt = "a duplicate request in neon, a bad gateway of bronze, the upstream salmon"
    words = {"error": {"message": f"size is not supported for '{prompt}'", "type": "invalid_request_error"}}
    simulator.trouble("create", "status", status=400, body=words)

    row = await driven(await admitted(context, simulator, prompt), context)

    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "bad_request", PRICE_MICROUSD)


async def test_request_key_echoed_by_the_answer_is_not_taken_for_a_job_id(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("create", "echoes_key")

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.job_source) == (State.SAVED, JobSource.LIST)
    assert row.job_id != str(row.run_id)


@pytest.mark.parametrize("body", [NAMES_ITS_REQUEST, LOOKS_LIKE_A_JOB], ids=["bare", "described"])
async def test_answer_with_a_request_id_does_not_fail_the_run_or_report_a_second_call(
    context: RunContext, simulator: Simulator, body: dict[str, Any]
) -> None:
    simulator.trouble("create", "idless", body=body)
    run_id = await admitted(context, simulator)

    row = await driven(run_id, context)
    row = await resting(run_id, context)
    since = row.reserved_at - timedelta(hours=1)
    found = await audit(context.ledger, context.account, context.waits, since)

    assert (row.state, row.parked, row.look_says) == (State.RENDERING, True, "job_unknown")
    assert row.held_microusd == PRICE_MICROUSD
    assert "the provider's answer named req_9, but the provider does not know it" in sentences.in_doubt(row)
    kinds = {each.kind.value: each for each in found.differences}
    assert not {"two_paid_calls", "perhaps_two_paid_calls"} & set(kinds)
    assert kinds["job_without_run"].could_be_ours

    [job] = simulator.control("GET", "/_sim/jobs")["jobs"]
    settled = await settle_found(row, job["id"], "op", "their console", Operators(context.ledger.rpc), context.account)
    assert isinstance(settled, Found) and settled.recorded.recorded
    row = await resting(run_id, context)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)
    assert (simulator.creates(), simulator.paid_calls()) == (1, 1)


@pytest.mark.parametrize("word", ["error", "failed", "expired"])
async def test_error_that_echoes_the_job_id_does_not_end_the_run(
    context: RunContext, simulator: Simulator, word: str
) -> None:
    simulator.trouble("retrieve", "echo", word=word, always=True)
    simulator.trouble("content", "status", status=404, always=True)
    run_id = await admitted(context, simulator)

    row = await resting(run_id, context)
    assert (row.state, row.failing_since, row.job_seen_at) == (State.RENDERING, None, None)
    simulator.control("DELETE", "/_sim/faults")
    row = await resting(run_id, context, looks=1)

    assert row.state is State.SAVED


async def test_run_of_a_bare_completed_job_never_expires_while_its_clip_is_missing(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control("POST", "/_sim/habits", {"envelope": "task"})
    simulator.trouble("content", "status", status=404, always=True)
    waits = quick_waits(RENDER_DEADLINE_SECONDS="0.3", PARKED_SECONDS="0.5")
    async with open_test_context(ledger_dsn, simulator, tmp_path, waits) as context:
        run_id = await admitted(context, simulator)
        await driven(run_id, context)
        await asyncio.sleep(1)
        row = await resting(run_id, context)

    assert (row.state, row.parked, row.held_microusd) == (State.RENDERING, True, PRICE_MICROUSD)


async def test_render_failure_is_confirmed_despite_an_echoed_error_between_two_looks(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("retrieve", "echo", skip=1)
    row = await driven(await admitted(context, simulator, "render-fails"), context)
    assert (row.state, row.reason) == (State.FAILED, "render_failed")


async def test_job_failed_in_the_order_answer_fails_its_run_once_its_own_url_confirms_it(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("create", "failed_job")

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "render_failed", PRICE_MICROUSD)


async def test_job_failed_in_the_order_answer_and_never_found_is_parked(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("create", "failed_job", forgotten=True)
    row = await driven(await admitted(context, simulator), context)
    assert (row.state, row.parked, row.look_says) == (State.RENDERING, True, "job_unknown")


@pytest.mark.parametrize(
    ("habits", "state"),
    [
        ({}, State.FAILED),
        ({"sparse": True}, State.FAILED),
        ({"failed_status": 422}, State.FAILED),
        ({"sparse": True, "failed_status": 422}, State.FAILED),
        ({"envelope": "code_task"}, State.FAILED),
        ({"envelope": "task"}, State.RENDERING),
        ({"sparse": True, "created_at": "missing"}, State.RENDERING),
    ],
)
async def test_failure_ends_the_run_if_the_job_is_described_and_parks_it_if_all_else_is_hidden(
    context: RunContext, simulator: Simulator, habits: dict[str, Any], state: State
) -> None:
    simulator.control("POST", "/_sim/habits", habits)
    row = await driven(await admitted(context, simulator, "render-fails"), context)
    assert (row.state, row.parked) == (state, state is State.RENDERING)
