"""The ledger's record of what a run's user was notified of, and where.

Out      runs as they are afterwards
Raises   what the transport raises
Effects  notes on the row; money and states are unchanged, except that `mark_notified` makes a saved run delivered
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pipeline import run_log
from pipeline.ledger.functions import LedgerFunctions
from pipeline.ledger.records import Run, State, each_readable, read_run


class Notifications(LedgerFunctions):
    async def load(self, run_ids: Iterable[UUID]) -> tuple[Run, ...]:
        """The rows of these runs; `place`: how many runs wait before one that has not begun.

        A row that cannot be read is logged and left out.
        """
        return each_readable(await self._ask("load_runs", run_ids=list(run_ids)), read_run, "run")

    async def note(self, run_id: UUID, more: Mapping[str, Any]) -> Run:
        """Adds to the audience: the card's message id, the video's, Telegram's file id."""
        return await self._read(Run, "note_audience", run_id=run_id, more=more)

    async def begin(self, run: Run, notifier: str, seconds: float) -> Run | None:
        """Claims the notification of the run's state for `seconds`; None if it was sent or somebody else has claimed
        it.

        `notifier` identifies one notification, not a process: two jobs of one process must not both notify.
        """
        row = await self._ask(
            "begin_notification", run_id=run.run_id, state=run.state, notifier=notifier, seconds=seconds
        )
        return read_run(row) if row else None

    async def later(self, run: Run, at: datetime) -> None:
        """Postpones the notification to `at`."""
        await self._ask("notify_later", run_id=run.run_id, state=run.state, at=at)

    async def mark_notified(self, run: Run, *, delivered: bool = False, **detail: object) -> Run:
        """Records that the user was notified of the run's state; with `delivered`, that the video arrived."""
        delivers = delivered and run.state is State.SAVED
        words = {name: str(value) for name, value in detail.items()}
        fresh = await self._read(
            Run, "mark_notified", run_id=run.run_id, state=run.state, delivered=delivers, detail=words
        )
        run_log.note("deliver" if delivers else "tell", fresh)
        return fresh

    async def undelivered(self, run: Run, why: str) -> None:
        """Alerts operators that a video could not be delivered."""
        await self._ask("note_undelivered", run_id=run.run_id, why=why)

    async def again(self, user_id: str) -> tuple[UUID, ...]:
        """Makes videos due that could not be delivered while the bot was blocked; returns their run ids."""
        return await self._read_all(UUID, "notify_again", user_id=user_id)
