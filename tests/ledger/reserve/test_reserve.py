"""`reserve`: every refusal at its exact bound.

Where a bound is a moment, `first_refusal` is called with that moment: the same code that `reserve` runs,
without the microseconds that pass between two lines of a test.
"""

from typing import Any
from uuid import uuid4

import pytest

from tests.ledger.client import PRICE, LedgerClient, request

USER = "tg:1"
FOX, OWL = "a red fox", "a grey owl"


def refusal_at(client: LedgerClient, run_id: str, seconds: float, prompt: str = FOX, user: str = USER) -> Any:
    """The refusal that many seconds (to the microsecond) after a run's reservation; null: accepted."""
    query = """
        select onetake.first_refusal(u, %s, false, r.reserved_at + make_interval(secs => %s)) ->> 'kind'
        from onetake.users u, onetake.runs r where u.user_id = %s and r.run_id = %s
    """
    return client.one(query, request(user, prompt)["prompt_hash"], seconds, user, run_id)


# -- accepted


def test_an_accepted_request_is_a_reserved_run_with_its_money_set_aside(client: LedgerClient) -> None:
    answer = client.ask(USER, FOX)
    assert (answer["kind"], answer["replayed"]) == ("accepted", False)
    row = client.row(answer["run"]["run_id"])
    assert (row["state"], row["held_microusd"], row["prompt"]) == ("reserved", PRICE, FOX)
    assert [budget["held"] for budget in client.budget(row["run_id"])] == [PRICE, PRICE]
    assert client.events(row["run_id"]) == [("check_limits", "accepted")]
    assert row["month"] == str(row["day"])[:7]


# -- the same key


def test_known_key_returns_the_same_run_even_if_a_new_request_would_be_refused(client: LedgerClient) -> None:
    asked = request(USER, FOX)
    run_id = client.call("reserve", **asked)["run"]["run_id"]
    client.call("set_paused", paused=True, reason="too dear", who="op")
    client.call("set_user", user_id=USER, blocked=True, invited=None, reason="spam", who="op")
    client.limit("rollout", "allowlist")
    client.limit("budget_day_microusd", 0)
    answer = client.call("reserve", **asked | {"call_id": str(uuid4())})
    assert (answer["kind"], answer["replayed"], answer["run"]["run_id"]) == ("accepted", True, run_id)
    assert client.one("select count(*) from onetake.runs") == 1
    assert client.books_wrong() == []


@pytest.mark.parametrize("state", ["delivered", "failed", "rejected", "canceled", "uncertain"])
def test_known_key_returns_the_same_run_even_after_a_year(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state, key="tg:1:2:3")
    client.age(run_id, 400 * 86_400)
    answer = client.ask(USER, FOX, key="tg:1:2:3")
    assert (answer["replayed"], answer["run"]["run_id"]) == (True, run_id)
    assert answer["run"]["state"] == state


def test_second_tap_counts_as_a_blocked_duplicate_but_our_own_retry_does_not(client: LedgerClient) -> None:
    asked = request(USER, FOX)
    for _ in range(3):
        assert client.call("reserve", **asked)["replayed"] is False
    assert client.call("stats")["duplicates_blocked"] == 0
    second_tap = asked | {"call_id": str(uuid4())}
    for _ in range(3):
        assert client.call("reserve", **second_tap)["replayed"] is True
    stats = client.call("stats")
    assert (stats["duplicates_blocked"], stats["money_saved_microusd"]) == (1, PRICE)
    assert stats["requests"] == 2


def test_a_known_key_with_another_request_is_a_mismatch(client: LedgerClient) -> None:
    run_id = client.reserved(key="cli:k")
    answer = client.ask(USER, OWL, key="cli:k")
    assert (answer["kind"], answer["of_run_id"]) == ("idempotency_mismatch", run_id)
    assert client.call("stats")["duplicates_blocked"] == 0


def test_another_user_does_not_get_a_run_by_its_key(client: LedgerClient) -> None:
    client.reserved("tg:1", key="cli:k")
    answer = client.ask("tg:2", FOX, key="cli:k")
    assert answer["kind"] == "idempotency_mismatch"
    assert "run" not in answer


# -- who may ask


def test_blocked_user_is_refused_with_the_reason_until_unblocked(client: LedgerClient) -> None:
    client.call("set_user", user_id=USER, blocked=True, invited=None, reason="spam", who="op")
    assert (client.ask()["kind"], client.ask()["reason"]) == ("blocked", "spam")
    client.call("set_user", user_id=USER, blocked=False, invited=None, reason=None, who="op")
    assert client.ask()["kind"] == "accepted"


def test_allowlist_admits_users_invited_before_or_after_their_first_request(client: LedgerClient) -> None:
    client.limit("rollout", "allowlist")
    assert client.ask()["kind"] == "not_invited"
    for user in (USER, "tg:never_seen"):
        client.call("set_user", user_id=user, blocked=None, invited=True, reason=None, who="op")
        assert client.ask(user)["kind"] == "accepted"


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (30, 35, 85), (100, 200, 200)])
def test_percentage_rollout_admits_a_stable_share_of_users(
    client: LedgerClient, percent: int, least: int, most: int
) -> None:
    client.limit("rollout", "percent")
    client.limit("rollout_percent", percent)
    query = """
        select count(*) from generate_series(1, 200) as i
        where onetake.is_invited(jsonb_populate_record(null::onetake.users,
            jsonb_build_object('user_id', 'tg:' || i, 'invited', false)))
    """
    assert least <= client.one(query) <= most
    assert client.one(query) == client.one(query)


def test_raising_the_rollout_percentage_keeps_admitted_users(client: LedgerClient) -> None:
    client.limit("rollout", "percent")
    client.limit("rollout_percent", 30)
    users = [f"tg:{i}" for i in range(20)]
    inside = [user for user in users if client.ask(user, price_microusd=1)["kind"] == "accepted"]
    assert 0 < len(inside) < 20
    client.limit("rollout_percent", 60)
    client.limit("cooldown_seconds", 0)
    client.limit("active_runs_per_user", 2)
    assert {client.ask(user, OWL, price_microusd=1)["kind"] for user in inside} == {"accepted"}


# -- pause and breaker


def test_pause_refuses_requests_with_its_reason_until_resumed(client: LedgerClient) -> None:
    client.call("set_paused", paused=True, reason="too dear", who="op")
    assert (client.ask()["kind"], client.ask()["reason"]) == ("paused", "too dear")
    client.call("set_paused", paused=False, reason=None, who="op")
    assert client.ask()["kind"] == "accepted"


def test_refusal_by_an_open_breaker_gives_its_end_time(client: LedgerClient) -> None:
    client.open_breaker(100)
    answer = client.ask()
    assert answer["kind"] == "breaker_open"
    assert client.one("select %s::timestamptz = open_until from onetake.breakers", answer["until"])


def test_a_users_own_breaker_stops_that_user_only(client: LedgerClient) -> None:
    client.open_breaker(100, f"user:{USER}")
    assert client.ask(USER)["kind"] == "breaker_open"
    assert client.ask("tg:2")["kind"] == "accepted"


def test_half_open_breaker_refuses_requests_only_while_its_probe_is_under_way(client: LedgerClient) -> None:
    client.open_breaker(-1)
    run_id = client.approved()
    assert client.begin(run_id)["won"]
    assert client.ask("tg:2")["kind"] == "breaker_open"
    client.record(run_id, "job_1")
    assert client.ask("tg:2")["kind"] == "accepted"


# -- duplicates


@pytest.mark.parametrize("state", ["reserved", "approved", "submitting", "uncertain", "rendering", "saved"])
def test_same_prompt_is_a_duplicate_while_its_run_is_unfinished(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    client.age(run_id, 86_400)
    answer = client.ask()
    assert (answer["kind"], answer["of_run_id"], answer["until"]) == ("duplicate", run_id, None)
    assert answer["of_ref"] == client.row(run_id)["ref"]
    assert answer["what"] == (None if state == "saved" else "unfinished")


def test_same_prompt_is_a_duplicate_for_exactly_five_minutes_after_delivery(client: LedgerClient) -> None:
    run_id = client.delivered()
    answer = client.ask()
    assert (answer["kind"], answer["of_run_id"]) == ("duplicate", run_id)
    assert client.one("select %s::timestamptz - reserved_at = '300 s' from onetake.runs", answer["until"])
    assert refusal_at(client, run_id, 299.999999) == "duplicate"
    assert refusal_at(client, run_id, 300) is None
    client.age(run_id, 300)
    assert client.ask()["kind"] == "accepted"


def test_blocked_duplicate_adds_its_price_to_the_money_saved(client: LedgerClient) -> None:
    client.reserved()
    client.ask(price_microusd=300_000)
    stats = client.call("stats")
    assert (stats["duplicates_blocked"], stats["money_saved_microusd"]) == (1, 300_000)


def test_same_prompt_of_another_user_is_not_a_duplicate(client: LedgerClient) -> None:
    client.reserved("tg:1")
    assert client.ask("tg:2")["kind"] == "accepted"


@pytest.mark.parametrize("state", ["rejected", "canceled", "failed"])
def test_same_prompt_is_accepted_after_a_run_that_bought_nothing(client: LedgerClient, state: str) -> None:
    client.limit("cooldown_seconds", 0)
    client.in_state(state)
    assert client.ask()["kind"] == "accepted"


def test_another_take_is_not_a_duplicate_but_cooldown_and_busy_still_apply(client: LedgerClient) -> None:
    first = client.delivered()
    assert client.ask(again=True)["kind"] == "cooldown"
    client.age(first, 10)
    assert client.ask(again=True)["kind"] == "accepted"
    assert client.ask(again=True)["kind"] == "busy"


# -- busy and cooldown


@pytest.mark.parametrize("state", ["reserved", "approved", "submitting", "uncertain", "rendering"])
def test_one_active_run_makes_its_user_busy(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    client.age(run_id, 60)
    answer = client.ask(USER, OWL)
    assert (answer["kind"], answer["of_run_id"]) == ("busy", run_id)
    assert client.ask("tg:2", OWL)["kind"] == "accepted"


@pytest.mark.parametrize("state", ["saved", "delivered", "rejected", "canceled", "failed"])
def test_saved_or_ended_run_does_not_make_its_user_busy(client: LedgerClient, state: str) -> None:
    client.age(client.in_state(state), 60)
    assert client.ask(USER, OWL)["kind"] == "accepted"


@pytest.mark.parametrize("state", ["uncertain", "rendering"])
def test_parked_run_blocks_its_own_prompt_but_does_not_make_its_user_busy(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    client.call("park", run_id=run_id, why="for a test", next_look_at=None)
    client.age(run_id, 86_400)
    assert client.ask(USER, FOX)["kind"] == "duplicate"
    assert client.ask(USER, OWL)["kind"] == "accepted"


def test_submitting_run_makes_its_user_busy_after_any_number_of_attempts(client: LedgerClient) -> None:
    run_id = client.submitting()
    for _ in range(7):
        client.call("start_attempt", run_id=run_id, attempts_max=5, heartbeat_seconds=0)
    client.age(run_id, 60)
    assert client.ask(USER, OWL)["kind"] == "busy"


def test_more_active_runs_are_allowed_up_to_the_limit(client: LedgerClient) -> None:
    client.limit("cooldown_seconds", 0)
    client.limit("active_runs_per_user", 2, USER)
    assert [client.ask(USER, prompt)["kind"] for prompt in "abc"] == ["accepted", "accepted", "busy"]


def test_cooldown_ends_after_exactly_ten_seconds(client: LedgerClient) -> None:
    run_id = client.delivered()
    answer = client.ask(USER, OWL)
    assert answer["kind"] == "cooldown"
    assert client.one("select %s::timestamptz - reserved_at = '10 s' from onetake.runs", answer["until"])
    assert refusal_at(client, run_id, 9.9, OWL) == refusal_at(client, run_id, 9.999999, OWL) == "cooldown"
    assert refusal_at(client, run_id, 10, OWL) is None
    client.age(run_id, 10)
    assert client.ask(USER, OWL)["kind"] == "accepted"


@pytest.mark.parametrize(
    ("state", "kind"), [("rejected", "accepted"), ("canceled", "cooldown"), ("failed", "cooldown")]
)
def test_rejected_request_starts_no_cooldown_but_canceled_and_failed_ones_do(
    client: LedgerClient, state: str, kind: str
) -> None:
    client.in_state(state)
    assert client.ask(USER, OWL)["kind"] == kind


# -- the day


def test_the_tenth_video_of_the_day_is_the_last(client: LedgerClient) -> None:
    for nth in range(1, 11):
        answer = client.ask(USER, f"prompt {nth}")
        assert answer["kind"] == "accepted", nth
        finish(client, answer["run"]["run_id"])
    answer = client.ask(USER, "prompt 11")
    assert (answer["kind"], answer["what"]) == ("daily_limit", "videos")
    query = "select %s::timestamptz = (date_trunc('day', now() at time zone 'UTC') + '1 day') at time zone 'UTC'"
    assert client.one(query, answer["until"])
    assert client.ask("tg:2")["kind"] == "accepted"


def finish(client: LedgerClient, run_id: str) -> None:
    """Brings a reserved run to `delivered`, an hour ago."""
    client.approve(run_id)
    assert client.begin(run_id)["won"]
    client.record(run_id, f"job_{run_id}")
    client.save(run_id)
    client.call("mark_notified", run_id=run_id, state="saved", delivered=True)
    client.age(run_id, 3600)


def test_daily_limit_ignores_runs_that_bought_nothing_and_runs_of_other_days(client: LedgerClient) -> None:
    client.limit("videos_per_user_day", 1)
    client.limit("cooldown_seconds", 0)
    for state in ("rejected", "canceled", "failed"):
        client.in_state(state, USER, OWL)
    yesterdays = client.delivered(USER, OWL, again=True)
    client.write("update onetake.runs set day = day - 1 where run_id = %s", yesterdays)
    assert client.ask(USER, "one more")["kind"] == "accepted"


def test_a_failed_run_that_was_charged_counts_towards_the_daily_limit(client: LedgerClient) -> None:
    client.limit("videos_per_user_day", 1)
    run_id = client.rendering()
    client.fail(run_id, "rendering", "expired", spent=True)
    client.age(run_id, 60)
    assert client.ask(USER, OWL)["kind"] == "daily_limit"


def test_the_thirtieth_rejected_prompt_of_the_day_is_the_last(client: LedgerClient) -> None:
    for nth in range(1, 31):
        answer = client.ask(USER, f"prompt {nth}")
        assert answer["kind"] == "accepted", nth
        client.reject(answer["run"]["run_id"])
    answer = client.ask(USER, FOX)
    assert (answer["kind"], answer["what"]) == ("daily_limit", "rejected_prompts")
    client.write("update onetake.runs set day = day - 1")
    assert client.ask(USER, FOX)["kind"] == "accepted"


def test_per_user_limit_overrides_the_general_limit(client: LedgerClient) -> None:
    client.limit("videos_per_user_day", 0, USER)
    assert client.ask(USER)["kind"] == "daily_limit"
    assert client.ask("tg:2")["kind"] == "accepted"


# -- the budget


@pytest.mark.parametrize("period", ["day", "month"])
def test_budget_can_be_used_up_exactly_but_not_exceeded(client: LedgerClient, period: str) -> None:
    client.limit(f"budget_{period}_microusd", 2 * PRICE - 1)
    client.reserved("tg:1")
    answer = client.ask("tg:2")
    assert (answer["kind"], answer["what"]) == ("budget_exhausted", period)
    query = f"""
        select %s::timestamptz
            = (date_trunc('{period}', now() at time zone 'UTC') + '1 {period}') at time zone 'UTC'
    """
    assert client.one(query, answer["until"])
    assert client.books_wrong() == [], "a refusal takes nothing"
    client.limit(f"budget_{period}_microusd", 2 * PRICE)
    assert client.ask("tg:2")["kind"] == "accepted"
    assert client.ask("tg:3", price_microusd=1)["kind"] == "budget_exhausted"
    assert client.books_wrong() == []


def test_the_default_budget_of_a_day_is_ten_dollars(client: LedgerClient) -> None:
    kinds = [client.ask(f"tg:{nth}")["kind"] for nth in range(13)]
    assert kinds == ["accepted"] * 12 + ["budget_exhausted"]


def test_text_model_cost_counts_towards_the_budget(client: LedgerClient) -> None:
    client.limit("budget_day_microusd", 2 * PRICE)
    client.approve(client.reserved("tg:1"), cost_microusd=1)
    assert client.ask("tg:2")["kind"] == "budget_exhausted"
    assert client.ask("tg:2", price_microusd=PRICE - 1)["kind"] == "accepted"


@pytest.mark.parametrize("state", ["rejected", "canceled", "failed"])
def test_released_money_can_be_spent_by_somebody_else(client: LedgerClient, state: str) -> None:
    client.limit("budget_day_microusd", PRICE)
    client.in_state(state, "tg:1")
    assert client.ask("tg:2")["kind"] == "accepted"


def test_money_held_yesterday_does_not_count_towards_todays_budget(client: LedgerClient) -> None:
    client.limit("budget_day_microusd", PRICE)
    client.reserved("tg:1")
    client.write("update onetake.runs set day = day - 1")
    client.write("update onetake.budgets set period = (period::date - 1)::text where length(period) = 10")
    assert client.ask("tg:2")["kind"] == "accepted"
    assert client.books_wrong() == []
