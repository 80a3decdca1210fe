"""Whether a job, or the file downloaded for it, is this run's. If not, it is not saved, and does not end the run.

In       a run, and its job as the provider shows it, or a whole file downloaded for that job
Out      why it is not taken, in words for operators; None if it is
Effects  `not_ours` reads the ledger
"""

from datetime import timedelta

from media.clip_file import Facts, has_shape, is_longer, is_much_smaller, is_shorter
from pipeline.context import RunContext
from pipeline.ledger.clip_records import ClipRecords
from pipeline.ledger.records import JobSource, Run
from providers.job import Job, JobStatus
from providers.order_match import Shown, far_from, same_words, size_of, swapped_words

PLACEHOLDER_TIME = timedelta(days=30)  # a creation time this long before the order is a placeholder
ENDED = {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.EXPIRED}


async def not_ours(run: Run, job: Job, context: RunContext) -> str | None:
    """Why the job's own prompt shows that it is not this run's; None if the prompt fits.

    Responses get swapped and ids mixed up: a job with a clearly different prompt is fetched only if a person insists.
    """
    echoes = context.account.rules_for(run.model).listing.echoes_prompts
    if run.job_source is JobSource.PERSON or not (echoes and job.named and job.prompt):
        return None
    ordered = run.order().prompt
    if same_words(job.prompt, ordered):
        return None
    records = ClipRecords(context.ledger.rpc)
    if not swapped_words(job.prompt, ordered) and await records.prompt_of_another(run.run_id, job.prompt) is None:
        return None
    return _shown_otherwise(run, job, Shown.PROMPT)


def another_order(run: Run, job: Job, context: RunContext) -> str | None:
    """Why the job under our id is another order's; None if it may be ours.

    Where each replica counts its own ids, one id names several jobs: a look at another order's job ends nothing, and
    its clip is not fetched. Besides the fields that already differed in its answer to the order, a server may show one
    more field differently, but not two; and none if the job was made before our order was sent.
    """
    order, skew = run.order(), context.waits.clock_skew
    if run.job_source is JobSource.PERSON or not job.named or (job.prompt and same_words(job.prompt, order.prompt)):
        return None
    parts = far_from(job, order) - set(map(Shown, run.shown_otherwise))
    if not context.account.rules_for(run.model).listing.echoes_prompts:
        parts -= {Shown.PROMPT}
    if Shown.INPUT in parts:  # a seed that the server replaced is in both
        parts -= {Shown.MARKER}
    if not parts or (len(parts) == 1 and not _made_before(run, job, skew)):
        return None
    return _shown_otherwise(run, job, *sorted(parts))


def _shown_otherwise(run: Run, job: Job, *parts: Shown) -> str:
    despite = f"to fetch it anyway: `onetake settle {run.ref} --job {job.job_id} --despite`"
    return f"the provider shows job {job.job_id} with another {' and '.join(parts)} than ordered; {despite}"


def _made_before(run: Run, job: Job, skew: timedelta) -> bool:
    """Whether the job's time is before our order; a placeholder does not count."""
    if run.submitting_at is None or job.created_at is None:
        return False
    sent = run.submitting_at - skew
    return (sent - PLACEHOLDER_TIME).timestamp() < job.created_at < sent.timestamp()


def why_not_taken(run: Run, job: Job, facts: Facts, parked: timedelta) -> str | None:
    """Why a whole file may be a preview, or another order's clip; None if it is taken.

    Some servers serve a shorter or smaller clip while the job renders. A shorter file is taken once the job itself
    reports that it has ended, or after a day without that report. If its format would not show a cut, it is taken only
    after that day, or if a person named the job.
    """
    shorter = is_shorter(facts, run.seconds)
    if gone_for_good(run, parked):
        return None
    if job.status not in ENDED and (shorter or (job.running and is_much_smaller(facts, run.size))):
        return "but the job does not report it as done"
    if run.job_source is JobSource.PERSON:
        return None
    if shorter and not facts.ends:
        return "and a cut would not show in this format"
    other = (shorter or is_longer(facts, run.seconds)) and not has_shape(facts, run.size)
    other |= shorter and is_much_smaller(facts, run.size)  # a preview, though the job is already reported as done
    as_job_says = job.seconds == run.seconds and size_of(job.size or "") == size_of(run.size)
    return "and the job shows what was ordered" if other and as_job_says else None


def gone_for_good(run: Run, parked: timedelta) -> bool:
    """Whether to stop expecting the clip: storage may lag behind a completed job, but not after a day of looks."""
    return run.parked and run.age(run.parked_at) > parked
