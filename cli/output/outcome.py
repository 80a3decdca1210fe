"""The result of `create`: the words for a person, the object for a script, the exit code. Pure."""

from dataclasses import asdict, dataclass
from datetime import datetime

from app.exits import Exit
from cli.output import refusals, sentences
from pipeline.formatting import MICROUSD, usd
from pipeline.ledger.records import Run, State
from steps.check_limits import Refused

KEPT = (State.SAVED, State.DELIVERED)


@dataclass(frozen=True)
class Outcome:
    """The object of `create --json` (docs/design.md, "Names")."""

    ref: str | None = None
    run_id: str | None = None
    state: str | None = None
    refused: str | None = None
    duplicate_of: str | None = None
    file: str | None = None
    title: str | None = None
    caption: str | None = None
    hashtags: tuple[str, ...] | None = None
    seconds: int | None = None
    size: str | None = None
    cost_usd: float = 0.0
    provider_job_id: str | None = None
    error: str | None = None

    def as_object(self) -> dict[str, object]:
        return asdict(self)


def of_refusal(refused: Refused, now: datetime, busy_with: Run | None = None) -> Outcome:
    same = refused.of_ref if refused.kind in {"duplicate", "idempotency_mismatch"} else None
    return Outcome(refused=refused.kind.value, duplicate_of=same, error=refusals.refusal(refused, now, busy_with))


def of_run(run: Run, error: str | None = None) -> Outcome:
    """`cost_usd`: what was charged so far; 0 while the money is only set aside."""
    if error is None and run.state not in KEPT:
        error = sentences.ending(run) if run.ended else sentences.in_doubt(run)
    return Outcome(
        ref=run.ref,
        run_id=str(run.run_id),
        state=run.state.value,
        file=run.file,
        title=run.title,
        caption=run.caption,
        hashtags=run.hashtags,
        seconds=run.seconds,
        size=run.size,
        cost_usd=run.spent_microusd / MICROUSD,
        provider_job_id=run.job_id,
        error=error,
    )


def exit_code(run: Run) -> Exit:
    if run.state in KEPT:
        return Exit.DONE
    return Exit.ENDED_OTHERWISE if run.ended else Exit.IN_DOUBT


def cost_words(run: Run) -> str:
    """`$0.80 (8 s at $0.10/s), and $0.0004 for the text model`."""
    words = usd(run.spent_microusd)
    if run.spent_microusd and run.price_microusd % run.seconds == 0:
        words += f" ({run.seconds} s at {usd(run.price_microusd // run.seconds)}/s)"
    return f"{words}, and {usd(run.text_microusd)} for the text model" if run.text_microusd else words
