"""The lease on a wish: one user, one prompt, one run, while it is unfinished and at least five minutes."""

import pytest

from tests.ledger.desk import TOKEN, Desk


def holder(desk: Desk) -> str | None:
    found = desk.one("select run_id::text from onetake.leases")
    return str(found) if found else None


def test_a_reservation_takes_the_lease_for_the_window(desk: Desk) -> None:
    run_id = desk.reserved()
    assert holder(desk) == run_id
    assert desk.one("select expires_at - reserved_at = '300 s' from onetake.leases join onetake.runs using (run_id)")


@pytest.mark.parametrize("state", ["approved", "submitting", "uncertain", "rendering", "saved", "delivered"])
def test_a_run_that_may_have_bought_keeps_its_lease(desk: Desk, state: str) -> None:
    assert desk.in_state(state) == holder(desk)


@pytest.mark.parametrize("state", ["rejected", "canceled", "failed"])
def test_a_run_that_bought_nothing_gives_its_lease_back(desk: Desk, state: str) -> None:
    desk.in_state(state)
    assert holder(desk) is None


@pytest.mark.parametrize("before", ["submitting", "uncertain", "rendering"])
def test_a_run_that_fails_late_gives_its_lease_back_too(desk: Desk, before: str) -> None:
    run_id = desk.in_state(before)
    proof = {} if before == "rendering" else {"token": TOKEN}
    assert desk.fail(run_id, before, **proof)["moved"]
    assert holder(desk) is None


def test_another_take_has_the_lease_and_hands_it_back_when_it_fails(desk: Desk) -> None:
    desk.unlimited()
    first = desk.uncertain()
    second = desk.reserved(again=True)
    assert holder(desk) == second
    assert desk.ask()["of_run_id"] == second
    desk.reject(second)
    assert holder(desk) == first
    assert desk.ask()["of_run_id"] == first


def test_an_older_take_that_fails_leaves_the_lease_with_the_newer(desk: Desk) -> None:
    desk.unlimited()
    first = desk.uncertain()
    second = desk.reserved(again=True)
    desk.fail(first, "uncertain", "not_made")
    assert holder(desk) == second


def test_an_unfinished_take_is_found_though_a_finished_one_holds_the_lease(desk: Desk) -> None:
    """The first is parked in doubt; the second, asked for on purpose, was delivered long ago."""
    desk.unlimited()
    first = desk.uncertain()
    second = desk.delivered(again=True)
    desk.age(first, 86_400)
    desk.age(second, 86_400)
    assert holder(desk) == second
    answer = desk.ask()
    assert (answer["kind"], answer["of_run_id"], answer["until"]) == ("duplicate", first, None)
    third = desk.reserved(again=True)
    desk.reject(third)
    assert desk.ask()["of_run_id"] == first


def test_a_lease_handed_back_is_as_old_as_the_run_it_goes_to(desk: Desk) -> None:
    desk.unlimited()
    first = desk.delivered()
    desk.age(first, 200)
    second = desk.reserved(again=True)
    desk.reject(second)
    assert desk.one("select expires_at - reserved_at = '300 s' from onetake.leases join onetake.runs using (run_id)")
    desk.age(first, 100)
    assert desk.ask()["kind"] == "accepted"


def test_a_run_adopted_late_has_its_wish_again(desk: Desk) -> None:
    run_id = desk.uncertain()
    desk.fail(run_id, "uncertain", "not_made")
    desk.record(run_id, "job_1", "list")
    desk.age(run_id, 86_400)
    assert desk.ask()["of_run_id"] == run_id


def test_an_expired_lease_is_taken_by_the_next_request(desk: Desk) -> None:
    first = desk.delivered()
    desk.age(first, 300)
    second = desk.reserved()
    assert holder(desk) == second
    assert desk.ask()["of_run_id"] == second
