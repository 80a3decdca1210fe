"""What operators do and see: every change is recorded with who, when, before and after; the numbers add up."""

from typing import Any

import pytest

from tests.ledger.client import PRICE, STATES, TOKEN, LedgerClient

GENERAL = (
    *("cooldown_seconds", "videos_per_user_day", "rejected_per_user_day", "active_runs_per_user"),
    *("duplicate_window_seconds", "budget_day_microusd", "budget_month_microusd", "rollout_percent"),
    *("breaker_window_seconds", "breaker_user_submissions", "breaker_all_submissions", "breaker_failures"),
    *("breaker_open_seconds", "canceled_per_user_day"),
)


def changes(client: LedgerClient) -> list[tuple[str, str, Any, Any]]:
    """Newest first; each must have its time."""
    found = client.call("limit_history", at_most=10)
    assert all(change["at"] for change in found)
    return [(change["who"], change["key"], change["before"], change["after"]) for change in found]


def set_limit(client: LedgerClient, key: str, value: Any, user: str | None = None) -> Any:
    return client.call("set_limit", key=key, value=value, who="ana", user_id=user)


def test_default_limits_match_the_design(client: LedgerClient) -> None:
    found = {limit["key"]: limit["value"] for limit in client.call("show_limits")}
    assert found == {
        "active_runs_per_user": 1,
        "cooldown_seconds": 10,
        "videos_per_user_day": 10,
        "rejected_per_user_day": 30,
        "canceled_per_user_day": 30,
        "duplicate_window_seconds": 300,
        "budget_day_microusd": 10_000_000,
        "budget_month_microusd": 100_000_000,
        "breaker_window_seconds": 60,
        "breaker_user_submissions": 3,
        "breaker_all_submissions": 60,
        "breaker_failures": 5,
        "breaker_open_seconds": 300,
        "rollout": "all",
        "rollout_percent": 100,
    }


@pytest.mark.parametrize("key", GENERAL)
def test_a_changed_limit_is_recorded(client: LedgerClient, key: str) -> None:
    before = client.one("select value from onetake.limits where key = %s", key)
    assert set_limit(client, key, 7) == {"set": True, "before": before, "after": 7}
    assert changes(client) == [("ana", key, before, 7)]


def test_a_changed_rollout_is_recorded(client: LedgerClient) -> None:
    assert set_limit(client, "rollout", "allowlist")["set"]
    assert changes(client) == [("ana", "rollout", "all", "allowlist")]


@pytest.mark.parametrize("value", [-1, 1.5, "7", True, None, [], 31_536_001, 10**15])
def test_invalid_limit_value_is_refused_and_not_recorded(client: LedgerClient, value: object) -> None:
    answer = set_limit(client, "cooldown_seconds", value)
    assert (answer["set"], answer["why"], answer["allowed"]) == (
        False,
        "bad_value",
        "a whole number of seconds, 31536000 (a year) at most",
    )
    assert changes(client) == []


@pytest.mark.parametrize("key", [key for key in GENERAL if key.endswith("_seconds")])
def test_longest_allowed_time_limit_does_not_overflow_timestamps(client: LedgerClient, key: str) -> None:
    assert set_limit(client, key, 31_536_000)["set"]
    client.ask(prompt="a first")
    assert client.ask(prompt="a second")["kind"] in {"busy", "cooldown", "accepted"}
    run_id = client.submitting("tg:2")
    assert client.doubt(run_id)["moved"]


@pytest.mark.parametrize(
    ("key", "value"), [("rollout", "some"), ("rollout", 3), ("rollout", None), ("rollout_percent", 101)]
)
def test_invalid_rollout_is_refused(client: LedgerClient, key: str, value: object) -> None:
    assert set_limit(client, key, value)["why"] == "bad_value"


def test_an_unknown_limit_is_refused(client: LedgerClient) -> None:
    assert set_limit(client, "cooldown", 3)["why"] == "unknown_limit"


def test_per_user_limit_is_recorded_and_can_be_removed(client: LedgerClient) -> None:
    key = "cooldown_seconds"
    for value in (3, 4, None):
        assert set_limit(client, key, value, "tg:1")["set"]
    named = f"user:tg:1:{key}"
    assert changes(client) == [("ana", named, 4, None), ("ana", named, 3, 4), ("ana", named, None, 3)]
    assert client.one("select limits from onetake.users") == {}


@pytest.mark.parametrize("key", ["budget_day_microusd", "rollout_percent", "breaker_failures"])
def test_global_limit_cannot_be_set_for_one_user(client: LedgerClient, key: str) -> None:
    assert set_limit(client, key, 3, "tg:1") == {"set": False, "why": "not_per_user"}


def test_pause_and_resume_are_recorded_and_shown(client: LedgerClient) -> None:
    shown = client.call("set_paused", paused=True, reason="too dear", who="ana")
    assert (shown["paused"], shown["pause_reason"], shown["paused_by"]) == (True, "too dear", "ana")
    assert shown["paused_at"]
    assert client.call("controls") == shown
    shown = client.call("set_paused", paused=False, reason=None, who="ben")
    assert {shown["paused"], shown["pause_reason"], shown["paused_by"], shown["paused_at"]} == {False, None}
    why = {"paused": True, "reason": "too dear"}
    assert changes(client) == [("ben", "paused", why, {"paused": False}), ("ana", "paused", {"paused": False}, why)]


def test_resume_of_an_outdated_pause_changes_nothing(client: LedgerClient) -> None:
    def resume(paused_at: str | None) -> dict[str, Any]:
        answer = client.call("set_paused", paused=False, reason=None, who="ana", shown={"paused_at": paused_at})
        return dict(answer)

    first = client.call("set_paused", paused=True, reason="too dear", who="ana")
    assert resume(None)["changed"] and client.call("controls")["paused"]
    second = client.call("set_paused", paused=True, reason="billed twice", who="ben")
    assert resume(first["paused_at"])["changed"] and client.call("controls")["pause_reason"] == "billed twice"
    assert "changed" not in resume(second["paused_at"]) and not client.call("controls")["paused"]
    assert "changed" not in resume(None)  # closes breakers
    assert len(changes(client)) == 4


def test_blocking_and_inviting_are_recorded_for_known_and_unknown_users(client: LedgerClient) -> None:
    client.reserved("tg:1")
    shown = client.call("set_user", user_id="tg:1", blocked=True, invited=None, reason="spam", who="ana")
    assert (shown["blocked"], shown["blocked_reason"], shown["invited"]) == (True, "spam", False)
    client.call("set_user", user_id="tg:1", blocked=None, invited=True, reason=None, who="ana")
    assert client.one("select blocked_reason from onetake.users") == "spam"
    client.call("set_user", user_id="tg:new", blocked=None, invited=True, reason=None, who="ben")
    no, blocked = {"blocked": False, "invited": False}, {"blocked": True, "invited": False, "reason": "spam"}
    assert changes(client) == [
        ("ben", "user:tg:new", no, {"blocked": False, "invited": True}),
        ("ana", "user:tg:1", blocked, blocked | {"invited": True}),
        ("ana", "user:tg:1", no, blocked),
    ]


def test_open_breakers_are_shown_and_closed_ones_are_not(client: LedgerClient) -> None:
    assert client.call("controls")["breakers"] == []
    client.write("update onetake.breakers set open_until = clock_timestamp() - interval '1 s', cause = 'failures'")
    client.write("insert into onetake.breakers (scope, open_until) values ('user:a', now() - interval '1 s')")
    client.write("insert into onetake.breakers (scope, open_until) values ('user:b', 'infinity')")
    shown = {breaker["scope"]: breaker["half_open"] for breaker in client.call("controls")["breakers"]}
    assert shown == {"all": True, "user:b": False}


# -- the numbers


def test_stats_of_an_empty_ledger_are_zero(client: LedgerClient) -> None:
    stats = client.call("stats")
    numbers = (
        "total_videos",
        "total_runs",
        "requests",
        "paid_calls",
        "duplicates_blocked",
        "money_saved_microusd",
    )
    assert {stats[number] for number in numbers} == {0}
    assert (stats["states"], stats["checks"], stats["today"]) == ({}, {}, None)


def test_stats_add_up_over_runs_in_every_state(client: LedgerClient) -> None:
    client.unlimited()
    for state in STATES:
        client.in_state(state, f"tg:{state}")
    client.ask("tg:saved", price_microusd=5)
    client.ask("tg:saved", price_microusd=6)
    for _ in range(2):
        client.ask("tg:key", key="cli:k", price_microusd=7)
    client.call("set_paused", paused=True, reason="", who="ana")
    client.ask("tg:new")
    stats = client.call("stats")
    assert (stats["total_videos"], stats["total_runs"], stats["requests"]) == (2, 11, 15)
    assert stats["states"] == dict.fromkeys(STATES, 1) | {"reserved": 2}
    assert stats["checks"] == {"accepted": 11, "duplicate": 2, "replayed": 1, "paused": 1}
    assert (stats["duplicates_blocked"], stats["money_saved_microusd"]) == (3, 5 + 6 + 7)
    assert (stats["held_microusd"], stats["spent_microusd"]) == (5 * PRICE + 7, 2 * PRICE)
    assert stats["today"]["held_microusd"] == stats["this_month"]["held_microusd"] == stats["held_microusd"]
    assert stats["today"]["spent_microusd"] == stats["spent_microusd"]
    assert stats["paid_calls"] == 3
    assert stats["budget_day_microusd"] == 10**14


def test_runs_are_listed_newest_first_by_state_and_by_user(client: LedgerClient) -> None:
    client.unlimited()
    one, two, three = client.rendering("tg:1"), client.reserved("tg:2"), client.reserved("tg:1", "a grey owl")

    def listed(**asked: object) -> list[str]:
        return [row["run_id"] for row in client.call("list_runs", **asked)]

    assert listed(at_most=9) == [three, two, one]
    assert listed(at_most=2) == [three, two]
    assert listed(at_most=9, state="reserved") == [three, two]
    assert listed(at_most=9, user_id="tg:1") == [three, one]
    assert all("token" not in row for row in client.call("list_runs", at_most=9))


def test_users_are_listed_with_their_videos_and_spending(client: LedgerClient) -> None:
    client.delivered("tg:1")
    client.reserved("tg:2")
    found = {user["user_id"]: (user["videos"], user["spent_microusd"]) for user in client.call("list_users", at_most=9)}
    assert found == {"tg:1": (1, PRICE), "tg:2": (0, 0)}
    assert len(client.call("list_users", at_most=1)) == 1


def test_run_events_are_listed_in_order(client: LedgerClient) -> None:
    run_id = client.reserved()
    client.approve(run_id, cost_microusd=3)
    client.begin(run_id)
    client.doubt(run_id)
    client.record(run_id, "job_1", "answer", TOKEN)
    client.save(run_id)
    client.call("mark_notified", run_id=run_id, state="saved", delivered=True)
    events = client.call("run_events", run_id=run_id)
    assert [(event["step"], event["outcome"]) for event in events] == [
        ("check_limits", "accepted"),
        ("validate_prompt", "approved"),
        ("generate_video", "submitting"),
        ("generate_video", "uncertain"),
        ("generate_video", "made"),
        ("save_video", "saved"),
        ("deliver", "delivered"),
    ]
    assert (events[1]["ms"], events[1]["cost_microusd"]) == (5, 3)
    assert "call_id" not in events[0]


def test_usual_render_time_is_the_median_of_the_latest_twenty(client: LedgerClient) -> None:
    client.unlimited()
    for nth in range(23):
        run_id = client.saved(f"tg:{nth}")
        took = 1000 if nth < 3 else nth
        client.write(
            "update onetake.runs set saved_at = rendering_at + make_interval(secs => %s) where run_id = %s",
            took,
            run_id,
        )
    asked = {"base_url": "http://provider.test/v1", "model": "sim-video"}
    assert client.call("render_history", **asked, seconds=8) == {"count": 20, "median_seconds": 12.5}
    assert client.call("render_history", **asked, seconds=4) == {"count": 0, "median_seconds": None}
