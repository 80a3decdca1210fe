"""People of the simulator's Telegram, over its control doors; and the bot at it, over real HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer

from bot.app import ALLOWED_UPDATES, BotApp, open_bot_app
from bot.transport import webhook
from bot.transport.polling import poll
from bot.transport.session import TelegramSession
from pipeline.cancellation import stop
from pipeline.context import RunContext
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run
from pipeline.worker import open_engine
from tests.bot.harness import PACE, dependencies_at
from tests.support.fixtures import Simulator, open_test_context

TOKEN = "4242:test"
SECRET = "a-secret-of-the-test"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Person:
    simulator: Simulator
    id: int

    def say(self, text: str) -> dict[str, Any]:
        return self._ask("messages", {"chat_id": self.id, "from": self.id, "text": text})

    def tap(self, button: str, message_id: int) -> dict[str, Any]:
        return self._ask("taps", {"chat_id": self.id, "from": self.id, "message_id": message_id, "button": button})

    def views(self) -> list[dict[str, Any]]:
        found = self.simulator.control("GET", f"/_sim/telegram/chats/{self.id}")["messages"]
        return [view for view in found if view["from"]["is_bot"]]

    def videos(self) -> list[dict[str, Any]]:
        return [view for view in self.views() if view.get("video")]

    async def until(self, words: str) -> dict[str, Any]:
        """The bot's message that says this, or has it on a button."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for view in await asyncio.to_thread(self.views):
                    labels = [button["text"] for row in view.get("keyboard") or [] for button in row]
                    if words in "\n".join([view.get("text") or view.get("caption") or "", *labels]):
                        return view
                await asyncio.sleep(0.1)

    async def create(self, prompt: str) -> None:
        """From the wish to the tap."""
        await asyncio.to_thread(self.say, f"/create {prompt}")
        card = await self.until("Create ·")
        await asyncio.to_thread(self.tap, "Create ·", card["message_id"])

    def _ask(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.simulator.control("POST", f"/_sim/telegram/{what}", body)
        return answer


def person(simulator: Simulator, name: str = "Ben") -> Person:
    return Person(simulator, simulator.control("POST", "/_sim/telegram/people", {"name": name})["id"])


def calls(simulator: Simulator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = simulator.control("GET", "/_sim/telegram/calls?since=0")["calls"]
    return found


@dataclass(frozen=True)
class House:
    bot_app: BotApp
    context: RunContext

    async def runs(self) -> tuple[Run, ...]:
        return tuple(reversed(await Operators(self.context.ledger.rpc).runs(1000)))


Intake = Callable[[BotApp], contextlib.AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def polling(bot_app: BotApp) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(poll(bot_app.bot, bot_app.incoming.read, bot_app.feed, ALLOWED_UPDATES, stopping))
    try:
        yield
    finally:
        stopping.set()
        await task


@asynccontextmanager
async def hooked(bot_app: BotApp, port: int) -> AsyncIterator[None]:
    url = f"http://127.0.0.1:{port}/telegram"
    read, feed = bot_app.incoming.read, bot_app.feed
    async with webhook.serve(bot_app.bot, read, feed, url, SECRET, "127.0.0.1", port, ALLOWED_UPDATES):
        yield


@asynccontextmanager
async def open_house(dsn: str, simulator: Simulator, home: Path, intake: Intake = polling) -> AsyncIterator[House]:
    """The bot at work, Telegram over HTTP."""
    session = TelegramSession(api=TelegramAPIServer.from_base(simulator.url.removesuffix("/v1")))
    bot = Bot(TOKEN, session=session)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(session.close)
        context = await opened.enter_async_context(open_test_context(dsn, simulator, home))
        engine = await opened.enter_async_context(open_engine(dsn))
        back = dependencies_at(context, engine, shared_turns=True)
        bot_app = await opened.enter_async_context(open_bot_app(bot, back, alarms=False))
        work = asyncio.create_task(engine.work(context, bot_app.delivery.tell, PACE, bot_app.cards.follow))
        opened.push_async_callback(stop, work)
        await opened.enter_async_context(intake(bot_app))
        yield House(bot_app, context)
