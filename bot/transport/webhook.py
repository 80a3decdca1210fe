"""Webhook: checks the secret and answers after the update is handled; if the ledger is unavailable, Telegram retries.

`GET /healthz` answers 200 while the process serves, for load balancers.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiogram import Bot
from aiogram.methods import SetWebhook
from aiohttp import web

from bot.transport.polling import Feed, Read
from net.http_server import Seldom, listening
from pipeline.ledger.transports.common import LedgerUnavailable

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header
AT_ONCE = 40  # Telegram's own default
WRONG_SECRET_SECONDS = 1.0  # delay before a wrong secret is answered
WRONG_AT_ONCE = 20  # delayed answers at a time; further wrong secrets get 429 at once

log = logging.getLogger(__name__)


def path_of(url: str) -> str:
    """The path of Telegram's calls, which a proxy that terminates TLS passes on."""
    return urlsplit(url).path or "/"


class Guesses:
    """Calls with a wrong secret: counted, logged once a minute, and answered after 1 s. Other calls are not delayed."""

    def __init__(self) -> None:
        self._seldom = Seldom()
        self._waiting = 0

    async def turn_away(self, request: web.Request) -> web.Response:
        if times := self._seldom():
            log.warning("webhook", extra={"action": "wrong_secret", "times": times, "address": request.remote})
        if self._waiting >= WRONG_AT_ONCE:
            return web.Response(status=429, headers={"Retry-After": "60", "Connection": "close"})
        self._waiting += 1
        try:
            await asyncio.sleep(WRONG_SECRET_SECONDS)
        finally:
            self._waiting -= 1
        return web.Response(status=401)


def make_app(read: Read, feed: Feed, url: str, secret: str, app: web.Application | None = None) -> web.Application:
    """Adds the webhook to `app`, or to a new one with a health check."""

    guesses = Guesses()

    async def update(request: web.Request) -> web.Response:
        if not secrets.compare_digest(_bytes(request.headers.get(SECRET_HEADER, "")), secret.encode()):
            return await guesses.turn_away(request)
        try:
            raw = json.loads(await request.read())
        except (ValueError, RecursionError):
            raw = None
        found = await read(raw)
        if found is None:
            return web.Response(status=200)  # a retry would be just as unreadable
        try:
            await feed(found)
        except LedgerUnavailable:
            return web.Response(status=503)  # Telegram retries until we answer 2xx
        return web.Response(status=200)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    if app is None:
        app = web.Application(client_max_size=5_000_000)
        app.router.add_get("/healthz", healthz)
    app.router.add_post(path_of(url), update)
    return app


def _bytes(header: str) -> bytes:
    """Encodes any header: aiohttp reads bytes that are not UTF-8 as surrogates."""
    return header.encode(errors="surrogatepass")


@asynccontextmanager
async def serve(
    bot: Bot,
    read: Read,
    feed: Feed,
    url: str,
    secret: str,
    host: str,
    port: int,
    allowed_updates: Sequence[str],
    app: web.Application | None = None,
) -> AsyncIterator[int]:
    """Listens, then sets the webhook at Telegram. On exit, stops accepting and waits for updates being handled.

    The webhook stays set: updates wait at Telegram until the next start. Raises OSError, TelegramAPIError.
    """
    async with listening(make_app(read, feed, url, secret, app), host, port) as taken:
        await bot(
            SetWebhook(
                url=url,
                secret_token=secret,
                max_connections=AT_ONCE,
                allowed_updates=list(allowed_updates),
                drop_pending_updates=False,
            )
        )
        yield taken
