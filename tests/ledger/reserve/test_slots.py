"""The provider's limits, for all machines together: a run without a slot waits in `approved`, in order."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.ledger.client import OTHER_TOKEN, TOKEN, LedgerClient, Row


@pytest.fixture
def client(client: LedgerClient) -> LedgerClient:
    """No other limit applies."""
    for key in ("breaker_all_submissions", "breaker_user_submissions", "active_runs_per_user"):
        client.limit(key, 1000)
    client.limit("cooldown_seconds", 0)
    client.limit("budget_day_microusd", 10**12)
    client.limit("budget_month_microusd", 10**12)
    return client


def begin(client: LedgerClient, run_id: str, token: str = TOKEN, **slots: int) -> Row:
    return dict(client.call("begin_submission", run_id=run_id, token=token, **slots))


def approved(client: LedgerClient, *numbers: int, **changes: Any) -> list[str]:
    return [client.approved(f"tg:{number}", f"prompt {number}", **changes) for number in numbers]


def test_runs_in_flight_never_exceed_the_slots_of_the_provider(client: LedgerClient) -> None:
    runs = approved(client, 1, 2, 3)
    assert [begin(client, run_id, in_flight_max=2)["won"] for run_id in runs] == [True, True, False]
    refused = begin(client, runs[2], in_flight_max=2)
    assert refused["refused"] == "no_slot"
    assert (client.row(runs[2])["state"], client.row(runs[2])["deferred_by"]) == ("approved", "no_slot")
    assert begin(client, runs[0], in_flight_max=2)["won"], "who has won hears it again, however full it is"
    assert not begin(client, runs[0], OTHER_TOKEN, in_flight_max=2)["won"]


@pytest.mark.parametrize("end", ["saved", "failed", "parked"])
def test_slot_is_freed_when_its_run_is_saved_failed_or_parked(client: LedgerClient, end: str) -> None:
    first, second = approved(client, 1, 2)
    assert begin(client, first, in_flight_max=1)["won"]
    assert not begin(client, second, in_flight_max=1)["won"]
    if end == "failed":
        client.fail(first, "submitting", token=TOKEN)
    else:
        client.record(first, "job_1")
        assert not begin(client, second, in_flight_max=1)["won"], "rendering takes a place"
        if end == "saved":
            client.save(first)
        else:
            client.call("park", run_id=first, why="render_deadline", next_look_at=None)
    assert begin(client, second, in_flight_max=1)["won"]


def test_a_run_in_doubt_occupies_a_slot(client: LedgerClient) -> None:
    first, second = approved(client, 1, 2)
    assert begin(client, first, in_flight_max=1)["won"]
    client.doubt(first)
    assert begin(client, second, in_flight_max=1)["refused"] == "no_slot"


def test_orders_per_minute_include_failed_runs(client: LedgerClient) -> None:
    first, second = approved(client, 1, 2)
    assert begin(client, first, creates_per_minute=1)["won"]
    client.fail(first, "submitting", token=TOKEN)
    assert begin(client, second, creates_per_minute=1)["refused"] == "no_slot"
    client.age(first, 61)
    assert begin(client, second, creates_per_minute=1)["won"]


def test_runs_of_another_provider_occupy_no_slot(client: LedgerClient) -> None:
    first = client.approved("tg:1", "prompt 1", base_url="http://elsewhere.test/v1")
    [second] = approved(client, 2)
    assert begin(client, first, in_flight_max=1)["won"]
    assert begin(client, second, in_flight_max=1)["won"]


def test_freed_slot_goes_to_the_run_that_waited_longest(client: LedgerClient) -> None:
    taken, older, newer = approved(client, 1, 2, 3)
    assert begin(client, taken, in_flight_max=1)["won"]
    for run_id in (older, newer):
        assert not begin(client, run_id, in_flight_max=1)["won"]
        client.call(
            "wait_until", run_id=run_id, at=str(client.one("select (clock_timestamp() + interval '5 s')::text"))
        )
    slots = {row["run_id"]: row["position"] for row in client.call("load_runs", run_ids=[older, newer])}
    assert slots == {older: 0, newer: 1}
    client.fail(taken, "submitting", token=TOKEN)
    assert begin(client, newer, in_flight_max=1)["refused"] == "no_slot", "it is the older one's turn"
    assert begin(client, older, in_flight_max=1)["won"]


def test_waiting_run_that_no_longer_asks_for_a_slot_is_overtaken(client: LedgerClient) -> None:
    taken, older, newer = approved(client, 1, 2, 3)
    assert begin(client, taken, in_flight_max=1)["won"]
    assert not begin(client, older, in_flight_max=1)["won"]
    client.write("update onetake.runs set next_look_at = clock_timestamp() - interval '21 s' where run_id = %s", older)
    client.fail(taken, "submitting", token=TOKEN)
    assert begin(client, newer, in_flight_max=1)["won"]


def test_deferral_by_a_pause_does_not_include_the_earlier_wait_for_a_slot(client: LedgerClient) -> None:
    taken, waiting = approved(client, 1, 2)
    assert begin(client, taken, in_flight_max=1)["won"]
    assert not begin(client, waiting, in_flight_max=1)["won"]
    client.age(waiting, 3600)
    client.call("set_paused", paused=True, reason="later", who="tests")
    assert begin(client, waiting, in_flight_max=1)["refused"] == "paused"
    assert client.one(
        "select clock_timestamp() - deferred_since < '1 min' from onetake.runs where run_id = %s", waiting
    )


def test_concurrent_submissions_win_exactly_as_many_slots_as_there_are(client: LedgerClient) -> None:
    runs = approved(client, *range(12))
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda run_id: begin(client, run_id, in_flight_max=5), runs))
    assert sum(answer["won"] for answer in answers) == 5
    assert client.books_wrong() == []
