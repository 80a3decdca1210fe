"""The real bot on a real ledger with a real worker, at the simulated provider; Telegram is a recording session."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

from aiogram import Bot
from aiogram.types import CallbackQuery, Chat, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User

from bot.app import BotApp, BotDependencies, open_bot_app
from bot.requests.for_sale import ForSale
from bot.translations import WORD_JOINER
from bot.transport.client import Time
from pipeline.cancellation import stop
from pipeline.clips.storage import at_hand
from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import ANY_NUMBER, Run, Slots, State
from pipeline.settings.resources import models_file
from pipeline.worker import Engine, Pace, open_engine
from providers.catalogue import find_model, load_catalogue
from tests.bot.recording import Recording, make_bot
from tests.support.fixtures import Simulator, open_test_context, quick_waits

# A busy machine holds a process up for a second or two: that must not look like a worker that died.
PACE = Pace(concurrency=50, heartbeat_seconds=0.2, stalled_seconds=30, sweep_seconds=0.2)
PATIENCE_SECONDS = 60.0
ADMIN = 9
HASTE = 10.0  # ten seconds of the chats' budgets pass in one


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / HASTE)


HURRIED = Time(lambda: time.monotonic() * HASTE, _sleep)


@dataclass
class BotHarness:
    """`ANA` writes from an app in Spanish, everybody else in English."""

    bot_app: BotApp
    bot: Bot
    session: Recording
    context: RunContext
    operators: Operators
    engine: Engine
    dsn: str
    _updates: Any = field(default_factory=lambda: itertools.count(1))
    _messages: Any = field(default_factory=lambda: itertools.count(10))

    async def say(
        self,
        text: str,
        user: int = 1,
        *,
        chat: int | None = None,
        reply_to: Message | None = None,
        message_id: int | None = None,
        language: str = "en",
        **more: Any,
    ) -> Message:
        """A message arrives; its handling has ended when this returns."""
        message = self.message(
            text, user, chat=chat, reply_to=reply_to, message_id=message_id, language=language, **more
        )
        await self.feed(message=message)
        return message

    def message(
        self,
        text: str,
        user: int = 1,
        *,
        chat: int | None = None,
        reply_to: Message | None = None,
        message_id: int | None = None,
        language: str = "en",
        **more: Any,
    ) -> Message:
        chat_id = chat or user
        kind = "private" if chat_id > 0 else "supergroup"
        message = Message(
            message_id=message_id or next(self._messages),
            date=datetime.now(UTC),
            chat=Chat(id=chat_id, type=kind),
            from_user=person(user, language),
            text=text,
            reply_to_message=reply_to,
            **more,
        )
        self.session.messages.setdefault(message.message_id, message)
        return message

    async def tap(self, button: str, user: int = 1, *, on: Message | None = None, language: str = "en") -> None:
        """A button whose label contains these words, on the last message that has it or on the given one.

        A run may be in a state a moment before its card shows the buttons of that state: waits for them.
        """

        def found() -> list[Message]:
            return [message for message in ([self.now(on)] if on else self.shown()) if label_of(message, button)]

        try:
            await self.until(found)
        except TimeoutError:
            there = [labels(message) for message in self.shown()]
            raise AssertionError(f"no button {button!r}; there are {there}") from None
        message = found()[-1]
        data = label_of(message, button)
        assert data is not None
        await self.press(data, message, user, language=language)

    async def press(self, data: str, on: Message, user: int = 1, *, language: str = "en") -> None:
        tapped = CallbackQuery(
            id=str(next(self._updates)),
            from_user=person(user, language),
            chat_instance="c",
            data=data,
            message=self.now(on),
        )
        await self.feed(callback_query=tapped)

    async def feed(self, **content: Any) -> None:
        update = Update(update_id=next(self._updates), **content)
        await self.bot_app.feed(Update.model_validate(update.model_dump(exclude_none=True), context={"bot": self.bot}))

    def now(self, message: Message) -> Message:
        """The message as it is after its edits."""
        return self.session.messages[message.message_id]

    def shown(self) -> list[Message]:
        """What the bot has sent, as it is now, oldest first."""
        return [message for message_id, message in sorted(self.session.messages.items()) if message_id >= 1000]

    def texts(self) -> list[str]:
        return [message.text or message.caption or "" for message in self.shown()]

    async def runs(self) -> Sequence[Run]:
        return tuple(reversed(await self.operators.runs(1000)))

    async def only_run(self) -> Run:
        runs = await self.runs()
        assert len(runs) == 1, [run.state for run in runs]
        return runs[0]

    async def until(self, done: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = done()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(0.03)

    async def until_state(self, *states: State, number: int = 0) -> Run:
        """The run (the first, unless told otherwise) in one of these states."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                runs = await self.runs()
                if len(runs) > number and runs[number].state in states:
                    return runs[number]
                await asyncio.sleep(0.03)

    async def until_said_plainly(self, words: str) -> Message:
        """The same, without markup and whatever invisible signs stand between the letters."""
        await self.until(lambda: any(words in plain(text) for text in self.texts()))
        return [message for message in self.shown() if words in plain(message.text or message.caption or "")][-1]

    async def until_said(self, words: str) -> Message:
        await self.until(lambda: any(words in text for text in self.texts()))
        return [message for message in self.shown() if words in (message.text or message.caption or "")][-1]


def plain(html: str) -> str:
    """As a reader sees it."""
    return unescape(re.sub(r"<[^>]+>", "", html)).replace(WORD_JOINER, "")


def person(user: int, language: str = "en") -> User:
    return User(id=user, is_bot=False, first_name=f"P{user}", language_code=language)


def buttons(message: Message) -> list[InlineKeyboardButton]:
    markup = message.reply_markup
    return [b for row in markup.inline_keyboard for b in row] if isinstance(markup, InlineKeyboardMarkup) else []


def labels(message: Message) -> list[str]:
    return [button.text for button in buttons(message)]


def label_of(message: Message, words: str) -> str | None:
    return next((b.callback_data for b in buttons(message) if words in b.text and b.callback_data), None)


@asynccontextmanager
async def open_bot_harness(
    dsn: str,
    simulator: Simulator,
    home: Path,
    *,
    working: bool = True,
    demo: bool = False,
    slots: Slots = ANY_NUMBER,
    **waits: str,
) -> AsyncIterator[BotHarness]:
    bot, session = make_bot()
    async with open_test_context(dsn, simulator, home, quick_waits(**waits)) as plain, open_engine(dsn) as engine:
        context = replace(plain, account=replace(plain.account, slots=slots))
        dependencies = dependencies_at(context, engine, demo=demo)
        async with open_bot_app(bot, dependencies, alarms=False, time=HURRIED) as bot_app:
            work = asyncio.create_task(engine.work(context, bot_app.delivery.tell, PACE, bot_app.cards.follow))
            if not working:
                work.cancel()
            try:
                yield BotHarness(bot_app, bot, session, context, dependencies.operators, engine, dsn)
            finally:
                await stop(work)


def dependencies_at(
    context: RunContext,
    engine: Engine,
    *,
    demo: bool = False,
    admins: frozenset[int] = frozenset({ADMIN}),
    shared_turns: bool = False,
) -> BotDependencies:
    model = find_model(load_catalogue(models_file()), "sim-1", context.account.base_url)
    assert model is not None
    return BotDependencies(
        ledger=context.ledger,
        operators=Operators(context.ledger.rpc),
        account=context.account,
        waits=context.waits,
        for_sale=ForSale(model, context.account.base_url, "fp", model.create_body, 8, "720x1280", demo),
        enqueue=engine.wake,
        admins=admins,
        new_teller=context.new_token,
        clip_of=partial(at_hand, context=context),
        slow_seconds=180,
        shared_turns=shared_turns,
    )
