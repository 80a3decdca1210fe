"""The operators' page as one aiohttp application, for the bot's own process and loop.

In       a WebContext, ADMIN_TOKEN
Out      `make_app`; whoever serves it may add routes of their own (Telegram's webhook), which guard themselves
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from net.http_server import listening
from pipeline.ledger.transports.common import LedgerError
from web import changes, metrics, middleware, views
from web.auth import Auth
from web.context import CONTEXT, WebContext
from web.feed import FEED, Feed, follow
from web.rendering import AUTH, DEMO, NEWS

STATIC = Path(__file__).parent / "static"
BODY_BYTES_MAX = 5_000_000  # an update of Telegram's; a form of ours is far smaller
READY_SECONDS = 2.0


def make_app(admin_context: WebContext, token: str, clock: Callable[[], float] = time.time) -> web.Application:
    app = bare_app()
    app[CONTEXT], app[AUTH], app[NEWS] = admin_context, Auth(token, clock), {}
    app[FEED] = Feed(admin_context)
    app.middlewares.extend([_demo, middleware.guard] if admin_context.demo else [middleware.guard])
    app.on_response_prepare.append(middleware.add_headers)
    app.on_startup.append(_begin_feeds)
    app.on_shutdown.append(_end_feeds)
    app.add_routes([
        web.get("/", views.home),
        web.get("/admin/login", middleware.show_login),
        web.post("/admin/login", middleware.log_in),
        web.post("/admin/logout", middleware.log_out),
        web.get("/admin", views.overview),
        web.get("/admin/feed", follow),
        web.get("/admin/runs", views.runs),
        web.get("/admin/runs/{ref}", views.run),
        web.get("/admin/runs/{ref}/video", views.clip),
        web.post("/admin/runs/{ref}/found", changes.settle_found),
        web.post("/admin/runs/{ref}/not-charged", changes.settle_not_charged),
        web.post("/admin/runs/{ref}/take-back", changes.take_back),
        web.post("/admin/runs/{ref}/cancel", changes.cancel),
        web.post("/admin/runs/{ref}/deliver", changes.deliver),
        web.get("/admin/doubt", views.doubt),
        web.get("/admin/audit", views.audits),
        web.post("/admin/audit", changes.audit_now),
        web.post("/admin/audit/explain", changes.explain),
        web.get("/admin/limits", views.limits),
        web.post("/admin/limits", changes.set_limit),
        web.post("/admin/users", changes.set_user),
        web.post("/admin/pause", changes.pause),
        web.post("/admin/resume", changes.resume),
        web.get("/admin/prompts", views.prompts),
        web.get("/media/{ref}", views.clip),
        web.get("/api/admin/agent/metrics", metrics.show_json),
        web.get("/api/admin/agent/days", metrics.show_days),
        web.get("/metrics", metrics.show_prometheus),
        web.get("/readyz", readyz),
        web.static("/admin/static", STATIC),
    ])  # fmt: skip
    return app


def bare_app() -> web.Application:
    """Without the page: `/healthz` alone."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_get("/healthz", healthz)
    return app


async def healthz(_: web.Request) -> web.Response:
    """The process serves."""
    return web.json_response({"ok": True})


async def readyz(request: web.Request) -> web.Response:
    """The ledger answers, too. A message to the bot that could not be read stops nobody, and is told here."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await request.app[CONTEXT].operators.controls()
    except (LedgerError, TimeoutError):
        return web.json_response({"ready": False}, status=503)
    return web.json_response({"ready": True, "unreadable_updates": request.app[CONTEXT].unreadable_updates()})


@web.middleware
async def _demo(request: web.Request, handler: middleware.Handler) -> web.StreamResponse:
    request[DEMO] = True
    return await handler(request)


async def _begin_feeds(app: web.Application) -> None:
    app[FEED].closing.clear()  # an app whose port was taken is served again at another


async def _end_feeds(app: web.Application) -> None:
    app[FEED].closing.set()


@asynccontextmanager
async def serve(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Listens; the port is answered, for 0 takes any. Raises OSError."""
    async with listening(app, host, port) as taken:
        yield taken
