"""What the operators' verbs in chat use."""

from dataclasses import dataclass

from bot.requests.ordering import Enqueue
from bot.translations import Words
from pipeline.context import Shop
from pipeline.ledger.client import Ledger
from pipeline.ledger.operators import Operators
from pipeline.settings.config import Waits


@dataclass(frozen=True)
class Desk:
    """The same for every operator."""

    ledger: Ledger
    operators: Operators
    enqueue: Enqueue
    shop: Shop
    waits: Waits


@dataclass(frozen=True)
class Office:
    """One operator at the desk: who asks, and in which language."""

    who: str
    words: Words
    desk: Desk

    @property
    def ledger(self) -> Ledger:
        return self.desk.ledger

    @property
    def operators(self) -> Operators:
        return self.desk.operators
