"""What audits prove: a day is clean only if complete audits of every provider ordered from cover it without a gap."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.ledger.client import KEY, PROVIDER, LedgerClient

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR


def audited(client: LedgerClient, at: timedelta, back: timedelta, **changes: Any) -> None:
    """Stores an audit: how long ago it ended, and how far back it reached from there."""
    stored = {"complete": True, "base_url": PROVIDER, "took": 0} | changes
    result = {"complete": stored["complete"], "took_seconds": stored["took"], "differences": []}
    client.write(
        "with a as (insert into onetake.audits (at, base_url, key_fingerprint, since, result, differences)"
        " values (%s, %s, %s, %s, %s, 0) returning *) select onetake.count_audit(a) from a",
        NOW - at,
        stored["base_url"],
        KEY,
        NOW - at - back,
        Jsonb(result),
    )


def clean(client: LedgerClient) -> tuple[bool, str | None]:
    found = client.one("select onetake.clean_day()")
    assert (found["until"] is not None) is found["clean"]
    return found["clean"], found["why"]


def until(client: LedgerClient) -> datetime | None:
    found = client.call("last_audit_at", base_url=PROVIDER, key_fingerprint=KEY)["until"]
    return datetime.fromisoformat(found) if found else None


NOT_PROVEN = (False, "not_audited")


def test_complete_audit_of_a_day_proves_it_up_to_the_start_of_the_audit(client: LedgerClient) -> None:
    client.rendering()
    assert clean(client) == NOT_PROVEN
    audited(client, 2 * HOUR, DAY + timedelta(minutes=10), took=600)
    assert clean(client) == (True, None)
    assert until(client) == NOW - 2 * HOUR - timedelta(minutes=10)  # what was made while it read is for the next one


@pytest.mark.parametrize(
    ("at", "back", "changes"),
    [
        (timedelta(), timedelta(minutes=1), {}),
        (timedelta(), DAY - HOUR, {}),
        (timedelta(), DAY, {"complete": False}),
        (timedelta(), DAY, {"base_url": "https://elsewhere.test/v1"}),
        (26 * HOUR, DAY, {}),
    ],
    ids=["a minute", "not quite a day", "incomplete", "of somebody else", "too long ago"],
)
def test_audit_that_is_short_incomplete_of_another_provider_or_old_proves_nothing(
    client: LedgerClient, at: timedelta, back: timedelta, changes: dict[str, Any]
) -> None:
    client.rendering()
    audited(client, at, back, **changes)
    assert clean(client) == NOT_PROVEN


def test_clean_day_needs_an_audit_of_every_provider_ordered_from(client: LedgerClient) -> None:
    client.rendering()
    client.rendering("tg:2", base_url="https://other.test/v1")
    audited(client, HOUR, DAY)
    assert clean(client) == NOT_PROVEN
    audited(client, 3 * HOUR, DAY, base_url="https://other.test/v1")
    assert clean(client) == (True, None)
    assert datetime.fromisoformat(client.one("select onetake.clean_day() ->> 'until'")) == NOW - 3 * HOUR


@pytest.mark.parametrize("hours", [25, 40, 48])
def test_provider_last_ordered_from_within_the_proven_day_must_be_audited(client: LedgerClient, hours: int) -> None:
    """The proven day ended 24 hours ago, so it began 48 hours ago. The last order from the provider decides."""
    client.age(client.rendering(base_url="https://old.test/v1"), hours * 3600 - 60)
    audited(client, 24 * HOUR, DAY)
    assert clean(client) == NOT_PROVEN
    audited(client, hours * HOUR, DAY, base_url="https://old.test/v1")
    assert clean(client) == NOT_PROVEN
    audited(client, (hours - 1) * HOUR, DAY, base_url="https://old.test/v1")
    assert clean(client) == (True, None)


def test_provider_without_recent_orders_needs_no_audit(client: LedgerClient) -> None:
    client.age(client.rendering(base_url="https://old.test/v1"), 50 * 3600)
    assert clean(client) == NOT_PROVEN
    audited(client, HOUR, DAY)
    assert clean(client) == (True, None)


def test_audit_that_leaves_a_gap_after_the_last_one_does_not_count(client: LedgerClient) -> None:
    client.rendering()
    audited(client, 5 * DAY, DAY)
    audited(client, 2 * HOUR, DAY)  # four days between were looked at by nobody
    assert until(client) == NOW - 5 * DAY
    assert clean(client) == NOT_PROVEN
    audited(client, HOUR, 5 * DAY)
    assert until(client) == NOW - HOUR
    assert clean(client) == (True, None)


def test_consecutive_short_audits_extend_the_proof(client: LedgerClient) -> None:
    audited(client, 3 * HOUR, DAY)
    audited(client, 2 * HOUR, HOUR)
    audited(client, HOUR, HOUR)
    assert until(client) == NOW - HOUR
    audited(client, 4 * HOUR, DAY)  # stored late: takes nothing back
    assert until(client) == NOW - HOUR


def test_audit_of_thirty_days_restarts_the_proof_after_a_longer_gap(client: LedgerClient) -> None:
    audited(client, 60 * DAY, DAY)
    audited(client, 2 * HOUR, 30 * DAY)
    assert until(client) == NOW - 2 * HOUR


def test_only_an_audit_without_a_gap_postpones_the_next_one(client: LedgerClient) -> None:
    def tried() -> datetime:
        found = client.call("last_audit_at", base_url=PROVIDER, key_fingerprint=KEY)["at"]
        return datetime.fromisoformat(found)

    audited(client, 2 * DAY, DAY)
    audited(client, HOUR, HOUR)
    assert tried() == NOW - 2 * DAY
    audited(client, HOUR, 2 * DAY, complete=False)
    assert tried() == NOW - HOUR
    assert until(client) == NOW - 2 * DAY


def stored(client: LedgerClient, *differences: dict[str, Any], listed: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Stores an audit that found these differences; returns what is open afterwards."""
    result = {"complete": True, "took_seconds": 0, "differences": [{"words": "x"} | each for each in differences]}
    args = {"base_url": PROVIDER, "key_fingerprint": KEY, "since": (NOW - DAY).isoformat(), "listed": list(listed)}
    kept: list[dict[str, Any]] = client.call("store_audit", **args, result=result)["result"]["differences"]
    return kept


@pytest.mark.parametrize(
    ("difference", "why"),
    [
        ({"kind": "two_paid_calls", "job_id": "j2"}, "two_paid_calls"),
        ({"kind": "perhaps_two_paid_calls", "job_id": "j2"}, "unexplained_job"),
        ({"kind": "job_without_run", "job_id": "j2", "could_be_ours": True}, "unexplained_job"),
        ({"kind": "job_without_run", "job_id": "j2"}, None),
    ],
)
def test_a_day_is_clean_only_if_no_job_may_be_a_second_purchase(
    client: LedgerClient, difference: dict[str, Any], why: str | None
) -> None:
    client.rendering()
    stored(client, difference)
    assert clean(client) == (why is None, why)


def test_difference_stays_open_until_explained_even_if_a_later_audit_misses_it(
    client: LedgerClient,
) -> None:
    second = {"kind": "two_paid_calls", "job_id": "j2", "ref": "RUNAAA"}
    assert len(stored(client, second)) == 1
    assert [each["job_id"] for each in stored(client)] == ["j2"]
    client.call("raise_alerts", doubt_seconds=60.0)
    assert len(stored(client, second)) == 1
    client.call("raise_alerts", doubt_seconds=60.0)
    assert len(client.rows("select from onetake.alerts where kind = 'two_paid_calls'")) == 1
    assert client.call("explain_difference", subject="j2", who="op", why="the proxy, refunded") == {"explained": 1}
    assert stored(client, second) == []
    assert clean(client)[0]


def test_difference_closes_when_the_ledger_or_a_later_list_explains_it(
    client: LedgerClient,
) -> None:
    late = {"kind": "job_without_run", "job_id": "j2", "could_be_ours": True}
    stored(client, late)
    run_id = client.uncertain()
    client.record(run_id, "j2", "list")
    assert stored(client) == []
    assert len(stored(client, {"kind": "run_without_job", "ref": client.row(run_id)["ref"], "job_id": "j2"})) == 1
    assert len(stored(client)) == 1
    assert stored(client, listed=("j2",)) == []


def test_second_answer_counts_as_two_paid_calls_until_explained(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1")
    client.see(run_id)
    assert not client.record(run_id, "job_2")["recorded"]
    assert clean(client) == (False, "two_paid_calls")
    assert client.fail(run_id, "rendering", "render_failed")["moved"] is False, "the other job may have its clip"
    audited(client, HOUR, DAY)
    assert clean(client) == (False, "two_paid_calls")
    client.call("explain_difference", subject="job_2", who="op", why="refunded")
    assert clean(client) == (True, None)
    assert client.fail(run_id, "rendering", "render_failed")["moved"] is True


def test_second_answer_of_a_run_in_doubt_counts_as_two_paid_calls_and_is_not_adopted(client: LedgerClient) -> None:
    client.see(client.rendering("tg:2", "a grey owl", job="job_1"))
    run_id = client.submitting()
    assert client.record(run_id, "job_1")["why"] == "owned"
    client.doubt(run_id)
    assert not client.record(run_id, "job_2")["recorded"]
    row = client.row(run_id)
    assert (row["state"], row["job_id"], row["answered_job_id"]) == ("uncertain", None, "job_1")
    assert clean(client) == (False, "two_paid_calls")


def test_answer_with_another_job_after_a_saved_adoption_counts_as_two_paid_calls(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1", source="list")
    client.save(run_id)
    assert not client.record(run_id, "job_2")["recorded"]
    assert clean(client) == (False, "two_paid_calls")


# -- what a person settles


def test_settling_as_found_records_the_job_with_who_and_why(client: LedgerClient) -> None:
    run_id = client.in_state("uncertain")
    answer = client.call("settle_found", run_id=run_id, job_id="job_9", who="op", why="their console")
    assert answer["recorded"]
    assert client.row(run_id)["job_id"] == "job_9"
    assert client.events(run_id)[-2:] == [("generate_video", "adopted"), ("settle", "found")]
    event = client.rows("select detail from onetake.events where step = 'settle'")[0]["detail"]
    assert event == {"by": "op", "why": "their console", "job": "job_9"}


def test_refused_settlement_as_found_leaves_no_event(client: LedgerClient) -> None:
    run_id = client.saved()
    assert client.call("settle_found", run_id=run_id, job_id="job_9", who="op")["recorded"] is False
    assert ("settle", "found") not in client.events(run_id)


@pytest.mark.parametrize(
    ("shown", "settled"),
    [
        (None, True),
        ({"state": "uncertain", "job_id": None}, True),
        ({"state": "rendering", "job_id": None}, False),
        ({"state": "uncertain", "job_id": "job_1"}, False),
        ({}, False),
    ],
)
def test_settling_as_not_charged_is_refused_if_the_run_changed_since_it_was_shown(
    client: LedgerClient, shown: dict[str, Any] | None, settled: bool
) -> None:
    run_id = client.in_state("uncertain")
    answer = client.call("settle_not_charged", run_id=run_id, who="op", shown=shown)
    assert (answer["settled"], answer["why"]) == (settled, None if settled else "changed")
    assert client.state(run_id) == ("failed" if settled else "uncertain")
    assert client.books_wrong() == []


def test_settling_as_not_charged_is_refused_while_the_job_may_still_turn_up(client: LedgerClient) -> None:
    run_id = client.in_state("uncertain")
    early = client.call("settle_not_charged", run_id=run_id, who="op", wait_seconds=3600.0)
    sent_at = datetime.fromisoformat(client.row(run_id)["submitting_at"])
    assert (early["settled"], early["why"]) == (False, "early")
    assert datetime.fromisoformat(early["until"]) == sent_at + HOUR
    client.age(run_id, 3600)
    assert client.call("settle_not_charged", run_id=run_id, who="op", wait_seconds=3600.0)["settled"]


def test_not_charged_can_be_taken_back_only_if_the_prompt_was_not_bought_again(client: LedgerClient) -> None:
    client.unlimited()
    run_id = client.uncertain("tg:1", "a red fox")
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    client.submitting("tg:1", "a grey owl")
    assert client.call("settle_taken_back", run_id=run_id, who="op") == {
        "settled": True,
        "state": "uncertain",
        "why": None,
    }
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    client.submitting("tg:1", "a red fox", again=True)
    back = client.call("settle_taken_back", run_id=run_id, who="op")
    assert (back["settled"], back["state"], back["why"]) == (False, "failed", "bought_again")
    assert client.books_wrong() == []


def test_settling_a_saved_run_as_found_with_its_own_job_changes_nothing(client: LedgerClient) -> None:
    run_id = client.saved(job="job_1")
    before = client.events(run_id)
    answer = client.call("settle_found", run_id=run_id, job_id="job_1", who="op")
    assert (answer["recorded"], answer["state"]) == (True, "saved")
    assert client.events(run_id) == before


def parked(client: LedgerClient, job: str, source: str) -> str:
    run_id = client.rendering(job=job, source=source)
    client.call("park", run_id=run_id, why="render_deadline", next_look_at="2100-01-01T00:00:00Z")
    return run_id


@pytest.mark.parametrize("source", ["answer", "person"])
def test_clip_of_its_own_job_overrules_an_earlier_not_charged_settlement(client: LedgerClient, source: str) -> None:
    run_id = parked(client, "job_1", source)
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    assert client.save(run_id, "job_of_another")["state"] == "failed"
    assert client.save(run_id, "job_1")["state"] == "saved"
    row = client.row(run_id)
    assert (row["spent_microusd"], row["reason"]) == (row["price_microusd"], None)
    assert client.events(run_id)[-2:] == [("generate_video", "adopted_late"), ("save_video", "saved")]
    client.call("raise_alerts", doubt_seconds=60.0)
    assert client.rows("select from onetake.alerts where kind = 'late_job'")  # the operators hear of it
    assert client.books_wrong() == []


def test_clip_is_not_saved_for_a_run_whose_former_job_belongs_to_another_run(client: LedgerClient) -> None:
    run_id = parked(client, "job_1", "person")
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    client.rendering("tg:2", job="job_1")
    assert client.save(run_id, "job_1")["state"] == "failed"
    assert client.books_wrong() == []


def test_not_charged_keeps_a_persons_job_id_if_the_clip_existed_but_was_unreadable(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1", source="person")
    client.call("park", run_id=run_id, why="content_unreadable", next_look_at="2100-01-01T00:00:00Z")
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    assert client.row(run_id)["job_id"] == "job_1"


@pytest.mark.parametrize(("reason", "spent"), [("render_failed", False), ("expired", True)])
def test_clip_of_its_own_job_is_saved_even_after_the_run_failed(client: LedgerClient, reason: str, spent: bool) -> None:
    run_id = client.rendering(job="job_1")
    client.fail(run_id, "rendering", reason, spent=spent)
    assert client.save(run_id, "job_2")["state"] == "failed"
    assert client.save(run_id, "job_1")["state"] == "saved"
    assert client.row(run_id)["spent_microusd"] == client.row(run_id)["price_microusd"]
    assert client.books_wrong() == []


@pytest.mark.parametrize(
    ("source", "progress", "kept"), [("person", None, None), ("person", 40, "job_1"), ("answer", None, "job_1")]
)
def test_not_charged_drops_a_job_id_that_only_a_person_has_seen(
    client: LedgerClient, source: str, progress: int | None, kept: str | None
) -> None:
    """A mistyped id would keep the run's own job from ever being found."""
    run_id = parked(client, "job_1", source)
    if progress is not None:
        client.call("heartbeat", run_id=run_id, heartbeat_seconds=1.0, progress=progress)
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    assert client.row(run_id)["job_id"] == kept
    assert client.rows("select detail from onetake.events where step = 'settle'")[-1]["detail"]["job"] == "job_1"
    late = client.record(run_id, "job_2", "list")
    assert late["recorded"] is (kept is None)
    assert client.books_wrong() == []


# -- what an audit looks at


def view(client: LedgerClient, back: timedelta) -> list[str]:
    since = (datetime.now(UTC) - back).isoformat()
    return [row["run_id"] for row in client.call("audit_view", base_url=PROVIDER, key_fingerprint=KEY, since=since)]


@pytest.mark.parametrize("state", ["uncertain", "rendering"])
def test_a_run_open_at_the_last_audit_is_audited_again_after_it_ended(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    client.write("update onetake.runs set parked_at = now() where run_id = %s", run_id)
    client.age(run_id, 3 * 86400)
    assert view(client, DAY) == [run_id]
    assert client.call("settle_not_charged", run_id=run_id, who="op")["settled"]
    assert view(client, HOUR) == [run_id]
    client.age(run_id, 2 * 3600)
    assert view(client, HOUR) == [run_id], "for thirty days, with its job's present state"
    assert view(client, 5 * DAY) == [run_id]


def test_audit_skips_runs_ended_before_its_range_and_runs_older_than_thirty_days(
    client: LedgerClient,
) -> None:
    done, old = client.saved("tg:1"), client.uncertain("tg:2")
    client.age(done, 2 * 86400)
    client.age(old, 31 * 86400)
    assert view(client, DAY) == []
