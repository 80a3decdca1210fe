"""What the verbs of /admin use."""

from dataclasses import dataclass

from bot.requests.ordering import Enqueue
from bot.translations import Words
from pipeline.context import ProviderAccount
from pipeline.ledger.client import Ledger
from pipeline.ledger.operators import Operators
from pipeline.settings.parts import Waits


@dataclass(frozen=True)
class AdminTools:
    """Shared by all operators."""

    ledger: Ledger
    operators: Operators
    enqueue: Enqueue
    account: ProviderAccount
    waits: Waits


@dataclass(frozen=True)
class AdminContext:
    """One operator's command: who sent it, and the language of the answer."""

    who: str
    words: Words
    tools: AdminTools

    @property
    def ledger(self) -> Ledger:
        return self.tools.ledger

    @property
    def operators(self) -> Operators:
        return self.tools.operators
