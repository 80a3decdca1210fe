"""Looks that show a false failure, or somebody else's job: no paid job is failed.

Over real HTTP, from the order to the end; the simulator's books say what was made.
"""

import hashlib
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run, State
from pipeline.purchase.audit import audit
from pipeline.purchase.differences import Kind
from pipeline.purchase.settling import Found, settle_found
from tests.pipeline.purchase.test_misread_answers import resting
from tests.pipeline.test_run import admitted, driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, quick_waits

DEADLINE = {"RENDER_DEADLINE_SECONDS": "1"}


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(**DEADLINE)) as opened:
        yield opened


async def not_fetched(row: Run, context: RunContext) -> str:
    events = await Operators(context.ledger.rpc).events(row.run_id)
    return " ".join(str(event.detail) for event in events if event.outcome == "not_fetched")


def said(words: str, code: str = "video_error") -> dict[str, Any]:
    return {"error": {"code": code, "message": words}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (409, "Video is not ready yet, its status is in_progress"),
        (409, "conflict"),
        (404, "Video is not ready yet"),
        (404, "the job is still processing"),
        (404, "attempt 1 failed, the job is queued again"),
        (422, "unprocessable"),
        (400, "bad request"),
    ],
)
async def test_clip_reported_as_not_ready_keeps_the_run_open_even_if_its_job_shows_failed(
    context: RunContext, simulator: Simulator, status: int, words: str
) -> None:
    simulator.trouble("retrieve", "shows_failed", always=True)
    simulator.trouble("content", "status", status=status, body=said(words), always=True)
    run_id = await admitted(context, simulator)

    row = await driven(run_id, context)
    row = await resting(run_id, context)
    assert (row.state, row.parked, row.held_microusd) == (State.RENDERING, True, PRICE_MICROUSD)
    simulator.control("DELETE", "/_sim/faults")

    row = await resting(run_id, context, looks=2)
    assert (row.state, row.spent_microusd, simulator.paid_calls()) == (State.SAVED, PRICE_MICROUSD, 1)


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "Video not found"), (410, "gone"), (409, "the job failed"), (422, "no content"), (400, "it has expired")],
)
async def test_failed_job_whose_clip_is_absent_fails_its_run(
    context: RunContext, simulator: Simulator, status: int, words: str
) -> None:
    simulator.trouble("content", "status", status=status, body=said(words), always=True)
    row = await driven(await admitted(context, simulator, "render-fails"), context)
    assert (row.state, row.reason) == (State.FAILED, "render_failed")


async def test_failure_shown_before_a_server_restart_does_not_end_the_run(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("retrieve", "shows_failed", error={"message": "worker is shutting down"})
    simulator.trouble("retrieve", "not_found", always=True)
    simulator.trouble("content", "status", status=404, body=said("Video not found"), always=True)

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.parked, row.look_says) == (State.RENDERING, True, "job_gone")
    simulator.control("DELETE", "/_sim/faults")
    row = await resting(row.run_id, context, looks=2)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


async def test_failed_job_not_found_for_the_render_deadline_fails_its_run(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("retrieve", "shows_failed")
    simulator.trouble("retrieve", "not_found", always=True)
    simulator.trouble("content", "expired", always=True)
    run_id = await admitted(context, simulator)

    row = await driven(run_id, context)
    assert (row.state, row.parked) == (State.RENDERING, True)

    row = await resting(run_id, context, looks=12)
    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "render_failed", PRICE_MICROUSD)
    assert row.failed_at is not None and row.failing_since is not None
    assert row.failed_at - row.failing_since >= context.waits.render_deadline


FAILED = {"status": "failed", "error": {"message": "out of memory"}}


@pytest.mark.parametrize("shown", [FAILED, {"status": "completed"}, {"status": "in_progress"}], ids=str)
async def test_foreign_job_under_our_id_does_not_end_the_run_and_its_clip_is_not_fetched(
    context: RunContext, simulator: Simulator, shown: dict[str, Any]
) -> None:
    stranger = simulator.control("POST", "/_sim/jobs", {"prompt": "a castle", "seconds": 4, "size": "1280x720"})
    simulator.trouble("retrieve", "anothers", always=True, **shown)
    if "error" in shown:
        simulator.trouble("content", "expired", always=True)
    else:
        simulator.trouble("content", "of_job", job_id=stranger["id"], always=True)
    run_id = await admitted(context, simulator)

    row = await driven(run_id, context)
    row = await resting(run_id, context)
    assert (row.state, row.parked, row.file, row.failing_since) == (State.RENDERING, True, None, None)
    assert "another model and seconds and size than ordered" in await not_fetched(row, context)
    simulator.control("DELETE", "/_sim/faults")

    row = await resting(run_id, context, looks=2)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


async def test_clip_of_a_foreign_job_is_fetched_if_a_person_insists(context: RunContext, simulator: Simulator) -> None:
    simulator.trouble("retrieve", "anothers", always=True)
    row = await driven(await admitted(context, simulator), context)
    assert row.parked and row.job_id is not None

    operators = Operators(context.ledger.rpc)
    found = await settle_found(row, row.job_id, "op", "it is the one", operators, context.account, despite=True)
    assert isinstance(found, Found) and found.recorded.recorded
    row = await resting(row.run_id, context, looks=2)
    assert row.state is State.SAVED


BARE = {"hidden": ["prompt"], "lies_in": ["retrieve"]}


@pytest.mark.parametrize(
    ("lie", "state"),
    [
        ({"shown": {"model": "veo-9"}}, State.SAVED),
        ({"shown": {"model": "veo-9"}, "created_at": "zero"}, State.SAVED),
        ({"created_at": "hours_behind"}, State.SAVED),
        ({"prompt_rewrite": "cinematic", "created_at": "hours_behind"}, State.SAVED),
        ({"shown": {"seconds": "4", "size": "1280x720"}}, State.SAVED),  # with our own prompt
        ({"shown": {"model": "veo-9"}, "created_at": "hours_behind", **BARE}, State.RENDERING),
        ({"shown": {"seconds": "4", "size": "1280x720"}, **BARE}, State.RENDERING),
    ],
    ids=str,
)
async def test_one_differing_field_or_an_old_time_alone_does_not_make_a_job_foreign(
    context: RunContext, simulator: Simulator, lie: dict[str, Any], state: State
) -> None:
    simulator.control("POST", "/_sim/habits", lie)
    row = await driven(await admitted(context, simulator), context)
    assert (row.state, row.parked) == (state, state is State.RENDERING)


async def test_failure_repeated_only_by_a_cache_does_not_end_the_run(context: RunContext, simulator: Simulator) -> None:
    simulator.control("POST", "/_sim/habits", {"cache_age": 9})
    simulator.trouble("retrieve", "shows_failed", always=True)
    simulator.trouble("content", "expired", always=True)
    run_id = await admitted(context, simulator)

    row = await resting(run_id, context)
    assert (row.state, row.failing_since, row.held_microusd) == (State.RENDERING, None, PRICE_MICROUSD)
    simulator.control("DELETE", "/_sim/faults")
    simulator.control("DELETE", "/_sim/habits")

    row = await resting(run_id, context, looks=2)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


async def test_failure_announcing_a_retry_does_not_end_the_run(context: RunContext, simulator: Simulator) -> None:
    words = {"message": "Worker died (attempt 1 of 3); the job was requeued and will be retried"}
    simulator.trouble("retrieve", "shows_failed", error=words, always=True)
    simulator.trouble("content", "status", status=404, body=said("Video not found"), always=True)
    run_id = await admitted(context, simulator)

    row = await resting(run_id, context)
    assert (row.state, row.failing_since) == (State.RENDERING, None)
    simulator.control("DELETE", "/_sim/faults")

    row = await resting(run_id, context, looks=2)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


@pytest.mark.parametrize("words", ["Video not found", "429 Too Many Requests", "401 Unauthorized: invalid api key"])
async def test_gateway_error_shaped_like_a_job_does_not_end_the_run(
    context: RunContext, simulator: Simulator, words: str
) -> None:
    simulator.trouble("retrieve", "shows_failed", error={"message": words}, always=True)
    simulator.trouble("content", "status", status=404, body=said("Video not found"), always=True)
    run_id = await admitted(context, simulator)

    row = await resting(run_id, context, looks=14)
    assert (row.state, row.parked, row.held_microusd) == (State.RENDERING, True, PRICE_MICROUSD)
    simulator.control("DELETE", "/_sim/faults")

    row = await resting(run_id, context, looks=2)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


@pytest.mark.parametrize(
    "shown",
    [
        {"status": "expired", "progress": 100, "error": {"code": "video_expired", "message": "deleted after 24 h"}},
        {"status": "failed", "progress": 100, "error": {"message": "the asset has expired and was deleted"}},
    ],
    ids=str,
)
async def test_clip_made_and_deleted_since_is_charged_and_reported_by_the_audit(
    context: RunContext, simulator: Simulator, shown: dict[str, Any]
) -> None:
    simulator.control("POST", "/_sim/habits", {"shown": shown})
    simulator.trouble("content", "expired", status=410, always=True)

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.reason, row.spent_microusd) == (State.FAILED, "expired", PRICE_MICROUSD)
    found = await audit(context.ledger, context.account, context.waits, row.reserved_at)
    assert [each.kind for each in found.differences] == [Kind.CHARGED_WITHOUT_CLIP]


@pytest.mark.parametrize("target", ["retrieve", "content"])
async def test_list_in_place_of_the_job_or_clip_never_leads_to_another_jobs_clip(
    context: RunContext, simulator: Simulator, target: str
) -> None:
    run_id = await admitted(context, simulator)
    simulator.trouble(target, "list_instead", always=True)
    if target == "retrieve":
        simulator.trouble("content", "expired", always=True)
    simulator.control("POST", "/_sim/jobs", {"prompt": "a stranger's castle", "seconds": 8})

    row = await resting(run_id, context)

    assert row.state is State.SAVED and row.job_id is not None
    with urllib.request.urlopen(f"{simulator.url.removesuffix('/v1')}/_sim/files/{row.job_id}.mp4") as file:
        assert hashlib.sha256(file.read()).hexdigest() == row.file_sha256


ALIAS = {"model": "Wan-AI/Wan2.2-T2V-A14B", "size": "480x832"}


@pytest.mark.parametrize(("lies_in", "saved"), [(["create", "retrieve"], True), (["retrieve"], False)])
async def test_fields_that_already_differed_in_the_order_answer_do_not_make_a_job_foreign(
    context: RunContext, simulator: Simulator, lies_in: list[str], saved: bool
) -> None:
    """A gateway shows the upstream's model and the real size, and no prompt."""
    simulator.control("POST", "/_sim/habits", {"shown": ALIAS, "hidden": ["prompt"], "lies_in": lies_in})

    row = await resting(await admitted(context, simulator), context)

    assert (row.state is State.SAVED) is saved
    assert row.shown_otherwise == (("model", "size") if saved else ())


async def test_job_seen_completed_is_charged_even_if_it_is_shown_failed_later(
    context: RunContext, simulator: Simulator
) -> None:
    """Its content cannot be read; then the server restarts and shows the job as failed."""
    simulator.trouble("content", "status", status=503, always=True)
    run_id = await admitted(context, simulator)
    row = await resting(run_id, context, looks=2)
    assert row.state is State.RENDERING and row.done_seen_at is not None

    simulator.control("DELETE", "/_sim/faults")
    simulator.trouble("retrieve", "shows_failed", error={"message": "interrupted"}, always=True)
    simulator.trouble("content", "expired", always=True)
    row = await resting(run_id, context, looks=8)
    assert (row.state, row.reason, row.spent_microusd) == (State.FAILED, "expired", PRICE_MICROUSD)
