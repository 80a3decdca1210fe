"""One `create` from the request to its end: admit, drive, report.

In       a Request that has passed all local checks, and the settings
Out      the exit code; prints the messages and, with --json, the object
Raises   what `open_context` and `admit` raise; an unreachable ledger from `admit` on is exit code 4, not an error
Effects  those of the run; `told` is recorded after printing, so the user is notified at least once
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.text import Text

from app.context import open_context
from app.exits import Exit
from cli.drive_run import drive
from cli.output import sentences
from cli.output.display import Show, watching
from cli.output.outcome import Outcome, cost_words, exit_code, of_refusal, of_run
from cli.output.progress import Estimate
from pipeline.clips.storage import at_hand
from pipeline.context import RunContext
from pipeline.ledger.functions import read_value
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.purchase.answer_files import AnswerFiles
from pipeline.run import admit
from pipeline.settings.config import Settings
from providers.catalogue import offer_name
from steps.check_limits import Admitted, RefusalKind, Refused, Request

LAST_LOOK_SECONDS = 2.0  # to read the run once more after Ctrl-C

log = logging.getLogger(__name__)


class CreateSession:
    """One `create`. Keeps the request and the run as last read, to report them after Ctrl-C."""

    def __init__(self, request: Request, settings: Settings, ready: Callable[[], None], *, as_json: bool) -> None:
        self._ready = ready
        self._request = request
        self._settings = settings
        self._as_json = as_json
        self._asked = False
        self._seen: Run | None = None
        self._ref: str | None = None  # once the request was accepted
        self._answers: AnswerFiles | None = None
        self._console = Console(stderr=as_json, highlight=False)

    async def create(self) -> Exit:
        name = offer_name(self._request.provider, self._request.model)
        async with open_context(self._settings, name) as built:
            try:
                return await self._create(built.context)
            except LedgerUnavailable as error:
                return self._lost_ledger(error)
            except Exception as error:  # an accepted request is neither "failed" nor "wrong usage"
                if self._ref is None:
                    raise
                log.exception("create", extra={"action": "create_broke", "run": self._ref})
                return self._broke(error)

    async def _create(self, context: RunContext) -> Exit:
        self._asked, self._answers = True, context.answers
        answer = await admit(self._request, context.ledger)
        self._ready()
        if isinstance(answer, Refused):
            return await self._refused(answer, context)
        self._ref = answer.ref
        run = await self._carry(answer, context)
        return await self._tell(run, context)

    async def _carry(self, admitted: Admitted, context: RunContext) -> Run:
        if admitted.replayed:
            self._say(f"This key already has a run: {admitted.ref}. It is not bought again.")
        try:
            with watching(self._console) as show:
                return await drive(
                    read_value(Run, admitted.row), context, self._remembering(show), ours=not admitted.replayed
                )
        except asyncio.CancelledError:  # Ctrl-C or SIGTERM: reads the run once more, for `left` to report
            with contextlib.suppress(LedgerUnavailable, TimeoutError):
                async with asyncio.timeout(LAST_LOOK_SECONDS):
                    self._seen = await context.ledger.load(admitted.run_id)
            raise

    def _remembering(self, show: Show) -> Show:
        def remember(run: Run, estimate: Estimate | None) -> None:
            self._seen = run
            show(run, estimate)

        return remember

    async def _tell(self, run: Run, context: RunContext) -> Exit:
        if run.state in {State.SAVED, State.DELIVERED}:
            here = await self._brought(run, context)
            if here is None:
                return self._elsewhere(run)
            run = replace(run, file=here)
            self._show_video(run)
        elif run.ended:
            self._say(sentences.ending(run), "red" if run.state is State.FAILED else "yellow")
        elif run.state is State.APPROVED and not context.for_run(run).account.matches(run):
            return self._waits_elsewhere(run, context)
        else:
            self._say(sentences.in_doubt(run), "yellow")
        self._print_object(of_run(run))
        if run.ended and run.told_state is not run.state:
            with contextlib.suppress(LedgerUnavailable):  # already printed; recorded when it is printed again
                await context.ledger.mark_notified(run.run_id, run.state, delivered=run.state is State.SAVED)
        return exit_code(run)

    async def _brought(self, run: Run, context: RunContext) -> str | None:
        """The path of the clip on this machine, fetched if another one saved it; None if it cannot be fetched now."""
        if run.dropped_at is not None:
            return run.file
        try:
            return str(await at_hand(run, context))
        except FileNotFoundError:
            return None

    def _elsewhere(self, run: Run) -> Exit:
        """Reports a saved clip that cannot be fetched now. Does not record `told`, so that the clip is kept."""
        words = (
            f"Run {run.ref} is saved on another machine, and its file cannot be fetched from here now. It was charged "
            "once; repeat with the same --key to fetch it later, which buys nothing."
        )
        self._say(words, "yellow")
        self._print_object(of_run(replace(run, file=None), words))
        return Exit.IN_DOUBT

    def _waits_elsewhere(self, run: Run, context: RunContext) -> Exit:
        words = sentences.other_provider(run, context.account.base_url)
        self._say(words, "yellow")
        self._print_object(of_run(run, words))
        return Exit.IN_DOUBT

    async def _refused(self, refused: Refused, context: RunContext) -> Exit:
        busy_with = None
        if refused.kind is RefusalKind.BUSY and refused.of_run_id:
            with contextlib.suppress(LedgerUnavailable):  # the message is then less exact
                busy_with = await context.ledger.load(refused.of_run_id)
        outcome = of_refusal(refused, datetime.now(UTC), busy_with)
        self._say(outcome.error or "", "yellow")
        self._print_object(outcome)
        return Exit.REFUSED

    def _lost_ledger(self, error: LedgerUnavailable) -> Exit:
        self._ready()
        words = f"The ledger cannot be reached: {error}. {self._how_to_go_on()}"
        self._say(words, "yellow")
        self._print_object(of_run(seen, words) if (seen := self._last_seen()) else Outcome(error=words))
        return Exit.IN_DOUBT

    def _broke(self, error: Exception) -> Exit:
        words = f"Run {self._ref} was accepted, but this command failed: {error!r}. {self._how_to_go_on()}"
        self._say(words, "yellow")
        self._print_object(of_run(seen, words) if (seen := self._last_seen()) else Outcome(ref=self._ref, error=words))
        return Exit.IN_DOUBT

    def left(self, code: Exit) -> Exit:
        """Reports a stop by Ctrl-C or SIGTERM, and how the run goes on."""
        self._ready()
        if self._seen and self._seen.ended:
            words = sentences.ending(self._seen)
        elif self._seen:
            words = f"Stopped watching. {self._how_to_go_on()}"
        elif self._asked:
            words = f"Stopped; the request may have been accepted. {self._how_to_go_on()}"
        else:
            words = f"Stopped before anything was requested. {sentences.NOTHING}"
        self._say(words, "yellow")
        self._print_object(of_run(seen, words) if (seen := self._last_seen()) else Outcome(error=words))
        return code

    def _how_to_go_on(self) -> str:
        seen = self._last_seen()
        seen = seen if seen and not seen.ended else None
        kept = seen is not None and self._has_answer(seen)
        return sentences.left_to_others(self._ref, self._request.key.removeprefix("cli:"), seen, answer_kept=kept)

    def _last_seen(self) -> Run | None:
        """The run as last read; as submitting if an answer kept on this machine shows that the order was sent."""
        seen = self._seen
        if seen and seen.state in {State.RESERVED, State.APPROVED} and self._has_answer(seen):
            return replace(seen, state=State.SUBMITTING)
        return seen

    def _has_answer(self, run: Run) -> bool:
        return self._answers is not None and self._answers.get(run.run_id) is not None

    def _show_video(self, run: Run) -> None:
        say = self._console.print
        say()
        say(Text(run.title or "", "bold"))
        say(Text(run.caption or ""))
        say(Text(" ".join(run.hashtags or ()), "cyan"))
        say()
        say(Text.assemble(("file  ", "dim"), str(run.file)), soft_wrap=True)
        say(Text.assemble(("cost  ", "dim"), cost_words(run)))

    def _say(self, words: str, style: str = "") -> None:
        self._console.print(Text(words, style), soft_wrap=not self._console.is_terminal)

    def _print_object(self, outcome: Outcome) -> None:
        if self._as_json:
            typer.echo(json.dumps(outcome.as_object(), ensure_ascii=False))
