"""Pushes updates to a bot's address, in order within a chat, and retries each until it gets a 2xx.

In       a bot's queue of updates, and the address
Out      POSTs; method calls in the bot's answers are passed to `execute`
Effects  one task per chat with pending updates; `stop` ends them
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout

from simulator.telegram.api.arguments import Args, json_fields, read_parts
from simulator.telegram.api.refusals import Refused
from simulator.telegram.api.updates import Update, UpdateQueue

CONNECTIONS_DEFAULT, CONNECTIONS_MAX = 40, 100
FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.2, 5.0
ANSWER_SECONDS_MAX = 60.0
TOKEN_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header

Execute = Callable[[Args], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a webhook."""

    url: str
    secret: str
    connections_max: int


class Webhook:
    """The webhook sender of one bot."""

    def __init__(self, address: Address, updates: UpdateQueue, execute: Execute, upload_bytes_max: int) -> None:
        self.address = address
        self.last_error: tuple[int, str] | None = None
        self._updates = updates
        self._execute = execute
        self._upload_bytes_max = upload_bytes_max
        self._chats: dict[int, deque[Update]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(address.connections_max)
        self._session = ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS_MAX))

    def start(self) -> None:
        """Send pending updates and all new ones."""
        for update in [*self._updates.pending.values(), *self._updates.again]:
            self._line_up(update)
        self._updates.again.clear()
        self._updates.on_new = self._line_up

    async def stop(self) -> None:
        """Stop sending; unconfirmed updates stay in the queue."""
        if self._updates.on_new == self._line_up:
            self._updates.on_new = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def info(self) -> dict[str, Any]:
        """The answer to getWebhookInfo."""
        shown: dict[str, Any] = {"url": self.address.url, "max_connections": self.address.connections_max}
        if self.last_error is not None:
            shown["last_error_date"], shown["last_error_message"] = self.last_error
        return shown

    def _line_up(self, update: Update) -> None:
        waiting = self._chats.get(update.chat_id)
        if waiting is not None:
            waiting.append(update)
            return
        self._chats[update.chat_id] = deque([update])
        task = asyncio.get_running_loop().create_task(self._send_in_order(update.chat_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_in_order(self, chat_id: int) -> None:
        waiting = self._chats[chat_id]
        pause = FIRST_PAUSE_SECONDS
        while waiting:
            called = await self._send(waiting[0])
            if called is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
                continue
            self._updates.confirm(waiting.popleft())
            pause = FIRST_PAUSE_SECONDS
            if called.text("method"):
                await self._execute(called)
        del self._chats[chat_id]

    async def _send(self, update: Update) -> Args | None:
        """Send once. Returns the method call in the answer (usually empty), or None if the bot did not answer 2xx."""
        headers = {TOKEN_HEADER: self.address.secret} if self.address.secret else {}
        async with self._places:
            try:
                told = update.hand_out()
                async with self._session.post(self.address.url, json=told, headers=headers) as answer:
                    if 200 <= answer.status < 300:
                        return await self._called(answer)
                    self._note(f"Wrong response from the webhook: {answer.status} {answer.reason}")
            except TimeoutError:
                self._note("Read timeout expired")
            except (ClientError, OSError, ValueError) as trouble:
                self._note(f"Connection failed: {type(trouble).__name__}")
        return None

    async def _called(self, answer: ClientResponse) -> Args:
        """The method call in an answer; empty if there is none."""
        try:
            if answer.content_type.startswith("multipart/"):
                return await read_parts(answer.headers, answer.content, self._upload_bytes_max)
            body = await answer.read()
            return Args(json_fields(body)) if body.lstrip().startswith(b"{") else Args()
        except (Refused, ClientError):
            return Args()

    def _note(self, words: str) -> None:
        self.last_error = int(time.time()), words
