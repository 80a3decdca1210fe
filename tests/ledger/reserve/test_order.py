"""Refusals in the order of docs/design.md: where two apply, the first is answered."""

from collections.abc import Callable
from itertools import combinations

import pytest

from tests.ledger.client import LedgerClient, request

USER, FOX = "tg:1", "a red fox"


def _duplicate(client: LedgerClient) -> None:
    client.age(client.delivered(USER, FOX), 60)


def _cooldown(client: LedgerClient) -> None:
    client.delivered(USER, "just now")


def _busy(client: LedgerClient) -> None:
    client.age(client.reserved(USER, "an hour ago"), 3600)


def _paused(client: LedgerClient) -> None:
    client.call("set_paused", paused=True, reason="", who="op")


def _blocked(client: LedgerClient) -> None:
    client.call("set_user", user_id=USER, blocked=True, invited=None, reason="", who="op")


def _mismatch(client: LedgerClient) -> None:
    """The key was used yesterday for another request."""
    client.age(client.in_state("canceled", USER, "something else", key="cli:the_key"), 86_400)


# The situations in an order in which they can be made, and the kinds in the order in which they are answered.
MADE: dict[str, Callable[[LedgerClient], None]] = {
    "idempotency_mismatch": _mismatch,
    "duplicate": _duplicate,
    "busy": _busy,
    "cooldown": _cooldown,
    "daily_limit": lambda client: client.limit("videos_per_user_day", 0, USER),
    "budget_exhausted": lambda client: client.limit("budget_month_microusd", 0),
    "breaker_open": lambda client: client.open_breaker(100),
    "paused": _paused,
    "not_invited": lambda client: client.limit("rollout", "allowlist"),
    "blocked": _blocked,
}
ORDER = (
    *("idempotency_mismatch", "blocked", "not_invited", "paused", "breaker_open"),
    *("duplicate", "busy", "cooldown", "daily_limit", "budget_exhausted"),
)


def make(client: LedgerClient, kinds: set[str]) -> None:
    """Sets up the situations. The limits are off meanwhile, so that any set of them can be combined."""
    client.limit("cooldown_seconds", 0)
    client.limit("active_runs_per_user", 9)
    for kind, situation in MADE.items():
        if kind in kinds:
            situation(client)
    client.limit("cooldown_seconds", 10)
    client.limit("active_runs_per_user", 1)


@pytest.mark.parametrize(("first", "second"), list(combinations(ORDER, 2)))
def test_if_two_refusals_apply_the_first_in_the_design_is_returned(
    client: LedgerClient, first: str, second: str
) -> None:
    make(client, {first, second})
    assert client.ask(USER, FOX, key="cli:the_key")["kind"] == first


@pytest.mark.parametrize("kind", ORDER)
def test_each_refusal_records_an_event_and_makes_no_run(client: LedgerClient, kind: str) -> None:
    make(client, {kind})
    runs = client.one("select count(*) from onetake.runs")
    answer = client.ask(USER, FOX, key="cli:the_key")
    assert answer["kind"] == kind
    assert set(answer) == {"kind", "until", "of_run_id", "of_ref", "reason", "what"}
    assert client.one("select count(*) from onetake.runs") == runs
    assert client.one("select outcome from onetake.events order by event_id desc limit 1") == kind
    assert client.books_wrong() == []


def test_refused_request_key_can_be_used_again(client: LedgerClient) -> None:
    _paused(client)
    assert client.ask(key="cli:k")["kind"] == "paused"
    client.call("set_paused", paused=False, reason=None, who="op")
    assert client.ask(key="cli:k")["kind"] == "accepted"


@pytest.mark.parametrize("kind", [kind for kind in ORDER if kind != "idempotency_mismatch"])
def test_preview_returns_the_refusal_a_request_would_get_and_changes_nothing(client: LedgerClient, kind: str) -> None:
    make(client, {kind})
    asked = request(USER, FOX)
    args = {"user_id": USER, "prompt_hash": asked["prompt_hash"], "price_microusd": asked["price_microusd"]}
    before = client.call("stats"), client.rows("select * from onetake.users")
    assert client.call("preview_reserve", **args)["kind"] == kind
    assert (client.call("stats"), client.rows("select * from onetake.users")) == before
    assert client.call("reserve", **asked)["kind"] == kind


def test_preview_for_an_unknown_user_creates_no_user(client: LedgerClient) -> None:
    args = {"user_id": "tg:new", "prompt_hash": "x", "price_microusd": 1}
    assert client.call("preview_reserve", **args) == {"kind": "accepted"}
    assert client.one("select count(*) from onetake.users") == 0


def test_the_thirtieth_canceled_draft_of_the_day_is_the_last(client: LedgerClient) -> None:
    """A draft costs its user nothing, but each prompt is checked, which costs us."""
    client.limit("cooldown_seconds", 0)
    for nth in range(1, 31):
        answer = client.ask(USER, f"prompt {nth}", confirm=True)
        assert answer["kind"] == "accepted", nth
        run_id = answer["run"]["run_id"]
        if nth % 2:
            assert client.call("cancel_run", run_id=run_id, by=USER)["canceled"]
        else:
            client.approve(run_id, confirm_seconds=0)
            assert client.call("cancel_run", run_id=run_id, by="sweep", reason="not_confirmed")["canceled"]
    answer = client.ask(USER, FOX)
    assert (answer["kind"], answer["what"]) == ("daily_limit", "canceled_drafts")
    assert client.one("select %s::timestamptz > now()", answer["until"])
    preview = {"user_id": USER, "prompt_hash": "another", "price_microusd": 1}
    assert client.call("preview_reserve", **preview)["what"] == "canceled_drafts"
    assert client.ask("tg:2")["kind"] == "accepted"
    client.limit("canceled_per_user_day", 31, USER)
    assert client.call("preview_reserve", **preview)["kind"] == "accepted"
    client.limit("canceled_per_user_day", None, USER)
    client.write("update onetake.runs set day = day - 1")
    assert client.ask(USER, FOX)["kind"] == "accepted"
