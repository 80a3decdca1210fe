"""What the page reads: days that are over are counted once, and the count is the same as of the events themselves."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.ledger.desk import Desk


def now() -> datetime:
    """Not once for all tests: a run of the whole suite may cross midnight."""
    return datetime.now(UTC)


def event(desk: Desk, at: datetime, step: str = "save_video", outcome: str = "saved", **more: Any) -> None:
    """As it would have been written then."""
    run_id = desk.one("select run_id from onetake.runs limit 1")
    desk.write(
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


def counted(desk: Desk) -> dict[tuple[date, str, str], tuple[Any, ...]]:
    rows = desk.rows("select * from onetake.all_counts()")
    assert len({(row["day"], row["step"], row["outcome"]) for row in rows}) == len(rows), "a day counted twice"
    return {
        (row["day"], row["step"], row["outcome"]): (
            row["n"], row["cost_microusd"], row["saved_microusd"], row["timed"], row["ms"], row["buckets"],
        )
        for row in rows
    }  # fmt: skip


def directly(desk: Desk) -> dict[tuple[date, str, str], tuple[Any, ...]]:
    """The same by plain grouping, bucket by bucket."""
    bounds = desk.one("select onetake.bounds_ms()")
    found: dict[tuple[date, str, str], list[Any]] = {}
    for row in desk.rows("select * from onetake.events"):
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
def run(desk: Desk) -> str:
    return desk.reserved()


def test_counted_days_and_today_are_the_events_themselves(desk: Desk, run: str) -> None:
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    for days in (0, 1, 2, 5, 40):
        for at in (midnight - timedelta(days=days), midnight - timedelta(days=days, microseconds=1)):
            for ms in (None, 0, 50, 51, 999, 1_800_000, 1_800_001):
                event(desk, at, ms=ms, cost=3, saved=5)
            event(desk, at, "check_limits", "replayed", saved=800_000)
    expected = directly(desk)
    assert counted(desk) == expected  # nothing counted yet
    before = desk.call("stats")

    for _ in range(3):
        assert desk.call("stats") == before
        assert counted(desk) == expected
    assert desk.one("select before from onetake.counted") >= (now() - timedelta(days=1)).date()
    assert desk.one("select count(*) from onetake.event_days") > 0


def test_an_event_of_today_counts_at_once_and_a_counted_day_is_not_counted_again(desk: Desk, run: str) -> None:
    event(desk, now() - timedelta(days=3))
    desk.call("stats")
    event(desk, now())
    event(desk, now())
    desk.call("stats")

    assert counted(desk) == directly(desk)


def test_calls_of_each_prompt_are_the_same_before_and_after_their_days_are_counted(desk: Desk) -> None:
    """By the day of the call, and by the versions that its run was asked with."""
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    for version, user in (("aa", "tg:1"), ("bb", "tg:2")):
        run_id = desk.reserved(user)
        versions = Jsonb({"validate_prompt": version, "write_caption": "cc", "brand": "dd"})
        desk.write("update onetake.runs set templates = %s where run_id = %s", versions, run_id)
        for days, asks in ((0, 1), (1, 3), (2, 1), (29, 2), (40, 1)):
            for step in ("validate_prompt", "write_caption", "save_video"):
                desk.write(
                    "insert into onetake.events (at, run_id, step, outcome, cost_microusd, detail)"
                    " values (%s, %s, %s, 'x', 7, %s)",
                    midnight - timedelta(days=days) + timedelta(seconds=1),
                    run_id,
                    step,
                    Jsonb({"asks": asks}),
                )
    found = [desk.call("template_impact", days=30.0) for _ in range(2)]
    at_once = desk.rows("select * from onetake.count_prompts('-infinity', 'infinity') order by day, id, sha256")
    kept = desk.rows("select * from onetake.prompt_days order by day, id, sha256")
    before = desk.one("select before from onetake.counted")

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


def test_what_was_spared_is_the_same_before_and_after_its_day_is_counted(desk: Desk) -> None:
    desk.age(desk.delivered(), 3 * 86400)
    desk.write("update onetake.events set at = at - interval '3 days'")
    event(desk, now() - timedelta(days=3, hours=1), "check_limits", "replayed")  # before anything was there
    event(desk, now() - timedelta(days=2), "check_limits", "duplicate")
    event(desk, now(), "check_limits", "replayed")
    found = desk.call("page_metrics")["cached_calls"]
    at_once = desk.rows("select step, sum(n) as n from onetake.count_cached('-infinity', 'infinity') group by step")

    assert desk.one("select sum(n) from onetake.cached_days") > 0
    assert found == {row["step"]: row["n"] for row in at_once} | {"write_caption": 0}
    assert found == dict.fromkeys(("check_limits", "validate_prompt", "generate_video", "save_video", "deliver"), 2) | {
        "write_caption": 0
    }


def test_the_day_before_is_counted_an_hour_after_it_ended(desk: Desk, run: str) -> None:
    """Until then a transaction that began in it may still be under way."""
    desk.call("stats")
    before = desk.one("select before from onetake.counted")

    assert before == (datetime.now(UTC) - timedelta(hours=1)).date()


def test_two_that_count_at_once_count_once(desk: Desk, run: str) -> None:
    event(desk, now() - timedelta(days=3))
    with desk.calls.transaction():
        desk.calls.execute("select onetake.count_days()")
        assert desk.rows("select * from onetake.event_days") == []  # not committed
        desk.eyes.execute("select onetake.count_days()")  # does not wait, and counts nothing
        assert desk.rows("select * from onetake.event_days") == []
    assert counted(desk) == directly(desk)


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
def test_a_filter_is_a_value_and_never_sql(desk: Desk, run: str, filters: dict[str, str]) -> None:
    assert desk.call("page_runs", filters=filters, at_most=10) == []
    assert desk.one("select count(*) from onetake.runs") == 1


def test_deliver_again_is_for_saved_videos_of_chats_alone(desk: Desk) -> None:
    run_id = desk.saved()
    for kind, brought in (("terminal", False), ("telegram", True)):
        desk.write("update onetake.runs set audience = jsonb_build_object('kind', %s::text)", kind)
        answer = desk.call("deliver_again", run_id=run_id, who="web:Ada")
        assert answer == {"asked": brought, "state": "saved", "why": None if brought else "state"}
    assert desk.events(run_id)[-1] == ("deliver", "asked_again")
    desk.call("told", run_id=run_id, state="saved", delivered=True, detail={})
    answer = desk.call("deliver_again", run_id=run_id, who="web:Ada")
    assert answer == {"asked": False, "state": "delivered", "why": "state"}
    assert desk.call("deliver_again", run_id="00000000-0000-0000-0000-000000000000", who="x")["asked"] is False


def test_nobody_is_asked_to_deliver_again_what_is_being_brought_at_this_moment(desk: Desk) -> None:
    """What comes of that would be taken for the answer to this; a telling that was put off is not waited for."""
    run_id = desk.saved()
    desk.call("begin_telling", run_id=run_id, state="saved", teller="courier", seconds=15.0)
    asked = {"run_id": run_id, "who": "web:Ada"}
    assert desk.call("deliver_again", **asked) == {"asked": False, "state": "saved", "why": "under_way"}
    desk.call("tell_later", run_id=run_id, state="saved", at="2100-01-01T00:00:00Z")
    assert desk.call("deliver_again", **asked)["asked"]
    assert desk.call("begin_telling", run_id=run_id, state="saved", teller="another", seconds=15.0) is not None


def test_a_run_waits_for_a_worker_once_it_is_due_and_nobody_looks(desk: Desk) -> None:
    def queue() -> tuple[int, int]:
        found = desk.call("page_overview", days=1)["queue"]
        return found["unfinished"], found["due"]

    run_id = desk.reserved()
    assert queue() == (1, 0)  # somebody will have it in a moment
    desk.age(run_id, 16)
    assert queue() == (1, 1)
    assert desk.call("page_overview", days=1)["queue"]["oldest_due_seconds"] == pytest.approx(16, abs=2)
    desk.call("attend", run_id=run_id, attend_seconds=20, progress=None)
    assert queue() == (1, 0)
    desk.call("cancel_run", run_id=run_id, by="cli:tests", reason="canceled")
    assert queue() == (0, 0)
