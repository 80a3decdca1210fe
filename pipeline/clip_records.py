"""What the ledger knows of clips, as the machines that keep them ask it.

In       `rpc(name, args) -> json`
Out      frozen values
Raises   what the road raises
Effects  notes on the rows. Each is safe to repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import TypeAdapter

from pipeline.records import Run, read_run
from pipeline.road import Json, Rpc


@dataclass(frozen=True)
class ClipRecord:
    """Of a run that has ended: its clip's sha256 (None: it has none), where it lies in Storage, if it was removed."""

    run_id: str
    sha256: str | None
    stored: str | None
    dropped: bool


class ClipRecords:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def note_stored(self, run_id: UUID | str, stored: str, sha256: str) -> Run:
        """The clip lies in Storage as 'bucket/key'. Nothing is noted if the run's clip is another one."""
        return read_run(await self._rpc("note_stored", {"run_id": str(run_id), "stored": stored, "sha256": sha256}))

    async def of(self, run_ids: Sequence[str]) -> tuple[ClipRecord, ...]:
        """Those of these runs that have ended."""
        return _RECORDS.validate_python(await self._rpc("clips_of", {"run_ids": list(run_ids)}))

    async def to_drop(self, days: float, run_ids: Sequence[str], at_most: int) -> tuple[tuple[str, str | None], ...]:
        """Run id and 'bucket/key' of delivered runs that are so old: those in Storage, and any of `run_ids`."""
        args: dict[str, Json] = {"days": days, "run_ids": list(run_ids), "at_most": at_most}
        rows = await self._rpc("clips_to_drop", args)
        assert isinstance(rows, list), "clips_to_drop answers a list"
        return tuple((row["run_id"], row["stored"]) for row in rows)

    async def note_dropped(self, run_id: str) -> None:
        await self._rpc("note_dropped", {"run_id": run_id})

    async def tell_broken(self, words: str) -> None:
        """Storage takes no clips: news for the operators, once a day."""
        await self._rpc("storage_broken", {"words": words})


_RECORDS = TypeAdapter(tuple[ClipRecord, ...])
