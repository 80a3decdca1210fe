"""Whether the job under our id is another order's, by what it echoes of the request."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.clips.ownership import another_order
from pipeline.context import RunContext
from pipeline.ledger.records import JobSource, State
from providers.orders import SEED, seed_of
from tests.pipeline.purchase.evidence_rows import job
from tests.pipeline.purchase.evidence_rows import run as a_run
from tests.support.fixtures import Simulator, open_test_context

RUN = a_run(provider="replicate", input={"seed": SEED, "duration": 8}, state=State.RENDERING, job_id="video_1")
OUR_SEED = seed_of(str(RUN.run_id))


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, replace(simulator, provider="replicate"), tmp_path) as opened:
        yield opened


def shown(seed: int, prompt: str = "a boat of paper on a lake", **changes: Any) -> Any:
    """The job as its own address shows it: its prompt was rewritten."""
    return job(prompt=prompt, marker=str(seed), request={"seed": seed, "duration": 8}, **changes)


async def test_seed_that_the_server_replaced_is_one_difference_and_the_clip_is_fetched(context: RunContext) -> None:
    assert another_order(RUN, shown(OUR_SEED), context) is None
    assert another_order(RUN, shown(OUR_SEED + 1), context) is None


async def test_another_seed_beside_another_length_is_another_order(context: RunContext) -> None:
    why = another_order(RUN, shown(OUR_SEED + 1, seconds=20), context)
    assert why is not None and "another input and seconds than ordered" in why
    assert another_order(replace(RUN, shown_otherwise=("seconds",)), shown(OUR_SEED + 1, seconds=20), context) is None
    assert another_order(replace(RUN, job_source=JobSource.PERSON), shown(OUR_SEED + 1, seconds=20), context) is None


async def test_another_seed_of_a_job_from_before_the_order_is_another_order(context: RunContext) -> None:
    assert RUN.submitting_at is not None
    before = RUN.submitting_at.timestamp() - 3600
    assert another_order(RUN, shown(OUR_SEED + 1, created_at=before), context) is not None
