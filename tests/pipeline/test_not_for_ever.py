"""A run that cannot continue by itself does not wait silently: it is parked or ended, and operators are alerted."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from pipeline.context import ATTEMPTS_MAX, RunContext
from pipeline.ledger.records import State
from pipeline.run import admit, run
from steps.check_limits import Admitted
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, order_request


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        yield context


async def admitted(context: RunContext, simulator: Simulator) -> UUID:
    answer = await admit(order_request(simulator), context.ledger)
    assert isinstance(answer, Admitted), answer
    return answer.run_id


async def test_run_whose_fetch_keeps_failing_is_parked_although_it_sends_heartbeats(
    context: RunContext, simulator: Simulator, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt takes longer than half of ATTEND_SECONDS, so it sends heartbeats, which are no progress."""
    run_id = await admitted(context, simulator)
    context.media.mkdir(exist_ok=True, parents=True)
    context = replace(context, waits=replace(context.waits, heartbeat=timedelta(seconds=0.1)))
    simulator.trouble("content", "slow_headers", seconds=0.3, always=True)
    real = Path.replace

    def unwell(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise RuntimeError("an error that nobody has foreseen")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", unwell)
    for _ in range(ATTEMPTS_MAX + 2):
        with suppress(RuntimeError):
            await run(run_id, context)
        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            connection.execute("update onetake.runs set next_look_at = null")
    row = await context.ledger.load(run_id)
    assert row is not None
    assert (row.state, row.parked) == (State.RENDERING, True)

    monkeypatch.setattr(Path, "replace", real)
    row = await run(run_id, context)
    assert row is not None
    assert (row.state, simulator.creates()) == (State.SAVED, 1)


async def test_approved_run_of_a_rotated_provider_key_fails_uncharged_after_a_day(
    context: RunContext, simulator: Simulator, ledger_dsn: str
) -> None:
    run_id = await admitted(context, simulator)
    rotated = replace(context, account=replace(context.account, key_fingerprint="of another key"))
    row = await run(run_id, rotated)
    assert row is not None
    assert row.state is State.APPROVED, "a worker with the old key may be on its way"
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("update onetake.runs set next_look_at = null, approved_at = approved_at - interval '1 day'")
    row = await run(run_id, rotated)
    assert row is not None
    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "not_sold_here", PRICE_MICROUSD)
    assert simulator.creates() == 0
    await context.ledger.rpc("raise_alerts", {"doubt_seconds": 900})
    alerts = await context.ledger.rpc("take_alerts", {"seconds": 60})
    assert isinstance(alerts, list)
    assert [(each["kind"], each["detail"]["reason"]) for each in alerts] == [("our_side", "not_sold_here")]
