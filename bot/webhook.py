"""Telegram calls us: a secret is checked, an update is handled before it is answered, and one that was not comes again.

`GET /healthz` answers 200 while the process serves, for load balancers.
"""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiogram import Bot
from aiogram.methods import SetWebhook
from aiohttp import web

from bot.polling import Feed, Read
from pipeline.road import LedgerUnavailable

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header
AT_ONCE = 40  # Telegram's own default
SHUTDOWN_SECONDS = 5.0  # for updates that are being handled


def path_of(url: str) -> str:
    """Where Telegram's calls arrive, behind whatever proxy ends the TLS."""
    return urlsplit(url).path or "/"


def make_app(read: Read, feed: Feed, url: str, secret: str, app: web.Application | None = None) -> web.Application:
    """One of its own, or the given one with one route more."""

    async def update(request: web.Request) -> web.Response:
        if not secrets.compare_digest(_bytes(request.headers.get(SECRET_HEADER, "")), secret.encode()):
            return web.Response(status=401)
        try:
            raw = json.loads(await request.read())
        except ValueError:
            raw = None
        found = await read(raw if isinstance(raw, dict) else {})
        if found is None:
            return web.Response(status=200)  # it would come again and again, and never be readable
        try:
            await feed(found)
        except LedgerUnavailable:
            return web.Response(status=503)  # Telegram repeats it until we answer 2xx
        return web.Response(status=200)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    if app is None:
        app = web.Application(client_max_size=5_000_000)
        app.router.add_get("/healthz", healthz)
    app.router.add_post(path_of(url), update)
    return app


def _bytes(header: str) -> bytes:
    """Also of what is no text: headers are read with surrogates for bytes that are no UTF-8."""
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
    """Listens, then tells Telegram where. Leaving the block ends intake first and waits for what is being handled.

    The webhook stays set: updates wait at Telegram until the next start. Raises OSError, TelegramAPIError.
    """
    whole = make_app(read, feed, url, secret, app)
    runner = web.AppRunner(whole, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await bot(
            SetWebhook(
                url=url,
                secret_token=secret,
                max_connections=AT_ONCE,
                allowed_updates=list(allowed_updates),
                drop_pending_updates=False,
            )
        )
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
