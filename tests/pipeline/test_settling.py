"""A person's word on a run in doubt is held against what the provider shows before the ledger takes it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.operators import Operators
from pipeline.records import State
from pipeline.settling import Contradicts, Found, NotSeen, Unseen, settle_found
from pipeline.world import World
from steps.shown import Shown
from tests.fixtures import Simulator, open_test_world, quick_waits
from tests.pipeline.test_fence import fresh, sent


@pytest.fixture
async def world(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[World]:
    async with open_test_world(ledger_dsn, simulator, tmp_path, quick_waits()) as world:
        yield world


async def test_a_job_that_a_person_names_is_taken_only_as_the_provider_shows_it_or_by_insisting(
    world: World, simulator: Simulator
) -> None:
    row, token = await sent(world, simulator)
    await world.ledger.mark_uncertain(row.run_id, "lost", token=token)
    operators, row = Operators(world.ledger.rpc), await fresh(world, row)
    other = simulator.control("POST", "/_sim/jobs", {"prompt": "somebody else's", "seconds": 8})["id"]

    typo = await settle_found(row, "video_nope", "op", None, operators, world.shop)
    assert isinstance(typo, NotSeen) and typo.why is Unseen.UNKNOWN
    differs = await settle_found(row, other, "op", None, operators, world.shop)
    assert isinstance(differs, Contradicts) and Shown.PROMPT in differs.parts
    assert (await fresh(world, row)).job_id is None

    insisted = await settle_found(row, other, "op", "our proxy rewrites prompts", operators, world.shop, despite=True)
    assert isinstance(insisted, Found) and insisted.recorded.recorded
    row = await fresh(world, row)
    assert (row.state, row.job_id) == (State.RENDERING, other)


async def test_an_error_that_repeats_the_id_shows_no_job_to_a_person(world: World, simulator: Simulator) -> None:
    row, token = await sent(world, simulator)
    await world.ledger.mark_uncertain(row.run_id, "lost", token=token)
    operators, row = Operators(world.ledger.rpc), await fresh(world, row)
    job = simulator.control("POST", "/_sim/jobs", {"prompt": row.improved_prompt, "seconds": row.seconds})["id"]
    simulator.trouble("retrieve", "echo")

    echo = await settle_found(row, job, "op", None, operators, world.shop)
    assert isinstance(echo, NotSeen) and echo.why is Unseen.UNNAMED
    assert "upstream request failed" in echo.words
    shown = await settle_found(row, job, "op", None, operators, world.shop)
    assert isinstance(shown, Found) and shown.recorded.recorded
