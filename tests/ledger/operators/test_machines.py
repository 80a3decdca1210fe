"""What several machines share: rate limits, the lease of the working machine, and where clips are."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.ledger.client import LedgerClient


def bucket(name: str, at_most: int = 100, window: float = 60.0, gap: float = 0.0) -> dict[str, Any]:
    return {"bucket": name, "at_most": at_most, "window_seconds": window, "gap_seconds": gap}


def test_rate_limit_enforces_the_gap_between_calls(client: LedgerClient) -> None:
    assert client.call("acquire_turn", buckets=[bucket("a", gap=5)]) == 0
    assert 4 < client.call("acquire_turn", buckets=[bucket("a", gap=5)]) <= 5
    assert client.call("acquire_turn", buckets=[bucket("b", gap=5)]) == 0


def test_rate_limit_enforces_the_maximum_per_window(client: LedgerClient) -> None:
    for _ in range(3):
        assert client.call("acquire_turn", buckets=[bucket("a", at_most=3)]) == 0
    assert 50 < client.call("acquire_turn", buckets=[bucket("a", at_most=3)]) <= 60
    assert client.call("acquire_turn", buckets=[bucket("a", at_most=4)]) == 0, "the more urgent have more room"
    client.write("update onetake.rate_buckets set calls = array(select c - interval '61 s' from unnest(calls) c)")
    assert client.call("acquire_turn", buckets=[bucket("a", at_most=3)]) == 0
    assert client.one("select cardinality(calls) from onetake.rate_buckets") == 1, (
        "what is past the window is forgotten"
    )


def test_call_in_two_buckets_is_counted_in_both_or_in_neither(client: LedgerClient) -> None:
    assert client.call("acquire_turn", buckets=[bucket("all", at_most=1)]) == 0
    assert client.call("acquire_turn", buckets=[bucket("chat"), bucket("all", at_most=1)]) > 50
    assert client.one("select cardinality(calls) from onetake.rate_buckets where bucket = 'chat'") == 0


def test_shorter_silence_does_not_shorten_a_longer_one(client: LedgerClient) -> None:
    client.call("silence_bucket", bucket="a", seconds=30)
    client.call("silence_bucket", bucket="a", seconds=3)
    assert 25 < client.call("acquire_turn", buckets=[bucket("a")]) <= 30


def test_concurrent_callers_share_one_rate_limit(client: LedgerClient) -> None:
    with ThreadPoolExecutor(6) as threads:
        waits = list(threads.map(lambda _: client.call("acquire_turn", buckets=[bucket("all", at_most=7)]), range(30)))
    assert waits.count(0) == 7


def test_buckets_unused_for_a_day_are_deleted(client: LedgerClient) -> None:
    client.call("acquire_turn", buckets=[bucket("old")])
    client.write("update onetake.rate_buckets set used_at = used_at - interval '25 hours'")
    client.call("silence_bucket", bucket="new", seconds=1)
    assert [row["bucket"] for row in client.rows("select bucket from onetake.rate_buckets")] == ["new"]


def test_host_lease_passes_to_another_host_only_after_it_expires(client: LedgerClient) -> None:
    assert client.call("take_host", host="a", seconds=0.5)["mine"]
    other = client.call("take_host", host="b", seconds=20)
    assert (other["mine"], other["host"]) == (False, "a")
    assert client.call("take_host", host="a", seconds=0.2)["mine"]
    time.sleep(0.3)
    assert client.call("take_host", host="b", seconds=20)["mine"]
    assert not client.call("take_host", host="a", seconds=20)["mine"]


def test_applied_migrations_are_listed_in_order(client: LedgerClient) -> None:
    applied = client.call("applied_migrations")
    assert applied == sorted(applied)
    assert applied == [row["version"] for row in client.rows(
        "select version from supabase_migrations.schema_migrations order by version")]  # fmt: skip


def test_clip_is_marked_as_stored_only_if_saved_and_its_hash_matches(client: LedgerClient) -> None:
    saved, rendering = client.saved("tg:1"), client.rendering("tg:2")
    asked = [saved, rendering, str(uuid4())]
    record = {"run_id": saved, "sha256": "f", "stored": None, "dropped": False, "state": "saved"}

    def clips() -> list[dict[str, object]]:
        return [{name: clip[name] for name in record} for clip in client.call("clips_of", run_ids=asked)]

    assert clips() == [record]
    client.call("note_stored", run_id=saved, stored="bucket/x.mp4", sha256="of another job's clip")
    assert clips() == [record]
    client.call("note_stored", run_id=saved, stored="bucket/x.mp4", sha256="f")
    assert clips() == [record | {"stored": "bucket/x.mp4"}]
    assert client.call("note_stored", run_id=rendering, stored="bucket/y.mp4", sha256="f")["stored"] is None


@pytest.mark.parametrize("stored", [True, False])
def test_only_delivered_clips_past_their_age_are_dropped(client: LedgerClient, stored: bool) -> None:
    runs = [client.delivered("tg:1"), client.saved("tg:2"), client.delivered("tg:3")]
    for run_id in runs:
        client.age(run_id, 86_400 * (1 if run_id == runs[2] else 8))
        if stored:
            client.call("note_stored", run_id=run_id, stored=f"b/{run_id}.mp4", sha256="f")
    here = [] if stored else runs
    name = f"b/{runs[0]}.mp4" if stored else None
    assert client.call("clips_to_drop", days=7, run_ids=here, at_most=10) == [{"run_id": runs[0], "stored": name}]
    client.call("note_dropped", run_id=runs[0])
    client.call("note_dropped", run_id=runs[1])
    assert client.row(runs[0])["dropped_at"]
    assert client.row(runs[1])["dropped_at"] is None, "its user does not have it yet"


def test_clock_that_steps_back_does_not_block_a_bucket(client: LedgerClient) -> None:
    assert client.call("acquire_turn", buckets=[bucket("a", gap=1, at_most=2)]) == 0
    client.write("update onetake.rate_buckets set calls = array(select c + interval '1 hour' from unnest(calls) c)")
    assert client.call("acquire_turn", buckets=[bucket("a", gap=1, at_most=2)]) == 0
    assert client.call("acquire_turn", buckets=[bucket("a", gap=1, at_most=2)]) > 0


def test_bucket_deleted_during_a_call_is_created_again(client: LedgerClient) -> None:
    """Idle buckets are removed between the insert and the lock: simulated by a removal that is not committed yet."""
    client.call("acquire_turn", buckets=[bucket("a")])
    with psycopg.connect(client.dsn) as sweeping, ThreadPoolExecutor(1) as threads:
        sweeping.execute("delete from onetake.rate_buckets")
        asking = threads.submit(client.call, "acquire_turn", buckets=[bucket("a"), bucket("b")])
        time.sleep(0.3)
        sweeping.commit()
        assert asking.result(timeout=5) == 0


def test_cleanup_of_idle_buckets_skips_locked_ones(client: LedgerClient) -> None:
    client.call("acquire_turn", buckets=[bucket("old")])
    client.write("update onetake.rate_buckets set used_at = used_at - interval '25 hours'")
    with psycopg.connect(client.dsn) as using:
        using.execute("select from onetake.rate_buckets for update")
        client.call("silence_bucket", bucket="new", seconds=1)
    assert client.one("select count(*) from onetake.rate_buckets") == 2
