"""The handles a run needs, built once at the entry point and handed down.

`run`, the fence and reconciliation take the whole RunContext because between them they use all of it; a step gets only
its one handle. Clocks, randomness and sleeping are here too, so that no code below creates its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pipeline.clips.bucket import Bucket
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import ANY_NUMBER, Run, Slots
from pipeline.prompts.versions import PromptVersions
from pipeline.purchase.answer_files import AnswerFiles
from pipeline.purchase.verdicts import ListFacts
from pipeline.settings.parts import Waits
from providers.transport import VideoProvider
from steps.text_model.ask_model import TextModelClient

Outcome = TypeVar("Outcome")
ATTEMPTS_MAX = 5
FREE_BYTES_MIN = 1_000_000_000  # under this a run fails before it buys what it could not store


@dataclass(frozen=True)
class ProviderRules:
    """What models.toml says about a run's provider."""

    refuses_429_before_work: bool
    typical_render_seconds: int
    listing: ListFacts = field(default_factory=ListFacts)


@dataclass(frozen=True)
class ProviderAccount:
    """One provider and key. Runs of another provider or key are left to a process that has that one configured."""

    provider: VideoProvider
    base_url: str
    key_fingerprint: str
    rules_for: Callable[[str], ProviderRules]  # by model name
    slots: Slots = ANY_NUMBER
    others: tuple["ProviderAccount", ...] = ()  # that are configured besides this one

    @property
    def all(self) -> tuple["ProviderAccount", ...]:
        return (self, *self.others)

    def for_run(self, run: Run) -> "ProviderAccount":
        """The account that the run was priced for; this one, which then does not match it, if it is not configured."""
        return next((account for account in self.all if account.matches(run)), self)

    def matches(self, run: Run) -> bool:
        """Whether the run was priced for this account: one address and key may serve two protocols."""
        here = (self.provider.api.facts.name, self.base_url, self.key_fingerprint)
        return (run.provider, run.base_url, run.key_fingerprint) == here


@dataclass(frozen=True)
class TextModel:
    """The text model: its client, its name, and the price of its tokens."""

    client: TextModelClient
    model: str
    cost_microusd: Callable[[str, int, int], int]  # model, tokens in, tokens out


class Purchases:
    """Purchases whose request may have been sent. A graceful stop waits for them; nothing cancels one."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Future[Any]] = set()

    async def see_through(self, purchase: Awaitable[Outcome]) -> Outcome:
        """Awaits the purchase; if the caller is canceled, the purchase continues."""
        task = asyncio.ensure_future(purchase)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def all_done(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way)


@dataclass(frozen=True)
class RunContext:
    ledger: Ledger
    account: ProviderAccount
    text: TextModel
    prompts: PromptVersions
    answers: AnswerFiles
    media: Path
    waits: Waits
    boot_seconds: Callable[[], float]
    new_token: Callable[[], str]
    jitter: Callable[[], float]  # 0..1
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    purchases: Purchases = field(default_factory=Purchases)
    bucket: Bucket | None = None  # where clips are kept besides `media`
    keep_days: float = 0  # after which a delivered clip is removed; 0: never

    def for_run(self, run: Run) -> "RunContext":
        """This context with the account that the run was priced for, if it is configured."""
        account = self.account.for_run(run)
        return self if account is self.account else replace(self, account=account)
