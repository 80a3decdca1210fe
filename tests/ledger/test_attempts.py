"""Attempts, waiting and what is due: tried five times, left alone while somebody works on it, found again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.ledger.desk import STATES, TOKEN, Desk


def attempt(desk: Desk, run_id: str, attend_seconds: float = 0.0) -> Any:
    """One attempt; the run is due again at once, as after the death of whoever made it."""
    return desk.call("start_attempt", run_id=run_id, attempts_max=5, attend_seconds=attend_seconds)


def due(desk: Desk, at_most: int = 10) -> list[str]:
    return [row["run_id"] for row in desk.call("due_runs", at_most=at_most)]


@pytest.mark.parametrize("state", ["reserved", "approved"])
def test_a_run_that_cannot_have_paid_fails_after_five_attempts(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    for nth in range(1, 6):
        assert attempt(desk, run_id)["attempts"] == nth
    row = attempt(desk, run_id)
    assert (row["state"], row["reason"], row["held_microusd"]) == ("failed", "gave_up", 0)
    assert desk.events(run_id)[-1] == ("run", "gave_up")
    assert desk.books_wrong() == []


@pytest.mark.parametrize("state", ["submitting", "uncertain", "rendering"])
def test_a_run_that_may_have_paid_is_parked_after_five_attempts_and_tried_on(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    for _ in range(5):
        assert attempt(desk, run_id)["parked_at"] is None
    row = attempt(desk, run_id)
    assert (row["state"], row["held_microusd"]) == (state, row["price_microusd"])
    assert row["parked_at"]
    attempt(desk, run_id)
    assert desk.events(run_id).count(("run", "parked")) == 1


def test_company_at_a_run_somebody_works_on_does_not_count(desk: Desk) -> None:
    run_id = desk.reserved()
    attempt(desk, run_id, attend_seconds=15.0)
    for _ in range(10):
        assert attempt(desk, run_id, attend_seconds=15.0)["attempts"] == 1
    assert desk.row(run_id)["state"] == "reserved"


@pytest.mark.parametrize("state", ["rejected", "canceled", "failed", "delivered"])
def test_an_ended_run_is_not_tried(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    before = desk.row(run_id)
    assert attempt(desk, run_id)["state"] == state
    assert desk.row(run_id) == before


def test_a_move_is_progress_and_begins_the_count_again(desk: Desk) -> None:
    run_id = desk.reserved()
    for _ in range(5):
        attempt(desk, run_id)
    desk.approve(run_id)
    row = desk.row(run_id)
    assert (row["attempts"], row["next_look_at"]) == (0, None)
    assert attempt(desk, run_id)["attempts"] == 1


def test_a_look_at_a_render_is_progress_and_a_sign_of_life_before_the_purchase_is_not(desk: Desk) -> None:
    rendering = desk.rendering("tg:1")
    reserved = desk.reserved("tg:2")
    for run_id in (rendering, reserved):
        for _ in range(4):
            attempt(desk, run_id)
        desk.call("attend", run_id=run_id, attend_seconds=15.0, progress=40)
    assert [desk.row(run_id)["attempts"] for run_id in (rendering, reserved)] == [1, 4]
    assert desk.row(rendering)["progress"] == 40
    desk.call("attend", run_id=rendering, attend_seconds=15.0)
    assert desk.row(rendering)["progress"] == 40


@pytest.mark.parametrize("state", ["uncertain", "saved", "delivered", "failed", "canceled", "rejected"])
def test_nobody_attends_a_run_that_waits_or_has_ended(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    before = desk.row(run_id)
    assert desk.call("attend", run_id=run_id, attend_seconds=15.0) is None
    assert desk.row(run_id) == before


def test_an_unknown_run_is_nobodys_work(desk: Desk) -> None:
    assert attempt(desk, str(uuid4())) is None


def test_a_run_is_left_alone_while_somebody_works_on_it(desk: Desk) -> None:
    run_id = desk.reserved()
    assert due(desk) == [run_id]
    attempt(desk, run_id)
    assert due(desk) == [run_id]
    attempt(desk, run_id, attend_seconds=15.0)
    assert due(desk) == []
    desk.call("attend", run_id=run_id, attend_seconds=15.5)
    assert due(desk) == []


def test_a_waiting_run_is_due_at_its_time_or_not_by_itself(desk: Desk) -> None:
    run_id = desk.uncertain()
    past, future = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    for at, found in [(future, []), (past, [run_id]), (None, [])]:
        desk.call("wait_until", run_id=run_id, at=at.isoformat() if at else None)
        assert due(desk) == found
    assert desk.row(run_id)["next_look_at"] == "infinity"


def test_waiting_ends_an_attempt_that_did_its_work(desk: Desk) -> None:
    run_id = desk.approved()
    attempt(desk, run_id)
    assert desk.call("wait_until", run_id=run_id, at=None)["attempts"] == 0


def test_a_tap_and_a_resume_wake_a_waiting_run(desk: Desk) -> None:
    tapped = desk.approved("tg:1", confirm=True)
    paused = desk.approved("tg:2")
    desk.call("set_paused", paused=True, reason="", who="op")
    desk.begin(paused)
    for run_id in (tapped, paused):
        desk.call("wait_until", run_id=run_id, at=None)
    desk.call("confirm", run_id=tapped)
    desk.call("set_paused", paused=False, reason=None, who="op")
    assert set(due(desk)) == {tapped, paused}


@pytest.mark.parametrize("state", STATES)
def test_a_run_is_due_until_its_user_has_heard_of_its_last_state(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    assert due(desk) == ([] if state == "delivered" else [run_id])
    desk.call("told", run_id=run_id, state=state)
    unfinished = state in {"reserved", "approved", "submitting", "uncertain", "rendering"}
    assert due(desk) == ([run_id] if unfinished else [])


def test_hearing_of_an_older_state_is_not_hearing_of_the_last(desk: Desk) -> None:
    run_id = desk.rendering()
    desk.call("told", run_id=run_id, state="rendering")
    desk.fail(run_id, "rendering", "render_failed")
    desk.call("told", run_id=run_id, state="rendering")
    assert desk.row(run_id)["told_state"] == "rendering"
    assert due(desk) == [run_id]


def test_delivering_twice_is_delivering_once(desk: Desk) -> None:
    run_id = desk.delivered()
    before = desk.row(run_id)
    desk.call("told", run_id=run_id, state="saved", delivered=True)
    assert desk.row(run_id) == before


def test_a_terminal_hears_of_its_end_when_it_asks_and_is_not_looked_for(desk: Desk) -> None:
    desk.in_state("failed", audience={"kind": "terminal"})
    assert due(desk) == []
    unfinished = desk.reserved("tg:2", audience={"kind": "terminal"})
    assert due(desk) == [unfinished]


def test_no_more_runs_are_due_than_were_asked_for_and_the_longest_waiting_come_first(desk: Desk) -> None:
    runs = [desk.reserved(f"tg:{nth}") for nth in range(4)]
    for nth, run_id in enumerate(runs):
        at = datetime.now(UTC) - timedelta(minutes=nth)
        desk.call("wait_until", run_id=run_id, at=at.isoformat())
    assert due(desk, 2) == [runs[3], runs[2]]


# -- parked


@pytest.mark.parametrize("state", STATES)
def test_only_a_run_in_doubt_or_rendering_is_parked(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    desk.call("park", run_id=run_id, why="render_deadline", next_look_at=None)
    row = desk.row(run_id)
    assert (row["parked_at"] is not None) is (state in {"uncertain", "rendering"})
    assert row["state"] == state


def test_a_run_is_parked_once_and_stays_parked_until_it_moves(desk: Desk) -> None:
    run_id = desk.uncertain()
    first = desk.call("park", run_id=run_id, why="undecided", next_look_at=None)["parked_at"]
    again = desk.call("park", run_id=run_id, why="undecided", next_look_at="2999-01-01T00:00:00Z")
    assert (again["parked_at"], again["next_look_at"]) == (first, "2999-01-01T00:00:00+00:00")
    assert desk.events(run_id).count(("run", "parked")) == 1
    assert desk.call("stats")["parked"] == 1
    desk.record(run_id, "job_1", "list")
    assert desk.row(run_id)["parked_at"] is None
    assert desk.row(run_id)["held_microusd"] == desk.row(run_id)["price_microusd"]


# -- canceled


@pytest.mark.parametrize("state", STATES)
def test_a_run_can_be_taken_back_only_before_the_fence(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    canceled = state in {"reserved", "approved"}
    answer = desk.call("cancel_run", run_id=run_id, by="tg:1")
    assert answer == {"canceled": canceled, "state": "canceled" if canceled else state}


@pytest.mark.parametrize(
    ("confirm", "late", "canceled"), [(False, True, False), (True, False, False), (True, True, True)]
)
def test_the_sweep_cancels_only_what_nobody_confirmed_in_time(
    desk: Desk, confirm: bool, late: bool, canceled: bool
) -> None:
    run_id = desk.approved(confirm=confirm)
    desk.age(run_id, 901 if late else 890)
    answer = desk.call("cancel_run", run_id=run_id, by="sweep", reason="not_confirmed")
    assert answer["canceled"] is canceled
    assert desk.state(run_id) == ("canceled" if canceled else "approved")


def test_the_sweep_does_not_cancel_what_was_confirmed(desk: Desk) -> None:
    run_id = desk.approved(confirm=True)
    desk.call("confirm", run_id=run_id)
    desk.age(run_id, 901)
    assert desk.call("cancel_run", run_id=run_id, by="sweep", reason="not_confirmed")["canceled"] is False
    assert desk.begin(run_id, TOKEN)["won"]
