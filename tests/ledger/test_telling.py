"""Telling a state: one teller at a time, nobody for ever; and what operators hear, once."""

import pytest

from tests.ledger.desk import Desk

TELEGRAM = {"kind": "telegram", "chat_id": 1}


def begin(desk: Desk, run_id: str, teller: str, seconds: float = 15, state: str = "saved") -> object:
    return desk.call("begin_telling", run_id=run_id, state=state, teller=teller, seconds=seconds)


def test_one_teller_at_a_time_and_it_may_prolong(desk: Desk) -> None:
    run_id = desk.saved(audience=TELEGRAM)
    assert begin(desk, run_id, "a") is not None
    assert begin(desk, run_id, "b") is None
    assert begin(desk, run_id, "a") is not None


def test_a_teller_that_died_is_followed_by_another(desk: Desk) -> None:
    run_id = desk.saved(audience=TELEGRAM)
    assert begin(desk, run_id, "a", seconds=0) is not None
    assert begin(desk, run_id, "b") is not None


def test_a_told_state_is_told_to_nobody_again(desk: Desk) -> None:
    run_id = desk.saved(audience=TELEGRAM)
    desk.call("told", run_id=run_id, state="saved")
    assert begin(desk, run_id, "a") is None


def test_a_run_that_waits_for_a_tap_is_looked_at_when_its_tellers_time_is_over(desk: Desk) -> None:
    run_id = desk.reserved(audience=TELEGRAM, confirm=True)
    desk.approve(run_id)
    desk.write("update onetake.runs set next_look_at = confirm_until where run_id = %s", run_id)
    assert begin(desk, run_id, "dies", state="approved") is not None
    assert begin(desk, run_id, "comes", state="approved") is None
    row = desk.row(run_id)
    assert row["next_look_at"] == row["telling_until"]
    assert row["telling_until"] is not None


def test_later_does_not_put_off_the_run_itself(desk: Desk) -> None:
    run_id = desk.rendering(audience=TELEGRAM)
    desk.write("update onetake.runs set next_look_at = '2026-01-01' where run_id = %s", run_id)
    desk.call("tell_later", run_id=run_id, state="rendering", at="2027-01-01T00:00:00Z")
    assert desk.row(run_id)["next_look_at"].startswith("2026-01-01")


def test_who_was_not_reached_is_told_again_when_asked_for(desk: Desk) -> None:
    run_id = desk.saved(audience=TELEGRAM)
    desk.call("told", run_id=run_id, state="saved")
    assert desk.call("tell_again", user_id="tg:1") == [run_id]
    assert desk.call("tell_again", user_id="tg:1") == []
    assert desk.row(run_id)["told_state"] is None


def test_a_preference_that_does_not_exist_is_refused(desk: Desk) -> None:
    assert desk.call("set_preference", user_id="tg:5", key="seconds", value=12) == {"seconds": 12}
    assert desk.call("customer", user_id="tg:5")["preferences"] == {"seconds": 12}
    assert desk.call("set_preference", user_id="tg:5", key="seconds", value=None) == {}
    with pytest.raises(Exception, match="there is no preference"):
        desk.call("set_preference", user_id="tg:5", key="colour", value="red")


def test_news_is_taken_by_one_and_told_once(desk: Desk) -> None:
    run_id = desk.uncertain()
    desk.call("raise_alerts", doubt_seconds=0)
    [alert] = [each for each in desk.call("take_alerts", seconds=60) if each["kind"] == "in_doubt"]
    assert alert["detail"]["ref"] == desk.row(run_id)["ref"]
    assert desk.call("take_alerts", seconds=60) == []
    desk.call("alert_told", key=alert["key"])
    desk.call("raise_alerts", doubt_seconds=0)
    desk.write("update onetake.alerts set telling_until = null")
    assert [each for each in desk.call("take_alerts", seconds=60) if each["kind"] == "in_doubt"] == []


def test_a_run_nobody_asked_to_tap_is_due_though_it_waits(desk: Desk) -> None:
    run_id = desk.reserved(audience=TELEGRAM, confirm=True)
    desk.approve(run_id)
    desk.write("update onetake.runs set next_look_at = confirm_until where run_id = %s", run_id)
    assert desk.call("due_runs", at_most=9) == []
    desk.write("update onetake.runs set state_since = state_since - interval '11 s' where run_id = %s", run_id)
    assert [row["run_id"] for row in desk.call("due_runs", at_most=9)] == [run_id]
    desk.call("tell_later", run_id=run_id, state="approved", at="2099-01-01T00:00:00Z")
    assert begin(desk, run_id, "a", state="approved") is None, "not before that"
    desk.call("told", run_id=run_id, state="approved")
    desk.write("update onetake.runs set telling_until = null, next_look_at = confirm_until where run_id = %s", run_id)
    assert desk.call("due_runs", at_most=9) == []
