"""What a run's user is told, and where.

Out      runs as they are afterwards
Raises   what the transport raises
Effects  notes on the row; money and states are untouched, but for `told`, which makes a saved run delivered
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
        """The rows of these runs; `place` says how many wait before one that has not begun.

        A row that cannot be read is logged and left out.
        """
        return each_readable(await self._ask("load_runs", run_ids=list(run_ids)), read_run, "run")

    async def note(self, run_id: UUID, more: Mapping[str, Any]) -> Run:
        """Adds to the audience: the card's message id, the video's, Telegram's file id."""
        return await self._read(Run, "note_audience", run_id=run_id, more=more)

    async def begin(self, run: Run, teller: str, seconds: float) -> Run | None:
        """The run, if its present state is this teller's for so long; None if it is told or somebody else is at it.

        `teller` is one telling's own word, not a process's: two jobs of one process must not both tell.
        """
        row = await self._ask("begin_telling", run_id=run.run_id, state=run.state, teller=teller, seconds=seconds)
        return read_run(row) if row else None

    async def later(self, run: Run, at: datetime) -> None:
        """It could not be told now."""
        await self._ask("tell_later", run_id=run.run_id, state=run.state, at=at)

    async def told(self, run: Run, *, delivered: bool = False, **detail: object) -> Run:
        """The user has heard of the run's state; with `delivered`, has the video."""
        delivers = delivered and run.state is State.SAVED
        words = {name: str(value) for name, value in detail.items()}
        fresh = await self._read(Run, "told", run_id=run.run_id, state=run.state, delivered=delivers, detail=words)
        run_log.note("deliver" if delivers else "tell", fresh)
        return fresh

    async def undelivered(self, run: Run, why: str) -> None:
        """Operators must hear that a video could not be brought."""
        await self._ask("note_undelivered", run_id=run.run_id, why=why)

    async def again(self, user_id: str) -> tuple[UUID, ...]:
        """Videos that could not be brought while the bot was blocked: due again."""
        return await self._read_all(UUID, "tell_again", user_id=user_id)
