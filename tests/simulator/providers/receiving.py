"""A server that receives the callbacks of a double."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

SECONDS_MAX = 5


@dataclass(frozen=True)
class Heard:
    """Header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    url: str = ""
    queue: asyncio.Queue[Heard] = field(default_factory=asyncio.Queue)

    async def next(self) -> Heard:
        """The next callback; fails if none comes."""
        async with asyncio.timeout(SECONDS_MAX):
            return await self.queue.get()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def hear(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        await receiver.queue.put(Heard(headers, await request.read()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/callbacks/{provider}/{token}", hear)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/callbacks/any/t0ken"))
        yield receiver
