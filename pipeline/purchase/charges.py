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

ASKED_MAX = 100  # of one audit
SECONDS_MAX = 10.0


async def note_shown(run: Run, job: Job, rpc: LedgerCall) -> None:
    """Records the cost that the run's own job shows, if it shows one."""
    if job.cost_microusd is not None and run.job_id is not None and same_job(job.job_id, run.job_id):
        await PurchaseRecords(rpc).record_charge(run.run_id, job.cost_microusd)


async def ask_for_charges(runs: Sequence[Run], account: ProviderAccount, rpc: LedgerCall) -> int:
    """Asks for charges that are not known yet, the oldest first; how many were recorded.

    Those that the provider does not tell within SECONDS_MAX are asked for by the next audit.
    """
    unknown = [run for run in runs if run.job_id and run.ended and run.charged_microusd is None]
    recorded = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_MAX):
            for run in unknown[:ASKED_MAX]:
                charged = await account.provider.charge(run.job_id or "")
                if isinstance(charged, int):
                    await PurchaseRecords(rpc).record_charge(run.run_id, charged)
                    recorded += 1
    return recorded
