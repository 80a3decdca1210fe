"""How long a render should take: from our own history if there is one, else as models.toml says."""

from dataclasses import dataclass

from pipeline.context import ProviderAccount
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import Run


@dataclass(frozen=True)
class Expected:
    seconds: float
    from_history: bool


async def expected(run: Run, ledger: Ledger, account: ProviderAccount) -> Expected:
    """Raises what the transport raises."""
    median = await ledger.median_render_seconds(run.base_url, run.model, run.seconds)
    if median is not None:
        return Expected(median, from_history=True)
    return Expected(float(account.for_run(run).rules_for(run.model).typical_render_seconds), from_history=False)
