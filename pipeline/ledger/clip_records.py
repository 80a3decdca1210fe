"""The ledger's notes on clips, for the machines that store them, and on what a provider tells of a purchase.

Out      frozen values
Raises   what the transport raises
Effects  notes on the rows. Each is safe to repeat.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from media.clip_file import Facts
from pipeline.ledger.functions import LedgerFunctions
from pipeline.ledger.records import Run, State
from providers.order_match import normal_words

NOT_FETCHED_MAX = 20  # a growing clip gives a new text each time


@dataclass(frozen=True)
class ClipRecord:
    """The clip of a run that has ended: its sha256 (None: no clip), its place in Storage, and whether it was removed.

    `job_id`: the job that the ledger has; a failed run's whole clip of this job proves that the job was made.
    """

    run_id: str
    sha256: str | None
    stored: str | None
    dropped: bool
    state: State
    job_id: str | None
    ended_seconds_ago: float


class ClipRecords(LedgerFunctions):
    async def note_stored(self, run_id: UUID | str, stored: str, sha256: str) -> Run:
        """Notes that the clip is in Storage as 'bucket/key'. Does nothing if the run's clip is another one."""
        return await self._read(Run, "note_stored", run_id=run_id, stored=stored, sha256=sha256)

    async def note_facts(self, run_id: UUID | str, sha256: str, facts: Facts) -> Run:
        """Notes what the clip's file says of itself. Does nothing if the run's clip is another one."""
        return await self._read(Run, "note_clip", run_id=run_id, sha256=sha256, facts=asdict(facts))

    async def note_not_fetched(self, run_id: UUID | str, status: int | None, words: str) -> None:
        """Notes on the timeline why a clip could not be fetched, in the provider's words, each text once."""
        detail = {"status": status, "words": words}
        await self._ask("note_not_fetched", run_id=run_id, detail=detail, at_most=NOT_FETCHED_MAX)

    async def note_not_stored(self, run_id: UUID, words: str) -> None:
        """This machine's folder cannot take the clip: noted on the timeline once; operators are alerted once a day."""
        await self._ask("note_not_stored", run_id=run_id, words=words)

    async def same_clip_as(self, run_id: UUID, sha256: str) -> str | None:
        """The ref of a run of another request whose clip is this very file."""
        ref: str | None = await self._ask("same_clip_as", run_id=run_id, sha256=sha256)
        return ref

    async def note_done(self, run_id: UUID, job_id: str) -> Run:
        """Notes that the job's own address showed it as completed: it was made, whatever later looks show."""
        return await self._read(Run, "note_done", run_id=run_id, job_id=job_id)

    async def note_shown_otherwise(self, run_id: UUID, job_id: str, parts: Sequence[str]) -> None:
        """Notes which fields of its job the answer to the order showed otherwise than ordered."""
        await self._ask("note_shown_otherwise", run_id=run_id, job_id=job_id, parts=parts)

    async def prompt_of_another(self, run_id: UUID, prompt: str) -> str | None:
        """The ref of another run here that ordered this text, apart from whitespace and Unicode composition."""
        ref: str | None = await self._ask("prompt_of_another", run_id=run_id, words=normal_words(prompt))
        return ref

    async def of(self, run_ids: Sequence[str]) -> tuple[ClipRecord, ...]:
        """The records of those of these runs that have ended."""
        return await self._read_all(ClipRecord, "clips_of", run_ids=run_ids)

    async def to_drop(self, days: float, run_ids: Sequence[str], at_most: int) -> tuple[tuple[str, str | None], ...]:
        """Run id and 'bucket/key' of runs delivered at least `days` ago: those in Storage, and any of `run_ids`."""
        rows = await self._ask("clips_to_drop", days=days, run_ids=run_ids, at_most=at_most)
        return tuple((row["run_id"], row["stored"]) for row in rows)

    async def note_dropped(self, run_id: str) -> None:
        await self._ask("note_dropped", run_id=run_id)

    async def tell_broken(self, words: str) -> None:
        """Alerts operators, once a day, that Storage takes no clips."""
        await self._ask("storage_broken", words=words)


@dataclass(frozen=True)
class Charge:
    """`released`: the money of a refusal that might have been billed was given back, as it was not."""

    recorded: bool
    released: bool


class PurchaseRecords(LedgerFunctions):
    async def note_gateway(self, run_id: UUID, attempts: int, model: str) -> None:
        """A gateway says that it sent our request `attempts` further times, the last time to `model`."""
        await self._ask("note_gateway", run_id=run_id, attempts=attempts, model=model)

    async def record_charge(self, run_id: UUID, microusd: int) -> Charge:
        """What the provider says that it charged for the run's job."""
        answer = await self._ask("record_charge", run_id=run_id, microusd=microusd)
        return Charge(answer["recorded"], answer["released"])
