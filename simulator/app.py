"""The simulator as one aiohttp application, in process or on a port.

In       settings
Out      `build_app`, and `serve`, which yields the address of a running server
Effects  listens on the given host and port; port 0 picks a free one
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from simulator.control import add_control
from simulator.providers.mounting import add_providers
from simulator.settings import Settings
from simulator.state import STATE, SimulatorState, open_context
from simulator.supabase.mounting import add_supabase
from simulator.telegram.control.page import add_page
from simulator.telegram.mounting import add_telegram
from simulator.telegram.state import TELEGRAM, Telegram
from simulator.text_model.chat import add_chat
from simulator.videos.routes import add_videos

BODY_BYTES_MAX = 20_000_000
SHUTDOWN_SECONDS = 0.2
"""Requests that hang on purpose are not waited for."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running simulator."""

    root: str
    port: int
    state: SimulatorState
    telegram: Telegram

    @property
    def base_url(self) -> str:
        """The provider's base URL, as a client needs it."""
        return f"{self.root}/v1"


def build_app(settings: Settings | None = None) -> web.Application:
    """Build the application; each part of the simulator mounts its own routes on it."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app[STATE] = open_context(settings or Settings())
    add_videos(app)
    add_providers(app)
    add_chat(app)
    add_control(app)
    add_telegram(app)
    add_page(app)
    add_supabase(app)
    app.on_cleanup.append(_close_books)
    return app


@asynccontextmanager
async def serve(host: str = "127.0.0.1", port: int = 0, settings: Settings | None = None) -> AsyncIterator[Running]:
    """Listen until the block exits."""
    app = build_app(settings)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0][1]
        name = f"[{host}]" if ":" in host else host
        app[STATE].root = f"http://{name}:{bound}"
        yield Running(app[STATE].root, bound, app[STATE], app[TELEGRAM])
    finally:
        await runner.cleanup()


async def _close_books(app: web.Application) -> None:
    for repeat in app[STATE].repeats:
        repeat.cancel()
    app[STATE].books.close()
