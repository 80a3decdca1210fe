"""What the operators' verbs in chat use."""

from dataclasses import dataclass

from bot.ordering import Enqueue
from bot.words import Words
from pipeline.config import Waits
from pipeline.ledger import Ledger
from pipeline.operators import Operators
from pipeline.world import Shop


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
