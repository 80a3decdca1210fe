"""A job's own report is not trusted before its clip was requested."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run, State
from pipeline.run import run
from tests.media.builders import moov, mp4
from tests.pipeline.test_run import admitted, driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, quick_waits


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


async def test_job_reported_as_failed_is_saved_if_its_clip_is_available(
    context: RunContext, simulator: Simulator
) -> None:
    simulator.trouble("retrieve", "shows_failed", always=True)

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.spent_microusd) == (State.SAVED, PRICE_MICROUSD)


async def test_job_reported_as_failed_does_not_end_the_run_while_its_content_is_unreachable(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.trouble("retrieve", "shows_failed", always=True)
    simulator.trouble("content", "status", status=503, always=True)
    async with open_test_context(
        ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="0.3")
    ) as context:
        run_id = await admitted(context, simulator)
        for _ in range(5):
            row = await run(run_id, context)
            assert row is not None and row.state is State.RENDERING, row
            await asyncio.sleep(2 * context.waits.look.total_seconds())
        simulator.control("DELETE", "/_sim/faults")
        row = await run(run_id, context)

    assert row is not None and row.state is State.SAVED


# -- at the deadline


DEADLINE = quick_waits(RENDER_DEADLINE_SECONDS="0.3")
PREVIEW_SECONDS = 4  # of the eight that were ordered


async def at_the_deadline(dsn: str, simulator: Simulator, home: Path, **habits: object) -> Run:
    """A run whose job still renders, at a server that serves content for it anyway."""
    simulator.control("POST", "/_sim/speed", {"speed": 1})
    simulator.control("POST", "/_sim/habits", {"preview_seconds": PREVIEW_SECONDS, **habits})
    async with open_test_context(dsn, simulator, home, DEADLINE) as context:
        return await driven(await admitted(context, simulator), context)


async def test_shorter_preview_of_a_rendering_job_is_not_saved_as_its_clip(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    parked = await at_the_deadline(ledger_dsn, simulator, tmp_path)
    assert (parked.state, parked.parked, parked.file) == (State.RENDERING, True, None)

    async with open_test_context(ledger_dsn, simulator, tmp_path, DEADLINE) as context:
        events = await Operators(context.ledger.rpc).events(parked.run_id)
        assert [event.detail["why"] for event in events if event.outcome == "parked"] == ["render_deadline"]
        told = [event.detail["words"] for event in events if event.outcome == "not_fetched"]
        assert told == [
            "got a clip of 4 s at 720x1280 for the ordered 8 s at 720x1280, but the job does not report it as done"
        ]
        assert not list(context.media.glob(".*")), "neither draft nor clip is left"
        simulator.control("POST", "/_sim/speed", {"speed": "instant"})
        row = await run(parked.run_id, context)

    assert row is not None and (row.state, row.clip_seconds) == (State.SAVED, 8.0)


async def test_full_length_clip_of_a_job_never_reported_done_is_saved_at_the_deadline(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    row = await at_the_deadline(ledger_dsn, simulator, tmp_path, preview_seconds=8)
    assert (row.state, row.clip_seconds) == (State.SAVED, 8.0)


NO_WORD = pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("unknown_status", {"status": "cooking"}),
        ("idless", {"body": {"status": "in_progress"}}),
        ("status", {"status": 503}),
    ],
    ids=["an unknown word", "without a name", "unreadable"],
)


@NO_WORD
async def test_clip_of_the_ordered_length_is_saved_when_the_job_status_is_unknown(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, kind: str, how: dict[str, object]
) -> None:
    simulator.trouble("retrieve", kind, always=True, **how)
    row = await at_the_deadline(ledger_dsn, simulator, tmp_path, preview_seconds=8)
    assert (row.state, row.clip_seconds) == (State.SAVED, 8.0)


@NO_WORD
async def test_shorter_clip_is_saved_only_after_a_day_when_the_job_status_is_unknown(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, kind: str, how: dict[str, object]
) -> None:
    simulator.trouble("retrieve", kind, always=True, **how)
    parked = await at_the_deadline(ledger_dsn, simulator, tmp_path)
    assert (parked.state, parked.parked, parked.file) == (State.RENDERING, True, None)

    a_day_later = replace(DEADLINE, parked=timedelta())
    async with open_test_context(ledger_dsn, simulator, tmp_path, a_day_later) as context:
        row = await run(parked.run_id, context)
    assert row is not None and (row.state, row.clip_seconds) == (State.SAVED, float(PREVIEW_SECONDS))


async def test_shorter_clip_of_a_completed_job_is_saved(context: RunContext, simulator: Simulator) -> None:
    simulator.makes(mp4(index=moov(720, 1280, 4)))
    row = await driven(await admitted(context, simulator), context)
    assert (row.state, row.clip_seconds) == (State.SAVED, 4.0)


async def test_full_length_low_resolution_preview_of_a_rendering_job_is_not_saved(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.makes(mp4(index=moov(90, 160, 8)))
    parked = await at_the_deadline(ledger_dsn, simulator, tmp_path, preview_seconds=8)
    assert (parked.state, parked.parked, parked.file) == (State.RENDERING, True, None)
    async with open_test_context(ledger_dsn, simulator, tmp_path, DEADLINE) as context:
        row = await run(parked.run_id, context)
    assert row is not None and (row.state, row.clip_width) == (State.SAVED, 720)


# -- where the clip is


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_clip_is_fetched_from_the_jobs_url_if_the_server_has_no_content_endpoint(
    context: RunContext, simulator: Simulator, status: int
) -> None:
    simulator.control("POST", "/_sim/habits", {"clip_url": "url", "content_status": status})
    row = await driven(await admitted(context, simulator), context)
    assert row.state is State.SAVED
    assert simulator.books()["totals"]["files_with_authorization"] == 0


async def test_content_redirect_to_a_non_public_address_is_not_followed(
    context: RunContext, simulator: Simulator
) -> None:
    """First a redirect to the same simulator at 0.0.0.0, then its own address."""
    port = simulator.url.rpartition(":")[2].partition("/")[0]
    simulator.trouble("content", "redirect", location=f"http://0.0.0.0:{port}/_sim/files/a.mp4")
    row = await driven(await admitted(context, simulator), context)
    events = await Operators(context.ledger.rpc).events(row.run_id)
    told = [event.detail["words"] for event in events if event.outcome == "not_fetched"]
    assert row.state is State.SAVED
    assert told == ["the clip's host 0.0.0.0 is not on the public network"]
