"""The fence: the only way to the provider's POST.

    1. begin_submission   approved -> submitting, one winner, committed
    2. POST /videos       once
    3. answer file        synced
    4. record_submission  committed, and the answer file is dropped

In       an approved run
Out      the run as the ledger has it afterwards
Effects  at most one POST in the run's whole life: only the holder of the winner's token reaches step 2, and step 2
         never retries. If the caller is canceled, the purchase still finishes.
"""

import logging
from datetime import timedelta

from net.error_text import storable
from pipeline.context import FREE_BYTES_MIN, RunContext
from pipeline.ledger.answers import Cost, NotWon
from pipeline.ledger.clip_records import ClipRecords, PurchaseRecords
from pipeline.ledger.records import JobSource, Run, State
from pipeline.ledger.transports.common import Json, LedgerUnavailable
from pipeline.purchase.answer_files import KeptAnswer
from providers.apis import api_of
from providers.job import Job, JobStatus
from providers.job_ids import same_job
from providers.openai_videos.job_rows import KEPT_CHARACTERS_MAX
from providers.openai_videos.jobs import ids_shown
from providers.order_match import Shown, far_from
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.transport import TooLate
from steps import generate_video
from steps.save_video import free_bytes, probe_folder

# Reasons of a clear no that concern the provider, not only this one request: the breaker counts them.
PROVIDER_FAULTS = frozenset({"unauthorized", "no_credit", "forbidden", "not_found", "rate_limited", "never_connected"})
NOT_SENT = frozenset({State.RESERVED, State.APPROVED})
DEFERRED_RETRY = timedelta(seconds=5)
log = logging.getLogger(__name__)


async def buy_once(run: Run, context: RunContext) -> Run:
    """Buys the approved run's clip, unless a check refuses, up to the last moment."""
    if not context.account.matches(run):
        return await _not_sold_here(run, context)
    if context.answers.has(run.run_id) or run.callback_job_id is not None:
        await _fail_already_sent(run, context)
        return await reload(run, context)
    if (checked := await check_folders(run, context)).state is not run.state:
        return checked
    # Not cancelable from the fence on: a cancellation between winning and sending would leave the run in doubt.
    not_won = await context.purchases.see_through(_win_and_buy(run, context))
    if not_won is not None:
        return await _deferred(await reload(run, context), not_won, context)
    return await reload(run, context)


async def check_folders(run: Run, context: RunContext) -> Run:
    """Fails the run if this machine could not store what it buys: the clip, or the answer (rule 10).

    Called before the prompt check, which costs, and again before the purchase. Opens no breaker: a breaker is about the
    provider and stops every machine, but another machine's disk may be fine.
    """
    if why := _cannot_be_stored(context):
        await context.ledger.fail(run.run_id, run.state, "disk_full", why)
        return await reload(run, context)
    return run


def _cannot_be_stored(context: RunContext) -> str | None:
    folder = context.media
    try:
        if free_bytes(folder) < FREE_BYTES_MIN:
            return "less than 1 GB is free for the clip"
        for folder in (context.media, context.answers.folder):
            probe_folder(folder)
    except OSError as error:
        return f"nothing can be written to the folder {folder.name} ({error.strerror})"
    return None


async def _win_and_buy(run: Run, context: RunContext) -> NotWon | None:
    token = context.new_token()
    asked_at = context.boot_seconds()
    fence = await context.ledger.begin_submission(run.run_id, token, context.account.slots, context.waits.request_over)
    if isinstance(fence, NotWon):
        return fence
    await _buy(run, fence.order, token, asked_at, context)
    return None


async def _buy(run: Run, order: Order, token: str, asked_at: float, context: RunContext) -> None:
    def check_deadline() -> None:
        if context.boot_seconds() - asked_at > context.waits.submit_deadline.total_seconds():
            raise TooLate

    started_at = context.boot_seconds()
    answer = await generate_video.submit(order, context.account.provider, check_deadline)
    took_ms = int((context.boot_seconds() - started_at) * 1000)
    kept = KeptAnswer(run.run_id, token, answer, order.provider)
    try:
        context.answers.keep(kept)
    except OSError as error:  # a full disk must not lose the answer: the ledger can still record it
        log.error("answer_file", extra={"action": "answer_file", "run": run.ref, "error": str(error)})
    await book(kept, run, context, ms=took_ms)


async def book(kept: KeptAnswer, run: Run, context: RunContext, ms: int | None = None) -> None:
    """Records in the ledger what an answer means, then drops its file. Safe to repeat; replayed after a crash."""
    # The kept answer may come from another account, so today's 429 rule does not apply to it.
    refuses_429 = context.account.matches(run) and context.account.rules_for(run.model).refuses_429_before_work
    meaning = api_of(kept.provider, run.base_url).read_answer(
        kept.answer, refuses_429=refuses_429, our_key=str(kept.run_id), prompt=run.improved_prompt or ""
    )
    match meaning:
        case Made(job=job):
            await _record_job(kept, run, job, context, ms)
        case ClearNo(reason=reason, detail=detail):
            await _fail_clearly(kept, reason, detail, context, ms)
        case Unclear(reason=reason):
            shown = kept_words(kept.answer)
            await context.ledger.mark_uncertain(kept.run_id, reason, token=kept.token, ms=ms, answer=shown)
    if kept.answer.attempts:  # after the job's id, which must not wait for it
        records = PurchaseRecords(context.ledger.rpc)
        await records.note_gateway(kept.run_id, kept.answer.attempts, kept.answer.gateway_model)
    context.answers.drop(kept.run_id)


async def _record_job(kept: KeptAnswer, run: Run, job: Job, context: RunContext, ms: int | None) -> None:
    if await _found_otherwise(kept, job, context):
        await _keep_on_timeline(kept, context)
        return
    if len(ids_shown(kept.answer.body)) > 1:  # a person may need the other ids (rule 9)
        await _keep_on_timeline(kept, context)
    recorded = await context.ledger.record_submission(
        kept.run_id, job.job_id, JobSource.ANSWER, token=kept.token, ms=ms
    )
    if recorded.why == "owned":
        await context.ledger.mark_uncertain(kept.run_id, "job_owned_by_another_run", token=kept.token, ms=ms)
    if recorded.recorded and (parts := far_from(job, run.order()) - {Shown.PROMPT}):
        await ClipRecords(context.ledger.rpc).note_shown_otherwise(kept.run_id, job.job_id, sorted(parts))
    if recorded.recorded and (words := generate_video.failure_of(job)):  # the first of the two looks
        await context.ledger.note_failing(kept.run_id, job.job_id, words, job.word, seen=False)


async def _found_otherwise(kept: KeptAnswer, job: Job, context: RunContext) -> bool:
    """Whether the answer is an error whose id may be its request's, and the run has found another job meanwhile."""
    if job.described or job.status is not JobStatus.FAILED:
        return False
    run = await context.ledger.load(kept.run_id)
    return run is not None and run.job_id is not None and not same_job(run.job_id, job.job_id)


async def _keep_on_timeline(kept: KeptAnswer, context: RunContext) -> None:
    await context.ledger.record_event(
        kept.run_id, "generate_video", "answer_kept", Cost(detail=kept_words(kept.answer))
    )


def kept_words(answer: Answer) -> dict[str, Json]:
    """The answer as a person may read it later; it has no key of the provider (`providers.transport` removes it)."""
    kept: dict[str, Json] = {"status": answer.status, "body": storable(answer.body, KEPT_CHARACTERS_MAX)}
    return kept | ({"location": answer.location} if answer.location else {})


async def _fail_clearly(kept: KeptAnswer, reason: str, detail: str, context: RunContext, ms: int | None) -> None:
    """A clear no is proof, even if the run was marked uncertain, or a job was adopted for it, meanwhile."""
    breaker = "answer" if reason in PROVIDER_FAULTS else None
    for state in (State.SUBMITTING, State.UNCERTAIN, State.RENDERING):
        if await context.ledger.fail(kept.run_id, state, reason, detail, token=kept.token, breaker=breaker, ms=ms):
            return
    # The run has already ended in another way. The answer changes nothing, but may explain why.
    await _keep_on_timeline(kept, context)


async def replay_answers(context: RunContext) -> None:
    """Records the answers that a crash or an outage kept out of the ledger."""
    for kept in context.answers.all():
        try:
            run = await context.ledger.load(kept.run_id)
            ours = context if run is None else context.for_run(run)
            if run is None:  # another ledger's answer: its file stays until that ledger is opened again
                await _keep_stray(kept, "unknown_run", context)
            elif not await context.ledger.is_winner(kept.run_id, kept.token):
                await _keep_stray(kept, "another_token", context)
                if run.state not in NOT_SENT or await _fail_already_sent(run, context):
                    context.answers.drop(kept.run_id)
            else:
                await book(kept, run, ours)
        except LedgerUnavailable:
            raise
        except Exception:  # an answer that cannot be booked stays in its file and must not block the others
            log.exception("replay", extra={"action": "replay", "run_id": str(kept.run_id)})


async def _fail_already_sent(run: Run, context: RunContext) -> bool:
    """Ends a run that was answered although its ledger has not sent it; False if the run has moved meanwhile.

    The ledger was restored from before this run's one request, which must not be sent again.
    """
    words = f"the provider reported job {run.callback_job_id}" if run.callback_job_id else "an answer to it is on disk"
    if run.callback_job_id:  # it names a job that was paid for (rule 9)
        await context.ledger.keep_stray_answer(run.run_id, "another_token", None, words)
    return await context.ledger.fail(run.run_id, run.state, "already_sent", f"this run's request was sent: {words}")


async def _keep_stray(kept: KeptAnswer, why: str, context: RunContext) -> None:
    """Keeps the answer for operators: it may name a job that was paid for (rule 9)."""
    shown = storable(kept.answer.body, KEPT_CHARACTERS_MAX)
    await context.ledger.keep_stray_answer(kept.run_id, why, kept.answer.status, shown)


async def _not_sold_here(run: Run, context: RunContext) -> Run:
    """The run's provider or key is not configured here: it waits for a worker that has them, for a limited time."""
    if _never_confirmed(run):
        return await _take_back(run, context)
    confirmed = run.confirmed_at is not None or not run.needs_confirmation
    if confirmed and run.age(run.confirmed_at or run.approved_at) > context.waits.pause_patience:
        detail = f"ordered for {run.base_url} with another key than the one configured now"
        await context.ledger.fail(run.run_id, State.APPROVED, "not_sold_here", detail)
        return await reload(run, context)
    return await context.ledger.wait_until(run.run_id, run.read_at + context.waits.look)


async def _deferred(run: Run, fence: NotWon, context: RunContext) -> Run:
    """The fence refused: the run waits for the user's tap or for the fence to open, or ends after too long a wait."""
    if run.state is not State.APPROVED:
        return run
    if fence.refused == "not_confirmed":
        if _never_confirmed(run):
            return await _take_back(run, context)
        waiting = await context.ledger.wait_until(run.run_id, run.confirm_until)
        if waiting.confirmed_at is None:
            return waiting
        # The tap came just before this wait was stored.
        return await context.ledger.wait_until(run.run_id, waiting.read_at)
    if fence.refused in {"paused", "breaker_open"} and run.age(run.deferred_since) > context.waits.pause_patience:
        await context.ledger.fail(run.run_id, State.APPROVED, fence.refused, fence.reason or "")
        return await reload(run, context)
    return await context.ledger.wait_until(run.run_id, run.read_at + DEFERRED_RETRY)


def _never_confirmed(run: Run) -> bool:
    waits = run.needs_confirmation and run.confirmed_at is None
    return waits and run.confirm_until is not None and run.confirm_until <= run.read_at


async def _take_back(run: Run, context: RunContext) -> Run:
    await context.ledger.cancel(run.run_id, "sweep", "not_confirmed")
    return await reload(run, context)


async def reload(run: Run, context: RunContext) -> Run:
    fresh = await context.ledger.load(run.run_id)
    assert fresh is not None, f"run {run.ref} has left the ledger"
    return fresh
