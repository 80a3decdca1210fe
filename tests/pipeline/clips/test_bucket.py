"""Clips in Storage, on the simulator's, which follows the public API: interrupted, repeated, refused, full."""

import hashlib
import json
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pipeline.clips import storage
from pipeline.clips.bucket import Bucket, BucketPublic, BucketRefused, BucketUnavailable, open_bucket
from pipeline.clips.maintenance import ClipMaintenance
from pipeline.context import RunContext
from pipeline.ledger.records import Run, State
from pipeline.run import admit, run
from steps.check_limits import Admitted
from tests.support.fixtures import Simulator, open_test_context, order_request, simulator_process
from tests.support.project import SECRET_KEY, jwt

CLIP = b"a clip of some bytes" * 50
LARGE_BYTES = 20_000_000
NAME = "onetake"


@pytest.fixture
def at() -> Iterator[Simulator]:
    with simulator_process("--speed", "instant", f"--supabase-key={SECRET_KEY}={jwt('service_role')}") as process:
        yield process


@pytest.fixture
async def bucket(at: Simulator) -> AsyncIterator[Bucket]:
    async with open_bucket(at.url.removesuffix("/v1"), SECRET_KEY, NAME) as opened:
        yield opened


@pytest.fixture
async def context(at: Simulator, bucket: Bucket, ledger_dsn: str, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, at, tmp_path) as opened:
        yield replace(opened, bucket=bucket)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / f"{uuid4()}.mp4"
    path.write_bytes(CLIP)
    return path


def stored(at: Simulator) -> dict[str, Any]:
    """The bucket as Storage shows it."""
    found: dict[str, Any] = at.control("GET", "/_sim/supabase")["buckets"][NAME]
    return found


def make_bucket(at: Simulator, **options: object) -> None:
    """Creates it as somebody else would, with the project's key."""
    request = urllib.request.Request(
        at.url.removesuffix("/v1") + "/storage/v1/bucket",
        method="POST",
        data=json.dumps({"id": NAME, "name": NAME, **options}).encode(),
        headers={"Content-Type": "application/json", "apikey": SECRET_KEY, "Authorization": f"Bearer {SECRET_KEY}"},
    )
    with urllib.request.urlopen(request, timeout=60):
        pass


async def fetched(bucket: Bucket, clip: Path) -> bytes:
    """The object under the clip's name in the bucket; its hash is checked."""
    draft = clip.with_suffix(".part")
    sha256 = await bucket.get(f"{NAME}/{clip.name}", draft)
    assert sha256 == hashlib.sha256(draft.read_bytes()).hexdigest()
    return draft.read_bytes()


async def bought(context: RunContext, at: Simulator, prompt: str = "a paper boat in the rain") -> Run:
    answer = await admit(order_request(at, prompt), context.ledger)
    assert isinstance(answer, Admitted), answer
    row = await run(answer.run_id, context)
    assert row is not None
    assert row.state is State.SAVED
    return row


# -- the bucket


async def test_missing_bucket_is_created_as_private(at: Simulator, bucket: Bucket, clip: Path) -> None:
    assert await bucket.put(clip, clip.name) == f"{NAME}/{clip.name}"
    assert stored(at)["public"] is False
    assert stored(at)["objects"][clip.name]["content_type"] == "video/mp4"
    assert await fetched(bucket, clip) == CLIP


async def test_a_public_bucket_is_refused(at: Simulator, bucket: Bucket) -> None:
    make_bucket(at, public=True)
    with pytest.raises(BucketPublic, match=r"^SUPABASE_BUCKET: the bucket onetake is public; make it private"):
        await bucket.prepare()


async def test_uploading_a_clip_twice_keeps_one_object(at: Simulator, bucket: Bucket, clip: Path) -> None:
    for _ in range(2):
        await bucket.put(clip, clip.name)
    assert list(stored(at)["objects"]) == [clip.name]
    assert stored(at)["objects"][clip.name]["uploads"] == 2


async def test_bucket_deleted_while_running_is_created_again(at: Simulator, bucket: Bucket, clip: Path) -> None:
    await bucket.prepare()
    at.control("DELETE", "/_sim/supabase")
    await bucket.put(clip, clip.name)
    assert clip.name in stored(at)["objects"]


async def test_creating_a_bucket_that_another_client_just_created_succeeds(
    at: Simulator, bucket: Bucket, clip: Path
) -> None:
    async with open_bucket(at.url.removesuffix("/v1"), SECRET_KEY, NAME) as other:
        await bucket.prepare()
        await other._make()
        await other.put(clip, clip.name)
    assert await fetched(bucket, clip) == CLIP


async def test_signed_link_opens_without_a_key_until_it_expires(at: Simulator, bucket: Bucket, clip: Path) -> None:
    await bucket.put(clip, clip.name)
    with urllib.request.urlopen(await bucket.link(clip.name, 60), timeout=60) as answer:
        assert answer.read() == CLIP
    ended = await bucket.link(clip.name, -1)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(ended, timeout=60)


async def test_upload_above_the_buckets_size_limit_is_refused_with_413(
    at: Simulator, bucket: Bucket, clip: Path
) -> None:
    make_bucket(at, file_size_limit=10)
    with pytest.raises(BucketRefused) as refused:
        await bucket.put(clip, clip.name)
    assert refused.value.status == "413"


async def test_missing_object_is_404_on_get_and_no_error_on_remove(bucket: Bucket, tmp_path: Path) -> None:
    await bucket.prepare()
    with pytest.raises(BucketRefused) as refused:
        await bucket.get(f"{NAME}/nothing.mp4", tmp_path / "clip.part")
    assert refused.value.status == "404"
    await bucket.remove(f"{NAME}/nothing.mp4")


async def test_bucket_refuses_another_projects_key_and_the_error_does_not_show_it(at: Simulator, clip: Path) -> None:
    key = "a-key-of-another-project"
    async with open_bucket(at.url.removesuffix("/v1"), key, NAME) as other:
        with pytest.raises(BucketRefused, match="SUPABASE_SERVICE_ROLE_KEY") as refused:
            await other.put(clip, clip.name)
    assert key not in str(refused.value)


@pytest.mark.parametrize("trouble", ["drop_before", "done_then_drop"])
async def test_interrupted_upload_can_be_repeated(at: Simulator, bucket: Bucket, clip: Path, trouble: str) -> None:
    await bucket.prepare()
    at.trouble("storage", trouble)
    with pytest.raises(BucketUnavailable):
        await bucket.put(clip, clip.name)
    await bucket.put(clip, clip.name)
    assert await fetched(bucket, clip) == CLIP


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_upload_raises_bucket_unavailable_on_429_and_5xx(
    at: Simulator, bucket: Bucket, clip: Path, status: int
) -> None:
    await bucket.prepare()
    at.trouble("storage", "status", status=status)
    with pytest.raises(BucketUnavailable):
        await bucket.put(clip, clip.name)


async def test_large_clip_is_downloaded_without_holding_it_in_memory(bucket: Bucket, clip: Path) -> None:
    clip.write_bytes(bytes(LARGE_BYTES))
    await bucket.put(clip, clip.name)
    tracemalloc.start()
    await bucket.get(f"{NAME}/{clip.name}", clip.with_suffix(".part"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.with_suffix(".part").stat().st_size == LARGE_BYTES
    assert peak < LARGE_BYTES / 4


async def test_download_that_is_cut_off_or_too_long_is_rejected(
    at: Simulator, bucket: Bucket, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bucket.put(clip, clip.name)
    at.trouble("storage", "half_answer")
    with pytest.raises(BucketUnavailable):
        await fetched(bucket, clip)
    monkeypatch.setattr("pipeline.clips.bucket.CLIP_BYTES_MAX", len(CLIP) - 1)
    with pytest.raises(BucketRefused, match="more bytes than any clip has"):
        await fetched(bucket, clip)


# -- a run's clip


async def test_saved_run_has_its_clip_in_the_folder_and_in_the_bucket(context: RunContext, at: Simulator) -> None:
    row = await bought(context, at)
    assert row.file is not None
    assert Path(row.file).is_file()
    assert row.stored == f"{NAME}/{row.run_id}.mp4"
    assert stored(at)["objects"][f"{row.run_id}.mp4"]["sha256"] == row.file_sha256


async def test_unavailable_storage_does_not_block_a_run_and_gets_the_clip_later(
    context: RunContext, at: Simulator
) -> None:
    at.trouble("storage", "drop_before", always=True)
    row = await bought(context, at)
    assert row.stored is None
    maintenance = ClipMaintenance(context)
    await maintenance.once()
    at.control("DELETE", "/_sim/faults")
    await maintenance.once()
    fresh = await context.ledger.load(row.run_id)
    assert fresh is not None
    assert fresh.stored == f"{NAME}/{row.run_id}.mp4"
    assert f"{row.run_id}.mp4" in stored(at)["objects"]
    await maintenance.once()
    assert stored(at)["objects"][f"{row.run_id}.mp4"]["uploads"] == 1, "what lies there is not put again"


async def test_clip_too_large_for_the_bucket_is_saved_locally(context: RunContext, at: Simulator) -> None:
    make_bucket(at, file_size_limit=10)
    row = await bought(context, at)
    assert (row.state, row.stored) == (State.SAVED, None)
    await ClipMaintenance(context).once()
    assert row.file is not None
    assert Path(row.file).is_file()


async def test_public_bucket_gets_no_clip_and_the_run_is_still_saved(context: RunContext, at: Simulator) -> None:
    make_bucket(at, public=True)
    row = await bought(context, at)
    assert (row.state, row.stored, stored(at)["objects"]) == (State.SAVED, None, {})


async def test_another_machine_gets_the_clip_from_the_bucket(
    context: RunContext, at: Simulator, tmp_path: Path
) -> None:
    row = await bought(context, at)
    assert row.file is not None
    elsewhere = replace(context, media=tmp_path / "another machine")
    there = replace(row, file="/on/the/first/machine.mp4")
    path = await storage.at_hand(there, elsewhere)
    assert path.parent == elsewhere.media
    assert path.read_bytes() == Path(row.file).read_bytes()
    assert [each.name for each in elsewhere.media.iterdir()] == [path.name], "no draft is left"


@pytest.mark.parametrize("why", ["other bytes", "gone", "away", "no room"])
async def test_unobtainable_clip_raises_file_not_found(
    context: RunContext, at: Simulator, tmp_path: Path, why: str
) -> None:
    row = replace(await bought(context, at), file="/on/the/first/machine.mp4")
    elsewhere = replace(context, media=tmp_path / "another machine")
    assert context.bucket is not None
    at.trouble("content", "status", status=404, always=True)
    if why == "other bytes":
        row = replace(row, file_sha256="0" * 64)
    elif why == "gone":
        await context.bucket.remove(f"{NAME}/{row.run_id}.mp4")
    elif why == "away":
        at.trouble("storage", "drop_before", always=True)
    else:
        elsewhere.media.write_bytes(b"a file where the folder should be")
    with pytest.raises(FileNotFoundError):
        await storage.at_hand(row, elsewhere)


async def test_only_old_delivered_clips_are_removed_from_folder_and_bucket(
    context: RunContext, at: Simulator, ledger_dsn: str
) -> None:
    rows = []
    for prompt in ("one boat", "two boats", "three boats"):
        rows.append(await bought(context, at, prompt))
        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            connection.execute("update onetake.runs set reserved_at = reserved_at - interval '1 hour'")
    old, undelivered, young = rows
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute(
            "update onetake.runs set saved_at = saved_at - interval '8 days' where run_id = any(%s)",
            ([old.run_id, undelivered.run_id],),
        )
        connection.execute(
            "update onetake.runs set state = 'delivered' where run_id = any(%s)", ([old.run_id, young.run_id],)
        )
    await ClipMaintenance(replace(context, keep_days=7)).once()
    left = {f"{row.run_id}.mp4" for row in (undelivered, young)}
    assert {path.name for path in context.media.glob("*.mp4")} == left
    assert set(stored(at)["objects"]) == left
    fresh = await context.ledger.load(old.run_id)
    assert fresh is not None
    assert fresh.dropped_at is not None


async def test_no_clip_is_removed_when_keep_days_is_unset(context: RunContext, at: Simulator) -> None:
    row = await bought(context, at)
    await ClipMaintenance(context).once()
    assert row.file is not None
    assert Path(row.file).is_file()


async def test_foreign_video_in_the_media_folder_is_ignored_by_maintenance(context: RunContext, at: Simulator) -> None:
    row = await bought(replace(context, bucket=None), at)
    (context.media / "holiday.mp4").write_bytes(CLIP)
    await ClipMaintenance(context).once()
    assert list(stored(at)["objects"]) == [f"{row.run_id}.mp4"]


async def test_unreadable_clip_does_not_block_the_upload_of_others(
    context: RunContext, at: Simulator, ledger_dsn: str
) -> None:
    rows = []
    for prompt in ("a boat", "a kite"):
        rows.append(await bought(replace(context, bucket=None), at, prompt))
        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            connection.execute("update onetake.runs set reserved_at = reserved_at - interval '1 hour'")
    for broken in rows:
        path = context.media / f"{broken.run_id}.mp4"
        kept = path.read_bytes()
        path.unlink()
        path.mkdir()  # cannot be read as a file, by anybody
        await ClipMaintenance(context).once()
        path.rmdir()
        path.write_bytes(kept)
        other = next(row for row in rows if row is not broken)
        assert f"{other.run_id}.mp4" in stored(at)["objects"]


async def test_local_file_with_wrong_content_is_not_delivered_as_the_runs_clip(
    context: RunContext, at: Simulator
) -> None:
    row = await bought(context, at)
    path = context.media / f"{row.run_id}.mp4"
    whole = path.read_bytes()
    for wrong in (b"", b"another run's clip"):
        path.write_bytes(wrong)
        assert (await storage.at_hand(row, context)).read_bytes() == whole


async def test_machine_without_the_bucket_does_not_drop_clips_stored_there(
    context: RunContext, at: Simulator, ledger_dsn: str
) -> None:
    row = await bought(context, at)
    await context.ledger.mark_notified(row.run_id, State.SAVED, delivered=True)
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("update onetake.runs set saved_at = saved_at - interval '3 days'")
    await ClipMaintenance(replace(context, bucket=None, keep_days=1)).once()
    fresh = await context.ledger.load(row.run_id)
    assert fresh is not None
    assert fresh.dropped_at is None
    await ClipMaintenance(replace(context, keep_days=1)).once()
    assert stored(at)["objects"] == {}
