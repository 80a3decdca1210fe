"""Terminal messages about a run that has ended, is in doubt, or is not finished. Pure.

Each says what happened, whether money was spent, and what to do.
A reason from the ledger that is unknown here is shown as it is, never hidden.
"""

from collections.abc import Mapping, Sequence

from pipeline.formatting import lasting, usd
from pipeline.ledger.operators import Breaker
from pipeline.ledger.records import Run, State
from pipeline.operator_text import doubt_words

NOTHING = "Nothing was charged."

STATE_WORDS: Mapping[State, str] = {
    State.RESERVED: "the money is set aside, the prompt is being checked",
    State.APPROVED: "the prompt has passed, the video is about to be bought",
    State.SUBMITTING: "the video is being bought",
    State.UNCERTAIN: "the provider's answer was lost; its list of jobs is being searched",
    State.RENDERING: "the provider is rendering",
    State.SAVED: "the video is saved",
    State.DELIVERED: "the video is saved and delivered",
    State.REJECTED: "the prompt was refused",
    State.CANCELED: "canceled before anything was bought",
    State.FAILED: "ended without a video",
}


# Why a run waits before its purchase. A breaker opens for one of two causes; the run does not record which.
WAITS_FOR: Mapping[str, str] = {
    "paused": "buying is paused",
    "breaker_open": "buying has stopped for a while, after too many orders in a short time or failures at the provider",
    "no_slot": "no free slot at the provider",
}

BREAKERS: Mapping[str, str] = {
    "submissions": "too many orders in a short time; buying resumes automatically",
    "failures": "too many failures at the provider; buying resumes automatically",
}


# Why a run failed: what happened, and what to do. The run itself records whether money was spent.
FAILURES: Mapping[str, tuple[str, str]] = {
    "text_model_unreachable": (
        "the text model, which checks prompts, could not be reached",
        "Try again later, or check OPENAI_BASE_URL, OPENAI_API_KEY and LLM_MODEL with `onetake check`.",
    ),
    "text_model_refused": (
        "the text model declined to check this prompt",
        "Rephrase it and try again.",
    ),
    "text_model_unusable": (
        "the text model gave no usable answer",
        "Try again, or choose another LLM_MODEL.",
    ),
    "prompt_refused": ("the provider refused the prompt", "Rephrase it and try again."),
    "bad_request": ("the provider did not accept the request", "Check the request with `onetake create --dry-run`."),
    "unauthorized": ("the provider did not accept the key", "Set a valid VIDEO_API_KEY."),
    "no_credit": ("the account at the provider has no credit", "Top it up, then try again."),
    "forbidden": ("the provider does not allow this key to do that", "Use a key that may make videos."),
    "not_found": (
        "the provider has no such address or model",
        "Check VIDEO_BASE_URL and VIDEO_MODEL.",
    ),
    "too_large": ("the request was too large for the provider", "Shorten the prompt."),
    "rate_limited": ("the provider has too many requests right now", "Try again in a few minutes."),
    "never_connected": ("the provider could not be reached", "Check VIDEO_BASE_URL, then try again."),
    "never_sent": ("this machine was too slow, so nothing was sent", "Try again."),
    "not_made": ("the answer was lost, and the provider's list proves that nothing was made", "Try again."),
    "not_charged": ("an operator confirmed that the provider charged nothing", "Try again if you still want it."),
    "render_failed": ("the provider could not render it", "Try again, or rephrase the prompt."),
    "expired": (
        "the provider finished it but no longer has the file",
        "Ask the provider for it by the job id.",
    ),
    "disk_full": (
        "the video could not be stored on this machine",
        "Free at least 1 GB and make ONETAKE_HOME writable, then try again.",
    ),
    "already_sent": (
        "its request was sent before the ledger was restored from a backup",
        "Check the provider's records; `onetake show` has its answer.",
    ),
    "not_sold_here": (
        "VIDEO_BASE_URL or its key was changed before it was ordered, and no worker has the old settings",
        "Try again.",
    ),
    "paused": ("buying stayed paused for too long", "Try again after `onetake resume`."),
    "breaker_open": (
        "buying was stopped for too long, after too many orders in a short time or failures at the provider",
        "Try again in a few minutes.",
    ),
    "gave_up": ("five attempts failed", "See `onetake show` for what happened, then try again."),
}


def ending(run: Run) -> str:
    """The message about an ended run."""
    match run.state:
        case State.SAVED | State.DELIVERED:
            return f"Run {run.ref} is saved: {run.file}. {usd(run.spent_microusd)} was charged."
        case State.REJECTED:
            return _rejected(run)
        case State.CANCELED:
            why = ": nobody confirmed it in time" if run.reason == "not_confirmed" else " on request"
            return f"Run {run.ref} was canceled{why}. {NOTHING}"
        case State.FAILED:
            return _failed(run)
    return f"Run {run.ref} has not ended: {STATE_WORDS[run.state]}. {usd(run.held_microusd)} is set aside."


def _rejected(run: Run) -> str:
    why = _sentence(run.detail or "It breaks the rules.")
    rewrite = f' This would pass: "{run.safe_rewrite}"' if run.safe_rewrite else " Rephrase it and try again."
    return f"The prompt of run {run.ref} was refused. {why} {NOTHING}{rewrite}"


def _failed(run: Run) -> str:
    reason = run.reason or "no reason was recorded"
    happened, todo = FAILURES.get(reason, (reason.replace("_", " "), f"See `onetake show {run.ref}`."))
    told = f" ({run.detail.strip().rstrip('.')})" if run.detail else ""
    nothing = "It was not charged again." if run.reason == "already_sent" else NOTHING
    money = f"{usd(run.spent_microusd)} was charged." if run.spent_microusd else nothing
    return f"Run {run.ref} failed: {happened}{told}. {money} {todo}"


def in_doubt(run: Run, *, shown: bool = False) -> str:
    """The message about a run that is in doubt, parked, or otherwise not finished. `shown`: within `onetake show`."""
    held = f"{usd(run.held_microusd)} stays set aside, and it will not be bought a second time."
    see = f"See `onetake show {run.ref}`"
    check = "Check" if shown else f"{see}, check"
    also = "" if shown else f" {see}."
    if run.state is State.SUBMITTING:
        return (
            f"Run {run.ref} is being bought: its one request may be in flight. {held} "
            f"There is nothing to decide yet. {see} in two minutes; `onetake worker` continues it."
        )
    if run.state is State.UNCERTAIN and not run.parked:
        return (
            f"Run {run.ref} is in doubt: {doubt_words(run)}. {held}{also} The provider's list is searched while "
            f"`onetake worker` runs; to decide sooner, check the provider's records first: "
            f"`onetake settle {run.ref} --job ID` or `onetake settle {run.ref} --not-charged`."
        )
    if run.state is State.UNCERTAIN:
        return (
            f"Run {run.ref} is in doubt: {doubt_words(run)}. {held} {check} the provider's records, "
            f"and decide: `onetake settle {run.ref} --job ID` or `onetake settle {run.ref} --not-charged`."
        )
    if run.parked:
        return _parked(run, held, check, also)
    return f"Run {run.ref} is {unfinished(run)}. {held}{also}"


def unfinished(run: Run, breakers: Sequence[Breaker] = ()) -> str:
    """What an unfinished run is doing, or why it waits. `breakers`: those that are open now, with their causes."""
    if run.state is not State.APPROVED or run.deferred_by is None:
        return f"not finished: {STATE_WORDS[run.state]}"
    mine = {each.cause for each in breakers if each.scope in {"all", f"user:{run.user_id}"}}
    if run.deferred_by == "breaker_open" and len(mine) == 1:
        return f"waiting: {BREAKERS['submissions' if mine == {'submissions'} else 'failures']}"
    return f"waiting: {WAITS_FOR.get(run.deferred_by, run.deferred_by)}"


def _parked(run: Run, held: str, check: str, also: str) -> str:
    """The message about a run whose job did not finish in time."""
    late = f"Run {run.ref} has no video after {lasting(run.age(run.rendering_at).total_seconds())}"
    if run.look_says == "job_unknown":
        return (
            f"{late}: the provider's answer named {run.job_id}, but the provider does not know it. {held} {check} "
            f"the provider's records, and decide: `onetake settle {run.ref} --job ID` or `onetake settle {run.ref} "
            "--not-charged`."
        )
    if run.look_says == "job_gone":
        return (
            f"{late}: the provider no longer knows its job {run.job_id} and may have lost it. {held} {check} "
            f"the provider's records, and decide: `onetake settle {run.ref} --not-charged`, or `onetake settle "
            f"{run.ref} --job {run.job_id}` to look it up again."
        )
    return (
        f"{late}. {held}{also} If `onetake check` shows another key, another provider or a full disk, fix that "
        f"first: the video may be ready. `onetake settle {run.ref} --job {run.job_id}` looks for it again, "
        f"`onetake settle {run.ref} --not-charged` gives it up."
    )


def other_provider(run: Run, base_url: str) -> str:
    """The message about a run that was accepted for another provider or key than the configured one."""
    return (
        f"Run {run.ref} was accepted for another provider or key ({run.base_url}) than the configured one "
        f"({base_url}). {usd(run.held_microusd)} stays set aside. It continues once those settings are restored."
    )


def left_to_others(ref: str | None, key: str, seen: Run | None = None, *, answer_kept: bool = False) -> str:
    """How a run that this process leaves continues, and what happens to its money; without `ref`, how to find out.

    `seen`: the run as last read. `answer_kept`: this machine keeps the provider's answer until the ledger has it.
    """
    again = f"the same command with `--key {key}`"
    if ref is None:
        return f"To find out, repeat {again}; the same key is never bought twice."
    money = f"{_set_aside(seen)} " if seen else ""
    if answer_kept:
        money = f"The video was ordered, and the provider's answer is kept on this machine. {money}"
    return f"{money}Run {ref} continues when `onetake worker` or {again} runs. It is never bought twice."


def continued_by(run: Run) -> str:
    """What finishes an unfinished run, for a person who no longer has the terminal that began it."""
    worker = "`onetake worker` continues it"
    if run.request_key.startswith("cli:"):
        return f"{worker}, as does the same `onetake create` with `--key {run.request_key.removeprefix('cli:')}`."
    return f"{worker}."


def _set_aside(run: Run) -> str:
    held = f"{usd(run.held_microusd)} is set aside"
    match run.state:
        case State.RESERVED | State.APPROVED:  # may have been ordered since
            return f"{held}; `onetake cancel {run.ref}` releases it, unless the video has just been ordered."
        case State.SUBMITTING | State.UNCERTAIN:
            return f"{held} until it is known whether the provider made the video."
    return f"{held} until the video is saved: the provider is rendering it."


def _sentence(words: str) -> str:
    stripped = words.strip()
    return stripped if stripped.endswith((".", "!", "?")) else f"{stripped}."
