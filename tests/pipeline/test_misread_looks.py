"""Looks at a job that show a failure which is none, or somebody else's job: no paid job is called failed.

Played over real HTTP, from the order to the end; the simulator's books say what was made.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.operators import Operators
from pipeline.records import Run, State
from pipeline.settling import Found, settle_found
from pipeline.world import World
from tests.fixtures import PRICE_MICROUSD, Simulator, open_test_world, quick_waits
from tests.pipeline.test_misread_answers import resting
from tests.pipeline.test_run import admitted, carried

DEADLINE = {"RENDER_DEADLINE_SECONDS": "1"}


@pytest.fixture
async def world(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[World]:
    async with open_test_world(ledger_dsn, simulator, tmp_path, quick_waits(**DEADLINE)) as opened:
        yield opened


async def not_fetched(row: Run, world: World) -> str:
    events = await Operators(world.ledger.rpc).events(row.run_id)
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
async def test_a_clip_that_is_called_not_ready_is_not_absent_whatever_the_page_calls_its_job(
    world: World, simulator: Simulator, status: int, words: str
) -> None:
    simulator.trouble("retrieve", "shows_failed", always=True)
    simulator.trouble("content", "status", status=status, body=said(words), always=True)
    run_id = await admitted(world, simulator)

    row = await carried(run_id, world)
    row = await resting(run_id, world)
    assert (row.state, row.parked, row.held_microusd) == (State.RENDERING, True, PRICE_MICROUSD)
    simulator.control("DELETE", "/_sim/faults")

    row = await resting(run_id, world, looks=2)
    assert (row.state, row.spent_microusd, simulator.paid_calls()) == (State.SAVED, PRICE_MICROUSD, 1)


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "Video not found"), (410, "gone"), (409, "the job failed"), (422, "no content"), (400, "it has expired")],
)
async def test_a_clip_that_is_called_absent_agrees_with_a_failure(
    world: World, simulator: Simulator, status: int, words: str
) -> None:
    simulator.trouble("content", "status", status=status, body=said(words), always=True)
    row = await carried(await admitted(world, simulator, "render-fails"), world)
    assert (row.state, row.reason) == (State.FAILED, "render_failed")


async def test_a_server_that_restarts_after_it_showed_a_failure_ends_nothing(
    world: World, simulator: Simulator
) -> None:
    simulator.trouble("retrieve", "shows_failed", error={"message": "worker is shutting down"})
    simulator.trouble("retrieve", "not_found", always=True)
    simulator.trouble("content", "status", status=404, body=said("Video not found"), always=True)

    row = await carried(await admitted(world, simulator), world)

    assert (row.state, row.parked, row.look_says) == (State.RENDERING, True, "job_gone")
    simulator.control("DELETE", "/_sim/faults")
    row = await resting(row.run_id, world, looks=2)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


async def test_a_failed_job_that_is_not_found_for_as_long_as_a_render_takes_has_failed(
    world: World, simulator: Simulator
) -> None:
    simulator.trouble("retrieve", "shows_failed")
    simulator.trouble("retrieve", "not_found", always=True)
    simulator.trouble("content", "expired", always=True)
    run_id = await admitted(world, simulator)

    row = await carried(run_id, world)
    assert (row.state, row.parked) == (State.RENDERING, True)

    row = await resting(run_id, world, looks=12)
    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "render_failed", PRICE_MICROUSD)
    assert row.failed_at is not None and row.failing_since is not None
    assert row.failed_at - row.failing_since >= world.waits.render_deadline


FAILED = {"status": "failed", "error": {"message": "out of memory"}}


@pytest.mark.parametrize("shown", [FAILED, {"status": "completed"}, {"status": "in_progress"}], ids=str)
async def test_anothers_job_under_our_id_ends_nothing_and_its_clip_is_not_fetched(
    world: World, simulator: Simulator, shown: dict[str, Any]
) -> None:
    stranger = simulator.control("POST", "/_sim/jobs", {"prompt": "a castle", "seconds": 4, "size": "1280x720"})
    simulator.trouble("retrieve", "anothers", always=True, **shown)
    if "error" in shown:
        simulator.trouble("content", "expired", always=True)
    else:
        simulator.trouble("content", "of_job", job_id=stranger["id"], always=True)
    run_id = await admitted(world, simulator)

    row = await carried(run_id, world)
    row = await resting(run_id, world)
    assert (row.state, row.parked, row.file, row.failing_since) == (State.RENDERING, True, None, None)
    assert "another model and seconds and size than ordered" in await not_fetched(row, world)
    simulator.control("DELETE", "/_sim/faults")

    row = await resting(run_id, world, looks=2)
    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


async def test_anothers_job_is_fetched_where_a_person_says_so(world: World, simulator: Simulator) -> None:
    simulator.trouble("retrieve", "anothers", always=True)
    row = await carried(await admitted(world, simulator), world)
    assert row.parked and row.job_id is not None

    operators = Operators(world.ledger.rpc)
    found = await settle_found(row, row.job_id, "op", "it is the one", operators, world.shop, despite=True)
    assert isinstance(found, Found) and found.recorded.recorded
    row = await resting(row.run_id, world, looks=2)
    assert row.state is State.SAVED


@pytest.mark.parametrize(
    ("lie", "state"),
    [
        ({"shown": {"model": "veo-9"}}, State.SAVED),
        ({"shown": {"model": "veo-9"}, "created_at": "zero"}, State.SAVED),
        ({"created_at": "hours_behind"}, State.SAVED),
        ({"prompt_rewrite": "cinematic", "created_at": "hours_behind"}, State.SAVED),
        ({"shown": {"seconds": "4", "size": "1280x720"}}, State.SAVED),  # with our own prompt
        ({"shown": {"model": "veo-9"}, "created_at": "hours_behind", "hidden": ["prompt"]}, State.RENDERING),
        ({"shown": {"seconds": "4", "size": "1280x720"}, "hidden": ["prompt"]}, State.RENDERING),
    ],
    ids=str,
)
async def test_one_field_or_an_old_time_alone_makes_no_job_anothers(
    world: World, simulator: Simulator, lie: dict[str, Any], state: State
) -> None:
    simulator.control("POST", "/_sim/habits", lie)
    row = await carried(await admitted(world, simulator), world)
    assert (row.state, row.parked) == (state, state is State.RENDERING)
