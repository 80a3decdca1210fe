"""A disk or folder that cannot store a clip: nothing is bought for it, and a bought clip waits for it."""

import base64
import errno
import os
import resource
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.clips import storage
from pipeline.context import RunContext
from pipeline.ledger.alerts import Alerts
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import State
from pipeline.run import run
from tests.media.builders import moov, mp4
from tests.pipeline.test_run import admitted, driven
from tests.support.fixtures import PRICE_MICROUSD, Simulator, open_test_context, quick_waits


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        yield context


async def test_full_disk_leaves_no_partial_file_and_the_clip_is_saved_once_there_is_room(
    context: RunContext, simulator: Simulator
) -> None:
    run_id = await admitted(context, simulator)
    simulator.trouble("content", "status", status=500, times=1)
    row = await run(run_id, context)  # bought while there was room
    assert row is not None and row.state is State.RENDERING
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        row = await run(run_id, context)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert row is not None and row.state is State.RENDERING and row.held_microusd == PRICE_MICROUSD
    assert list(context.media.iterdir()) == []

    row = await driven(run_id, context)

    assert row.state is State.SAVED
    assert simulator.creates() == 1


@pytest.mark.parametrize(
    "code",
    [
        *("EROFS", "EACCES", "EPERM", "EIO", "ENODEV", "ENOSPC", "EMFILE", "ELOOP", "EBUSY", "ETIMEDOUT", "EAGAIN"),
        *("ENAMETOOLONG", "ENOTCONN", "EREMOTEIO"),
    ],
)
async def test_unwritable_media_folder_is_retried_and_alerted_once(
    context: RunContext,
    simulator: Simulator,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As if read-only since the purchase. chmod does not stop root, so the rename fails here."""
    number = getattr(errno, code)

    def refuse(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number))

    run_id = await admitted(context, simulator)
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", refuse)
        for _ in range(3):
            row = await run(run_id, context)
            assert row is not None and (row.state, row.held_microusd) == (State.RENDERING, PRICE_MICROUSD)
    assert list(context.media.iterdir()) == []
    events = await Operators(context.ledger.rpc).events(run_id)
    assert [each.detail for each in events if each.outcome == "not_stored"] == [{"words": os.strerror(number)}]
    alerts = await Alerts(context.ledger.rpc).take()
    assert [alert.kind for alert in alerts] == ["not_stored"]
    assert [record for record in caplog.records if record.exc_info] == []

    row = await driven(run_id, context)
    assert row.state is State.SAVED
    assert simulator.creates() == 1


async def test_saved_clip_that_cannot_be_renamed_yet_is_still_available(
    context: RunContext, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    run_id = await admitted(context, simulator)
    with monkeypatch.context() as broken:
        broken.setattr(storage, "_give_name", refuse)
        row = await driven(run_id, context)
        assert row.state is State.SAVED
        assert (await run(run_id, context)) is not None
        assert await storage.at_hand(row, context) == storage.saved_path(row, context), "the provider sends it again"


@pytest.mark.parametrize("what", ["deleted", "emptied", "folder gone"])
async def test_saved_clip_lost_on_disk_is_fetched_again_from_the_provider(
    context: RunContext, simulator: Simulator, what: str
) -> None:
    row = await driven(await admitted(context, simulator), context)
    path = storage.saved_path(row, context)
    whole = path.read_bytes()
    if what == "emptied":
        path.write_bytes(b"")
    elif what == "deleted":
        path.unlink()
    else:
        shutil.rmtree(context.media)

    assert (await storage.at_hand(row, context)).read_bytes() == whole
    assert list(context.media.iterdir()) == [path], "no draft is left"
    assert simulator.creates() == 1


@pytest.mark.parametrize("why", ["refused", "another file", "dropped", "another provider"])
async def test_lost_clip_that_cannot_be_fetched_again_raises_file_not_found(
    context: RunContext, simulator: Simulator, why: str
) -> None:
    row = await driven(await admitted(context, simulator), context)
    storage.saved_path(row, context).unlink()
    match why:
        case "refused":
            simulator.trouble("content", "status", status=404, always=True)
        case "another file":
            simulator.trouble("content", "file", base64=base64.b64encode(mp4(moov(seconds=9))).decode(), always=True)
        case "dropped":
            row = replace(row, dropped_at=row.read_at)
        case _:
            row = replace(row, key_fingerprint="another")
    with pytest.raises(FileNotFoundError):
        await storage.at_hand(row, context)
    assert list(context.media.iterdir()) == []


async def test_media_folder_lost_after_the_purchase_parks_the_run_until_the_folder_is_back(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.trouble("content", "status", status=500)
    async with open_test_context(
        ledger_dsn, simulator, tmp_path, quick_waits(RENDER_DEADLINE_SECONDS="0.5")
    ) as context:
        run_id = await admitted(context, simulator)
        row = await run(run_id, context)
        assert row is not None and row.state is State.RENDERING
        shutil.rmtree(context.media)
        context.media.write_bytes(b"a file where the folder was")
        row = await driven(run_id, context)
        assert (row.state, row.held_microusd, row.parked) == (State.RENDERING, PRICE_MICROUSD, True)
        assert row.look_says == "disk_full", "whenever the deadline came"
        assert [record for record in caplog.records if record.exc_info] == []

        context.media.unlink()
        row = await run(run_id, context)
        assert row is not None and row.state is State.SAVED
        assert simulator.creates() == 1


async def test_unusable_media_folder_fails_the_run_before_any_text_model_call(
    context: RunContext, simulator: Simulator
) -> None:
    """Not even the text model is called, as that costs money."""
    run_id = await admitted(context, simulator)
    context.media.write_bytes(b"a file where the folder should be")

    row = await driven(run_id, context)

    assert (row.state, row.reason, row.text_microusd) == (State.FAILED, "disk_full", 0)
    assert simulator.creates() == 0


async def test_file_size_limit_below_a_clip_fails_the_run_before_anything_is_bought(
    context: RunContext, simulator: Simulator
) -> None:
    """As under a quota, or a limit on file size."""
    run_id = await admitted(context, simulator)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        row = await driven(run_id, context)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (row.state, row.reason, simulator.creates()) == (State.FAILED, "disk_full", 0)


async def test_too_little_disk_space_fails_the_run_before_anything_is_bought(
    context: RunContext, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(Path.cwd())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=999_999_999))

    row = await driven(await admitted(context, simulator), context)

    assert (row.state, row.reason, row.released_microusd) == (State.FAILED, "disk_full", PRICE_MICROUSD)
    assert simulator.creates() == 0
