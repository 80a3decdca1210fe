"""The page's queries: past days are counted once, and the counts equal those of the events themselves."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.ledger.client import LedgerClient


def now() -> datetime:
    """Evaluated per test: a run of the whole suite may cross midnight."""
    return datetime.now(UTC)


def event(client: LedgerClient, at: datetime, step: str = "save_video", outcome: str = "saved", **more: Any) -> None:
    """Writes an event as of that time."""
    run_id = client.one("select run_id from onetake.runs limit 1")
    client.write(
        "insert into onetake.events (at, run_id, user_id, step, outcome, ms, cost_microusd, saved_microusd)"
        " values (%s, %s, 'cli:tests', %s, %s, %s, %s, %s)",
        at,
        run_id,
        step,
        outcome,
        more.get("ms"),
        more.get("cost", 0),
        more.get("saved", 0),
    )


def counted(client: LedgerClient) -> dict[tuple[date, str, str], tuple[Any, ...]]:
    rows = client.rows("select * from onetake.all_counts()")
    assert len({(row["day"], row["step"], row["outcome"]) for row in rows}) == len(rows), "a day counted twice"
    return {
        (row["day"], row["step"], row["outcome"]): (
            row["n"], row["cost_microusd"], row["saved_microusd"], row["timed"], row["ms"], row["buckets"],
        )
        for row in rows
    }  # fmt: skip


def directly(client: LedgerClient) -> dict[tuple[date, str, str], tuple[Any, ...]]:
    """The same counts by plain grouping, bucket by bucket."""
    bounds = client.one("select onetake.bounds_ms()")
    found: dict[tuple[date, str, str], list[Any]] = {}
    for row in client.rows("select * from onetake.events"):
        key = (row["at"].astimezone(UTC).date(), row["step"], row["outcome"])
        kept = found.setdefault(key, [0, 0, 0, 0, 0, [0] * (len(bounds) + 1)])
        kept[0] += 1
        kept[1] += row["cost_microusd"]
        kept[2] += row["saved_microusd"]
        if row["ms"] is not None:
            kept[3] += 1
            kept[4] += row["ms"]
            kept[5][sum(row["ms"] > bound for bound in bounds)] += 1
    return {key: tuple(kept) for key, kept in found.items()}


@pytest.fixture
def run(client: LedgerClient) -> str:
    return client.reserved()


def test_daily_counts_equal_a_direct_count_of_the_events(client: LedgerClient, run: str) -> None:
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    for days in (0, 1, 2, 5, 40):
        for at in (midnight - timedelta(days=days), midnight - timedelta(days=days, microseconds=1)):
            for ms in (None, 0, 50, 51, 999, 1_800_000, 1_800_001):
                event(client, at, ms=ms, cost=3, saved=5)
            event(client, at, "check_limits", "replayed", saved=800_000)
    expected = directly(client)
    assert counted(client) == expected  # nothing counted yet
    before = client.call("stats")

    for _ in range(3):
        assert client.call("stats") == before
        assert counted(client) == expected
    assert client.one("select before from onetake.counted") >= (now() - timedelta(days=1)).date()
    assert client.one("select count(*) from onetake.event_days") > 0


def test_todays_events_count_at_once_and_counted_days_are_not_counted_again(client: LedgerClient, run: str) -> None:
    event(client, now() - timedelta(days=3))
    client.call("stats")
    event(client, now())
    event(client, now())
    client.call("stats")

    assert counted(client) == directly(client)


def test_calls_per_prompt_are_the_same_before_and_after_daily_aggregation(client: LedgerClient) -> None:
    """Grouped by the day of the call and by the versions that its run used."""
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    for version, user in (("aa", "tg:1"), ("bb", "tg:2")):
        run_id = client.reserved(user)
        versions = Jsonb({"validate_prompt": version, "write_caption": "cc", "brand": "dd"})
        client.write("update onetake.runs set templates = %s where run_id = %s", versions, run_id)
        for days, asks in ((0, 1), (1, 3), (2, 1), (29, 2), (40, 1)):
            for step in ("validate_prompt", "write_caption", "save_video"):
                client.write(
                    "insert into onetake.events (at, run_id, step, outcome, cost_microusd, detail)"
                    " values (%s, %s, %s, 'x', 7, %s)",
                    midnight - timedelta(days=days) + timedelta(seconds=1),
                    run_id,
                    step,
                    Jsonb({"asks": asks}),
                )
    found = [client.call("template_impact", days=30.0) for _ in range(2)]
    at_once = client.rows("select * from onetake.count_prompts('-infinity', 'infinity') order by day, id, sha256")
    kept = client.rows("select * from onetake.prompt_days order by day, id, sha256")
    before = client.one("select before from onetake.counted")

    assert found[0] == found[1]
    assert len({row["day"] for row in kept}) >= 3  # yesterday is counted an hour after it ended
    assert kept == [row for row in at_once if row["day"] < before]
    lines = {(line["id"], line["sha256"]): (line["calls"], line["reasks"], line["cost_microusd"]) for line in found[0]}
    assert lines == {
        ("brand", "dd"): (0, 0, 0),
        ("validate_prompt", "aa"): (4, 3, 28),
        ("validate_prompt", "bb"): (4, 3, 28),
        ("write_caption", "cc"): (8, 6, 56),
    }


def test_cached_calls_are_the_same_before_and_after_daily_aggregation(client: LedgerClient) -> None:
    client.age(client.delivered(), 3 * 86400)
    client.write("update onetake.events set at = at - interval '3 days'")
    event(client, now() - timedelta(days=3, hours=1), "check_limits", "replayed")  # before anything was there
    event(client, now() - timedelta(days=2), "check_limits", "duplicate")
    event(client, now(), "check_limits", "replayed")
    found = client.call("page_metrics")["cached_calls"]
    at_once = client.rows("select step, sum(n) as n from onetake.count_cached('-infinity', 'infinity') group by step")

    assert client.one("select sum(n) from onetake.cached_days") > 0
    assert found == {row["step"]: row["n"] for row in at_once} | {"write_caption": 0}
    assert found == dict.fromkeys(("check_limits", "validate_prompt", "generate_video", "save_video", "deliver"), 2) | {
        "write_caption": 0
    }


def test_a_day_is_aggregated_an_hour_after_it_ended(client: LedgerClient, run: str) -> None:
    """Until then, a transaction that began on that day may still be running."""
    client.call("stats")
    before = client.one("select before from onetake.counted")

    assert before == (datetime.now(UTC) - timedelta(hours=1)).date()


def test_concurrent_aggregations_count_each_event_once(client: LedgerClient, run: str) -> None:
    event(client, now() - timedelta(days=3))
    with client.calls.transaction():
        client.calls.execute("select onetake.count_days()")
        assert client.rows("select * from onetake.event_days") == []  # not committed
        client.eyes.execute("select onetake.count_days()")  # does not wait, and counts nothing
        assert client.rows("select * from onetake.event_days") == []
    assert counted(client) == directly(client)


@pytest.mark.parametrize(
    "filters",
    [
        {"state": "nonsense"},
        {"user_id": "' or true --"},
        {"ref": "%"},
        {"ref": "'; drop table onetake.runs; --"},
        {"template": "'"},
        {"model": "\\"},
        {"unknown": "x"},
    ],
)
def test_filter_values_are_never_executed_as_sql(client: LedgerClient, run: str, filters: dict[str, str]) -> None:
    assert client.call("page_runs", filters=filters, at_most=10) == []
    assert client.one("select count(*) from onetake.runs") == 1


def test_deliver_again_is_accepted_only_for_saved_telegram_runs(client: LedgerClient) -> None:
    run_id = client.saved()
    for kind, brought in (("terminal", False), ("telegram", True)):
        client.write("update onetake.runs set audience = jsonb_build_object('kind', %s::text)", kind)
        answer = client.call("deliver_again", run_id=run_id, who="web:Ada")
        assert answer == {"asked": brought, "state": "saved", "why": None if brought else "state"}
    assert client.events(run_id)[-1] == ("deliver", "asked_again")
    client.call("mark_notified", run_id=run_id, state="saved", delivered=True, detail={})
    answer = client.call("deliver_again", run_id=run_id, who="web:Ada")
    assert answer == {"asked": False, "state": "delivered", "why": "state"}
    assert client.call("deliver_again", run_id="00000000-0000-0000-0000-000000000000", who="x")["asked"] is False


def test_deliver_again_is_refused_while_a_delivery_is_under_way(client: LedgerClient) -> None:
    """The running delivery's outcome would be taken for the new one's; a postponed delivery does not block."""
    run_id = client.saved()
    client.call("begin_notification", run_id=run_id, state="saved", notifier="courier", seconds=15.0)
    asked = {"run_id": run_id, "who": "web:Ada"}
    assert client.call("deliver_again", **asked) == {"asked": False, "state": "saved", "why": "under_way"}
    client.call("notify_later", run_id=run_id, state="saved", at="2100-01-01T00:00:00Z")
    assert client.call("deliver_again", **asked)["asked"]
    assert client.call("begin_notification", run_id=run_id, state="saved", notifier="another", seconds=15.0) is not None


def test_queue_counts_a_run_as_due_only_without_a_recent_heartbeat(client: LedgerClient) -> None:
    def queue() -> tuple[int, int]:
        found = client.call("page_overview", days=1)["queue"]
        return found["unfinished"], found["due"]

    run_id = client.reserved()
    assert queue() == (1, 0)  # somebody will have it in a moment
    client.age(run_id, 16)
    assert queue() == (1, 1)
    assert client.call("page_overview", days=1)["queue"]["oldest_due_seconds"] == pytest.approx(16, abs=2)
    client.call("heartbeat", run_id=run_id, heartbeat_seconds=20, progress=None)
    assert queue() == (1, 0)
    client.call("cancel_run", run_id=run_id, by="cli:tests", reason="canceled")
    assert queue() == (0, 0)
