"""The operators' page in the bot's process: whether there is one, what it is given, and where it listens.

In       Settings, the premises, the engine, the front
Out      `page_of`: the page, or None without ADMIN_TOKEN; `listening`: it serves for as long as the block lasts
Raises   Stop: the port is taken
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import typer
from aiohttp.web import Application

from app.context import App
from app.exits import Stop
from bot.app import BotApp
from pipeline.clips.storage import at_hand
from pipeline.clock import time_of_day
from pipeline.ledger.dashboard import Dashboard
from pipeline.settings.config import Settings
from pipeline.settings.resources import EVALS
from pipeline.worker import Engine
from providers.callbacks import PATH
from web.app import bare_app, make_app, serve
from web.callbacks import Callbacks
from web.context import WebContext


@dataclass(frozen=True)
class WebPage:
    """`made_up`: the token of a demo, to be said: whoever starts one should see the page, too."""

    app: Application
    made_up: str | None
    pages: bool = True  # not only callbacks

    def say(self, address: str) -> None:
        if not self.pages:
            typer.echo(f"{time_of_day()} callbacks of video providers: {address}{PATH}")
        elif self.made_up is None:
            typer.echo(f"{time_of_day()} operators' page: {address}/admin")
        else:
            typer.echo(f"\n    open the operators' page:      {address}/admin")
            typer.echo(f"    with the token                 {self.made_up}\n")


def page_of(settings: Settings, built: App, engine: Engine, bot_app: BotApp, *, demo: bool) -> WebPage | None:
    """The operators' page and the providers' callbacks; None if neither ADMIN_TOKEN nor PUBLIC_URL is set."""
    callbacks = Callbacks(built.session.ledger.rpc, engine.wake)
    token = settings.admin_token.get_secret_value() if settings.admin_token else None
    if token is None and not demo:
        if settings.public_url is None:
            return None
        bare = bare_app()
        callbacks.add_to(bare)
        return WebPage(bare, None, pages=False)
    admin_context = WebContext(
        ledger=built.session.ledger,
        operators=built.session.operators,
        dashboard=Dashboard(built.session.ledger.rpc),
        account=built.context.account,
        waits=settings.waits,
        catalogue=built.catalogue,
        enqueue=engine.wake,
        clip_of=partial(at_hand, context=built.context),
        evals=(settings.onetake_home.parent if demo else settings.onetake_home) / EVALS,  # a demo has a home within
        flood_waits=lambda: bot_app.client.flood_waits,
        unreadable_updates=lambda: bot_app.incoming.unreadable,
        demo=demo,
    )
    made_up = secrets.token_urlsafe(18) if token is None else None
    app = make_app(admin_context, token or made_up or "")
    callbacks.add_to(app)
    return WebPage(app, made_up)


@asynccontextmanager
async def listening(page: WebPage, settings: Settings, *, demo: bool) -> AsyncIterator[None]:
    """At HTTP_HOST and HTTP_PORT; a demo takes any port if that one is taken."""
    async with AsyncExitStack() as opened:
        try:
            port = await opened.enter_async_context(serve(page.app, settings.http_host, settings.http_port))
        except OSError as error:
            if not demo:
                why = error.strerror or error
                raise Stop(f"HTTP_PORT: cannot listen on {settings.http_port} ({why})") from error
            port = await opened.enter_async_context(serve(page.app, settings.http_host, 0))
        page.say(f"http://{settings.http_host}:{port}")
        yield
