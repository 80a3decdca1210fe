"""A tap on a button of a run, by the run's own user."""

from dataclasses import dataclass

from aiogram.types import CallbackQuery

from bot.callback_data import RunTap
from bot.delivery.delivery import Delivery
from bot.requests.for_sale import ForSale
from bot.requests.ordering import Orders
from bot.requests.questions import Questions
from bot.translations import Words
from bot.transport.replies import Replies
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import Run
from pipeline.ledger.users import Customer, Customers


@dataclass(frozen=True)
class Tapped:
    """A tap by the run's own user, and everything that its handler may need."""

    tap: CallbackQuery
    data: RunTap
    run: Run
    bot_id: int
    words: Words
    customer: Customer
    customers: Customers
    ledger: Ledger
    for_sale: ForSale
    orders: Orders
    delivery: Delivery
    replies: Replies
    questions: Questions

    async def say(self, sentence: str, *, alert: bool = False) -> None:
        await self.replies.tap(self.tap, self.words.plain(sentence, ref=self.run.ref), alert=alert)
