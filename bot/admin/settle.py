"""Settling a run in doubt from the chat: found, not charged, taken back.

In       an AdminContext, and the words after the verb
Out      one message: the result, or what to send to insist
Effects  one look at the job at the provider, free; the ledger's functions, each with the operator's id
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup

from bot import messages
from bot.admin.context import AdminContext
from bot.translations import N_, Words, code
from pipeline.ledger.answers import Recorded
from pipeline.ledger.records import Run, State
from pipeline.purchase import settling
from pipeline.purchase.settling import Contradicts, NotSeen, Unseen
from providers.job import Job, JobStatus
from providers.order_match import Shown

UNSEEN, DESPITE, EARLY = "unseen", "despite", "early"
NOT_SEEN: Mapping[Unseen, str] = {
    Unseen.UNKNOWN: N_("The provider does not know job {job}."),
    Unseen.UNREAD: N_("Job {job} could not be looked up at the provider."),
    Unseen.UNNAMED: N_("The provider's answer does not name job {job}."),
    Unseen.NOT_SOLD_HERE: N_(
        "{ref} was ordered from a provider, or with a key, that is not configured here, so job {job} cannot be "
        "looked up."
    ),
}


async def found(admin_context: AdminContext, ref: str, job_id: str, insists: str | None, why: str | None) -> Markup:
    """`insists`: `unseen` or `despite`; either needs a reason, `why`."""
    words = admin_context.words
    run = await admin_context.ledger.find(ref)
    if run is None:
        return no_such_run(words, ref)
    if insists and not why:
        return _needs_a_reason(words, _found_command(words, insists, run, job_id))
    answer = await settling.settle_found(
        run,
        job_id,
        admin_context.who,
        why,
        admin_context.operators,
        admin_context.tools.account,
        unseen=insists == UNSEEN,
        despite=insists == DESPITE,
    )
    if isinstance(answer, NotSeen):
        return words(
            "{what} Nothing was changed. Check the id; if you are certain, send {command}.",
            what=words(NOT_SEEN[answer.why], ref=run.ref, job=code(job_id)),
            command=_found_command(words, UNSEEN, run, job_id),
        )
    if isinstance(answer, Contradicts):
        return words(
            "The provider shows job {job} with {parts}. Nothing was changed. If it is this order anyway, send "
            "{command}.",
            job=code(job_id),
            parts=_differences(run, answer, words),
            command=_found_command(words, DESPITE, run, job_id),
        )
    if not answer.recorded.recorded:
        return _why_not_found(run, answer.recorded, job_id, words)
    if run.file is None:
        await admin_context.tools.enqueue(run.run_id)
    return _found(run, job_id, answer.job, words)


def _found_command(words: Words, insists: str, run: Run, job_id: str) -> Markup:
    sentence = {
        UNSEEN: N_("/admin found {ref} {job} unseen REASON"),
        DESPITE: N_("/admin found {ref} {job} despite REASON"),
    }
    return code(words.plain(sentence[insists], ref=run.ref, job=job_id))


def _needs_a_reason(words: Words, command: Markup) -> Markup:
    return words("Nothing was changed: a reason is required. Send {command}.", command=command)


def no_such_run(words: Words, ref: str) -> Markup:
    return words("There is no run {ref}. Nothing was changed.", ref=ref)


def _differences(run: Run, seen: Contradicts, words: Words) -> Markup:
    job, order = seen.job, run.order()
    sentence = {
        Shown.SECONDS: words("{shown} s instead of {ordered} s", shown=job.seconds, ordered=order.seconds),
        Shown.SIZE: words("{shown} instead of {ordered}", shown=job.size, ordered=order.size),
        Shown.MODEL: words("the model {shown} instead of {ordered}", shown=job.model, ordered=order.model),
        Shown.PROMPT: words("a different prompt"),
        Shown.INPUT: words("different settings"),
        Shown.MARKER: words("another order's marker"),
    }
    return Markup(", ").join(said for part, said in sentence.items() if part in seen.parts)


def _found(run: Run, job_id: str, job: Job | None, words: Words) -> Markup:
    """What happens to the price: it is spent only if the provider shows the job as made, or being made."""
    told = {"ref": run.ref, "job": code(job_id)}
    if run.file is not None:
        return words("{ref} is job {job}, and its video is already here. Nothing was changed.", **told)
    if job is None:
        return words(
            "{ref} is job {job}, which the provider does not show. Its price stays set aside until the video is here.",
            **told,
        )
    if job.status is JobStatus.COMPLETED:
        return words("{ref} is job {job}. Its price counts as spent; the video is being fetched.", **told)
    if job.running:
        return words(
            "{ref} is job {job}. Its price counts as spent; the video will be fetched once it is ready.", **told
        )
    if job.status is JobStatus.UNKNOWN:
        return words(
            "{ref} is job {job}, which the provider shows as “{word}”. Its price stays set aside until the video is "
            "here.",
            word=job.word or "?",
            **told,
        )
    return words(
        "{ref} is job {job}, which the provider shows as failed. Its price stays set aside until a second check "
        "confirms it.",
        **told,
    )


def _why_not_found(run: Run, recorded: Recorded, job_id: str, words: Words) -> Markup:
    if recorded.why == "owned":
        return words(
            "Job {job} already belongs to run {ref}. Nothing was changed.",
            job=code(job_id),
            ref=recorded.owner or "?",
        )
    return _not_open(run, words)


def _not_open(run: Run, words: Words) -> Markup:
    return words(
        "{ref} is neither in doubt nor parked: {state}. Nothing was changed.",
        ref=run.ref,
        state=messages.state(run, words),
    )


async def not_charged(admin_context: AdminContext, run: Run, why: str | None = None, *, early: bool = False) -> Markup:
    """Settles the run as not charged, unless it has changed since it was shown or its job may still turn up."""
    words = admin_context.words
    if early and not why:
        return _needs_a_reason(words, _early_command(words, run))
    settled = await settling.settle_not_charged(
        run,
        admin_context.who,
        why,
        admin_context.ledger,
        admin_context.tools.account,
        admin_context.tools.waits,
        early=early,
    )
    fresh = await admin_context.ledger.find(run.ref) or run
    if settled.settled or fresh.reason == "not_charged":  # perhaps by this same call, if its first answer was lost
        await admin_context.tools.enqueue(run.run_id)
        said = words(
            "{ref} is settled as not charged: {held} was released, and its user is being notified.",
            ref=run.ref,
            held=words.usd(run.price_microusd),
        )
        alone = words("The provider's list does not confirm this; it rests on your word alone.")
        return Markup(" ").join([said, alone]) if settling.on_whose_word(run) else said
    if settled.why == "changed":
        return more_is_known(words, run.ref)
    if settled.why == "shown":
        return _shown(run, settled.shown, words)
    return _early(run, settled.until, words) if settled.why == "early" else _not_open(fresh, words)


def _shown(run: Run, status: str | None, words: Words) -> Markup:
    insist = _early_command(words, run)
    if run.job_id is None:
        return words(
            "The provider's list shows a job that may be the order of {ref}{jobs}. Nothing was changed. If the "
            "provider's records show that the job belongs to another order, send {command}.",
            ref=run.ref,
            jobs=Markup(": ") + code(status) if status else "",
            command=insist,
        )
    return words(
        "The provider shows job {job} of {ref} as {status}. Nothing was changed. If the provider's records show that "
        "it was not charged, send {command}.",
        job=code(run.job_id),
        ref=run.ref,
        status=status or "?",
        command=insist,
    )


def _early(run: Run, until: datetime | None, words: Words) -> Markup:
    when = words(" until {time} UTC", time=f"{until.astimezone(UTC):%Y-%m-%d %H:%M}") if until else ""
    return words(
        "The order of {ref} may still turn up at the provider{until}. Nothing was changed. If the provider's records "
        "show that it was not made, send {command}.",
        ref=run.ref,
        until=when,
        command=_early_command(words, run),
    )


def _early_command(words: Words, run: Run) -> Markup:
    return code(words.plain(N_("/admin notcharged {ref} early REASON"), ref=run.ref))


def more_is_known(words: Words, ref: str) -> Markup:
    return words("{ref} has changed since this message; check /admin again. Nothing was changed.", ref=ref)


async def take_back(admin_context: AdminContext, ref: str, why: str | None) -> Markup:
    """Takes back the last settlement of the run."""
    words = admin_context.words
    run = await admin_context.ledger.find(ref)
    if run is None:
        return no_such_run(words, ref)
    settled = await admin_context.operators.take_back(run.run_id, admin_context.who, why)
    fresh = await admin_context.ledger.find(run.ref) or run
    if not settled.settled:
        return _why_not_taken_back(fresh, settled.why, words)
    await admin_context.tools.enqueue(run.run_id)
    told = {"ref": run.ref, "held": words.usd(fresh.held_microusd)}
    if fresh.state is State.RENDERING:
        return words(
            "The settlement was taken back: {ref} is rendering again, as job {job}. {held} is set aside.",
            job=code(fresh.job_id or "?"),
            **told,
        )
    return words("The settlement was taken back: {ref} is in doubt again. {held} is set aside.", **told)


def _why_not_taken_back(run: Run, why: str | None, words: Words) -> Markup:
    if why == "bought_again":
        return words(
            "The user of {ref} has since ordered the same video again, so it stays settled. Nothing was changed.",
            ref=run.ref,
        )
    if why == "fetched":
        return words(
            "Too late: {ref} has moved on since then, so it stays settled ({state}). Nothing was changed.",
            ref=run.ref,
            state=messages.state(run, words),
        )
    return words(
        "Nobody has settled {ref}, so there is nothing to take back. Nothing was changed.",
        ref=run.ref,
    )
