"""What the provider itself charged for a job, stored beside the price. The audit compares the two.

In       a job that shows its cost, or runs of a provider that tells it elsewhere
Effects  reads the provider's books (free); records the charge, which gives money back if a failure was not billed
"""

import asyncio
import contextlib
from collections.abc import Sequence

from pipeline.context import ProviderAccount
from pipeline.ledger.clip_records import PurchaseRecords
from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerCall
from providers.job import Job
from providers.job_ids import same_job
from providers.port import ReadError

ASKED_MAX = 100  # of one audit
SECONDS_MAX = 10.0
CHARGE_MICROUSD_MAX = 10**12  # a million dollars: more is no charge for a video, and might not fit the ledger's column
NOT_TOLD = frozenset({401, 403})  # a key without the right to see charges


async def note_shown(run: Run, job: Job, rpc: LedgerCall) -> None:
    """Records the cost that the run's own job shows, if it shows one."""
    shown = job.cost_microusd
    if shown is not None and is_charge(shown) and run.job_id is not None and same_job(job.job_id, run.job_id):
        await PurchaseRecords(rpc).record_charge(run.run_id, shown)


async def ask_for_charges(runs: Sequence[Run], account: ProviderAccount, rpc: LedgerCall) -> int:
    """Asks for charges that are not known yet, the newest first; how many were recorded.

    Those that the provider does not tell within SECONDS_MAX are asked for by the next audit. The newest come first,
    because a failed run that was not billed is never told of, and is in each audit for thirty days.
    """
    unknown = [run for run in runs if run.job_id and run.ended and run.charged_microusd is None]
    recorded = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_MAX):
            for run in reversed(unknown[-ASKED_MAX:]):
                sent_at = run.submitting_at.timestamp() if run.submitting_at else None
                charged = await account.provider.charge(run.job_id or "", sent_at)
                if isinstance(charged, ReadError) and charged.status in NOT_TOLD:
                    break
                if isinstance(charged, int) and is_charge(charged):
                    await PurchaseRecords(rpc).record_charge(run.run_id, charged)
                    recorded += 1
    return recorded


def is_charge(microusd: int) -> bool:
    """A number that can be a charge: one that the ledger refuses would block the clip, or each audit."""
    return 0 <= microusd <= CHARGE_MICROUSD_MAX
