"""Races: many callers at once, and two in a fixed order. One is accepted, one buys, no micro-dollar too much."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from pipeline.cancellation import stop
from pipeline.ledger.records import Run, State
from pipeline.run import admit, run
from pipeline.worker import Pace, open_engine
from steps.check_limits import Admitted
from tests.guarantee.races import PROCESSES, deadlocks, flat, race
from tests.ledger.client import OTHER_TOKEN, PRICE, TOKEN, LedgerClient, Row, call, open_ledger_client, request
from tests.ledger.test_two_sessions import Session, after_commit, wait_until_blocked
from tests.support.fixtures import Simulator, open_test_context, order_request

TIMES = 50
WORKERS, RUNS = 5, 40
PACE = Pace(concurrency=20, heartbeat_seconds=0.2, stalled_seconds=30, sweep_seconds=0.1)


@pytest.fixture
def client(ledger_dsn: str) -> Iterator[LedgerClient]:
    with open_ledger_client(ledger_dsn) as clerk:
        yield clerk


@pytest.fixture
def first(client: LedgerClient) -> Iterator[psycopg.Connection[Row]]:
    """A session whose transaction the test begins and ends."""
    with psycopg.connect(client.dsn, row_factory=psycopg.rows.dict_row, prepare_threshold=None) as connection:
        yield connection
        connection.rollback()


# -- reserve


def test_two_hundred_concurrent_copies_of_one_request_become_one_run(client: LedgerClient) -> None:
    asked = request("tg:1", "a red fox")

    def ask(connection: psycopg.Connection[Row], _: int) -> list[tuple[str, bool]]:
        answers = [call(connection, "reserve", **asked | {"call_id": str(uuid4())}) for _ in range(TIMES)]
        return [(answer["kind"], answer["replayed"]) for answer in answers]

    heard = Counter(flat(race(client.dsn, ask)))

    assert heard == {("accepted", False): 1, ("accepted", True): PROCESSES * TIMES - 1}
    assert client.one("select count(*) from onetake.runs") == 1
    assert client.one("select sum(saved_microusd) from onetake.events") == (PROCESSES * TIMES - 1) * PRICE
    assert client.books_wrong() == []


@pytest.mark.parametrize("same_prompt", [True, False])
def test_two_hundred_concurrent_requests_of_one_user_start_one_run(same_prompt: bool, client: LedgerClient) -> None:
    def ask(connection: psycopg.Connection[Row], number: int) -> list[str]:
        prompts = ["a red fox" if same_prompt else f"fox {number} {n}" for n in range(TIMES)]
        return [call(connection, "reserve", **request("tg:1", prompt))["kind"] for prompt in prompts]

    heard = Counter(flat(race(client.dsn, ask)))

    assert heard == {"accepted": 1, "duplicate" if same_prompt else "busy": PROCESSES * TIMES - 1}
    assert client.one("select count(*) from onetake.runs") == 1
    assert client.books_wrong() == []


@pytest.mark.parametrize("period", ["day", "month"])
def test_budget_is_never_exceeded_by_two_hundred_concurrent_users(period: str, client: LedgerClient) -> None:
    limit = 37 * PRICE + PRICE - 1
    client.limit("budget_day_microusd", 10**12)
    client.limit("budget_month_microusd", 10**12)
    client.limit(f"budget_{period}_microusd", limit)
    seen: list[int] = []

    def ask(connection: psycopg.Connection[Row], number: int) -> list[tuple[str, int]]:
        heard = []
        for n in range(TIMES):
            answer = call(connection, "reserve", **request(f"tg:{number}_{n}", "a red fox"))
            held = connection.execute("select max(held_microusd) as held from onetake.budgets").fetchone()
            assert held is not None
            heard.append((answer["kind"], held["held"]))
        return heard

    for kind, held in flat(race(client.dsn, ask)):
        assert kind in {"accepted", "budget_exhausted"}
        seen.append(held)

    assert client.one("select count(*) from onetake.runs") == limit // PRICE
    assert client.rows("select held_microusd as held from onetake.budgets") == [{"held": limit // PRICE * PRICE}] * 2
    assert max(seen) <= limit
    assert client.books_wrong() == []


# -- under load


def one_life(connection: psycopg.Connection[Row], dice: random.Random, shared: list[str]) -> None:
    """One run of some user through random calls, while others do the same to it."""
    asked = request(f"tg:{dice.randrange(8)}", f"fox {dice.randrange(5)}", again=True)
    answer = call(connection, "reserve", **asked)
    if answer["kind"] == "accepted":  # or paused, for a moment
        shared.append(answer["run"]["run_id"])
    run_id = dice.choice(shared)
    token = f"a-token-of-somebody-{dice.randrange(10**6)}"
    brief = {"improved_prompt": "x", "title": "x", "category": "x", "language": "en", "template": {}}
    call(connection, "approve", run_id=run_id, **brief, confirm_seconds=900.0, cost_microusd=3, ms=1)
    if dice.random() < 0.1:
        call(connection, "cancel_run", run_id=run_id, by="tg:1")
    won = call(connection, "begin_submission", run_id=run_id, token=token)["won"]
    job = f"job_{dice.randrange(25)}"  # so few that runs compete for them
    if won and dice.random() < 0.2:
        call(connection, "fail_run", run_id=run_id, expected="submitting", reason="x", detail="", token=token)
    elif won and dice.random() < 0.5:
        call(connection, "mark_uncertain", run_id=run_id, doubt="timeout", token=token)
        call(connection, "record_submission", run_id=run_id, job_id=job, source=dice.choice(("list", "person")))
    elif won:
        call(connection, "record_submission", run_id=run_id, job_id=job, source="answer", token=token)
    mine = call(connection, "load_run", run_id=run_id)
    if mine["state"] == "rendering" and dice.random() < 0.7:
        file = {"file": "/m", "file_bytes": 1, "file_sha256": "f"}
        call(connection, "save_run", run_id=run_id, job_id=mine["job_id"], **file)
    call(connection, "settle_not_charged", run_id=dice.choice(shared), who="op")
    if dice.random() < 0.1:
        call(connection, "set_paused", paused=True, reason="", who="op")
        call(connection, "set_paused", paused=False, reason=None, who="op")


def test_concurrent_ledger_calls_never_deadlock_and_the_money_adds_up(client: LedgerClient) -> None:
    client.unlimited()
    common = [client.approved(f"tg:{n}", f"common {n}", again=True) for n in range(8)]

    def live(connection: psycopg.Connection[Row], number: int) -> int:
        dice, shared = random.Random(number), list(common)
        for _ in range(40):
            one_life(connection, dice, shared)
        return 40

    assert race(client.dsn, live) == [40] * PROCESSES

    assert deadlocks(client.calls) == 0
    assert client.books_wrong() == []
    assert client.one("select count(*) from onetake.events where outcome = 'made'")
    assert client.one("select count(*) from onetake.events where outcome = 'submitting'")


# -- two sessions, step by step


def test_pause_stops_submissions_from_the_moment_it_commits(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    """The switch is one committed row: before the commit, submissions pass; after it, none does."""
    one, two = client.approved("tg:1"), client.approved("tg:2")
    call(first, "set_paused", paused=True, reason="stop", who="op")
    assert client.begin(one)["won"]
    first.commit()
    assert client.begin(two)["refused"] == "paused"


def test_blocked_submission_sees_a_pause_set_while_it_waited(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    one, two = client.approved("tg:1"), client.approved("tg:2")
    assert call(first, "begin_submission", run_id=one, token=TOKEN)["won"]
    second = Session(client, "begin_submission", run_id=two, token=OTHER_TOKEN)
    wait_until_blocked(client, second, first)
    client.call("set_paused", paused=True, reason="stop", who="op")
    first.commit()
    assert second.heard()["refused"] == "paused"


def test_failure_that_opens_the_breaker_stops_a_waiting_submission(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    client.limit("breaker_failures", 2)
    client.uncertain("tg:0")
    one, two = client.submitting("tg:1"), client.approved("tg:2")
    call(first, "mark_uncertain", run_id=one, doubt="timeout", token=TOKEN)
    answer = after_commit(client, first, "begin_submission", run_id=two, token=OTHER_TOKEN)
    assert answer["refused"] == "breaker_open"


def test_confirmation_that_commits_first_lets_the_waiting_submission_win(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    run_id = client.approved(confirm=True)
    call(first, "confirm", run_id=run_id)
    assert after_commit(client, first, "begin_submission", run_id=run_id, token=TOKEN)["won"]


def test_amendment_after_a_confirmation_is_too_late(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    run_id = client.approved(confirm=True)
    call(first, "confirm", run_id=run_id)
    bigger = {"seconds": 12, "size": "720x1280", "price_microusd": 2 * PRICE}
    assert after_commit(client, first, "amend", run_id=run_id, **bigger)["refused"]["kind"] == "too_late"
    assert client.row(run_id)["held_microusd"] == PRICE


def test_job_found_after_a_concurrent_not_charged_settlement_is_adopted_late(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    run_id = client.uncertain()
    call(first, "settle_not_charged", run_id=run_id, who="op")
    answer = after_commit(client, first, "record_submission", run_id=run_id, job_id="job_1", source="list")
    assert (answer["recorded"], answer["late"], client.state(run_id)) == (True, True, "rendering")
    assert client.books_wrong() == []


def test_not_charged_settlement_after_the_job_was_found_is_rejected(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    run_id = client.uncertain()
    call(first, "record_submission", run_id=run_id, job_id="job_1", source="list")
    answer = after_commit(client, first, "settle_not_charged", run_id=run_id, who="op")
    assert answer == {"settled": False, "state": "rendering", "why": "state"}


def test_second_of_two_concurrent_settlements_is_rejected(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    run_id = client.uncertain()
    call(first, "settle_not_charged", run_id=run_id, who="op")
    assert not after_commit(client, first, "settle_not_charged", run_id=run_id, who="op2")["settled"]
    assert client.books_wrong() == []


def test_second_of_two_concurrent_saves_changes_nothing(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    run_id = client.rendering(job="job_1")
    file = {"file": "/m", "file_bytes": 1, "file_sha256": "f"}
    call(first, "save_run", run_id=run_id, job_id="job_1", **file)
    answer = after_commit(client, first, "save_run", run_id=run_id, job_id="job_1", **file | {"file_bytes": 2})
    assert (answer["state"], answer["file_bytes"]) == ("saved", 1)
    assert client.events(run_id).count(("save_video", "saved")) == 1
    assert client.books_wrong() == []


def test_failure_reported_after_the_clip_was_saved_changes_nothing(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    run_id = client.rendering(job="job_1")
    call(first, "save_run", run_id=run_id, job_id="job_1", file="/m", file_bytes=1, file_sha256="f")
    failed = {"expected": "rendering", "reason": "render_failed", "detail": "", "job_id": "job_1"}
    assert not after_commit(client, first, "fail_run", run_id=run_id, **failed)["moved"]
    assert client.state(run_id) == "saved"
    assert client.books_wrong() == []


# -- between `approved` and the POST


@pytest.mark.parametrize("how", ["paused", "breaker_open"])
async def test_pause_or_open_breaker_after_approval_stops_the_order(
    how: str, ledger_dsn: str, client: LedgerClient, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        admitted = await admit(order_request(simulator, confirm=True), context.ledger)
        assert isinstance(admitted, Admitted)
        row = await run(admitted.run_id, context)
        assert row is not None and row.state is State.APPROVED
        if how == "paused":
            client.call("set_paused", paused=True, reason="stop", who="op")
        else:
            client.open_breaker(60)
        await context.ledger.confirm(admitted.run_id)
        row = await run(admitted.run_id, context)

        assert row is not None and (row.state, row.deferred_by) == (State.APPROVED, how)
        assert simulator.creates() == 0
        client.call("set_paused", paused=False, reason=None, who="op")
        row = await run(admitted.run_id, context)
        assert row is not None and row.state is State.SAVED
    assert simulator.creates() == 1


# -- five workers


async def say_nothing(_: Run) -> None:
    """Notify nobody."""


async def test_five_workers_on_one_database_buy_each_of_forty_runs_once(
    ledger_dsn: str, client: LedgerClient, simulator: Simulator, tmp_path: Path
) -> None:
    client.unlimited()
    async with contextlib.AsyncExitStack() as stack:
        worlds = []
        for number in range(WORKERS):
            context = await stack.enter_async_context(open_test_context(ledger_dsn, simulator, tmp_path / str(number)))
            engine = await stack.enter_async_context(open_engine(ledger_dsn))
            worlds.append((context, engine))
        for number in range(RUNS):
            context, engine = worlds[number % WORKERS]
            admitted = await admit(order_request(simulator, f"boat {number}", user_id=f"cli:{number}"), context.ledger)
            assert isinstance(admitted, Admitted)
            for _, each in worlds:  # every machine tries
                await each.enqueue(admitted.run_id)
        works = [asyncio.create_task(engine.work(context, say_nothing, PACE)) for context, engine in worlds]
        try:
            async with asyncio.timeout(120):
                while client.one("select count(*) from onetake.runs where state = 'saved'") < RUNS:
                    await asyncio.sleep(0.1)
        finally:
            for work in works:
                await stop(work)

    keys = Counter(create["key"] for create in simulator.books()["creates"])
    assert len(keys) == RUNS and set(keys.values()) == {1}
    assert simulator.paid_calls() == RUNS
    assert client.books_wrong() == []
