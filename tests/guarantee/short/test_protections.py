"""Protections behind another protection: each test removes the first one, or takes a path that it does not cover.

`make mutants` shows for every protection a test that fails without it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline.context import RunContext
from pipeline.ledger.answers import Won
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import JobSource, Run, State
from pipeline.ledger.transports.common import LedgerRefused
from pipeline.purchase import evidence
from pipeline.purchase.submission import replay_answers
from pipeline.run import admit, run
from providers.orders import Fault, Order
from providers.port import Request
from providers.transport import VideoProvider, open_provider
from steps.check_limits import Admitted
from tests.guarantee.mutants import check_list
from tests.guarantee.protections.every import MUTANTS
from tests.ledger.client import LedgerClient, call, open_ledger_client, request
from tests.ledger.test_two_sessions import Session, wait_until_blocked
from tests.providers.scripted import answer, in_turn, scripted
from tests.support.fixtures import KEY, PROVES_ABSENCE, Simulator, open_test_context, order_request, quick_waits


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        yield context


@pytest.fixture
def client(ledger_dsn: str) -> Iterator[LedgerClient]:
    with open_ledger_client(ledger_dsn) as clerk:
        yield clerk


async def admitted(context: RunContext, at: Simulator, prompt: str = "a paper boat", **changes: Any) -> UUID:
    answer = await admit(order_request(at, prompt, **changes), context.ledger)
    assert isinstance(answer, Admitted), answer
    return answer.run_id


async def driven(run_id: UUID, context: RunContext, seconds: float) -> Run:
    """Process the run as a worker would, until it ends or the time is over."""
    until = asyncio.get_running_loop().time() + seconds
    while True:
        row = await run(run_id, context)
        assert row is not None
        if row.ended or asyncio.get_running_loop().time() > until:
            return row
        await asyncio.sleep(0.05)


def test_every_mutant_matches_the_code() -> None:
    assert check_list(MUTANTS) == []
    assert len(MUTANTS) >= 100


# -- what is sent


async def test_order_is_sent_once_even_if_the_client_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    obedient = VideoProvider._send

    async def stubborn(provider: VideoProvider, http: httpx2.AsyncClient, request: Request) -> httpx2.Response:
        await obedient(provider, http, request)
        return await obedient(provider, http, request)

    monkeypatch.setattr(VideoProvider, "_send", stubborn)
    order = Order("run-1", "a paper boat", "sim-1", 8, "720x1280", "multipart")
    broken = answer(500, {"error": {"message": "no"}}, retry_after="0")
    async with scripted(in_turn(broken)) as server, open_provider(server.url, KEY) as provider:
        got = await provider.post(order, lambda: None)
    assert len(server.seen) == 1
    assert got.fault is Fault.LOST, "the first copy may have been made"


async def test_submission_resumed_after_its_deadline_sends_nothing(context: RunContext, simulator: Simulator) -> None:
    """The clock jumps between the fence and the last line before sending, as over a suspension."""
    times = iter((0.0, 0.0))
    frozen = replace(context, boot_seconds=lambda: next(times, 60.0))

    row = await run(await admitted(context, simulator), frozen)

    assert simulator.creates() == 0
    assert row is not None and (row.state, row.reason) == (State.FAILED, "never_sent")
    assert row.held_microusd == 0


async def test_purchase_completes_after_its_caller_is_canceled(context: RunContext, simulator: Simulator) -> None:
    simulator.trouble("create", "slow_headers", seconds=0.4)
    run_id = await admitted(context, simulator)
    caller = asyncio.create_task(run(run_id, context))
    async with asyncio.timeout(60):
        while simulator.creates() == 0:
            await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await context.purchases.all_done()

    row = await context.ledger.load(run_id)
    assert row is not None and (row.state, row.job_source) == (State.RENDERING, JobSource.ANSWER)
    assert simulator.creates() == 1


async def test_purchase_completes_if_its_caller_is_canceled_during_begin_submission(
    context: RunContext, simulator: Simulator, ledger_dsn: str
) -> None:
    """The commit happens, and only this caller knows the token: it must send, or record that it did not."""
    run_id = await admitted(context, simulator)
    async with await psycopg.AsyncConnection.connect(ledger_dsn) as other:
        await other.execute("select from onetake.breakers for update")
        caller = asyncio.create_task(run(run_id, context))
        async with asyncio.timeout(60):
            while not await _waits_for_a_lock(ledger_dsn):
                await asyncio.sleep(0.01)
        caller.cancel()
        await asyncio.sleep(0.1)
        await other.rollback()
    await asyncio.gather(caller, return_exceptions=True)
    await context.purchases.all_done()

    row = await context.ledger.load(run_id)
    assert caller.cancelled()
    assert row is not None and (row.state, row.job_source) == (State.RENDERING, JobSource.ANSWER)


async def _waits_for_a_lock(dsn: str) -> bool:
    async with await psycopg.AsyncConnection.connect(dsn) as eyes:
        cursor = await eyes.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        row = await cursor.fetchone()
        return row is not None and row[0] > 0


# -- the answer file


class Deaf(Ledger):
    """A ledger that cannot be reached: the process dies, or the database is gone, right after the answer."""

    async def record_submission(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError


async def submitted_unheard(context: RunContext, at: Simulator) -> UUID:
    """A run whose answer arrived but did not reach the ledger; the provider has no list to find it in."""
    at.control("POST", "/_sim/habits", {"no_list_status": 400})
    run_id = await admitted(context, at)
    with pytest.raises(ConnectionError):
        await run(run_id, replace(context, ledger=Deaf(context.ledger.rpc)))
    row = await context.ledger.load(run_id)
    assert row is not None and row.state is State.SUBMITTING
    return run_id


async def test_unrecorded_answer_is_kept_on_disk_and_replayed(context: RunContext, simulator: Simulator) -> None:
    run_id = await submitted_unheard(context, simulator)

    await replay_answers(context)

    row = await context.ledger.load(run_id)
    assert row is not None and (row.state, row.job_source) == (State.RENDERING, JobSource.ANSWER)
    assert list(context.answers.all()) == []
    assert simulator.creates() == 1


async def test_run_in_doubt_uses_its_answer_file_first(context: RunContext, simulator: Simulator) -> None:
    run_id = await submitted_unheard(context, simulator)

    row = await driven(run_id, context, seconds=3)

    assert (row.state, row.job_source) == (State.SAVED, JobSource.ANSWER)
    assert simulator.creates() == 1


# -- doubt


NOW = datetime(2026, 11, 1, tzinfo=UTC)


async def a_run_in_doubt(context: RunContext, at: Simulator) -> Run:
    row = await context.ledger.load(await admitted(context, at))
    assert row is not None
    return replace(
        row,
        state=State.UNCERTAIN,
        looks_complete=5,
        read_at=NOW,
        submitting_at=NOW - timedelta(minutes=20),
        first_look_at=NOW - timedelta(minutes=10),
        last_look_at=NOW,
    )


async def test_never_made_requires_every_condition(context: RunContext, simulator: Simulator) -> None:
    row = await a_run_in_doubt(context, simulator)
    looks, grace = 5, timedelta(minutes=10)
    assert evidence.never_made(row, looks, grace)
    assert not evidence.never_made(replace(row, looks_complete=4), looks, grace), "a look too few"
    late = replace(row, first_look_at=NOW - timedelta(minutes=10) + timedelta(microseconds=1))
    assert not evidence.never_made(late, looks, grace), "looks too close together"
    assert not evidence.never_made(replace(row, state=State.SUBMITTING), looks, grace)
    assert not evidence.never_made(replace(row, answered_job_id="v"), looks, grace), "a real answer named a job"


async def test_unreadable_list_never_proves_that_the_job_was_not_made(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.trouble("create", "made_then_drop")
    simulator.trouble("list", "status", status=500, always=True)
    async with open_test_context(ledger_dsn, simulator, tmp_path, **PROVES_ABSENCE) as context:
        row = await driven(await admitted(context, simulator), context, seconds=4)
    assert (row.state, row.looks_complete, row.held_microusd) == (State.UNCERTAIN, 0, row.price_microusd)


async def test_run_in_doubt_with_two_matching_jobs_adopts_neither(context: RunContext, simulator: Simulator) -> None:
    simulator.trouble("create", "made_then_drop")
    run_id = await admitted(context, simulator)
    simulator.trouble("list", "status", status=500, times=1)
    await run(run_id, context)
    row = await context.ledger.load(run_id)
    assert row is not None and row.state is State.UNCERTAIN
    twin = row.order().fields() | {"seconds": row.seconds}
    simulator.control("POST", "/_sim/jobs", twin)

    row = await driven(run_id, context, seconds=2)

    assert (row.state, row.job_id, row.held_microusd) == (State.UNCERTAIN, None, row.price_microusd)


async def test_run_in_doubt_is_not_matched_at_another_provider(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.trouble("create", "made_then_drop")  # a look would find it
    async with open_test_context(ledger_dsn, simulator, tmp_path, **PROVES_ABSENCE) as context:
        simulator.trouble("list", "status", status=500, times=1)
        run_id = await admitted(context, simulator)
        await run(run_id, context)
        moved = replace(context, account=replace(context.account, key_fingerprint="another"))
        row = await driven(run_id, moved, seconds=3)
    assert (row.state, row.looks_complete, row.held_microusd) == (State.UNCERTAIN, 0, row.price_microusd)


async def test_dead_submission_to_another_provider_becomes_in_doubt_and_parked(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    """Killed in mid-POST, and the key was changed before the next start: a person must be able to settle the run."""
    quick = quick_waits(SUBMIT_DEADLINE_SECONDS="0.1", CONNECT_TIMEOUT_SECONDS="0.1", REQUEST_TIMEOUT_SECONDS="0.1")
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick) as context:
        run_id = await admitted(context, simulator)
        moved = replace(context, account=replace(context.account, key_fingerprint="another"))
        await run(run_id, moved)  # approved, but not bought: it belongs to another provider
        answer = await context.ledger.begin_submission(run_id, "t" * 32)
        assert isinstance(answer, Won)
        async with asyncio.timeout(60):
            while not (row := await run(run_id, moved)) or not row.parked:
                await asyncio.sleep(0.05)
    assert (row.state, row.doubt, row.held_microusd) == (State.UNCERTAIN, "process_died", row.price_microusd)


async def test_unconfirmed_run_of_another_provider_is_canceled_on_timeout(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits(CONFIRM_SECONDS="0.2")) as context:
        moved = replace(context, account=replace(context.account, key_fingerprint="another"))
        run_id = await admitted(context, simulator, confirm=True)
        async with asyncio.timeout(60):
            while not (row := await run(run_id, moved)) or not row.ended:
                await asyncio.sleep(0.05)
    assert (row.state, row.reason, row.held_microusd) == (State.CANCELED, "not_confirmed", 0)


# -- the database says no last


def test_database_rejects_one_job_id_for_two_runs(client: LedgerClient) -> None:
    client.rendering("tg:1", job="job_1")
    other = client.rendering("tg:2", job="job_2")
    with pytest.raises(psycopg.errors.UniqueViolation):
        client.write("update onetake.runs set job_id = 'job_1' where run_id = %s", other)


def test_lease_rejects_a_second_run_even_without_the_check_before_it(client: LedgerClient) -> None:
    client.write(
        "create or replace function onetake.first_refusal("
        "u onetake.users, p_prompt_hash text, p_again boolean, p_now timestamptz)"
        " returns jsonb language sql as 'select null::jsonb'"
    )
    run_id = client.reserved()
    with pytest.raises(LedgerRefused) as refused:
        client.ask()
    assert refused.value.code == "LG002"
    assert [row["run_id"] for row in client.rows("select run_id::text from onetake.runs")] == [run_id]
    assert client.books_wrong() == []


def test_two_simultaneous_requests_of_a_known_user_start_one_run(client: LedgerClient) -> None:
    """A user's very first insert is itself a mutex; only with an existing row does the test show that it is written."""
    client.fail(client.reserved(), "reserved")
    client.limit("cooldown_seconds", 0)
    with psycopg.connect(client.dsn, row_factory=dict_row, prepare_threshold=None) as first:
        won = call(first, "reserve", **request("tg:1", "a grey owl"))
        second = Session(client, "reserve", **request("tg:1", "a white hare"))
        wait_until_blocked(client, second, first)
        first.commit()
    assert won["kind"] == "accepted"
    assert second.heard()["kind"] == "busy"
    assert client.books_wrong() == []
