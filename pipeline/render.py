"""From a job to a saved clip: wait, fetch, store, settle. Free to repeat at any point.

In       a rendering run, and the task that is writing its caption
Out      the run: saved, failed (the provider says so), or rendering still and parked
Effects  reads the provider, writes one file; the money is settled in the same commit that says `saved`
"""

import asyncio
import errno
import os
from datetime import timedelta
from pathlib import Path

from pipeline import clips, fence
from pipeline.reconcile import next_look
from pipeline.records import Run, State
from pipeline.world import World
from steps import generate_video
from steps.generate_video import Clip, Expired, Missing, Rendered, RenderFailed, StillRendering
from steps.save_video import save, stored
from steps.videos_protocol import Job

FETCH_RETRY = timedelta(seconds=5)
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # no space, no quota, or no file that large


async def wait_and_save(run: Run, caption: asyncio.Task[Run], world: World) -> Run:
    fetched = clips.fetched_path(run, world)
    if clip := stored(fetched):  # a crash came between the file and the ledger
        return await _settle(run, clip, caption, world, world.boot_seconds())
    if not world.shop.sells(run):
        return await world.ledger.park(run.run_id, "provider_not_configured", next_look(run, world))
    ended = await _wait(run, world)
    match ended:
        case Rendered(job=job):
            return await _fetch(run, job, fetched, caption, world)
        case RenderFailed(detail=detail):
            await world.ledger.fail(
                run.run_id,
                State.RENDERING,
                "render_failed",
                detail,
                spent=run.bills_failed,
                breaker="render",
                job_id=run.job_id,
            )
            return await fence.reload(run, world)
        case StillRendering():
            fresh = await fence.reload(run, world)
            if fresh.state is not State.RENDERING:
                return fresh
            return await world.ledger.park(run.run_id, "render_deadline", next_look(fresh, world))


async def _wait(run: Run, world: World) -> Rendered | RenderFailed | StillRendering:
    """Looks until the render ends or its deadline passes; a parked run gets a single look."""
    assert run.job_id is not None
    elapsed = run.age(run.rendering_at).total_seconds()
    left = 0.0 if run.parked else max(0.0, world.waits.render_deadline.total_seconds() - elapsed)

    async def alive(progress: int | None) -> None:
        await world.ledger.attend(run.run_id, world.waits.attend, progress)

    return await generate_video.wait(
        run.job_id,
        world.shop.provider,
        expected_seconds=await expected_seconds(run, world),
        elapsed_seconds=elapsed,
        deadline_seconds=left,
        poll_seconds=world.waits.poll_seconds,
        attend_seconds=world.waits.attend.total_seconds() / 2,
        alive=alive,
        clock=world.boot_seconds,
        sleep=world.sleep,
        jitter=world.jitter,
    )


async def expected_seconds(run: Run, world: World) -> float:
    """How long this render should take: the ledger's own history, or what models.toml says."""
    known = await world.ledger.median_render_seconds(run.base_url, run.model, run.seconds)
    return known if known is not None else float(world.shop.rules_for(run.model).typical_render_seconds)


async def _fetch(run: Run, job: Job, fetched: Path, caption: asyncio.Task[Run], world: World) -> Run:
    draft = clips.new_draft(run.run_id, world)
    started = world.boot_seconds()
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        got = await generate_video.fetch(job, world.shop.provider, draft)
        if isinstance(got, Clip):
            return await _settle(run, await asyncio.to_thread(save, draft, fetched), caption, world, started)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        return await _later(run, "disk_full", world)
    finally:
        draft.unlink(missing_ok=True)
    fresh = await fence.reload(run, world)
    if isinstance(got, Missing) and _gone_for_good(fresh, job, world):
        got = Expired("the provider made the clip and no longer has it")
    if isinstance(got, Expired):
        await world.ledger.fail(run.run_id, State.RENDERING, "expired", got.detail, spent=True, job_id=run.job_id)
        return await fence.reload(run, world)
    return await _later(run, "content_unreadable", world)


def _gone_for_good(run: Run, job: Job, world: World) -> bool:
    """One 404 proves nothing, storage may lag; past the job's own expiry, or parked to the end, it will not come."""
    if job.expires_at is not None and job.expires_at > (job.created_at or 0.0):
        return run.read_at.timestamp() > job.expires_at + world.waits.clock_skew.total_seconds()
    return run.parked and run.age(run.parked_at) > world.waits.parked


async def _later(run: Run, why: str, world: World) -> Run:
    """The clip is there and could not be fetched or stored: again soon, parked once the deadline has passed."""
    fresh = await fence.reload(run, world)
    if fresh.age(fresh.rendering_at) > world.waits.render_deadline:
        return await world.ledger.park(run.run_id, why, next_look(fresh, world))
    return await world.ledger.wait_until(run.run_id, fresh.read_at + FETCH_RETRY)


async def _settle(run: Run, clip: Clip, caption: asyncio.Task[Run], world: World, started: float) -> Run:
    """The file is complete and synced; now Storage, if it is quick, and the caption; then the row may say so.

    `started`: when its fetch began, in boot seconds; what the step took counts from there.
    """
    stored_as = await clips.upload_soon(run.run_id, clip.path, world)  # a machine that dies with its disk lost nothing
    await caption
    took_ms = int((world.boot_seconds() - started) * 1000)
    saved = await world.ledger.save(
        run.run_id,
        os.fspath(clips.path_of(run.run_id, world)),
        clip.bytes,
        clip.sha256,
        job_id=run.job_id,
        ms=took_ms,
    )
    return await clips.keep(saved, clip, stored_as, world)
