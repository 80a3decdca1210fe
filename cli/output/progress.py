"""A run as five lines, one per step, with a mark and a few words. Pure.

Shows only what the ledger says, so that it is right whichever process drives the run.
"""

from dataclasses import dataclass
from enum import Enum

from cli.output.sentences import WAITS_FOR
from pipeline.formatting import short, usd
from pipeline.ledger.records import Run, State
from pipeline.operator_text import SEEMS_FAILED, doubt_words


class Mark(Enum):
    DONE = "done"
    NOW = "now"
    LATER = "later"
    NOT = "not"


@dataclass(frozen=True)
class Line:
    """`words` change with an event; `ticking` changes continuously: elapsed time, progress."""

    step: str
    mark: Mark
    words: str = ""
    ticking: str = ""


@dataclass(frozen=True)
class Estimate:
    """The expected render time, and where it comes from."""

    seconds: float
    source: str


KEPT = (State.SAVED, State.DELIVERED)


def lines_of(run: Run, estimate: Estimate | None) -> tuple[Line, ...]:
    return (
        Line("limits", Mark.DONE, _limits(run)),
        _prompt(run),
        _video(run, estimate),
        _caption(run),
        _save(run),
    )


def heading(run: Run) -> str:
    return f"run {run.ref} · {run.offer} · {run.seconds} s · {run.size} · {usd(run.price_microusd)}"


def _limits(run: Run) -> str:
    if run.spent_microusd:
        return f"{usd(run.spent_microusd)} charged"
    if run.held_microusd:
        return f"{usd(run.held_microusd)} set aside"
    return f"{usd(run.released_microusd)} given back"


def _prompt(run: Run) -> Line:
    if run.improved_prompt is not None:
        return Line("prompt", Mark.DONE, f'passed: "{run.title}"')
    if run.state is State.RESERVED:
        return Line("prompt", Mark.NOW, "being checked", short(run.age(run.reserved_at).total_seconds()))
    return Line("prompt", Mark.NOT, {State.REJECTED: "refused", State.CANCELED: "canceled"}.get(run.state, "failed"))


def _video(run: Run, estimate: Estimate | None) -> Line:  # noqa: PLR0911 - one case, one line
    match run.state:
        case State.SAVED | State.DELIVERED:
            took = ""
            if run.saved_at and run.rendering_at:
                took = f" in {short((run.saved_at - run.rendering_at).total_seconds())}"
            return Line("video", Mark.DONE, f"rendered{took}")
        case State.RENDERING:
            return _rendering(run, estimate)
        case State.APPROVED if run.deferred_by:
            waited = short(run.age(run.deferred_since).total_seconds())
            return Line("video", Mark.NOW, f"waiting: {WAITS_FOR.get(run.deferred_by, run.deferred_by)}", waited)
        case State.APPROVED | State.SUBMITTING:
            return Line("video", Mark.NOW, "one request to the provider")
        case State.UNCERTAIN:
            waited = short(run.age(run.uncertain_at).total_seconds())
            return Line("video", Mark.NOW, f"in doubt: {doubt_words(run)}; searching the provider's list", waited)
        case State.FAILED if run.improved_prompt is not None:
            return Line("video", Mark.NOT, "failed")
    return Line("video", Mark.LATER)


def _rendering(run: Run, estimate: Estimate | None) -> Line:
    elapsed = run.age(run.rendering_at).total_seconds()
    if run.failing_since is not None:
        return Line("video", Mark.NOW, SEEMS_FAILED, short(elapsed))
    parts = [short(elapsed)]
    if estimate is not None:
        if elapsed <= estimate.seconds * 1.2:
            parts = [f"{short(elapsed)} of about {short(estimate.seconds)} ({estimate.source})"]
        else:
            parts = [f"{short(elapsed)}, longer than usual ({short(estimate.seconds)})"]
    if run.progress is not None:
        parts.append(f"{run.progress} %")
    return Line("video", Mark.NOW, "rendering", ", ".join(parts))


def _caption(run: Run) -> Line:
    if run.caption is not None:
        count = len(run.hashtags or ())
        plain = "plain words" if run.caption_by == "plain" else "written"
        return Line("caption", Mark.DONE, f"{plain}, {count} hashtags")
    return Line("caption", Mark.NOW if run.state is State.RENDERING else Mark.LATER)


def _save(run: Run) -> Line:
    if run.state in KEPT:
        return Line("save", Mark.DONE, f"{(run.file_bytes or 0) / 1000:,.0f} kB")
    return Line("save", Mark.LATER)
