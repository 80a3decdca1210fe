"""What a run's user is told, and where: over the same callable as the ledger.

In       `rpc(name, args) -> json`
Out      runs as they are afterwards
Raises   what the transport raises
Effects  notes on the row; money and states are untouched, but for `told`, which makes a saved run delivered
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pipeline import run_log
from pipeline.ledger.records import Run, State, each_readable, read_run
from pipeline.ledger.transport import LedgerCall


class Notifications:
    def __init__(self, rpc: LedgerCall) -> None:
        self._rpc = rpc

    async def load(self, run_ids: Iterable[UUID]) -> tuple[Run, ...]:
        """The rows of these runs; `place` says how many wait before one that has not begun.

        A row that cannot be read is logged and left out.
        """
        rows = await self._rpc("load_runs", {"run_ids": [str(run_id) for run_id in run_ids]})
        assert isinstance(rows, list), "load_runs answers a list"
        return each_readable(rows, read_run, "run")

    async def note(self, run_id: UUID, more: Mapping[str, Any]) -> Run:
        """Adds to the audience: the card's message id, the video's, Telegram's file id."""
        return read_run(await self._rpc("note_audience", {"run_id": str(run_id), "more": dict(more)}))

    async def begin(self, run: Run, teller: str, seconds: float) -> Run | None:
        """The run, if its present state is this teller's for so long; None if it is told or somebody else is at it.

        `teller` is one telling's own word, not a process's: two jobs of one process must not both tell.
        """
        row = await self._rpc(
            "begin_telling",
            {"run_id": str(run.run_id), "state": run.state.value, "teller": teller, "seconds": seconds},
        )
        return read_run(row) if row else None

    async def later(self, run: Run, at: datetime) -> None:
        """It could not be told now."""
        await self._rpc("tell_later", {"run_id": str(run.run_id), "state": run.state.value, "at": at.isoformat()})

    async def told(self, run: Run, *, delivered: bool = False, **detail: object) -> Run:
        """The user has heard of the run's state; with `delivered`, has the video."""
        delivers = delivered and run.state is State.SAVED
        row = await self._rpc(
            "told",
            {
                "run_id": str(run.run_id),
                "state": run.state.value,
                "delivered": delivers,
                "detail": {name: str(value) for name, value in detail.items()},
            },
        )
        fresh = read_run(row)
        run_log.note("deliver" if delivers else "tell", fresh)
        return fresh

    async def undelivered(self, run: Run, why: str) -> None:
        """Operators must hear that a video could not be brought."""
        await self._rpc("note_undelivered", {"run_id": str(run.run_id), "why": why})

    async def again(self, user_id: str) -> tuple[UUID, ...]:
        """Videos that could not be brought while the bot was blocked: due again."""
        woken = await self._rpc("tell_again", {"user_id": user_id})
        return tuple(UUID(str(run_id)) for run_id in woken) if isinstance(woken, list) else ()
