"""Reads the sender and their language once per update, and passes them to the handler.

Effects  retries videos that could not be delivered because the sender had blocked the bot; keeps an operator's language
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import Message, TelegramObject, User

from bot.delivery.address import user_id
from bot.requests.albums import Albums
from bot.requests.ordering import Enqueue
from bot.requests.questions import Questions
from bot.translations import Words
from pipeline.ledger.notifications import Notifications
from pipeline.ledger.users import Customers
from steps.languages import closest

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class UserMiddleware(BaseMiddleware):
    """Adds `sender`, `customer`, `words` and `after`: the ref of the run whose question came right before the message.

    Drops updates without a sender, and further pictures of an album.
    """

    def __init__(
        self,
        customers: Customers,
        notifications: Notifications,
        enqueue: Enqueue,
        admins: frozenset[int],
        questions: Questions,
    ) -> None:
        self._customers, self._notifications, self._enqueue = customers, notifications, enqueue
        self._admins, self._questions, self._albums = admins, questions, Albums()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        sender: User | None = data.get("event_from_user")
        if sender is None or (isinstance(event, Message) and self._albums.is_one_more(event)):
            return None
        customer = await self._customers.get(user_id(sender.id))
        language = customer.preferences.language or closest(sender.language_code)
        if sender.id in self._admins and customer.preferences.language is None:
            await self._customers.set_preference(user_id(sender.id), "language", language)  # for later alerts
        if customer.unreached:
            for run_id in await self._notifications.again(user_id(sender.id)):
                await self._enqueue(run_id)
        after = self._questions.hear(event) if isinstance(event, Message) and event.edit_date is None else None
        more = {"sender": sender, "customer": customer, "words": Words(language), "after": after}
        return await handler(event, data | more)
