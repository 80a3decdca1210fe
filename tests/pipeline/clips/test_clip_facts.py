"""What the provider really made: kept with its own extension, measured, and reported if it is not what was ordered."""

import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from media.clip_file import Facts, Kind
from pipeline.clips import storage
from pipeline.clips.bucket import Bucket, open_bucket
from pipeline.clips.maintenance import ClipMaintenance
from pipeline.context import RunContext
from pipeline.ledger.client import Ledger
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import Json, LedgerUnavailable
from pipeline.run import admit, run
from steps.check_limits import Admitted
from tests.media.builders import moov, mp4, webm
from tests.support.fixtures import Simulator, open_test_context, order_request, simulator_process
from tests.support.project import SECRET_KEY, jwt

NAME = "onetake"
MOV = mp4(brand=b"qt  ")
SHORT = mp4(index=moov(720, 1280, 4))
SHORT_AND_WIDE = mp4(index=moov(1280, 720, 4))


@pytest.fixture
def at() -> Iterator[Simulator]:
    with simulator_process("--speed", "instant", f"--supabase-key={SECRET_KEY}={jwt('service_role')}") as process:
        yield process


@pytest.fixture
async def bucket(at: Simulator) -> AsyncIterator[Bucket]:
    async with open_bucket(at.url.removesuffix("/v1"), SECRET_KEY, NAME) as opened:
        yield opened


@pytest.fixture
async def context(at: Simulator, ledger_dsn: str, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, at, tmp_path) as opened:
        yield opened


async def bought(context: RunContext, at: Simulator) -> Run:
    admitted = await admit(order_request(at), context.ledger)
    assert isinstance(admitted, Admitted), admitted
    until = time.monotonic() + 30
    while time.monotonic() < until:
        row = await run(admitted.run_id, context)
        assert row is not None
        if row.ended:
            assert row.state is State.SAVED
            return row
    raise AssertionError("not saved")


async def odd(context: RunContext, row: Run) -> list[Mapping[str, Any]]:
    events = await Operators(context.ledger.rpc).events(row.run_id)
    return [event.detail for event in events if (event.step, event.outcome) == ("save_video", "not_as_ordered")]


@pytest.mark.parametrize(
    ("file", "facts", "as_ordered"),
    [
        (mp4(), Facts(Kind.MP4, 720, 1280, 8.0), True),
        (mp4(index=moov(0, 0, 0)), Facts(Kind.MP4), True),
        (SHORT, Facts(Kind.MP4, 720, 1280, 4.0), False),
        (MOV, Facts(Kind.MOV, 720, 1280, 8.0), True),
        (webm(), Facts(Kind.WEBM, 360, 640, 4.0), False),
    ],
    ids=["as ordered", "says nothing", "shorter", "QuickTime", "WebM"],
)
async def test_run_records_the_measured_kind_size_and_length_of_its_clip(
    context: RunContext, at: Simulator, file: bytes, facts: Facts, as_ordered: bool
) -> None:
    at.makes(file)
    row = await bought(context, at)
    assert row.file == os.fspath(context.media / f"{row.run_id}.{facts.kind}")
    assert (await storage.at_hand(row, context)).read_bytes() == file
    assert Facts(Kind(row.clip_kind or ""), row.clip_width, row.clip_height, row.clip_seconds) == facts
    told = await odd(context, row)
    assert bool(told) is not as_ordered
    assert len(told) <= 1


async def test_timeline_shows_what_was_made_and_ordered_if_the_clip_differs(context: RunContext, at: Simulator) -> None:
    at.makes(SHORT)
    [detail] = await odd(context, await bought(context, at))
    assert detail == {"made": "4 s at 720x1280", "ordered": "8 s at 720x1280"}


@pytest.mark.parametrize("file", [mp4()[:32], mp4()[:-1], b"", b"{}", bytes(4000)])
async def test_incomplete_clip_is_fetched_again_without_a_second_order(
    context: RunContext, at: Simulator, file: bytes
) -> None:
    at.makes(file)
    row = await bought(context, at)
    assert row.file is not None
    assert Path(row.file).stat().st_size > 500
    assert at.creates() == 1


@pytest.mark.parametrize("lie", ["open_mdat_cut", "one_byte_mdat", "fragment_lost", "zeros", "hole", "sound_alone"])
async def test_damaged_clip_with_consistent_boxes_is_fetched_again(
    context: RunContext, at: Simulator, lie: str
) -> None:
    at.trouble("content", lie, times=2)
    row = await bought(context, at)
    events = await Operators(context.ledger.rpc).events(row.run_id)
    told = [event.detail["words"] for event in events if event.outcome == "not_fetched"]
    whys = ("cut short", "outside of its pictures", "not all there", "no pictures")
    assert len(told) == 1 and any(why in told[0] for why in whys)
    assert (row.clip_seconds, at.creates()) == (8.0, 1)


async def test_each_reason_for_a_failed_fetch_is_on_the_timeline_once(context: RunContext, at: Simulator) -> None:
    at.trouble("content", "status", status=503, times=2)
    at.makes(b"<html>please sign in\0</html>")
    at.makes(b"<html>please wait</html>")
    at.makes(b"<html>please wait</html>")
    row = await bought(context, at)
    events = await Operators(context.ledger.rpc).events(row.run_id)
    told = [event.detail for event in events if event.outcome == "not_fetched"]
    assert [detail["status"] for detail in told] == [503, 200, 200]
    assert told[2]["words"] == "not a video; it begins: <html>please wait</html>"


async def test_clip_facts_lost_in_a_crash_are_read_from_the_file(context: RunContext, at: Simulator) -> None:
    real = context.ledger.rpc

    async def rpc(name: str, args: Mapping[str, Json]) -> Json:
        if name == "note_clip":
            raise LedgerUnavailable("the process died here")
        return await real(name, args)

    at.makes(MOV)
    with pytest.raises(LedgerUnavailable):
        await bought(replace(context, ledger=Ledger(rpc)), at)
    [path] = context.media.glob("*.mov")
    row = await context.ledger.load(path.stem)
    assert row is not None
    assert (row.state, row.clip_kind) == (State.SAVED, None)
    assert storage.facts_of(row, await storage.at_hand(row, context)) == Facts(Kind.MOV, 720, 1280, 8.0)


async def test_clip_facts_with_another_clips_hash_are_not_recorded(context: RunContext, at: Simulator) -> None:
    row = await bought(context, at)
    facts = {"kind": "mov", "width": 1, "height": 1, "seconds": 1.0}
    await context.ledger.rpc("note_clip", {"run_id": str(row.run_id), "sha256": "f" * 64, "facts": facts})
    assert replace(await fresh(context, row), read_at=row.read_at) == row


async def fresh(context: RunContext, row: Run) -> Run:
    found = await context.ledger.load(row.run_id)
    assert found is not None
    return found


async def test_webm_clip_is_stored_in_the_bucket_and_fetched_back(
    context: RunContext, at: Simulator, bucket: Bucket
) -> None:
    at.makes(webm())
    row = await bought(context, at)
    with_bucket = replace(context, bucket=bucket)
    await ClipMaintenance(with_bucket).once()
    name = f"{row.run_id}.webm"
    assert (await fresh(context, row)).stored == f"{NAME}/{name}"
    there = at.control("GET", "/_sim/supabase")["buckets"][NAME]["objects"]
    assert there[name]["content_type"] == "video/webm"
    (context.media / name).unlink()
    assert (await storage.at_hand(await fresh(context, row), with_bucket)).name == name


async def test_old_webm_clip_is_removed(context: RunContext, at: Simulator, ledger_dsn: str) -> None:
    at.makes(webm())
    row = await bought(context, at)
    assert row.file is not None
    long_ago = time.time() - 8 * 86_400
    os.utime(row.file, (long_ago, long_ago))
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("update onetake.runs set state = 'delivered', saved_at = saved_at - interval '8 days'")
    await ClipMaintenance(replace(context, keep_days=7)).once()
    assert not Path(row.file).exists()
    assert (await fresh(context, row)).dropped_at is not None


async def test_maintenance_renames_a_clip_left_unnamed_by_a_crash(context: RunContext, at: Simulator) -> None:
    at.makes(webm())
    row = await bought(context, at)
    assert row.file is not None
    Path(row.file).replace(storage.fetched_path(row, context))
    await ClipMaintenance(context).once()
    assert Path(row.file).exists()


async def test_clip_followed_by_padding_is_accepted(context: RunContext, at: Simulator) -> None:
    at.trouble("content", "padded", always=True)
    assert (await bought(context, at)).clip_seconds == 8.0


async def test_among_several_clip_urls_the_one_with_the_ordered_clip_is_used(
    context: RunContext, at: Simulator
) -> None:
    at.control("POST", "/_sim/habits", {"clip_url": "previews", "content_status": 404})
    row = await bought(context, at)
    assert row.clip_seconds == 8.0
    assert await odd(context, row) == []


async def test_envelope_status_is_not_taken_for_the_jobs_status(ledger_dsn: str, tmp_path: Path) -> None:
    """The envelope says `success` while the job renders, and the content is a preview until then."""
    with simulator_process("--render-seconds", "1") as at:
        at.control("POST", "/_sim/habits", {"envelope": "jsend", "preview_seconds": 2})
        async with open_test_context(ledger_dsn, at, tmp_path) as context:
            assert (await bought(context, at)).clip_seconds == 8.0
