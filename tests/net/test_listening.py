"""Strangers cannot exhaust the server: silent sockets, ever more sockets, no descriptors left."""

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from net.http_server import LOG_SECONDS, Seldom, listening

PATIENCE_SECONDS = 60.0
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: onetake.test\r\n\r\n"

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def house(**bounds: float) -> AsyncIterator[int]:
    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="well")

    app = web.Application()

    async def body(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def broken(_: web.Request) -> web.Response:
        raise ZeroDivisionError

    app.router.add_get("/healthz", healthz)
    app.router.add_post("/body", body)
    app.router.add_get("/broken", broken)
    async with listening(app, "127.0.0.1", 0, **bounds) as port:  # type: ignore[arg-type]  # one of them is an int
        yield port


async def call(port: int, opened: AsyncExitStack, sent: bytes = b"") -> Line:
    """A connection to the server on which these bytes were sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    opened.callback(writer.close)
    writer.write(sent)
    return reader, writer


async def hung_up(line: Line) -> bool:
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            return await line[0].read() == b""
        except ConnectionResetError:
            return True


async def answered(line: Line) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await line[0].readuntil(b"well")).split(b"\r\n")[0]


async def is_well(port: int) -> bool:
    url = f"http://127.0.0.1:{port}/healthz"
    async with asyncio.timeout(PATIENCE_SECONDS), ClientSession() as client, client.get(url) as answer:
        return answer.status == 200


@pytest.mark.parametrize(
    "said",
    [b"", b"\r\n\r\n", b"GET /healthz HTTP/1.1\r\n", REQUEST[:-1]],
    ids=["silent", "blank", "half", "one_short"],
)
async def test_headers_have_a_deadline(said: bytes) -> None:
    async with house(header_seconds=0.2) as port, AsyncExitStack() as opened:
        assert await hung_up(await call(port, opened, said))


async def test_headers_may_arrive_in_pieces_and_later_requests_have_no_deadline() -> None:
    async with house(header_seconds=5) as port, AsyncExitStack() as opened:
        line = await call(port, opened)
        for byte in REQUEST:
            line[1].write(bytes([byte]))
            await asyncio.sleep(0)
        assert await answered(line) == b"HTTP/1.1 200 OK"
        silent = await call(port, opened)
        assert await hung_up(silent), "which takes as long as the deadline"
        line[1].write(REQUEST)
        assert await answered(line) == b"HTTP/1.1 200 OK"


async def test_silent_connections_do_not_block_new_clients(caplog: pytest.LogCaptureFixture) -> None:
    """The oldest silent socket is closed; a connection that has sent a request stays open."""
    async with house(connections_max=20, header_seconds=3600) as port, AsyncExitStack() as opened:
        guest = await call(port, opened, REQUEST)
        await answered(guest)
        crowd = [await call(port, opened) for _ in range(60)]
        assert await is_well(port)
        for line in crowd[:40]:
            assert await hung_up(line)
        guest[1].write(REQUEST)
        assert await answered(guest) == b"HTTP/1.1 200 OK"
        last = crowd[-1]
        last[1].write(REQUEST)
        assert await answered(last) == b"HTTP/1.1 200 OK"
    full = [record for record in caplog.records if getattr(record, "action", "") == "connections_full"]
    assert len(full) == 1


async def test_idle_keep_alive_connections_do_not_block_new_clients() -> None:
    async with house(connections_max=20) as port, AsyncExitStack() as opened:
        crowd = [await call(port, opened, REQUEST) for _ in range(40)]
        assert await answered(crowd[-1]) == b"HTTP/1.1 200 OK"
        assert await is_well(port)
        crowd[-1][1].write(REQUEST)
        assert await answered(crowd[-1]) == b"HTTP/1.1 200 OK"


MALFORMED = {
    "nul": b"GET /healthz HTTP/1.1\r\nHost: \0\r\n\r\n",
    "line_feeds": b"GET /healthz HTTP/1.1\nHost: x\n\n\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "long_header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9_000 + b"\r\n\r\n",
    "length": b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "lengths": b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "chunk": b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "late_chunk": b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_requests_are_logged_at_most_once_without_their_bytes(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with house() as port, AsyncExitStack() as opened:
        for _ in range(3):
            line = await call(port, opened, sent)
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert b" 400 " in await line[0].readline()
        assert await is_well(port)
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [vars(record).get("action") for record in said] in ([], ["malformed_requests"])


async def test_handler_exception_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with house() as port, AsyncExitStack() as opened:
        line = await call(port, opened, REQUEST.replace(b"/healthz", b"/broken"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert b" 500 " in await line[0].readline()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_running_out_of_file_descriptors_is_logged_once_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio tries to accept a hundred connections per attempt and reports each failure."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with house() as port, AsyncExitStack() as opened:
        lowest = os.open(os.devnull, os.O_RDONLY)  # the next number there is
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
        try:
            line = await call(port, opened, REQUEST)  # takes the last one
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not caplog.records:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(1.5)  # asyncio tries again after a second
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [getattr(record, "action", record.message) for record in caplog.records] == ["no_descriptors"]
        assert await answered(line) == b"HTTP/1.1 200 OK"
    assert loop.get_exception_handler() is before


async def test_other_event_loop_errors_are_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    async with house():
        loop.call_exception_handler({"message": "something else", "exception": OSError(24, "accept")})
    assert [record.message.splitlines()[0] for record in caplog.records] == ["something else"]


def test_frequent_event_is_reported_once_a_minute_with_its_count() -> None:
    now = [1000.0]
    seldom = Seldom(lambda: now[0])
    assert [seldom() for _ in range(5)] == [1, 0, 0, 0, 0]
    now[0] += LOG_SECONDS
    assert [seldom() for _ in range(2)] == [5, 0]
