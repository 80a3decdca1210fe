"""Runs in doubt from request to rest: by callbacks, look-ups and lists, at doubles of providers that have them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase import submission
from pipeline.purchase.answer_files import KeptAnswer
from pipeline.purchase.reconcile import next_look
from pipeline.purchase.settling import settle_not_charged
from pipeline.run import admit, run
from providers.orders import Answer
from steps.check_limits import Admitted
from tests.pipeline.purchase.evidence_rows import NOON
from tests.pipeline.purchase.evidence_rows import run as a_run
from tests.pipeline.purchase.test_fence import approved, fresh, sent
from tests.providers.vendors.ordered import MODEL_OF
from tests.support.fixtures import (
    PRICE_MICROUSD,
    PROVES_ABSENCE,
    Simulator,
    open_test_context,
    order_request,
    quick_waits,
    request_ended,
)

REFUSED = Answer(400, '{"error": {"code": 400, "message": "duration: not one of 4, 6, 8"}}')
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Place:
    context: RunContext
    sim: Simulator
    dsn: str

    def foreign_job(self, **job: Any) -> str:
        told = {"provider": self.sim.provider, "model": MODEL_OF[self.sim.provider], "seconds": 8} | job
        return str(self.sim.control("POST", "/_sim/jobs", told)["id"])

    async def call_back(self, row: Run, job_id: str | None) -> None:
        assert row.callback_url is not None
        await self.context.ledger.rpc("note_callback", {"token": row.callback_url[-32:], "job_id": job_id})

    async def go(self, row: Run, *, rounds: int = 1, over: bool = True) -> Run:
        """The run after `rounds` looks, or once it has ended; `over`: the requests of before are."""
        context = request_ended(self.context) if over else self.context
        for _ in range(rounds):
            found = await run(row.run_id, context)
            assert found is not None
            row = found
            await asyncio.sleep(0.06)
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                connection.execute("update onetake.runs set next_look_at = null")
            if row.ended:
                break
        return row

    async def lost(self, **changes: Any) -> tuple[Run, str]:
        """A run in doubt whose order was made, and its job's id."""
        self.sim.trouble("create", "made_then_drop")
        asked = order_request(self.sim, callback_url=f"https://o.test/callbacks/x/{uuid4().hex}", **changes)
        admitted = await admit(asked, self.context.ledger)
        assert isinstance(admitted, Admitted), admitted
        row = await self.go(await fresh(self.context, admitted), over=False)
        assert row.state is State.UNCERTAIN
        return row, str(self.sim.books()["creates"][-1]["job_id"])


@asynccontextmanager
async def place_at(provider: str, dsn: str, simulator: Simulator, home: Path, **rules: Any) -> AsyncIterator[Place]:
    sim = replace(simulator, provider=provider)
    async with open_test_context(dsn, sim, home, **rules) as context:
        yield Place(context, sim, dsn)


@pytest.fixture
async def place(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Place]:
    """OpenRouter: no list, a job shows nothing of its order."""
    async with place_at("openrouter", ledger_dsn, simulator, tmp_path) as opened:
        yield opened


async def addressed(place: Place, row: Run) -> Run:
    """The same run with a callback address, as if it had been ordered with one."""
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        address = f"https://o.test/callbacks/openrouter/{uuid4().hex}"
        connection.execute("update onetake.runs set callback_url = %s where run_id = %s", (address, row.run_id))
    return await fresh(place.context, row)


# -- callbacks


async def test_callback_heals_a_lost_answer_where_nothing_else_can(place: Place) -> None:
    row, job_id = await place.lost()
    row = await place.go(row)
    assert (row.state, row.look_says) == (State.UNCERTAIN, "no_list")

    await place.call_back(row, job_id)
    row = await place.go(row, rounds=2)

    assert (row.state, row.job_id, row.job_source) == (State.SAVED, job_id, JobSource.MARKER)
    assert (place.sim.creates(), place.sim.paid_calls()) == (1, 1)


async def test_callback_of_an_unknown_job_proposes_it_to_a_person_and_the_next_one_heals(place: Place) -> None:
    row, job_id = await place.lost()
    await place.call_back(row, "forged")
    row = await place.go(row)
    assert (row.state, row.look_says, row.held_microusd) == (State.UNCERTAIN, "callback_unread", PRICE_MICROUSD)

    context = place.context
    settled = await settle_not_charged(row, "op", None, context.ledger, context.account, quick_waits())
    assert (settled.settled, settled.why, settled.shown) == (False, "shown", "forged")

    await place.call_back(row, job_id)
    assert (await place.go(row, rounds=2)).state is State.SAVED


async def test_callback_that_names_another_runs_job_takes_nothing(place: Place) -> None:
    other, job_id = await place.lost(user_id="cli:other", prompt="an owl")
    await place.call_back(other, job_id)
    other = await place.go(other, rounds=2)
    row, _ = await place.lost()

    await place.call_back(row, job_id)
    row = await place.go(row)

    assert (row.state, row.job_id, row.look_says) == (State.UNCERTAIN, None, "job_owned_by_another_run")
    assert (await fresh(place.context, other)).job_id == job_id


async def test_repeated_callbacks_of_a_finished_run_change_nothing(place: Place) -> None:
    row, job_id = await place.lost()
    await place.call_back(row, job_id)
    saved = await place.go(row, rounds=2)
    for named in (job_id, None, "forged", job_id):
        await place.call_back(saved, named)
        await place.go(saved)
    after = await fresh(place.context, saved)
    assert (after.state, after.job_id, after.spent_microusd, after.file) == (
        State.SAVED,
        job_id,
        PRICE_MICROUSD,
        saved.file,
    )


async def test_refusal_that_a_callback_contradicts_is_unclear_and_the_job_is_found(place: Place) -> None:
    row, token = await sent(place.context, place.sim)
    row = await addressed(place, row)
    await place.call_back(row, place.foreign_job())

    await submission.book(KeptAnswer(row.run_id, token, REFUSED, "openrouter"), row, place.context)
    assert (await fresh(place.context, row)).state is State.SUBMITTING
    row = await place.go(row, rounds=12)

    assert (row.state, row.job_source, row.spent_microusd) == (State.SAVED, JobSource.MARKER, PRICE_MICROUSD)


async def refused(place: Place) -> Run:
    row, token = await sent(place.context, place.sim)
    row = await addressed(place, row)
    await submission.book(KeptAnswer(row.run_id, token, REFUSED, "openrouter"), row, place.context)
    row = await fresh(place.context, row)
    assert (row.state, row.released_microusd) == (State.FAILED, PRICE_MICROUSD)
    return row


async def test_callback_after_the_run_has_failed_brings_its_clip(place: Place) -> None:
    row = await refused(place)
    await place.call_back(row, place.foreign_job())

    row = await place.go(row, rounds=2)

    assert (row.state, row.spent_microusd, row.reason) == (State.SAVED, PRICE_MICROUSD, None)


@pytest.mark.parametrize("named", ["failed", "unknown", "another run's"])
async def test_failed_run_stays_failed_if_the_callback_names_no_clip_of_its_own(place: Place, named: str) -> None:
    row = await refused(place)
    if named == "another run's":
        _, job_id = await place.lost(user_id="cli:other", prompt="an owl")
        other, _ = await sent(place.context, place.sim, "cli:third", "a fox")
        await place.context.ledger.rpc(
            "record_submission", {"run_id": str(other.run_id), "job_id": job_id, "source": "answer", "token": None}
        )
        with psycopg.connect(place.dsn, autocommit=True) as connection:
            connection.execute(
                "update onetake.runs set job_id = %s, job_source = 'answer' where run_id = %s", (job_id, other.run_id)
            )
    else:
        job_id = place.foreign_job(prompt="render-fails") if named == "failed" else "unknown"
    await place.call_back(row, job_id)

    row = await place.go(row, rounds=2)

    assert (row.state, row.job_id, row.released_microusd) == (State.FAILED, None, PRICE_MICROUSD)


async def test_callback_of_an_account_that_is_not_configured_here_asks_nobody(place: Place) -> None:
    row = await refused(place)
    await place.call_back(row, place.foreign_job())
    elsewhere = replace(place.context, account=replace(place.context.account, key_fingerprint="another"))
    found = await run(row.run_id, elsewhere)
    assert found is not None and found.state is State.FAILED


async def test_run_of_a_restored_ledger_that_was_called_back_is_not_ordered_again(place: Place) -> None:
    row = await addressed(place, await approved(place.context, place.sim))
    await place.call_back(row, "job-of-before")

    ended = await run(row.run_id, place.context)

    assert ended is not None and (ended.state, ended.reason) == (State.FAILED, "already_sent")
    assert "job-of-before" in str(ended.detail)
    assert place.sim.creates() == 0
    [stray] = await Operators(place.context.ledger.rpc).stray_answers(9)
    assert (stray.why, stray.body) == ("another_token", "the provider reported job job-of-before")


# -- a list that shows nothing


async def test_list_without_the_job_does_not_overrule_a_callback_that_named_one(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    """Once the hint is gone, the same list proves that nothing was made."""
    async with place_at("fal", ledger_dsn, simulator, tmp_path, **PROVES_ABSENCE) as place:
        place.sim.trouble("create", "drop_before")
        asked = order_request(place.sim, callback_url=f"https://o.test/callbacks/fal/{uuid4().hex}")
        admitted = await admit(asked, place.context.ledger)
        assert isinstance(admitted, Admitted)
        row = await place.go(await fresh(place.context, admitted), over=False)
        await place.call_back(row, "gone-by-now")

        row = await place.go(row, rounds=12)
        assert (row.state, row.looks_complete, row.look_says) == (State.UNCERTAIN, 0, "callback_unread")

        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            connection.execute("update onetake.runs set callback_job_id = null")
        row = await place.go(row, rounds=12)
        assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "not_made", PRICE_MICROUSD)


async def test_older_witness_of_a_list_that_begins_at_a_time_is_asked_for(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    """fal lists from a moment on. What we bought three days ago must be shown, or absence proves nothing."""
    async with place_at("fal", ledger_dsn, simulator, tmp_path, **PROVES_ABSENCE) as place:
        asked = order_request(place.sim, "an owl", user_id="cli:other")
        admitted = await admit(asked, place.context.ledger)
        assert isinstance(admitted, Admitted)
        older = await place.go(await fresh(place.context, admitted), over=False)
        assert older.state is State.SAVED and older.job_id is not None
        age(place, older, timedelta(days=3))
        place.sim.trouble("create", "drop_before")
        admitted = await admit(order_request(place.sim), place.context.ledger)
        assert isinstance(admitted, Admitted)

        row = await place.go(await fresh(place.context, admitted), over=False)

        row = await place.go(row, rounds=12)

        assert (row.state, row.reason) == (State.FAILED, "not_made"), row.look_says


def age(place: Place, row: Run, by: timedelta) -> None:
    """Moves a saved run into the past; its job at the provider is one of that time."""
    asked = {"prompt": row.improved_prompt, "input": dict(row.order().params)}
    job_id = place.foreign_job(created_at_offset=-by.total_seconds(), **asked)
    stamps = ("reserved_at", "approved_at", "submitting_at", "rendering_at", "answered_at", "saved_at")
    moved = ", ".join(f"{stamp} = {stamp} - %(by)s" for stamp in stamps)
    query = f"update onetake.runs set {moved}, job_id = %(job)s, answered_job_id = %(job)s where run_id = %(run)s"
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(query.encode(), {"by": by, "job": job_id, "run": row.run_id})


# -- look-ups by our own id


@pytest.mark.parametrize("provider", ["kling", "runware"])
async def test_look_up_that_fails_leaves_the_run_in_doubt_until_it_works(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, provider: str
) -> None:
    async with place_at(provider, ledger_dsn, simulator, tmp_path) as place:
        place.sim.trouble("retrieve", "status", status=503, always=True)
        place.sim.trouble("list", "status", status=503, always=True)
        row, _ = await place.lost()
        row = await place.go(row, rounds=2)
        assert (row.state, row.held_microusd) == (State.UNCERTAIN, PRICE_MICROUSD)
        assert str(row.look_says).startswith("list_unreadable")

        place.sim.control("DELETE", "/_sim/faults")
        row = await place.go(row, rounds=2)
        assert (row.state, row.job_source, place.sim.creates()) == (State.SAVED, JobSource.MARKER, 1)


# -- when a run is looked at again


def test_request_is_over_after_submit_connect_request_and_slack_seconds() -> None:
    waits = quick_waits(
        SUBMIT_DEADLINE_SECONDS="10",
        CONNECT_TIMEOUT_SECONDS="5",
        REQUEST_TIMEOUT_SECONDS="60",
        REQUEST_SLACK_SECONDS="3",
    )
    assert waits.request_over == timedelta(seconds=78)


@pytest.mark.parametrize(
    ("parked", "counted", "rests"),
    [
        (2 * DAY, None, True),
        (2 * DAY, 2 * DAY, True),
        (2 * DAY, timedelta(hours=1), False),
        (timedelta(hours=1), None, False),
        (timedelta(hours=1), 2 * DAY, False),
    ],
)
async def test_parked_run_comes_to_rest_a_day_after_the_last_look_that_counted(
    place: Place, parked: timedelta, counted: timedelta | None, rests: bool
) -> None:
    at = NOON + timedelta(days=9)
    row = a_run(
        read_at=at,
        parked_at=at - parked,
        looks_complete=0 if counted is None else 2,
        last_look_at=None if counted is None else at - counted,
    )
    assert (next_look(row, place.context) is None) is rests
