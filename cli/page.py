"""The operators' page in the bot's process: whether there is one, what it is given, and where it listens.

In       Settings, the premises, the engine, the front
Out      `page_of`: the application, or None without ADMIN_TOKEN; `listening`: it serves for as long as the block lasts
Raises   Stop: the port is taken
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import typer
from aiohttp.web import Application

from bot.front import Front
from cli.exits import Stop
from cli.pages import clock
from cli.worlds import Premises
from pipeline.clips import at_hand
from pipeline.config import Settings
from pipeline.engine import Engine
from pipeline.resources import EVALS
from pipeline.watch import Watch
from web.app import make_app, serve
from web.office import Office


def page_of(settings: Settings, premises: Premises, engine: Engine, front: Front, *, demo: bool) -> Application | None:
    """A demo makes up a token, and says it: whoever starts it should see the page, too."""
    token = settings.admin_token.get_secret_value() if settings.admin_token else None
    if token is None and not demo:
        return None
    office = Office(
        ledger=premises.desk.ledger,
        operators=premises.desk.operators,
        watch=Watch(premises.desk.ledger.rpc),
        shop=premises.world.shop,
        waits=settings.waits,
        catalogue=premises.catalogue,
        enqueue=engine.enqueue,
        clip_of=partial(at_hand, world=premises.world),
        evals=(settings.onetake_home.parent if demo else settings.onetake_home) / EVALS,  # a demo has a home within
        flood_waits=lambda: front.outbox.flood_waits,
        demo=demo,
    )
    if token is None:
        token = secrets.token_urlsafe(18)
        typer.echo(f"{clock()} the operators' page of this demo takes the token {token}")
    return make_app(office, token)


@asynccontextmanager
async def listening(app: Application, settings: Settings, *, demo: bool) -> AsyncIterator[None]:
    """At HTTP_HOST and HTTP_PORT; a demo takes any port if that one is taken."""
    async with AsyncExitStack() as opened:
        try:
            port = await opened.enter_async_context(serve(app, settings.http_host, settings.http_port))
        except OSError as error:
            if not demo:
                why = error.strerror or error
                raise Stop(f"HTTP_PORT: {settings.http_port} cannot be listened on ({why})") from error
            port = await opened.enter_async_context(serve(app, settings.http_host, 0))
        typer.echo(f"{clock()} operators' page: http://{settings.http_host}:{port}/admin")
        yield
