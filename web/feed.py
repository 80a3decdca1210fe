"""The live feed: the overview again when it has changed, to whoever looks. However many look, the ledger is asked once.

Server-sent events (html.spec.whatwg.org, section 9.2): event `live`, its data the page's live part as HTML.
"""

import asyncio
import logging
import time

from aiohttp import web

from pipeline.ledger.transports.common import LedgerError
from web.auth import COOKIE
from web.context import WebContext
from web.rendering import AUTH, fragment

PAUSE_SECONDS = 2.0
QUIET_SECONDS = 20.0  # after which something is said, so that no proxy takes the line for dead
VIEWERS_MAX = 50

log = logging.getLogger(__name__)


class Feed:
    """What all viewers share: the last rendering, and when it was made."""

    def __init__(self, admin_context: WebContext) -> None:
        self._admin_context = admin_context
        self._lock = asyncio.Lock()
        self._made_at = float("-inf")
        self._live = ""
        self.viewers = 0
        self.closing = asyncio.Event()

    async def live(self) -> str:
        async with self._lock:
            if time.monotonic() - self._made_at > PAUSE_SECONDS / 2:
                self._live = fragment("live.html", {"seen": await self._admin_context.dashboard.overview()})
                self._made_at = time.monotonic()
            return self._live


FEED: web.AppKey[Feed] = web.AppKey("feed", Feed)


async def follow(request: web.Request) -> web.StreamResponse:
    """Until the viewer goes, the session ends or the process does."""
    feed = request.app[FEED]
    if feed.viewers >= VIEWERS_MAX:
        return web.Response(status=503, text="Too many pages are open already.\n", headers={"Retry-After": "60"})
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await answer.prepare(request)
    feed.viewers += 1
    try:
        await _tell(request, feed, answer)
    except ConnectionResetError:  # the viewer has gone
        pass
    finally:
        feed.viewers -= 1
    return answer


async def _tell(request: web.Request, feed: Feed, answer: web.StreamResponse) -> None:
    last, quiet_since = "", time.monotonic()
    auth = request.app[AUTH]
    while not feed.closing.is_set() and auth.session(request.cookies.get(COOKIE)) is not None:
        try:
            live = await feed.live()
        except LedgerError as error:
            log.warning("page", extra={"action": "feed", "error": str(error)})
            live = last
        if live != last:
            last, quiet_since = live, time.monotonic()
            await answer.write(_event(live))
        elif time.monotonic() - quiet_since > QUIET_SECONDS:
            quiet_since = time.monotonic()
            await answer.write(b": still here\n\n")
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                await feed.closing.wait()
        except TimeoutError:
            continue


def _event(html: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"event: live\n{lines}\n".encode()
