"""Settles a run in doubt by a person's decision, after checking it (docs/design.md, "Evidence", rule 11).

In       the run as the person saw it, the job id they name, and the configured provider account
Out      the ledger's answer, or why the ledger was not called; with words for the terminal, chat and page
Raises   what the ledger's transport raises
Effects  one look at the job or through the list, free; then one call of the ledger, which records who and why
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pipeline.context import ProviderAccount
from pipeline.ledger.answers import Recorded
from pipeline.ledger.client import Ledger
from pipeline.ledger.operators import Operators, Settled
from pipeline.ledger.records import Run
from pipeline.operator_text import look_words
from pipeline.purchase import evidence, reconcile
from pipeline.purchase.reconcile import request_over
from pipeline.purchase.verdicts import Absent, Adopt, InDoubt
from pipeline.settings.parts import Waits
from providers.job import Job
from providers.order_match import Shown, differs
from providers.port import ReadError
from steps.generate_video import failure_of

# Results of a last look that showed a job which may be the run's.
SHOWS_A_JOB = frozenset(
    {
        *("prompts_hidden", "unowned_job", "not_one_job_for_each_run", "found_but_failed"),
        *("two_jobs_of_one_run", "marker_of_two_runs", "job_owned_by_another_run"),
        *("callback_unread", "callback_names_no_job_of_ours"),
    }
)
LIST_SECONDS_MAX = 10.0  # a person waits for the answer; in the chat, so does every user whose update came with it
NOT_YET = frozenset({"early", "shown"})  # refusals of "not charged" that a person can override


class Unseen(StrEnum):
    NOT_SOLD_HERE = "not_sold_here"
    UNKNOWN = "unknown"
    UNREAD = "unread"
    UNNAMED = "unnamed"


@dataclass(frozen=True)
class NotSeen:
    """The provider does not show a job with this id, or could not be asked. `words`: why, for a person.

    `detail`: the read error, if the provider could not be read.
    """

    why: Unseen
    words: str
    detail: str = ""


@dataclass(frozen=True)
class Contradicts:
    """The provider shows the job, but these parts differ from the order: shown to the person, who may insist."""

    job: Job
    parts: frozenset[Shown]


@dataclass(frozen=True)
class Found:
    """The ledger's answer. `job`: as the provider shows it; None if it does not and the person insisted."""

    recorded: Recorded
    job: Job | None


async def look_up(run: Run, job_id: str, account: ProviderAccount | None) -> Job | NotSeen | Contradicts:
    """Looks up the job that a person names for this run."""
    account = account.for_run(run) if account is not None else None
    if account is None or not account.matches(run):
        words = "its provider and key are not the ones configured here, so the job cannot be looked up"
        return NotSeen(Unseen.NOT_SOLD_HERE, words)
    seen = await account.provider.job(job_id, run.model)
    if isinstance(seen, ReadError):
        if seen.status == 404:
            return NotSeen(Unseen.UNKNOWN, f"the provider does not know a job {job_id}")
        return NotSeen(Unseen.UNREAD, f"the job could not be looked up ({seen.detail})", seen.detail)
    if not seen.named:
        return NotSeen(Unseen.UNNAMED, f"the provider's answer does not name the job {job_id}")
    if not seen.exists:  # a gateway's error may echo the requested id
        words = f"the provider's answer repeats the id {job_id} and shows no job ({seen.error or seen.word})"
        return NotSeen(Unseen.UNNAMED, words)
    parts = differs(seen, run.order()) if run.improved_prompt is not None else frozenset()
    return Contradicts(seen, parts) if parts else seen


async def settle_found(
    run: Run,
    job_id: str,
    who: str,
    why: str | None,
    operators: Operators,
    account: ProviderAccount | None,
    *,
    unseen: bool = False,
    despite: bool = False,
) -> Found | NotSeen | Contradicts:
    """Settles the run as made. `unseen`: accept a job that the provider does not show; `despite`: one that differs."""
    seen = await look_up(run, job_id, account)
    if isinstance(seen, NotSeen) and not unseen:
        return seen
    if isinstance(seen, Contradicts) and not despite:
        return seen
    job = seen.job if isinstance(seen, Contradicts) else seen if isinstance(seen, Job) else None
    shown = {"status": job.status.value, "word": job.word} if job else None
    return Found(await operators.settle_found(run.run_id, job_id, who, why, shown), job)


async def settle_not_charged(
    run: Run,
    who: str,
    why: str | None,
    ledger: Ledger,
    account: ProviderAccount | None,
    waits: Waits,
    *,
    shown: Mapping[str, str | None] | None = None,
    early: bool = False,
) -> Settled:
    """Settles the run as not charged. Without `early`, refuses while the provider shows a job, or one may turn up.

    `shown`: the state and job_id that the person saw, if they differ from those of `run`.
    """
    account = account.for_run(run) if account is not None else None
    shown = shown or {"state": run.state.value, "job_id": run.job_id}
    if not early and (still := await _still_shown(run, ledger, account, waits)):
        return still
    wait = may_turn_up_for(run, account, waits)
    return await Operators(ledger.rpc).settle_not_charged(run.run_id, who, why, shown, wait=wait, early=early)


async def _still_shown(run: Run, ledger: Ledger, account: ProviderAccount | None, waits: Waits) -> Settled | None:
    """Refuses "not charged" if the run's own job exists, or if a listed job may be the run's; else None."""
    here = account is not None and account.matches(run)
    if run.job_id is None:
        listed = await _listed_now(run, ledger, account, waits) if account and here and run.in_doubt else None
        if listed is None:  # the list proves nothing now: the last look counts
            return Settled(False, run.state, "shown") if run.look_says in SHOWS_A_JOB else None
        return Settled(False, run.state, "shown", shown=", ".join(listed)) if listed else None
    if account is None or not here:
        return None
    seen = await account.provider.job(run.job_id, run.model)
    if isinstance(seen, ReadError) or not seen.exists or failure_of(seen):
        return None
    return Settled(False, run.state, "shown", shown=seen.word or seen.status.value)


async def _listed_now(run: Run, ledger: Ledger, account: ProviderAccount, waits: Waits) -> tuple[str, ...] | None:
    """Ids of listed jobs that may be this run's; empty only if the list proves that it has none, None if it does not.

    The worker's last look may be hours old: it looks ever more seldom at a parked run.
    """
    patience = reconcile.patience_of(run, waits)
    try:
        async with asyncio.timeout(LIST_SECONDS_MAX):
            seen, books, verdict = await reconcile.look_for(run, ledger, account, patience)
    except TimeoutError:
        return None
    adopted = [job_id for run_id, job_id in verdict.pairs if run_id == run.run_id] if isinstance(verdict, Adopt) else []
    named = verdict.candidates if isinstance(verdict, InDoubt) else ()  # also by a callback, or by a look-up
    candidates = sorted(job.job_id for job in evidence.candidates_for(run, seen, books, patience))
    if found := tuple(dict.fromkeys([*adopted, *named, *candidates])):
        return found[: reconcile.PROPOSED_MAX]
    return () if isinstance(verdict, Absent) else None


def may_turn_up_for(run: Run, account: ProviderAccount | None, waits: Waits) -> timedelta:
    """How long after its request the job may still turn up: by the provider's limits, else by our render deadline."""
    known = account.rules_for(run.model).listing.absent_after if account is not None and account.matches(run) else None
    over = request_over(run, waits)
    return max(known, over) if known is not None else over + waits.render_deadline


def not_seen_words(seen: NotSeen) -> str:
    """The message for a job that was not accepted for the run."""
    return f"{seen.words[0].upper()}{seen.words[1:]}. Nothing was changed."


def early_words(run: Run, settled: Settled) -> str:
    """The message for a refused "not charged": it is too early, or the provider shows a job."""
    if settled.why == "shown" and run.job_id is None:
        which = f": {settled.shown}" if settled.shown else ""
        return f"The provider's list shows a job that may be the order of {run.ref}{which}. Nothing was changed."
    if settled.why == "shown":
        return f"The provider shows job {run.job_id} of {run.ref} as {settled.shown}. Nothing was changed."
    when = f" until {settled.until:%Y-%m-%d %H:%M} UTC" if settled.until else ""
    return (
        f"The order of {run.ref} may still turn up at the provider{when}: it may be rendering, or not be listed yet. "
        "Nothing was changed."
    )


def on_whose_word(run: Run) -> str:
    """A note that "not charged" rests on a person's word alone; empty if the run has a job, or the list showed none.

    `run`: as it was before it was settled.
    """
    if run.job_id is not None or run.look_says == "absent":
        return ""
    return f"This rests on your word alone: {look_words(run) or 'the list was not read since the order'}."


def contradiction_words(run: Run, seen: Contradicts) -> str:
    """The message that lists how the provider's job differs from the run's order."""
    job, order = seen.job, run.order()
    parts = {
        Shown.SECONDS: f"{job.seconds} s instead of {order.seconds} s",
        Shown.SIZE: f"{job.size} instead of {order.size}",
        Shown.MODEL: f"the model {job.model} instead of {order.model}",
        Shown.PROMPT: "another prompt",
        Shown.INPUT: "other settings",
        Shown.MARKER: "another run's marker",
    }
    shown = ", ".join(words for part, words in parts.items() if part in seen.parts)
    return f"The provider shows job {job.job_id} with {shown}. Nothing was changed."
