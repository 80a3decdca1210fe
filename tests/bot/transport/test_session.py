"""Whatever bytes come back from Telegram's address, polling goes on, and what was carried out counts as such."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramNotFound, TelegramUnauthorizedError
from aiogram.methods import SendVideo
from aiogram.types import Message, Update
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.transport.client import Time
from bot.transport.polling import poll
from bot.transport.session import TelegramSession

TOKEN = "4242:test"
JSON = "application/json"
MESSAGE = b'{"message_id": 7, "date": 1, "chat": {"id": 1, "type": "private"}, "text": "x"}'
UPDATES = b'{"ok": true, "result": [{"update_id": 1, "message": ' + MESSAGE + b"}]}"


@asynccontextmanager
async def telegram(method: str, *answers: tuple[int, str, bytes]) -> AsyncIterator[tuple[Bot, list[str]]]:
    """Answers calls of one method with these; any other, and the ones after them, as Telegram would."""
    left, asked = list(answers), []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.match_info["method"])
        status, kind, body = 200, JSON, UPDATES if asked[-1] == "getUpdates" else b'{"ok": true, "result": true}'
        if asked[-1] == method and left:
            status, kind, body = left.pop(0)
        return web.Response(status=status, headers={"Content-Type": kind}, body=body)

    app = web.Application()
    app.router.add_post("/bot{token}/{method}", answer)
    async with TestServer(app) as server:
        session = TelegramSession(TelegramAPIServer.from_base(str(server.make_url(""))))
        try:
            yield Bot(TOKEN, session=session), asked
        finally:
            await session.close()


async def handled_by_a_poll(bot: Bot) -> list[int]:
    """The updates of the first batch that can be read."""
    stopping, handled = asyncio.Event(), []

    async def read(raw: object) -> Update:
        return Update.model_validate(raw)

    async def feed(update: Update) -> None:
        handled.append(update.update_id)
        stopping.set()

    async with asyncio.timeout(60):
        await poll(bot, read, feed, ["message"], stopping, Time(lambda: 0.0, lambda _: asyncio.sleep(0)))
    return handled


GARBLED: dict[str, tuple[int, str, bytes]] = {
    "no_utf8": (200, JSON, b'{"ok": true, "result": "\xff"}'),
    "no_charset": (200, f"{JSON}; charset=zlib", b'{"ok": true}'),
    "deep": (200, JSON, b'{"ok": true, "result": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "digits": (200, JSON, b'{"ok": true, "result": [{"update_id": ' + b"9" * 5000 + b"}]}"),
    "refused_by_200": (200, JSON, b'{"ok": false, "description": "x"}'),
    "moved": (400, JSON, b'{"ok": false, "description": "x", "parameters": {"migrate_to_chat_id": 5}}'),
    "forbidden": (403, JSON, b'{"ok": false, "description": "x"}'),
    "wait": (429, JSON, b'{"ok": false, "description": "x", "parameters": {"retry_after": -5}}'),
    "list": (200, JSON, b"[]"),
    "nothing": (502, JSON, b""),
}


@pytest.mark.parametrize("method", ["getUpdates", "deleteWebhook"])
@pytest.mark.parametrize("garbled", GARBLED.values(), ids=GARBLED)
async def test_a_garbled_answer_does_not_end_polling(garbled: tuple[int, str, bytes], method: str) -> None:
    async with telegram(method, garbled, garbled) as (bot, _):
        assert await handled_by_a_poll(bot) == [1]


@pytest.mark.parametrize("kind", [JSON, f"{JSON}; charset=zlib", "text/html; charset=utf-16"])
async def test_update_with_invalid_bytes_is_handled_and_confirmed(kind: str) -> None:
    async with telegram("getUpdates", (200, kind, UPDATES.replace(b'"x"', b'"\xff"'))) as (bot, asked):
        assert await handled_by_a_poll(bot) == [1]
        assert asked.count("getUpdates") == 2, "the batch, and its confirmation"


@pytest.mark.parametrize(("status", "error"), [(401, TelegramUnauthorizedError), (404, TelegramNotFound)])
async def test_invalid_token_ends_polling(status: int, error: type[Exception]) -> None:
    async with telegram("getUpdates", (status, JSON, b'{"ok": false, "description": "x"}')) as (bot, _):
        with pytest.raises(error):
            await handled_by_a_poll(bot)


SENT: dict[str, tuple[int, str, bytes]] = {
    "no_utf8": (200, JSON, b'{"ok": true, "result": ' + MESSAGE.replace(b'"x"', b'"\xff"') + b"}"),
    "no_charset": (200, f"{JSON}; charset=zlib", b'{"ok": true, "result": ' + MESSAGE + b"}"),
    "cut_within_a_character": (200, JSON, b'{"ok": true, "result": {"text": "\xe2\x82'),
    "server_error": (500, JSON, b'{"ok": true, "result": ' + MESSAGE + b"}"),
}


@pytest.mark.parametrize("answer", SENT.values(), ids=SENT)
async def test_video_answered_with_a_garbled_ok_counts_as_sent(answer: tuple[int, str, bytes]) -> None:
    async with telegram("sendVideo", answer) as (bot, _):
        sent: Any = await bot(SendVideo(chat_id=1, video="AAA"))
        assert isinstance(sent, Message)
