"""A run from order to clip at each provider, and how a lost answer ends there: over real HTTP, at its double."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.ledger.records import JobSource, Run, State
from pipeline.run import admit, run
from providers.apis import FACTS, api_of
from providers.orders import OPENAI
from providers.port import Marker
from steps.check_limits import Admitted
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, order_request, request_ended

PROVIDERS = [name for name in FACTS if name != OPENAI]
HEALS = {Marker.OWN_ID, Marker.ECHOED_REQUEST, Marker.ECHOED_FIELD}  # by itself, without a callback
ROUNDS = 12  # calls of `run` until a doubt is parked or a failure was seen twice

pytestmark = [pytest.mark.asyncio, pytest.mark.parametrize("provider", PROVIDERS)]


@pytest.fixture
def sim(simulator: Simulator, provider: str) -> Simulator:
    return replace(simulator, provider=provider)


async def bought(sim: Simulator, dsn: str, home: Path, prompt: str = "a paper boat in the rain") -> Run:
    """The run of one order, advanced until it has ended or nothing more can be learned."""
    async with open_test_context(dsn, sim, home) as opened:
        admitted = await admit(order_request(sim, prompt), opened.ledger)
        assert isinstance(admitted, Admitted), admitted
        context, row = opened, None
        for _ in range(ROUNDS):
            row = await run(admitted.run_id, context)
            if row is None or row.ended or row.parked:
                break
            context = request_ended(opened)
            await opened.sleep(0.1)
    assert row is not None
    return row


async def test_order_becomes_one_paid_call_and_one_clip(sim: Simulator, ledger_dsn: str, tmp_path: Path) -> None:
    row = await bought(sim, ledger_dsn, tmp_path)

    assert (row.state, row.reason, row.detail) == (State.SAVED, None, None)
    assert row.spent_microusd == PRICE_MICROUSD
    assert row.file is not None and Path(row.file).exists()
    totals = sim.books()["totals"]
    assert (totals["creates"], totals["paid_calls"]) == (1, 1)
    assert totals["files_with_authorization"] == 0, "a clip's own address gets no key"


@pytest.mark.parametrize("kind", ["made_then_drop", "half_answer"])
async def test_lost_answer_heals_where_a_marker_can_be_found(
    sim: Simulator, ledger_dsn: str, tmp_path: Path, kind: str
) -> None:
    sim.trouble("create", kind)

    row = await bought(sim, ledger_dsn, tmp_path)

    assert sim.paid_calls() == 1 and sim.creates() == 1, "never bought a second time"
    if FACTS[sim.provider].marker in HEALS:
        # Without a callback, Luma's jobs show the whole request, and nothing that only this run has.
        source = JobSource.LIST if api_of(sim.provider, "").marker(row.order()) is None else JobSource.MARKER
        assert (row.state, row.job_source, row.look_says) == (State.SAVED, source, None)
    else:
        assert (row.state, row.held_microusd) == (State.UNCERTAIN, PRICE_MICROUSD)


async def test_request_that_never_arrived_is_never_sent_again(sim: Simulator, ledger_dsn: str, tmp_path: Path) -> None:
    """The longest render has not passed, so absence proves nothing yet: the money stays held."""
    sim.trouble("create", "drop_before")

    row = await bought(sim, ledger_dsn, tmp_path)

    assert (row.state, row.held_microusd) == (State.UNCERTAIN, PRICE_MICROUSD)
    assert (sim.paid_calls(), sim.creates()) == (0, 1)


async def test_refused_order_costs_nothing(sim: Simulator, ledger_dsn: str, tmp_path: Path) -> None:
    row = await bought(sim, ledger_dsn, tmp_path, "a paper boat, provider-refuse")

    assert (row.state, row.released_microusd) == (State.FAILED, PRICE_MICROUSD)
    assert sim.paid_calls() == 0


async def test_failed_render_ends_the_run_after_two_looks(sim: Simulator, ledger_dsn: str, tmp_path: Path) -> None:
    row = await bought(sim, ledger_dsn, tmp_path, "a paper boat, render-fails")

    assert (row.state, row.reason) == (State.FAILED, "render_failed")
    assert sim.paid_calls() == 1


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_unclear_answers_leave_the_run_in_doubt(
    sim: Simulator, ledger_dsn: str, tmp_path: Path, status: int
) -> None:
    sim.trouble("create", "status", status=status, made=True)

    row = await bought(sim, ledger_dsn, tmp_path)

    healed = FACTS[sim.provider].marker in HEALS
    assert row.state is (State.SAVED if healed else State.UNCERTAIN)
    assert sim.creates() == 1
