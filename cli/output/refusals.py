"""Terminal messages for refused requests: why, that nothing was charged, and what to do. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime

from cli.output.sentences import NOTHING
from pipeline.formatting import reopening
from pipeline.ledger.records import Run, State
from steps.check_limits import PromptProblem, RefusalKind, Refused

PROMPT_PROBLEMS: Mapping[PromptProblem, str] = {
    PromptProblem.EMPTY: "The prompt is empty; say what the video should show.",
    PromptProblem.TOO_LONG: "The prompt has more than 4000 characters; shorten it.",
    PromptProblem.CONTROL_CHARACTERS: "The prompt contains control characters; remove them.",
}


def _mismatch(refused: Refused, _: datetime) -> str:
    return (
        f"This key belongs to run {refused.of_ref}, which asked for something else. {NOTHING} "
        "Repeat that request exactly, or use a new --key."
    )


def _blocked(refused: Refused, _: datetime) -> str:
    why = f" ({refused.reason})" if refused.reason else ""
    return f"This user is blocked{why}. {NOTHING} An operator can lift this with `onetake users unblock USER`."


def _not_invited(_: Refused, __: datetime) -> str:
    return f"Only invited users may order now. {NOTHING} An operator can invite you with `onetake users invite USER`."


def _paused(refused: Refused, _: datetime) -> str:
    why = f" ({refused.reason})" if refused.reason else ""
    return f"Buying is paused{why}. {NOTHING} It resumes with `onetake resume`."


def _breaker_open(refused: Refused, now: datetime) -> str:
    return (
        "Buying was stopped automatically: too many submissions, or too many failures at the provider. "
        f"{NOTHING} It resumes{reopening(refused.until, now)}, or at once with `onetake resume`."
    )


def _duplicate(refused: Refused, now: datetime) -> str:
    if refused.what == "waits_for_tap":
        return _busy(refused, now)
    same = f"This is the same prompt as run {refused.of_ref}, so it was not bought again. {NOTHING} "
    if refused.what == "unfinished":
        return f"{same}`onetake show {refused.of_ref}` shows its progress. {_carried_by(refused.of_ref)}"
    wait = reopening(refused.until, now) if refused.until else " once that run has ended"
    return f"{same}See it with `onetake show {refused.of_ref}`; order again{wait}, or at once with --again."


def _busy(refused: Refused, _: datetime) -> str:
    if refused.what == "waits_for_tap":
        return (
            f"Run {refused.of_ref} of this user is waiting for confirmation in the chat. {NOTHING} Confirm it there "
            f"or cancel it with `onetake cancel {refused.of_ref}`."
        )
    return (
        f"Run {refused.of_ref} of this user is not finished. {NOTHING} {_carried_by(refused.of_ref)} "
        f"If it has not been ordered yet, `onetake cancel {refused.of_ref}` lets you order again at once."
    )


def _busy_with(run: Run) -> str:
    """The same for a run that was looked up: suggests `cancel` only if the run can still be canceled."""
    if run.submitting_at is None:
        return _busy(Refused(RefusalKind.BUSY, of_ref=run.ref, what=_waits_for(run)), run.read_at)
    return (
        f"Run {run.ref} of this user was ordered already and is not finished. {NOTHING} {_carried_by(run.ref)} "
        f"`onetake show {run.ref}` shows its progress."
    )


def _waits_for(run: Run) -> str | None:
    return "waits_for_tap" if run.state is State.APPROVED and run.needs_confirmation else None


def _carried_by(ref: str | None) -> str:
    return (
        f"Try again once it has ended: {ref} continues only while its `onetake create` or a worker is running "
        "(`onetake worker` starts one)."
    )


def _cooldown(refused: Refused, now: datetime) -> str:
    return f"This is too soon after the last request. {NOTHING} Try again{reopening(refused.until, now)}."


def _daily_limit(refused: Refused, now: datetime) -> str:
    what = {"rejected_prompts": "rejected prompts", "canceled_drafts": "canceled drafts"}.get(
        refused.what or "", "videos"
    )
    return f"This user has reached the daily limit of {what}. {NOTHING} Try again{reopening(refused.until, now)}."


def _budget_exhausted(refused: Refused, now: datetime) -> str:
    period = refused.what or "day"
    return (
        f"The budget of the {period} has no room for this video. {NOTHING} "
        f"Try again{reopening(refused.until, now)}, "
        f"or raise the budget with `onetake limits set budget_{period}_microusd AMOUNT` (in dollars, such as 20)."
    )


REFUSALS: Mapping[RefusalKind, Callable[[Refused, datetime], str]] = {
    RefusalKind.IDEMPOTENCY_MISMATCH: _mismatch,
    RefusalKind.BLOCKED: _blocked,
    RefusalKind.NOT_INVITED: _not_invited,
    RefusalKind.PAUSED: _paused,
    RefusalKind.BREAKER_OPEN: _breaker_open,
    RefusalKind.DUPLICATE: _duplicate,
    RefusalKind.BUSY: _busy,
    RefusalKind.COOLDOWN: _cooldown,
    RefusalKind.DAILY_LIMIT: _daily_limit,
    RefusalKind.BUDGET_EXHAUSTED: _budget_exhausted,
}


def refusal(refused: Refused, now: datetime, busy_with: Run | None = None) -> str:
    """`busy_with`: the unfinished run that keeps this user busy, if it was looked up."""
    if busy_with is not None:
        return _busy_with(busy_with)
    return REFUSALS[refused.kind](refused, now)
