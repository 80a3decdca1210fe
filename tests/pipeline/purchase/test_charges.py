"""What the provider charged: which of its numbers are believed, and which runs are asked about."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from pipeline.context import ProviderAccount, ProviderRules
from pipeline.ledger.records import Run, State, read_run
from pipeline.ledger.transports.over_psycopg import open_transport
from pipeline.purchase.charges import ASKED_MAX, ask_for_charges, is_charge, note_shown
from pipeline.run import admit
from pipeline.run import run as advance
from providers.apis import api_of
from providers.transport import open_provider
from steps.check_limits import Admitted
from tests.ledger.client import LedgerClient, open_ledger_client
from tests.pipeline.purchase import evidence_rows
from tests.pipeline.purchase.evidence_rows import NOON, job
from tests.providers.scripted import Reply, Seen, Server, answer, scripted
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, order_request

FAL = "fal"


def row(client: LedgerClient, run_id: str) -> Run:
    return read_run(client.call("load_run", run_id=run_id))


@pytest.mark.parametrize(
    ("shown", "cost", "recorded"),
    [
        ("job_1", 640_000, 640_000),
        ("job_1", 0, 0),
        ("job_1", None, None),
        ("job_2", 640_000, None),
        ("job_1", -1, None),
        ("job_1", 10**12, 10**12),
        ("job_1", 10**12 + 1, None),
        ("job_1", 10**30, None),
    ],
)
async def test_cost_that_the_runs_own_job_shows_is_recorded_if_it_can_be_one(
    ledger_dsn: str, shown: str, cost: int | None, recorded: int | None
) -> None:
    with open_ledger_client(ledger_dsn) as client:
        run_id = await asyncio.to_thread(client.rendering, job="job_1")
        async with open_transport(ledger_dsn) as rpc:
            await note_shown(await asyncio.to_thread(row, client, run_id), job(shown, cost_microusd=cost), rpc)
        assert client.row(run_id)["charged_microusd"] == recorded


async def test_run_without_a_job_has_no_cost(ledger_dsn: str) -> None:
    with open_ledger_client(ledger_dsn) as client:
        run_id = await asyncio.to_thread(client.uncertain)
        async with open_transport(ledger_dsn) as rpc:
            await note_shown(await asyncio.to_thread(row, client, run_id), job("job_1", cost_microusd=5), rpc)
        assert client.row(run_id)["charged_microusd"] is None


@pytest.mark.parametrize(("microusd", "is_one"), [(-1, False), (0, True), (10**12, True), (10**12 + 1, False)])
def test_charge_is_from_nothing_to_a_million_dollars(microusd: int, is_one: bool) -> None:
    assert is_charge(microusd) is is_one


# -- asking the provider's books


@asynccontextmanager
async def fal(books: Callable[[str], Reply]) -> AsyncIterator[tuple[ProviderAccount, Server]]:
    """fal's billing events, as told by the request's id."""

    def script(seen: Seen) -> Reply:
        return books(parse_qs(urlsplit(seen.path).query)["request_id"][0])

    async with scripted(script) as server:
        api = api_of(FAL, server.url)
        async with open_provider(server.url, "a-key-of-some-length", api=api) as provider:
            yield ProviderAccount(provider, server.url, "f", lambda _: ProviderRules(False, 1)), server


def costs(usd: float) -> Callable[[str], Reply]:
    return lambda job_id: answer(200, {"billing_events": [{"request_id": job_id, "cost_total": usd}]})


def ended(n: int = 1, **changes: object) -> Run:
    values = {"state": State.SAVED, "job_id": f"job_{n}", "provider": FAL} | changes
    return evidence_rows.run(n, **values)


async def test_charge_of_each_ended_run_with_a_job_is_asked_for_once(ledger_dsn: str) -> None:
    with open_ledger_client(ledger_dsn) as client:
        run_id = UUID(await asyncio.to_thread(client.saved))
    left_out = [
        ended(2, state=State.RENDERING),
        ended(3, state=State.FAILED, job_id=None),
        ended(4, charged_microusd=0),
    ]
    async with open_transport(ledger_dsn) as rpc, fal(costs(0.4)) as (account, server):
        assert await ask_for_charges([*left_out, ended(1, run_id=run_id)], account, rpc) == 1
    assert len(server.seen) == 1 and "request_id=job_1" in server.seen[0].path
    assert "start=2026-11-23T12" in server.seen[0].path, "fal shows one day unless it is told since when"
    with open_ledger_client(ledger_dsn) as client:
        assert client.row(str(run_id))["charged_microusd"] == 400_000


async def test_newest_runs_are_asked_about_first_and_no_more_than_a_hundred(ledger_dsn: str) -> None:
    """Failures that were not billed are never told of: they must not take the place of what was sold."""
    runs = [ended(n, state=State.FAILED, submitting_at=NOON + timedelta(seconds=n)) for n in range(1, ASKED_MAX + 3)]

    def nothing(_: str) -> Reply:
        return answer(200, {"billing_events": []})

    async with open_transport(ledger_dsn) as rpc, fal(nothing) as (account, server):
        assert await ask_for_charges(runs, account, rpc) == 0
    asked = [parse_qs(urlsplit(seen.path).query)["request_id"][0] for seen in server.seen]
    assert asked == [f"job_{n}" for n in range(ASKED_MAX + 2, 2, -1)]


@pytest.mark.parametrize(("status", "times"), [(401, 1), (403, 1), (404, 3), (500, 3)])
async def test_key_without_the_right_to_see_charges_is_asked_once(ledger_dsn: str, status: int, times: int) -> None:
    async with (
        open_transport(ledger_dsn) as rpc,
        fal(lambda _: answer(status, {"detail": "no"})) as (account, server),
    ):
        assert await ask_for_charges([ended(1), ended(2), ended(3)], account, rpc) == 0
    assert len(server.seen) == times


@pytest.mark.parametrize("usd", [-1, 1e300, 10_000_000])
async def test_impossible_charge_is_not_recorded_and_stops_no_audit(ledger_dsn: str, usd: float) -> None:
    async with open_transport(ledger_dsn) as rpc, fal(costs(usd)) as (account, server):
        assert await ask_for_charges([ended(1), ended(2)], account, rpc) == 0
    assert len(server.seen) == 2


async def test_books_that_hang_cost_an_audit_no_more_than_their_time(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.purchase.charges.SECONDS_MAX", 0.2)
    hangs = Reply(json.dumps({}).encode(), then_hang=True)
    async with open_transport(ledger_dsn) as rpc, fal(lambda _: hangs) as (account, server):
        assert await ask_for_charges([ended(1), ended(2)], account, rpc) == 0
    assert len(server.seen) == 1


async def test_provider_that_tells_no_charges_is_not_asked(ledger_dsn: str) -> None:
    async with open_transport(ledger_dsn) as rpc, scripted(lambda _: answer(500)) as server:
        api = api_of("luma", server.url)
        async with open_provider(server.url, "a-key-of-some-length", api=api) as provider:
            account = ProviderAccount(provider, server.url, "f", lambda _: ProviderRules(False, 1))
            assert await ask_for_charges([ended(1, provider="luma")], account, rpc) == 0
    assert server.seen == []


# -- from order to charge


async def test_failed_task_that_cost_nothing_gives_the_money_back(
    simulator: Simulator, ledger_dsn: str, tmp_path: Path
) -> None:
    """Runway shows the cost of a task that failed; the price was booked, because it may bill failures."""
    sim = Simulator(simulator.url, "runway")
    async with open_test_context(ledger_dsn, sim, tmp_path) as context:
        asked = order_request(sim, "a paper boat, render-fails", bills_failed=True)
        admitted = await admit(asked, context.ledger)
        assert isinstance(admitted, Admitted)
        for _ in range(6):
            await advance(admitted.run_id, context)
            await asyncio.sleep(0.1)
        found = await context.ledger.load(admitted.run_id)
    assert found is not None
    assert (found.state, found.charged_microusd) == (State.FAILED, 0)
    assert (found.spent_microusd, found.released_microusd) == (0, PRICE_MICROUSD)
