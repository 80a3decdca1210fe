"""Misbehaving on the wire: an answer that is late, cut, garbled, or never comes.

In       the request, the fault it meets, and the answer it would have got
Out      what is really sent
Effects  may close or reset the client's connection
"""

import asyncio
import socket
import struct

from aiohttp import web

from simulator.errors import status_answer
from simulator.faults import Fault

HANG_CHECK_SECONDS = 0.02
SLOW_CHUNKS = 10


def drop(request: web.Request) -> web.Response:
    """Reset the connection. The returned answer goes nowhere; aiohttp wants one."""
    transport = request.transport
    if transport is not None:
        peer = transport.get_extra_info("socket")
        # Without lingering, closing sends RST instead of FIN: the client sees a reset.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def hang(request: web.Request, seconds: float) -> web.Response:
    """Say nothing until the time is over or the client has gone."""
    for _ in range(round(seconds / HANG_CHECK_SECONDS)):
        if request.transport is None or request.transport.is_closing():
            break
        await asyncio.sleep(HANG_CHECK_SECONDS)
    return drop(request)


async def cut(request: web.Request, answer: web.Response, share: float = 0.5) -> web.StreamResponse:
    """Promise the whole length, send a part of it, and close."""
    body = body_of(answer)
    stream = await _opened(request, answer)
    await stream.write(body[: int(len(body) * share)])
    if request.transport is not None:
        request.transport.close()
    return stream


async def trickle(request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """Send the headers at once and the body drop by drop."""
    body = body_of(answer)
    stream = await _opened(request, answer)
    step = len(body) // SLOW_CHUNKS + 1
    for start in range(0, len(body), step):
        await asyncio.sleep(seconds / SLOW_CHUNKS)
        await stream.write(body[start : start + step])
    await stream.write_eof()
    return stream


def garbage() -> web.Response:
    """A 200 that promises JSON and is not."""
    return web.Response(body=b"<html><body>upstream said ok</body></html>", content_type="application/json")


async def misbehave(
    request: web.Request, fault: Fault, answer: web.Response, hang_seconds: float
) -> web.StreamResponse:
    """Apply a fault that needs no knowledge of what was asked; others leave the answer as it is."""
    match fault.kind:
        case "drop":
            return drop(request)
        case "hang":
            return await hang(request, fault.number("seconds", hang_seconds))
        case "garbage":
            return garbage()
        case "half_answer":
            return await cut(request, answer)
        case "status":
            status = int(fault.number("status", 500))
            return status_answer(status, fault.params.get("retry_after"), fault.params.get("body"))
        case "slow":
            return await trickle(request, answer, fault.number("seconds", 1.0))
        case "slow_headers":
            await asyncio.sleep(fault.number("seconds", 1.0))
            return answer
        case "redirect":
            location = fault.text("location", str(request.rel_url))
            return web.Response(status=int(fault.number("status", 307)), headers={"Location": location})
        case _:
            return answer


def body_of(answer: web.Response) -> bytes:
    """The bytes of an answer that was built whole."""
    assert isinstance(answer.body, bytes)
    return answer.body


async def _opened(request: web.Request, answer: web.Response) -> web.StreamResponse:
    stream = web.StreamResponse(status=answer.status)
    stream.content_type = answer.content_type
    stream.content_length = len(body_of(answer))
    await stream.prepare(request)
    return stream
