"""A clip belongs to a job: once a late proof gives the run another job, the fetched clip is not the run's any more."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from media.clip_file import Facts, Kind
from pipeline.clips import storage
from pipeline.clips.bucket import Bucket, open_bucket
from pipeline.clips.maintenance import ClipMaintenance
from pipeline.context import RunContext
from pipeline.ledger.answers import Won
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import JobSource, Run, State
from pipeline.ledger.transports.common import Json, LedgerUnavailable
from pipeline.ledger.transports.over_rest import open_client
from pipeline.run import admit, run
from providers.clips.download import Content
from providers.openai_videos.protocol import read_answer
from providers.orders import Made
from steps.check_limits import Admitted
from steps.generate_video import Clip
from tests.support.fixtures import Simulator, open_test_context, order_request, simulator_process
from tests.support.project import SECRET_KEY, jwt

NAME = "onetake"


@pytest.fixture
def at() -> Iterator[Simulator]:
    with simulator_process("--speed", "instant", f"--supabase-key={SECRET_KEY}={jwt('service_role')}") as process:
        yield process


@asynccontextmanager
async def opened(at: Simulator, name: str = NAME) -> AsyncIterator[Bucket]:
    async with open_bucket(at.url.removesuffix("/v1"), SECRET_KEY, name) as bucket:
        yield bucket


@pytest.fixture
async def context(at: Simulator, ledger_dsn: str, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, at, tmp_path) as place, opened(at) as bucket:
        yield replace(place, bucket=bucket)


@dataclass(frozen=True)
class Bought:
    run_id: UUID
    token: str
    job_id: str


async def bought_and_lost(context: RunContext, at: Simulator, user: str) -> Bought:
    """A paid job whose answer has not reached the ledger yet."""
    admitted = await admit(order_request(at, user_id=user), context.ledger)
    assert isinstance(admitted, Admitted), admitted
    verdict: dict[str, Json] = {
        "improved_prompt": "a boat",
        "title": "t",
        "category": "c",
        "language": "en",
        "template": {},
    }
    paid: dict[str, Json] = {"confirm_seconds": 900, "cost_microusd": 0, "ms": 1}
    await context.ledger.rpc("approve", {"run_id": str(admitted.run_id), **verdict, **paid})
    token = secrets.token_hex(16)
    won = await context.ledger.begin_submission(admitted.run_id, token, context.account.slots)
    assert isinstance(won, Won)
    made = read_answer(await context.account.provider.post(won.order, lambda: None), refuses_429=False)
    assert isinstance(made, Made)
    await context.ledger.mark_uncertain(admitted.run_id, "lost", token=token)
    return Bought(admitted.run_id, token, made.job.job_id)


async def adopted_crosswise(context: RunContext, at: Simulator) -> tuple[Bought, Bought]:
    """Two equal runs, each given the other's job from the list, which cannot tell them apart."""
    one, two = await bought_and_lost(context, at, "cli:a"), await bought_and_lost(context, at, "cli:b")
    assert (await context.ledger.record_submission(one.run_id, two.job_id, JobSource.LIST)).recorded
    assert (await context.ledger.record_submission(two.run_id, one.job_id, JobSource.LIST)).recorded
    return one, two


async def proven(context: RunContext, bought: Bought) -> None:
    """The late answer: the job is this run's, whoever adopted it."""
    await context.ledger.record_submission(bought.run_id, bought.job_id, JobSource.ANSWER, token=bought.token)


async def sha256_of(context: RunContext, job_id: str, folder: Path) -> str:
    got = await context.account.provider.content(job_id, folder / "as the provider has it")
    assert isinstance(got, Content)
    return got.sha256


def before_save(context: RunContext, happens: Callable[[], Awaitable[None]]) -> RunContext:
    """Makes something else happen just before the run is recorded as saved."""
    real = context.ledger.rpc

    async def rpc(name: str, args: Mapping[str, Json]) -> Json:
        if name == "save_run":
            await happens()
        return await real(name, args)

    return replace(context, ledger=Ledger(rpc))


async def fresh(context: RunContext, run_id: UUID) -> Run:
    row = await context.ledger.load(run_id)
    assert row is not None
    return row


def due(ledger_dsn: str) -> None:
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("update onetake.runs set next_look_at = null")


async def test_crash_after_fetching_another_jobs_clip_still_saves_the_right_clip(
    context: RunContext, at: Simulator, ledger_dsn: str, tmp_path: Path
) -> None:
    async def die() -> None:
        raise LedgerUnavailable("the process died here")

    one, two = await adopted_crosswise(context, at)
    with pytest.raises(LedgerUnavailable):
        await run(one.run_id, before_save(context, die))
    await proven(context, two)
    due(ledger_dsn)
    for each in (one, two):
        await run(each.run_id, context)
    for each in (one, two):
        row = await fresh(context, each.run_id)
        assert (row.state, row.job_id) == (State.SAVED, each.job_id)
        assert row.file_sha256 == await sha256_of(context, each.job_id, tmp_path)
        assert hashlib.sha256((await storage.at_hand(row, context)).read_bytes()).hexdigest() == row.file_sha256
    assert at.creates() == 2
    await ClipMaintenance(context).once()
    assert len(list(context.media.glob(".*"))) == 1, "what was fetched for the wrong run is kept for a day"
    with psycopg.connect(ledger_dsn) as connection:
        connection.execute("update onetake.runs set state_since = state_since - interval '25 hours'")
    await ClipMaintenance(context).once()
    assert not list(context.media.glob(".*"))


async def test_job_swap_during_an_upload_leaves_no_stored_path_of_the_wrong_clip(
    context: RunContext, at: Simulator, ledger_dsn: str, tmp_path: Path
) -> None:
    one, two = await adopted_crosswise(context, at)
    row = await run(one.run_id, before_save(context, lambda: proven(context, two)))
    assert row is not None
    assert (row.state, row.stored) == (State.RENDERING, None)
    at.trouble("storage", "drop_before", always=True)
    due(ledger_dsn)
    row = await run(one.run_id, context)
    assert row is not None
    assert (row.state, row.stored, row.job_id) == (State.SAVED, None, one.job_id)
    at.control("DELETE", "/_sim/faults")
    await ClipMaintenance(context).once()
    row = await fresh(context, one.run_id)
    assert row.stored == f"{NAME}/{one.run_id}.mp4"
    elsewhere = replace(context, media=tmp_path / "another machine")
    assert storage.is_clip(await storage.at_hand(row, elsewhere), row.file_sha256)


async def bought(context: RunContext, at: Simulator, prompt: str = "a paper boat") -> Run:
    admitted = await admit(order_request(at, prompt, user_id=f"cli:{prompt}"), context.ledger)
    assert isinstance(admitted, Admitted)
    row = await run(admitted.run_id, context)
    assert row is not None
    assert row.state is State.SAVED
    return row


async def test_clip_whose_hash_differs_from_the_row_does_not_replace_the_runs_file(
    context: RunContext, at: Simulator, tmp_path: Path
) -> None:
    row = await bought(context, at)
    kept, other = storage.saved_path(row, context), tmp_path / "another job's"
    before = kept.read_bytes()
    other.write_bytes(b"clip")

    clip = Clip(other, 4, hashlib.sha256(b"clip").hexdigest(), Facts(Kind.MP4))
    assert await storage.keep(row, clip, f"{NAME}/elsewhere.mp4", context) == row

    assert kept.read_bytes() == before and other.exists()
    assert (await fresh(context, row.run_id)).stored == row.stored


async def test_clip_left_unnamed_by_a_dead_process_is_found_and_renamed(context: RunContext, at: Simulator) -> None:
    row = await bought(context, at)
    named, unnamed = storage.path_of(row.run_id, Kind.MP4, context), storage.fetched_path(row, context)
    named.rename(unnamed)
    assert await storage.at_hand(row, context) == named
    named.rename(unnamed)
    await ClipMaintenance(context).once()
    assert named.is_file()
    assert not unnamed.exists()


async def test_local_file_with_wrong_content_is_not_uploaded_to_the_bucket(context: RunContext, at: Simulator) -> None:
    row = await bought(replace(context, bucket=None), at)
    path = storage.path_of(row.run_id, Kind.MP4, context)
    whole = path.read_bytes()
    path.write_bytes(b"left over from another machine's run")
    await ClipMaintenance(context).once()
    assert (await fresh(context, row.run_id)).stored is None
    path.write_bytes(whole)
    await ClipMaintenance(context).once()
    assert (await fresh(context, row.run_id)).stored is not None


async def test_hanging_storage_does_not_block_a_run(
    context: RunContext, at: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "UPLOAD_SOON_SECONDS", 0.3)
    at.trouble("storage", "hang", always=True)
    async with asyncio.timeout(60):
        row = await bought(context, at)
    assert row.stored is None


async def test_clips_stay_available_after_the_configured_bucket_changes(
    context: RunContext, at: Simulator, tmp_path: Path
) -> None:
    row = await bought(context, at)
    async with opened(at, "renamed") as renamed:
        elsewhere = replace(context, media=tmp_path / "another machine", bucket=renamed)
        assert storage.is_clip(await storage.at_hand(row, elsewhere), row.file_sha256)
        await context.ledger.mark_notified(row.run_id, State.SAVED, delivered=True)
        await ClipMaintenance(replace(elsewhere, keep_days=1e-9)).once()
    assert (await fresh(context, row.run_id)).dropped_at is not None
    assert at.control("GET", "/_sim/supabase")["buckets"][NAME]["objects"] == {}


async def test_bucket_that_becomes_public_gets_no_clip_and_raises_an_alert(context: RunContext, at: Simulator) -> None:
    await bought(context, at)
    async with open_client(at.url.removesuffix("/v1"), SECRET_KEY) as client:
        await client.storage.update_bucket(NAME, {"public": True})
    maintenance = ClipMaintenance(context)
    await maintenance.once()
    row = await bought(context, at, "a kite")
    await maintenance.once()
    assert row.stored is None
    alerts = await context.ledger.rpc("take_alerts", {"seconds": 60})
    assert isinstance(alerts, list)
    (alert,) = [each for each in alerts if each["kind"] == "storage"]
    assert "the bucket onetake is public" in alert["detail"]["words"]
