"""The ledger's records of what a provider tells of one purchase, besides its job.

Raises   what the transport raises
Effects  notes on the rows. Each is safe to repeat.
"""

from dataclasses import dataclass
from uuid import UUID

from pipeline.ledger.functions import LedgerFunctions


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
