"""An HTTP server that strangers cannot exhaust: few connections, a deadline for headers, and logs that stay small.

In       an aiohttp application
Out      `listening`: it serves for as long as the block lasts, and answers its port
Raises   OSError: the address cannot be listened on
Effects  one connection too many closes another: the oldest that has not asked for anything yet, or else the one that
         has been silent longest
"""

import asyncio
import errno
import logging
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

HEADER_SECONDS = 10.0
KEEPALIVE_SECONDS = 75.0  # proxies give up idle connections earlier, so none sends a request into one that closes
CONNECTIONS_MAX = 512
SHUTDOWN_SECONDS = 5.0  # for requests that are being handled
LOG_SECONDS = 60.0
NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
END_OF_HEADERS = b"\r\n\r\n"

log = logging.getLogger(__name__)


class Seldom:
    """Counts what strangers can cause at will, and lets it be logged once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times = 0
        self._next = 0.0

    def __call__(self) -> int:
        """How often it has happened since the last line; 0 if it is too early for another."""
        self._times += 1
        if self._clock() < self._next:
            return 0
        times, self._times, self._next = self._times, 0, self._clock() + LOG_SECONDS
        return times


class _Malformed(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's own logger, which shows with a traceback whatever bytes a stranger sends; those are counted instead."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))
        self._seldom = Seldom()

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        if not isinstance(exc_info, HttpProcessingError | web.RequestPayloadError):
            super().exception(msg, *args, exc_info=exc_info, **more)
        elif times := self._seldom():
            log.warning("http", extra={"action": "malformed_requests", "times": times})


class _Crowd:
    """All connections, in two lines: those that have not sent their first headers, and those that have."""

    def __init__(self, at_most: int, header_seconds: float) -> None:
        self.header_seconds = header_seconds
        self._at_most = at_most
        self._new: dict[_Connection, None] = {}  # the oldest first
        self._heard: dict[_Connection, None] = {}  # the one that has been silent longest first
        self._full = Seldom()

    def let_in(self, connection: "_Connection") -> None:
        if len(self._new) + len(self._heard) >= self._at_most:
            victim = next(iter(self._new), None) or next(iter(self._heard))
            self.leave(victim)
            victim.end()
            if times := self._full():
                log.warning("http", extra={"action": "connections_full", "at_most": self._at_most, "times": times})
        self._new[connection] = None

    def hear(self, connection: "_Connection") -> None:
        self.leave(connection)
        self._heard[connection] = None

    def leave(self, connection: "_Connection") -> None:
        self._new.pop(connection, None)
        self._heard.pop(connection, None)


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's own protocol, and watches."""

    def __init__(self, inner: asyncio.Protocol, crowd: _Crowd) -> None:
        self._inner, self._crowd = inner, crowd
        self._begun = False
        self._tail: bytes | None = b""  # of what was sent so far; None once the headers are complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a TCP connection"
        self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(self._crowd.header_seconds, self.end)
        self._crowd.let_in(self)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._tail is not None:
            sent = self._tail + data
            sent = sent if self._begun else sent.lstrip(b"\r\n")  # blank lines before a request are none of its headers
            self._begun = self._begun or bool(sent)
            self._tail = sent[1 - len(END_OF_HEADERS) :]
            if END_OF_HEADERS in sent:
                self._tail = None
                self._deadline.cancel()
        if self._tail is None and not self._transport.is_closing():
            self._crowd.hear(self)
        self._inner.data_received(data)

    def end(self) -> None:
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._crowd.leave(self)
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    connections_max: int = CONNECTIONS_MAX,
    header_seconds: float = HEADER_SECONDS,
) -> AsyncIterator[int]:
    """Port 0 takes any. Leaving the block ends intake first, and waits for what is being handled.

    Bodies are not unpacked: some hundred kilobytes from a stranger would become some hundred megabytes.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_Malformed(),
        shutdown_timeout=SHUTDOWN_SECONDS,
        auto_decompress=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
    )
    await runner.setup()
    try:
        handlers = runner.server
        assert handlers is not None, "it was set up"
        crowd = _Crowd(min(connections_max, _descriptors() // 2), header_seconds)
        loop = asyncio.get_running_loop()
        with _quietly(loop):
            server = await loop.create_server(lambda: _Connection(handlers(), crowd), host, port)
            try:
                yield int(server.sockets[0].getsockname()[1])
            finally:
                server.close()
    finally:
        await runner.cleanup()


def _descriptors() -> int:
    """How many files this process may have open: connections take half, for the database and the clips need some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else soft


@contextmanager
def _quietly(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Without descriptors left, asyncio tells of it a hundred times a second: each time it looks for connections."""
    before, seldom = loop.get_exception_handler(), Seldom()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in NO_DESCRIPTORS and "accept" in str(context.get("message")):
            if times := seldom():
                log.error("http", extra={"action": "no_descriptors", "times": times, "error": str(error)})
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
