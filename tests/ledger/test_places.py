"""The provider's limits, for all machines together: who finds no place waits in `approved`, in order."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.ledger.desk import OTHER_TOKEN, TOKEN, Desk, Row


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """No other limit stands in the way."""
    for key in ("breaker_all_submissions", "breaker_user_submissions", "active_runs_per_user"):
        desk.limit(key, 1000)
    desk.limit("cooldown_seconds", 0)
    desk.limit("budget_day_microusd", 10**12)
    desk.limit("budget_month_microusd", 10**12)
    return desk


def begin(desk: Desk, run_id: str, token: str = TOKEN, **places: int) -> Row:
    return dict(desk.call("begin_submission", run_id=run_id, token=token, **places))


def approved(desk: Desk, *numbers: int, **changes: Any) -> list[str]:
    return [desk.approved(f"tg:{number}", f"prompt {number}", **changes) for number in numbers]


def test_no_more_are_in_flight_than_the_provider_takes(desk: Desk) -> None:
    runs = approved(desk, 1, 2, 3)
    assert [begin(desk, run_id, in_flight_max=2)["won"] for run_id in runs] == [True, True, False]
    refused = begin(desk, runs[2], in_flight_max=2)
    assert refused["refused"] == "no_place"
    assert (desk.row(runs[2])["state"], desk.row(runs[2])["held_back_by"]) == ("approved", "no_place")
    assert begin(desk, runs[0], in_flight_max=2)["won"], "who has won hears it again, however full it is"
    assert not begin(desk, runs[0], OTHER_TOKEN, in_flight_max=2)["won"]


@pytest.mark.parametrize("end", ["saved", "failed", "parked"])
def test_a_place_is_free_once_its_run_is_done_or_parked(desk: Desk, end: str) -> None:
    first, second = approved(desk, 1, 2)
    assert begin(desk, first, in_flight_max=1)["won"]
    assert not begin(desk, second, in_flight_max=1)["won"]
    if end == "failed":
        desk.fail(first, "submitting", token=TOKEN)
    else:
        desk.record(first, "job_1")
        assert not begin(desk, second, in_flight_max=1)["won"], "rendering takes a place"
        if end == "saved":
            desk.save(first)
        else:
            desk.call("park", run_id=first, why="render_deadline", next_look_at=None)
    assert begin(desk, second, in_flight_max=1)["won"]


def test_a_run_in_doubt_takes_a_place(desk: Desk) -> None:
    first, second = approved(desk, 1, 2)
    assert begin(desk, first, in_flight_max=1)["won"]
    desk.doubt(first)
    assert begin(desk, second, in_flight_max=1)["refused"] == "no_place"


def test_orders_a_minute_are_counted_though_they_are_done(desk: Desk) -> None:
    first, second = approved(desk, 1, 2)
    assert begin(desk, first, creates_per_minute=1)["won"]
    desk.fail(first, "submitting", token=TOKEN)
    assert begin(desk, second, creates_per_minute=1)["refused"] == "no_place"
    desk.age(first, 61)
    assert begin(desk, second, creates_per_minute=1)["won"]


def test_another_providers_runs_take_no_place(desk: Desk) -> None:
    first = desk.approved("tg:1", "prompt 1", base_url="http://elsewhere.test/v1")
    [second] = approved(desk, 2)
    assert begin(desk, first, in_flight_max=1)["won"]
    assert begin(desk, second, in_flight_max=1)["won"]


def test_the_first_goes_first(desk: Desk) -> None:
    taken, older, newer = approved(desk, 1, 2, 3)
    assert begin(desk, taken, in_flight_max=1)["won"]
    for run_id in (older, newer):
        assert not begin(desk, run_id, in_flight_max=1)["won"]
        desk.call("wait_until", run_id=run_id, at=str(desk.one("select (clock_timestamp() + interval '5 s')::text")))
    places = {row["run_id"]: row["place"] for row in desk.call("load_runs", run_ids=[older, newer])}
    assert places == {older: 0, newer: 1}
    desk.fail(taken, "submitting", token=TOKEN)
    assert begin(desk, newer, in_flight_max=1)["refused"] == "no_place", "it is the older one's turn"
    assert begin(desk, older, in_flight_max=1)["won"]


def test_nobody_waits_for_one_that_is_asked_for_no_more(desk: Desk) -> None:
    taken, older, newer = approved(desk, 1, 2, 3)
    assert begin(desk, taken, in_flight_max=1)["won"]
    assert not begin(desk, older, in_flight_max=1)["won"]
    desk.write("update onetake.runs set next_look_at = clock_timestamp() - interval '21 s' where run_id = %s", older)
    desk.fail(taken, "submitting", token=TOKEN)
    assert begin(desk, newer, in_flight_max=1)["won"]


def test_standing_in_line_is_no_impatience_with_a_pause_that_begins_later(desk: Desk) -> None:
    taken, waiting = approved(desk, 1, 2)
    assert begin(desk, taken, in_flight_max=1)["won"]
    assert not begin(desk, waiting, in_flight_max=1)["won"]
    desk.age(waiting, 3600)
    desk.call("set_paused", paused=True, reason="later", who="tests")
    assert begin(desk, waiting, in_flight_max=1)["refused"] == "paused"
    assert desk.one("select clock_timestamp() - held_back_since < '1 min' from onetake.runs where run_id = %s", waiting)


def test_many_that_ask_at_once_get_as_many_places_as_there_are(desk: Desk) -> None:
    runs = approved(desk, *range(12))
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda run_id: begin(desk, run_id, in_flight_max=5), runs))
    assert sum(answer["won"] for answer in answers) == 5
    assert desk.books_wrong() == []
