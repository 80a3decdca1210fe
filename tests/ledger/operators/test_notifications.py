"""Notifying a user of a state: one notifier at a time, and none for ever; and alerts for operators, each sent once."""

import pytest

from tests.ledger.client import LedgerClient

TELEGRAM = {"kind": "telegram", "chat_id": 1}


def begin(client: LedgerClient, run_id: str, notifier: str, seconds: float = 15, state: str = "saved") -> object:
    return client.call("begin_notification", run_id=run_id, state=state, notifier=notifier, seconds=seconds)


def test_only_one_notifier_at_a_time_and_it_may_renew(client: LedgerClient) -> None:
    run_id = client.saved(audience=TELEGRAM)
    assert begin(client, run_id, "a") is not None
    assert begin(client, run_id, "b") is None
    assert begin(client, run_id, "a") is not None


def test_expired_notifier_is_replaced_by_another(client: LedgerClient) -> None:
    run_id = client.saved(audience=TELEGRAM)
    assert begin(client, run_id, "a", seconds=0) is not None
    assert begin(client, run_id, "b") is not None


def test_notified_state_is_not_notified_again(client: LedgerClient) -> None:
    run_id = client.saved(audience=TELEGRAM)
    client.call("mark_notified", run_id=run_id, state="saved")
    assert begin(client, run_id, "a") is None


def test_draft_becomes_due_when_its_notifiers_time_is_over(client: LedgerClient) -> None:
    run_id = client.reserved(audience=TELEGRAM, confirm=True)
    client.approve(run_id)
    client.write("update onetake.runs set next_look_at = confirm_until where run_id = %s", run_id)
    assert begin(client, run_id, "dies", state="approved") is not None
    assert begin(client, run_id, "comes", state="approved") is None
    row = client.row(run_id)
    assert row["next_look_at"] == row["notifying_until"]
    assert row["notifying_until"] is not None


def test_postponing_a_notification_does_not_postpone_the_run(client: LedgerClient) -> None:
    run_id = client.rendering(audience=TELEGRAM)
    client.write("update onetake.runs set next_look_at = '2026-01-01' where run_id = %s", run_id)
    client.call("notify_later", run_id=run_id, state="rendering", at="2027-01-01T00:00:00Z")
    assert client.row(run_id)["next_look_at"].startswith("2026-01-01")


def test_undelivered_run_is_queued_once_for_another_notification(client: LedgerClient) -> None:
    run_id = client.saved(audience=TELEGRAM)
    client.call("mark_notified", run_id=run_id, state="saved")
    assert client.call("notify_again", user_id="tg:1") == [run_id]
    assert client.call("notify_again", user_id="tg:1") == []
    assert client.row(run_id)["told_state"] is None


def test_unknown_preference_is_refused(client: LedgerClient) -> None:
    assert client.call("set_preference", user_id="tg:5", key="seconds", value=12) == {"seconds": 12}
    assert client.call("customer", user_id="tg:5")["preferences"] == {"seconds": 12}
    assert client.call("set_preference", user_id="tg:5", key="seconds", value=None) == {}
    with pytest.raises(Exception, match="there is no preference"):
        client.call("set_preference", user_id="tg:5", key="colour", value="red")


def test_alert_is_claimed_by_one_notifier_and_sent_once(client: LedgerClient) -> None:
    run_id = client.uncertain()
    client.call("raise_alerts", doubt_seconds=0)
    [alert] = [each for each in client.call("take_alerts", seconds=60) if each["kind"] == "in_doubt"]
    assert alert["detail"]["ref"] == client.row(run_id)["ref"]
    assert client.call("take_alerts", seconds=60) == []
    client.call("mark_alert_notified", key=alert["key"])
    client.call("raise_alerts", doubt_seconds=0)
    client.write("update onetake.alerts set notifying_until = null")
    assert [each for each in client.call("take_alerts", seconds=60) if each["kind"] == "in_doubt"] == []


def test_draft_whose_user_was_not_notified_becomes_due(client: LedgerClient) -> None:
    run_id = client.reserved(audience=TELEGRAM, confirm=True)
    client.approve(run_id)
    client.write("update onetake.runs set next_look_at = confirm_until where run_id = %s", run_id)
    assert client.call("due_runs", at_most=9) == []
    client.write("update onetake.runs set state_since = state_since - interval '11 s' where run_id = %s", run_id)
    assert [row["run_id"] for row in client.call("due_runs", at_most=9)] == [run_id]
    client.call("notify_later", run_id=run_id, state="approved", at="2099-01-01T00:00:00Z")
    assert begin(client, run_id, "a", state="approved") is None, "not before that"
    client.call("mark_notified", run_id=run_id, state="approved")
    client.write(
        "update onetake.runs set notifying_until = null, next_look_at = confirm_until where run_id = %s", run_id
    )
    assert client.call("due_runs", at_most=9) == []
