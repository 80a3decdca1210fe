"""A run at servers that speak the protocol each in their own way."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.records import State
from pipeline.world import World
from tests.fixtures import Simulator, open_test_world, quick_waits
from tests.pipeline.test_run import admitted, carried


@pytest.fixture
async def world(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[World]:
    async with open_test_world(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("habits", "body"),
    [
        ({"sparse": True}, "multipart"),
        ({"null_prompts": True}, "multipart"),
        ({"no_list_status": 404}, "multipart"),
        ({"json_only": True}, "json"),
        ({"model_prefix": "openai/"}, "json"),
    ],
)
async def test_any_server_that_speaks_the_protocol_will_do(
    world: World, simulator: Simulator, habits: dict[str, object], body: str
) -> None:
    simulator.control("POST", "/_sim/habits", habits)

    row = await carried(await admitted(world, simulator, create_body=body), world)

    assert row.state is State.SAVED
    assert simulator.paid_calls() == 1


async def test_where_every_answer_shows_another_id_the_clip_is_asked_for_when_the_deadline_passes(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.control("POST", "/_sim/habits", {"strange_ids": True})
    async with open_test_world(ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="1")) as world:
        row = await carried(await admitted(world, simulator), world)
    assert row.state is State.SAVED
    assert simulator.paid_calls() == 1
