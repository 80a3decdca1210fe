"""Attempts, waiting and due runs: five attempts, no second worker while one sends heartbeats, then due again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.ledger.client import STATES, TOKEN, LedgerClient


def attempt(client: LedgerClient, run_id: str, heartbeat_seconds: float = 0.0) -> Any:
    """One attempt; the run is due again at once, as after its worker's death."""
    return client.call("start_attempt", run_id=run_id, attempts_max=5, heartbeat_seconds=heartbeat_seconds)


def due(client: LedgerClient, at_most: int = 10) -> list[str]:
    return [row["run_id"] for row in client.call("due_runs", at_most=at_most)]


@pytest.mark.parametrize("state", ["reserved", "approved"])
def test_a_run_that_cannot_have_paid_fails_after_five_attempts(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    for nth in range(1, 6):
        assert attempt(client, run_id)["attempts"] == nth
    row = attempt(client, run_id)
    assert (row["state"], row["reason"], row["held_microusd"]) == ("failed", "gave_up", 0)
    assert client.events(run_id)[-1] == ("run", "gave_up")
    assert client.books_wrong() == []


@pytest.mark.parametrize("state", ["submitting", "uncertain", "rendering"])
def test_a_run_that_may_have_paid_is_parked_after_five_attempts_and_still_tried(
    client: LedgerClient, state: str
) -> None:
    run_id = client.in_state(state)
    for _ in range(5):
        assert attempt(client, run_id)["parked_at"] is None
    row = attempt(client, run_id)
    assert (row["state"], row["held_microusd"]) == (state, row["price_microusd"])
    assert row["parked_at"]
    attempt(client, run_id)
    assert client.events(run_id).count(("run", "parked")) == 1


def test_attempt_while_a_worker_sends_heartbeats_is_not_counted(client: LedgerClient) -> None:
    run_id = client.reserved()
    attempt(client, run_id, heartbeat_seconds=15.0)
    for _ in range(10):
        assert attempt(client, run_id, heartbeat_seconds=15.0)["attempts"] == 1
    assert client.row(run_id)["state"] == "reserved"


@pytest.mark.parametrize("state", ["rejected", "canceled", "failed", "delivered"])
def test_attempt_on_an_ended_run_changes_nothing(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    before = client.row(run_id)
    assert attempt(client, run_id)["state"] == state
    assert client.row(run_id) == before


def test_state_change_resets_the_attempt_count(client: LedgerClient) -> None:
    run_id = client.reserved()
    for _ in range(5):
        attempt(client, run_id)
    client.approve(run_id)
    row = client.row(run_id)
    assert (row["attempts"], row["next_look_at"]) == (0, None)
    assert attempt(client, run_id)["attempts"] == 1


def test_heartbeat_resets_the_attempts_of_a_rendering_run_but_not_of_a_reserved_one(client: LedgerClient) -> None:
    rendering = client.rendering("tg:1")
    reserved = client.reserved("tg:2")
    for run_id in (rendering, reserved):
        for _ in range(4):
            attempt(client, run_id)
        client.call("heartbeat", run_id=run_id, heartbeat_seconds=15.0, progress=40)
    assert [client.row(run_id)["attempts"] for run_id in (rendering, reserved)] == [1, 4]
    assert client.row(rendering)["progress"] == 40
    client.call("heartbeat", run_id=rendering, heartbeat_seconds=15.0)
    assert client.row(rendering)["progress"] == 40


@pytest.mark.parametrize("state", ["uncertain", "saved", "delivered", "failed", "canceled", "rejected"])
def test_heartbeat_on_a_run_that_waits_or_has_ended_changes_nothing(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    before = client.row(run_id)
    assert client.call("heartbeat", run_id=run_id, heartbeat_seconds=15.0) is None
    assert client.row(run_id) == before


def test_attempt_on_an_unknown_run_returns_nothing(client: LedgerClient) -> None:
    assert attempt(client, str(uuid4())) is None


def test_a_run_is_not_due_while_a_worker_sends_heartbeats(client: LedgerClient) -> None:
    run_id = client.reserved()
    assert due(client) == [run_id]
    attempt(client, run_id)
    assert due(client) == [run_id]
    attempt(client, run_id, heartbeat_seconds=15.0)
    assert due(client) == []
    client.call("heartbeat", run_id=run_id, heartbeat_seconds=15.5)
    assert due(client) == []


def test_a_waiting_run_is_due_at_its_set_time_or_never(client: LedgerClient) -> None:
    run_id = client.uncertain()
    past, future = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    for at, found in [(future, []), (past, [run_id]), (None, [])]:
        client.call("wait_until", run_id=run_id, at=at.isoformat() if at else None)
        assert due(client) == found
    assert client.row(run_id)["next_look_at"] == "infinity"


def test_wait_until_resets_the_attempt_count(client: LedgerClient) -> None:
    run_id = client.approved()
    attempt(client, run_id)
    assert client.call("wait_until", run_id=run_id, at=None)["attempts"] == 0


def test_confirmation_or_resume_makes_a_waiting_run_due(client: LedgerClient) -> None:
    tapped = client.approved("tg:1", confirm=True)
    paused = client.approved("tg:2")
    client.call("set_paused", paused=True, reason="", who="op")
    client.begin(paused)
    for run_id in (tapped, paused):
        client.call("wait_until", run_id=run_id, at=None)
    client.call("confirm", run_id=tapped)
    client.call("set_paused", paused=False, reason=None, who="op")
    assert set(due(client)) == {tapped, paused}


@pytest.mark.parametrize("state", STATES)
def test_a_run_is_due_until_its_user_was_notified_of_its_final_state(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    assert due(client) == ([] if state == "delivered" else [run_id])
    client.call("mark_notified", run_id=run_id, state=state)
    unfinished = state in {"reserved", "approved", "submitting", "uncertain", "rendering"}
    assert due(client) == ([run_id] if unfinished else [])


def test_notification_of_an_older_state_leaves_the_run_due(client: LedgerClient) -> None:
    run_id = client.rendering()
    client.call("mark_notified", run_id=run_id, state="rendering")
    client.fail(run_id, "rendering", "render_failed")
    client.call("mark_notified", run_id=run_id, state="rendering")
    assert client.row(run_id)["told_state"] == "rendering"
    assert due(client) == [run_id]


def test_second_delivery_report_changes_nothing(client: LedgerClient) -> None:
    run_id = client.delivered()
    before = client.row(run_id)
    client.call("mark_notified", run_id=run_id, state="saved", delivered=True)
    assert client.row(run_id) == before


def test_terminal_run_is_due_only_until_it_ends(client: LedgerClient) -> None:
    client.in_state("failed", audience={"kind": "terminal"})
    assert due(client) == []
    unfinished = client.reserved("tg:2", audience={"kind": "terminal"})
    assert due(client) == [unfinished]


def test_due_runs_returns_at_most_the_given_number_longest_waiting_first(client: LedgerClient) -> None:
    runs = [client.reserved(f"tg:{nth}") for nth in range(4)]
    for nth, run_id in enumerate(runs):
        at = datetime.now(UTC) - timedelta(minutes=nth)
        client.call("wait_until", run_id=run_id, at=at.isoformat())
    assert due(client, 2) == [runs[3], runs[2]]


# -- parked


@pytest.mark.parametrize("state", STATES)
def test_only_a_run_in_doubt_or_rendering_is_parked(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    client.call("park", run_id=run_id, why="render_deadline", next_look_at=None)
    row = client.row(run_id)
    assert (row["parked_at"] is not None) is (state in {"uncertain", "rendering"})
    assert row["state"] == state


def test_a_run_is_parked_once_and_stays_parked_until_it_moves(client: LedgerClient) -> None:
    run_id = client.uncertain()
    first = client.call("park", run_id=run_id, why="undecided", next_look_at=None)["parked_at"]
    again = client.call("park", run_id=run_id, why="undecided", next_look_at="2999-01-01T00:00:00Z")
    assert (again["parked_at"], again["next_look_at"]) == (first, "2999-01-01T00:00:00+00:00")
    assert client.events(run_id).count(("run", "parked")) == 1
    assert client.call("stats")["parked"] == 1
    client.record(run_id, "job_1", "list")
    assert client.row(run_id)["parked_at"] is None
    assert client.row(run_id)["held_microusd"] == client.row(run_id)["price_microusd"]


# -- canceled


@pytest.mark.parametrize("state", STATES)
def test_a_run_can_be_canceled_only_before_its_submission(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    canceled = state in {"reserved", "approved"}
    answer = client.call("cancel_run", run_id=run_id, by="tg:1")
    assert answer == {"canceled": canceled, "state": "canceled" if canceled else state}


@pytest.mark.parametrize(
    ("confirm", "late", "canceled"), [(False, True, False), (True, False, False), (True, True, True)]
)
def test_sweep_cancels_only_drafts_that_were_not_confirmed_in_time(
    client: LedgerClient, confirm: bool, late: bool, canceled: bool
) -> None:
    run_id = client.approved(confirm=confirm)
    client.age(run_id, 901 if late else 890)
    answer = client.call("cancel_run", run_id=run_id, by="sweep", reason="not_confirmed")
    assert answer["canceled"] is canceled
    assert client.state(run_id) == ("canceled" if canceled else "approved")


def test_sweep_does_not_cancel_a_confirmed_draft(client: LedgerClient) -> None:
    run_id = client.approved(confirm=True)
    client.call("confirm", run_id=run_id)
    client.age(run_id, 901)
    assert client.call("cancel_run", run_id=run_id, by="sweep", reason="not_confirmed")["canceled"] is False
    assert client.begin(run_id, TOKEN)["won"]
