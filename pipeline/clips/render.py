"""From a job to a saved clip: wait, fetch, store, settle. Free to repeat at any point.

In       a rendering run, and the task that is writing its caption
Out      the run: saved, failed as the provider reports, in doubt again, or still rendering and perhaps parked
Effects  reads the provider, writes one file; the money is settled in the transaction that sets `saved`
"""

import asyncio
import contextlib
import os
from datetime import timedelta
from functools import partial

from media.clip_file import as_ordered, in_words
from pipeline.clips import storage
from pipeline.clips.ownership import another_order, gone_for_good, not_ours, why_not_taken
from pipeline.context import RunContext
from pipeline.ledger.answers import Cost
from pipeline.ledger.clip_records import ClipRecords
from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase import evidence, submission
from pipeline.purchase.charges import note_shown
from pipeline.purchase.evidence import Ending
from pipeline.purchase.reconcile import next_look
from providers.job import Job, JobStatus
from providers.openai_videos.missing_clip import is_about_reading, is_absent, will_be_repeated
from providers.port import ReadError
from providers.refusals.words import refuses_content
from steps import generate_video
from steps.generate_video import Clip, Missing, Rendered, SaysFailed, StillRendering
from steps.save_video import save, stored

FETCH_RETRY = timedelta(seconds=5)


async def wait_and_save(run: Run, caption: asyncio.Task[Run], context: RunContext) -> Run:
    try:
        return await _wait_and_save(run, caption, context)
    except OSError as error:  # full, read-only, missing, busy, out of descriptors: no clip can be stored now
        words = error.strerror or str(error) or type(error).__name__
        await ClipRecords(context.ledger.rpc).note_not_stored(run.run_id, words)
        return await _later(run, ReadError(None, "disk_full"), context)


async def _wait_and_save(run: Run, caption: asyncio.Task[Run], context: RunContext) -> Run:
    fetched = storage.fetched_path(run, context)
    if clip := stored(fetched):  # a crash came before the ledger was updated
        return await _settle(run, clip, caption, context, context.boot_seconds())
    if not context.account.matches(run):
        return await context.ledger.park(run.run_id, "provider_not_configured", next_look(run, context))
    ended = await _wait(run, context)
    match ended:
        case Rendered(job=job):
            await note_shown(run, job, context.ledger.rpc)
            return await _fetch_rendered(run, job, caption, context)
        case SaysFailed(job=job, detail=detail):
            return await _check_failure(run, job, detail, caption, context)
        case StillRendering():
            return await _past_deadline(run, ended, caption, context)


async def _wait(run: Run, context: RunContext) -> Rendered | SaysFailed | StillRendering:
    """Polls until the render ends or its deadline passes; a parked run is polled once."""
    assert run.job_id is not None
    elapsed = run.age(run.rendering_at).total_seconds()
    left = 0.0 if run.parked else max(0.0, context.waits.render_deadline.total_seconds() - elapsed)
    failing = run.failing_since is not None

    return await generate_video.wait(
        run.job_id,
        context.account.provider,
        model=run.model,
        expected_seconds=0.0 if failing else await expected_seconds(run, context),
        elapsed_seconds=elapsed,
        deadline_seconds=left,
        poll_seconds=context.waits.poll_seconds,
        looked=_Watched(run, context),
        clock=context.boot_seconds,
        sleep=context.sleep,
        jitter=context.jitter,
        failing_words=run.failing_words if _failed_long_ago(run, context) else None,
        why_another=lambda job: another_order(run, job, context),
    )


def _failed_long_ago(run: Run, context: RunContext) -> bool:
    """Whether a failure is old enough for "not found" to confirm it (rule 2): a restarting server may show both."""
    return run.failure_shown and run.age(run.job_seen_at) >= context.waits.render_deadline


class _Watched:
    """After each look: records the progress, an unknown status word, and that the job no longer fails."""

    def __init__(self, run: Run, context: RunContext) -> None:
        self._run = run
        self._context = context

    async def __call__(self, job: Job) -> None:
        run, context = self._run, self._context
        seen = job.job_id if job.exists else None
        await context.ledger.heartbeat(run.run_id, context.waits.heartbeat, job.progress, seen)
        if not job.named or job.status in {JobStatus.FAILED, JobStatus.EXPIRED}:
            return  # an echo of the requested id does not tell whether the job has failed
        odd_word = job.word if job.status is JobStatus.UNKNOWN and job.word != run.provider_word else None
        if run.failing_since is not None or odd_word:
            self._run = await context.ledger.note_failing(run.run_id, job.job_id, None, odd_word, seen=job.exists)


async def expected_seconds(run: Run, context: RunContext) -> float:
    """The expected render time: from the ledger's history, or else from models.toml."""
    known = await context.ledger.median_render_seconds(run.base_url, run.model, run.seconds)
    return known if known is not None else float(context.account.rules_for(run.model).typical_render_seconds)


async def _fetch_rendered(run: Run, job: Job, caption: asyncio.Task[Run], context: RunContext) -> Run:
    # The list showed this job with our prompt; the job itself shows another one.
    if run.job_source is JobSource.LIST and (why := await not_ours(run, job, context)):
        run = await context.ledger.note_failing(run.run_id, job.job_id, why, seen=True)
        return await _end(run, job, why, context)
    gone = gone_for_good(run, context.waits.parked)
    if job.named and job.described and run.done_seen_at is None:
        run = await ClipRecords(context.ledger.rpc).note_done(run.run_id, job.job_id)
    if run.failing_since is not None and job.named and not gone:
        run = await context.ledger.note_failing(run.run_id, job.job_id, None, seen=True)  # it no longer fails
    got = await _fetch(run, job, caption, context)
    if isinstance(got, Run):
        return got
    words = "the provider made the clip and no longer has it"
    if isinstance(got, Missing) and job.refuses_content(got.detail, run.order().prompt):
        words = got.detail
    if isinstance(got, Missing) and job.named and job.described and gone and is_absent(got.status, got.detail, words):
        return await _end(
            await context.ledger.note_failing(run.run_id, job.job_id, words, seen=True), job, words, context
        )
    return await _later(run, got, context)


async def _check_failure(run: Run, job: Job, words: str, caption: asyncio.Task[Run], context: RunContext) -> Run:
    """Fails the run after two looks that agree, if the clip is definitely absent (docs/design.md, "Evidence", rule 2).

    A job that is not found gets here only if an earlier look saw it.
    """
    unsure = will_be_repeated(words) or (is_about_reading(words) and not refuses_content(words))
    if not unsure:
        run = await context.ledger.note_failing(run.run_id, job.job_id, words, job.word, seen=job.exists)
    got = await _fetch(run, job, caption, context)
    if isinstance(got, Run):
        return got
    if unsure:  # the words do not prove that the job has ended
        return await _later(run, ReadError(got.status, words), context)
    if isinstance(got, ReadError):  # no word on the clip: it may be there
        return await _later(run, got, context)
    if not is_absent(got.status, got.detail, words):  # it may still come
        return await _later(run, got, context)
    return await _end(run, job, words, context)


async def _end(run: Run, job: Job, words: str, context: RunContext) -> Run:
    """Ends the run on the second look. A clip that was made is charged; a failure only where failures are billed."""
    apart = context.waits.look if job.exists else context.waits.render_deadline  # "not found" needs a longer wait
    match evidence.ending_of(run, apart):
        case Ending.WAIT:
            return await context.ledger.wait_until(run.run_id, run.read_at + context.waits.look)
        case Ending.BACK_TO_DOUBT:
            return await context.ledger.back_to_doubt(run.run_id, job.job_id, words, context.waits.look)
        case Ending.FAIL:
            refused = job.refuses_content(words, run.order().prompt)
            may_bill = refused and bool(context.account.provider.api.facts.refusal_may_bill)
            done = not refused if job.status is JobStatus.COMPLETED else run.done_seen_at is not None
            made = job.is_gone or done
            reason = "expired" if made else "prompt_refused" if refused else "render_failed"
            failed = await context.ledger.fail(
                run.run_id,
                State.RENDERING,
                reason,
                words,
                spent=made or run.bills_failed or may_bill,
                breaker=None if made or refused else "render",
                job_id=job.job_id,
                apart=apart,
            )
            if failed:  # what it cost, if it shows that: nothing may have been billed
                await note_shown(run, job, context.ledger.rpc)
            fresh = await submission.reload(run, context)
            if failed or fresh.state is not State.RENDERING:
                return fresh
            return await context.ledger.park(run.run_id, "two_jobs", next_look(fresh, context))


async def _past_deadline(run: Run, last: StillRendering, caption: asyncio.Task[Run], context: RunContext) -> Run:
    """The deadline passed and the job has not ended: tries to fetch the clip before it parks the run."""
    fresh = await submission.reload(run, context)
    if fresh.state is not State.RENDERING or fresh.job_id is None:
        return fresh
    job = last.job
    if job is None or job.job_id != fresh.job_id:
        job = Job(fresh.job_id, JobStatus.UNKNOWN, named=False)
    got = await _fetch(fresh, job, caption, context)
    if isinstance(got, Run):
        return got
    fresh = await submission.reload(fresh, context)
    if last.error is not None:
        await ClipRecords(context.ledger.rpc).note_not_fetched(run.run_id, last.error.status, last.error.detail)
    return await context.ledger.park(run.run_id, _why_no_end(fresh, last), next_look(fresh, context))


def _why_no_end(run: Run, last: StillRendering) -> str:
    if last.not_found:
        return "job_gone" if run.job_exists else "job_unknown"
    if last.error is None:
        return "render_deadline"
    return "job_unreadable" if last.job is None else "job_shown_otherwise"


async def _fetch(run: Run, job: Job, caption: asyncio.Task[Run], context: RunContext) -> Run | Missing | ReadError:
    """The saved run, or why no clip was saved.

    A whole clip is saved whatever its job's status says, unless it may be a preview or another order's clip.
    """
    if why := await not_ours(run, job, context):
        return ReadError(None, why)
    if why := another_order(run, job, context):
        return ReadError(None, why)
    draft, fetched = storage.new_draft(run.run_id, context), storage.fetched_path(run, context)
    started = context.boot_seconds()
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        ordered = partial(as_ordered, seconds=run.seconds, size=run.size)
        got = await generate_video.fetch(job, context.account.provider, draft, ordered)
        if isinstance(got, Clip) and (why := why_not_taken(run, job, got.facts, context.waits.parked)):
            return await _refuse_clip(run, got, why, context)
        if isinstance(got, Clip):
            return await _settle(run, await asyncio.to_thread(save, draft, fetched), caption, context, started)
        return got
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


async def _refuse_clip(run: Run, clip: Clip, why: str, context: RunContext) -> ReadError:
    ordered = f"{run.seconds} s at {run.size}"
    words = f"got a clip of {in_words(clip.facts)} for the ordered {ordered}, {why}"
    await ClipRecords(context.ledger.rpc).note_not_fetched(run.run_id, 200, words)
    return ReadError(200, words)


async def _later(run: Run, got: Missing | ReadError, context: RunContext) -> Run:
    """The clip could not be fetched or stored: retries soon; parks the run once the deadline has passed."""
    if got.detail != "disk_full":
        words = got.detail or f"HTTP {got.status}"
        await ClipRecords(context.ledger.rpc).note_not_fetched(run.run_id, got.status, words)
    fresh = await submission.reload(run, context)
    if fresh.state is not State.RENDERING:
        return fresh
    if fresh.age(fresh.rendering_at) <= context.waits.render_deadline:
        return await context.ledger.wait_until(run.run_id, fresh.read_at + FETCH_RETRY)
    why = "disk_full" if got.detail == "disk_full" else "content_unreadable"
    return await context.ledger.park(run.run_id, why, next_look(fresh, context))


async def _settle(run: Run, clip: Clip, caption: asyncio.Task[Run], context: RunContext, started: float) -> Run:
    """The file is complete and synced: uploads it if Storage is quick, waits for the caption, then marks the run saved.

    `started`: when the fetch began, in boot seconds; the step's duration counts from there.
    """
    stored_as = await storage.upload_soon(run.run_id, clip, context)  # the clip then survives a lost disk
    await caption
    if not clip.path.exists():  # the row must not claim a clip that does not exist
        return await context.ledger.wait_until(run.run_id, run.read_at)
    took_ms = int((context.boot_seconds() - started) * 1000)
    saved = await context.ledger.save(
        run.run_id,
        os.fspath(storage.path_of(run.run_id, clip.facts.kind, context)),
        clip.bytes,
        clip.sha256,
        job_id=run.job_id,
        ms=took_ms,
    )
    twin = await ClipRecords(context.ledger.rpc).same_clip_as(run.run_id, clip.sha256) if saved.file is None else None
    if twin:  # the ledger leaves the clip to the first run that saved it
        return await _anothers_clip(saved, clip, twin, context)
    return await _noted(await storage.keep(saved, clip, stored_as, context), clip, context)


async def _anothers_clip(run: Run, clip: Clip, twin: str, context: RunContext) -> Run:
    clip.path.unlink(missing_ok=True)
    words = f"the provider sent the same file as for run {twin}, which ordered something else"
    return await _later(run, ReadError(None, words), context)


async def _noted(run: Run, clip: Clip, context: RunContext) -> Run:
    """Records the clip's actual properties on the row, and once on the timeline if they differ from the order."""
    if run.file_sha256 != clip.sha256:
        return run
    known = run.clip_kind is not None
    run = await ClipRecords(context.ledger.rpc).note_facts(run.run_id, clip.sha256, clip.facts)
    if not known and not as_ordered(clip.facts, run.seconds, run.size):
        detail = {"made": in_words(clip.facts), "ordered": f"{run.seconds} s at {run.size}"}
        await context.ledger.record_event(run.run_id, "save_video", "not_as_ordered", Cost(detail=detail))
    return run
