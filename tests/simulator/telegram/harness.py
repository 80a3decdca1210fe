"""A harness for the simulated Telegram: control calls, raw Bot API calls, and the real aiogram client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from simulator.app import serve
from simulator.settings import Settings
from simulator.state import SimulatorState
from simulator.telegram.state import Telegram

TOKEN = "42:stage"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class TelegramHarness:
    """One running simulator with one bot, and people."""

    root: str
    context: SimulatorState
    telegram: Telegram
    http: aiohttp.ClientSession
    bot: Bot

    async def control(self, method: str, path: str, **body: Any) -> Any:
        """A control call that must succeed."""
        status, answer = await self.try_control(method, path, **body)
        assert status == 200, answer
        return answer

    async def try_control(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """A control call that may fail."""
        url = f"{self.root}/_sim/telegram/{path}"
        async with self.http.request(method, url, json=body if method == "POST" else None) as answer:
            return answer.status, await answer.json()

    async def person(self, name: str = "Ana", **more: Any) -> int:
        """Add a person; returns the id."""
        told: dict[str, Any] = await self.control("POST", "people", name=name, **more)
        return int(told["id"])

    async def friend(self, name: str = "Ana") -> int:
        """Add a person who has already written to the bot."""
        number = await self.person(name)
        await self.says(number, "/start")
        return number

    async def says(self, chat_id: int, text: str, by: int | None = None, **more: Any) -> Any:
        """Send a message as a person."""
        sender = chat_id if by is None else by
        return await self.control("POST", "messages", chat_id=chat_id, text=text, **{"from": sender}, **more)

    async def taps(self, chat_id: int, message_id: int, by: int | None = None, **how: Any) -> Any:
        """Press a button as a person."""
        sender = chat_id if by is None else by
        return await self.control("POST", "taps", chat_id=chat_id, message_id=message_id, **{"from": sender}, **how)

    async def views(self, chat_id: int) -> list[Any]:
        """A chat's messages as the page shows them."""
        shown: list[Any] = (await self.control("GET", f"chats/{chat_id}"))["messages"]
        return shown

    async def call(self, method: str, token: str = TOKEN, **params: Any) -> tuple[int, Any]:
        """A Bot API call as plain JSON."""
        async with self.http.post(f"{self.root}/bot{token}/{method}", json=params) as answer:
            return answer.status, await answer.json()

    async def refused(self, method: str, **params: Any) -> str:
        """The error message of a call that must be refused."""
        status, body = await self.call(method, **params)
        assert (body["ok"], body["error_code"]) == (False, status), body
        return str(body["description"])

    async def poll(self, offset: int = 0, seconds: int = 0, **more: Any) -> list[Any]:
        """The updates of one getUpdates."""
        _, body = await self.call("getUpdates", offset=offset, timeout=seconds, **more)
        assert body["ok"], body
        updates: list[Any] = body["result"]
        return updates

    async def trouble(self, kind: str, **how: Any) -> None:
        """Arm a fault."""
        fault = {"target": "telegram", "kind": kind, **how}
        async with self.http.post(f"{self.root}/_sim/faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def until_a_poll_waits(self) -> None:
        """Wait until a getUpdates has reached the simulator and is waiting there."""

        async def waits() -> bool:
            return self.telegram.bots[0].updates._waiting is not None

        await until(waits)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_bot_harness(**settings: Any) -> AsyncIterator[TelegramHarness]:
    """Start a simulator, with one client of each kind."""
    async with serve(settings=Settings(tiny_clips=True, **settings)) as running, aiohttp.ClientSession() as http:
        # aiohttp silently repeats a dropped GET; its own test client switches that off in the same way.
        http._retry_connection = False
        bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(running.root)))
        try:
            yield TelegramHarness(running.root, running.state, running.telegram, http, bot)
        finally:
            await bot.session.close()


def keyboard(*labels: str) -> str:
    """Buttons below each other, as a form sends them; the data is the label."""
    return json.dumps({"inline_keyboard": [[{"text": label, "callback_data": label}] for label in labels]})
