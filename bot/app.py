"""Builds the bot: its parts, its routers, and one entry point for updates, whether from polling or webhook.

In       a Bot, the ledger's parts, what is for sale, and a function that enqueues runs
Out      BotApp: `feed` handles one update; `delivery.tell` and `cards.follow` are for the worker
Raises   `feed` raises LedgerUnavailable: the update was not handled and must be retried
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiogram import Bot, Dispatcher, Router
from aiogram.types import CallbackQuery, ErrorEvent, Message, Update

from bot import info_pages, settings
from bot.admin import panel
from bot.admin.alerts import OperatorAlerts
from bot.admin.context import AdminTools
from bot.delivery.delivery import Delivery
from bot.delivery.progress_cards import ProgressCards
from bot.requests import create, run_buttons
from bot.requests.for_sale import ForSale
from bot.requests.ordering import Enqueue, Orders
from bot.requests.questions import Questions
from bot.translations import N_, Words
from bot.transport.client import TelegramClient, Time
from bot.transport.rate_limiter import RateLimiter
from bot.transport.replies import Replies
from bot.transport.shared_rate_limit import SharedRateLimit
from bot.transport.throttle import Throttle
from bot.transport.updates import Incoming
from bot.user_middleware import UserMiddleware
from pipeline.background import Background
from pipeline.context import ProviderAccount
from pipeline.ledger.alerts import Alerts
from pipeline.ledger.client import Ledger
from pipeline.ledger.notifications import Notifications
from pipeline.ledger.operators import Operators
from pipeline.ledger.rate_limits import RateLimits
from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.ledger.users import Customers
from pipeline.settings.parts import Waits
from steps.languages import closest

REAL_TIME = Time()
ALLOWED_UPDATES = ["message", "edited_message", "callback_query"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BotApp:
    bot: Bot
    dispatcher: Dispatcher
    cards: ProgressCards
    delivery: Delivery
    client: TelegramClient
    incoming: Incoming

    async def feed(self, update: Update) -> None:
        """Handles one update completely."""
        await self.dispatcher.feed_update(self.bot, update)


@dataclass(frozen=True)
class BotDependencies:
    """What the bot needs from the rest of the product.

    `slow_seconds`: a longer render is called slow. `shared_turns`: other processes also send as this bot.
    """

    ledger: Ledger
    operators: Operators
    account: ProviderAccount
    waits: Waits
    for_sale: ForSale
    enqueue: Enqueue
    admins: frozenset[int]
    new_teller: Callable[[], str]
    clip_of: Callable[[Run], Awaitable[Path]]
    slow_seconds: float
    shared_turns: bool = False


@asynccontextmanager
async def open_bot_app(
    bot: Bot, dependencies: BotDependencies, *, alarms: bool = True, time: Time = REAL_TIME
) -> AsyncIterator[BotApp]:
    """Keeps cards up to date while open. With `alarms`, also sends operators their alerts: in one process only."""
    rpc = dependencies.ledger.rpc
    customers, notifications = Customers(rpc), Notifications(rpc)
    client = TelegramClient(
        bot,
        RateLimiter(time.clock),
        time,
        SharedRateLimit(RateLimits(rpc), time.clock) if dependencies.shared_turns else None,
    )
    cards = ProgressCards(
        client,
        notifications,
        dependencies.ledger,
        customers,
        dependencies.account,
        dependencies.for_sale,
        dependencies.slow_seconds,
    )
    delivery = Delivery(
        client, cards, notifications, dependencies.for_sale, dependencies.new_teller, dependencies.clip_of
    )
    replies, incoming, questions = Replies(client), Incoming(bot, rpc), Questions()
    dispatcher = _dispatcher(
        UserMiddleware(customers, notifications, dependencies.enqueue, dependencies.admins, questions),
        replies,
        incoming,
    )
    dispatcher.workflow_data.update(
        customers=customers,
        ledger=dependencies.ledger,
        operators=dependencies.operators,
        for_sale=dependencies.for_sale,
        orders=Orders(dependencies.ledger, dependencies.for_sale, dependencies.enqueue, cards, customers),
        enqueue=dependencies.enqueue,
        delivery=delivery,
        notifications=notifications,
        replies=replies,
        questions=questions,
        admins=dependencies.admins,
        tools=AdminTools(
            dependencies.ledger, dependencies.operators, dependencies.enqueue, dependencies.account, dependencies.waits
        ),
    )
    beside = [cards.keep()]
    if alarms:
        beside.append(OperatorAlerts(client, Alerts(rpc), customers, dependencies.admins).keep())
    async with Background(*beside):
        try:
            yield BotApp(bot, dispatcher, cards, delivery, client, incoming)
        finally:
            await replies.stop()


def _dispatcher(greeter: UserMiddleware, replies: Replies, incoming: Incoming) -> Dispatcher:
    async def too_much(said: Message | CallbackQuery) -> None:
        words = Words(closest(said.from_user.language_code if said.from_user else None))
        if isinstance(said, Message):
            await replies.to(
                said,
                words(TOO_MUCH),
            )
        else:
            await replies.tap(
                said, words.plain(N_("Too many taps at once. This one did nothing; try again in a minute."))
            )

    async def failed(event: ErrorEvent) -> bool:
        """Raises if the ledger is unavailable: the update is retried, within bounds. Otherwise answers in the chat."""
        if isinstance(event.exception, LedgerUnavailable) and not await incoming.gives_up(event.update):
            raise event.exception
        log.error("update", extra={"action": "update_failed"}, exc_info=event.exception)
        update = event.update
        said = update.message or update.edited_message or update.callback_query
        words = Words(closest(said.from_user.language_code if said and said.from_user else None))
        if isinstance(said, Message):
            await replies.to(said, words(WENT_WRONG))
        elif said is not None:
            await replies.tap(said, words.plain(WENT_WRONG), alert=True)
        return True

    dispatcher = Dispatcher(disable_fsm=True)
    dispatcher.update.outer_middleware(Throttle(too_much))
    dispatcher.message.outer_middleware(greeter)
    dispatcher.edited_message.outer_middleware(greeter)
    dispatcher.callback_query.outer_middleware(greeter)
    dispatcher.error.register(failed)
    for answers in (
        panel,
        info_pages,
        settings,
        run_buttons,
        create,
    ):  # the last one answers whatever the others do not match
        dispatcher.include_router(answers.make_router())
    dispatcher.include_router(_last_router())
    return dispatcher


def _last_router() -> Router:
    """Answers every tap that no other router answers."""
    router = Router(name="unknown_taps")
    router.callback_query.register(unknown_tap)
    return router


async def unknown_tap(tap: CallbackQuery, words: Words, replies: Replies) -> None:
    await replies.tap(tap, words.plain(UNKNOWN_TAP), alert=True)


UNKNOWN_TAP = N_("This button no longer works. Nothing was charged. See /help for everything I can do.")
TOO_MUCH = N_(
    "You sent too many messages at once, so I skipped the last ones. Nothing was charged for them. Send them again in "
    "a minute."
)
WENT_WRONG = N_(
    "Something went wrong on our side. Check /status: if your video is not there, send it again. Nothing is ordered "
    "twice."
)
