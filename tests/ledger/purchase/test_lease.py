"""The lease on a request: one user, one prompt, one run, while it is unfinished and for at least five minutes."""

import pytest

from tests.ledger.client import TOKEN, LedgerClient


def holder(client: LedgerClient) -> str | None:
    found = client.one("select run_id::text from onetake.leases")
    return str(found) if found else None


def test_a_reservation_takes_the_lease_for_the_window(client: LedgerClient) -> None:
    run_id = client.reserved()
    assert holder(client) == run_id
    assert client.one("select expires_at - reserved_at = '300 s' from onetake.leases join onetake.runs using (run_id)")


@pytest.mark.parametrize("state", ["approved", "submitting", "uncertain", "rendering", "saved", "delivered"])
def test_a_run_that_may_have_bought_keeps_its_lease(client: LedgerClient, state: str) -> None:
    assert client.in_state(state) == holder(client)


@pytest.mark.parametrize("state", ["rejected", "canceled", "failed"])
def test_a_run_that_bought_nothing_releases_its_lease(client: LedgerClient, state: str) -> None:
    client.in_state(state)
    assert holder(client) is None


@pytest.mark.parametrize("before", ["submitting", "uncertain", "rendering"])
def test_a_run_that_fails_after_submission_releases_its_lease(client: LedgerClient, before: str) -> None:
    run_id = client.in_state(before)
    proof = {} if before == "rendering" else {"token": TOKEN}
    assert client.fail(run_id, before, **proof)["moved"]
    assert holder(client) is None


def test_rejected_take_returns_the_lease_to_the_earlier_run(client: LedgerClient) -> None:
    client.unlimited()
    first = client.uncertain()
    second = client.reserved(again=True)
    assert holder(client) == second
    assert client.ask()["of_run_id"] == second
    client.reject(second)
    assert holder(client) == first
    assert client.ask()["of_run_id"] == first


def test_an_older_take_that_fails_leaves_the_lease_with_the_newer(client: LedgerClient) -> None:
    client.unlimited()
    first = client.uncertain()
    second = client.reserved(again=True)
    client.fail(first, "uncertain", "not_made")
    assert holder(client) == second


def test_unfinished_run_is_found_as_duplicate_even_if_a_finished_take_holds_the_lease(client: LedgerClient) -> None:
    """The first run is parked in doubt; the second, ordered on purpose, was delivered long ago."""
    client.unlimited()
    first = client.uncertain()
    second = client.delivered(again=True)
    client.age(first, 86_400)
    client.age(second, 86_400)
    assert holder(client) == second
    answer = client.ask()
    assert (answer["kind"], answer["of_run_id"], answer["until"]) == ("duplicate", first, None)
    third = client.reserved(again=True)
    client.reject(third)
    assert client.ask()["of_run_id"] == first


def test_returned_lease_expires_by_the_age_of_the_run_it_returns_to(client: LedgerClient) -> None:
    client.unlimited()
    first = client.delivered()
    client.age(first, 200)
    second = client.reserved(again=True)
    client.reject(second)
    assert client.one("select expires_at - reserved_at = '300 s' from onetake.leases join onetake.runs using (run_id)")
    client.age(first, 100)
    assert client.ask()["kind"] == "accepted"


def test_late_adopted_run_blocks_its_prompt_again(client: LedgerClient) -> None:
    run_id = client.uncertain()
    client.fail(run_id, "uncertain", "not_made")
    client.record(run_id, "job_1", "list")
    client.age(run_id, 86_400)
    assert client.ask()["of_run_id"] == run_id


def test_an_expired_lease_is_taken_by_the_next_request(client: LedgerClient) -> None:
    first = client.delivered()
    client.age(first, 300)
    second = client.reserved()
    assert holder(client) == second
    assert client.ask()["of_run_id"] == second
