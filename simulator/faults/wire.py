"""Faults on the wire: answers that are late, cut off, garbled, or never sent.

In       the request, its fault, and the correct answer
Out      what is actually sent
Effects  may close or reset the client's connection
"""

import asyncio
import socket
import struct

from aiohttp import web

from simulator.faults.arming import Fault
from simulator.faults.bodies import BODIES, body_of
from simulator.videos.errors import Refuse, openai_refusal, status_answer

HANG_CHECK_SECONDS = 0.02
SLOW_CHUNKS = 10
ENDLESS_BYTES, ENDLESS_CHUNK = 50_000_000, b" " * 65_536


def drop(request: web.Request) -> web.Response:
    """Reset the connection. aiohttp requires an answer; the one returned is never sent."""
    transport = request.transport
    if transport is not None:
        peer = transport.get_extra_info("socket")
        # With linger 0, closing sends RST instead of FIN: the client sees a reset.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def hang(request: web.Request, seconds: float) -> web.Response:
    """Send nothing until the time is over or the client disconnects."""
    for _ in range(round(seconds / HANG_CHECK_SECONDS)):
        if request.transport is None or request.transport.is_closing():
            break
        await asyncio.sleep(HANG_CHECK_SECONDS)
    return drop(request)


async def cut(request: web.Request, answer: web.Response, share: float = 0.5) -> web.StreamResponse:
    """Announce the full length, send a part of it, and close."""
    body = body_of(answer)
    stream = await _opened(request, answer)
    await stream.write(body[: int(len(body) * share)])
    if request.transport is not None:
        request.transport.close()
    return stream


async def cut_chunked(request: web.Request, answer: web.Response, share: float = 0.5) -> web.StreamResponse:
    """Send a part in chunks, without a length, and close before the last chunk."""
    body = body_of(answer)
    stream = await _chunked(request, answer)
    await stream.write(body[: int(len(body) * share)])
    if request.transport is not None:
        request.transport.close()
    return stream


async def cut_clean(
    request: web.Request, answer: web.Response, share: float = 0.5, framing: str = "chunked"
) -> web.StreamResponse:
    """Send a part in a transfer that looks complete, by chunks, length, or a closed connection."""
    body = body_of(answer)
    part = body[: int(len(body) * share)]
    if framing == "length":
        return web.Response(body=part, status=answer.status, content_type=answer.content_type)
    if framing == "close":
        return _closed_after(request, answer, part)
    stream = await _chunked(request, answer)
    await stream.write(part)
    await stream.write_eof()
    return stream


async def endless(request: web.Request, answer: web.Response, size: int) -> web.StreamResponse:
    """Send the answer and then `size` bytes of blanks, without a length."""
    stream = await _chunked(request, answer)
    await stream.write(body_of(answer))
    for _ in range(0, size, len(ENDLESS_CHUNK)):
        await stream.write(ENDLESS_CHUNK)
    await stream.write_eof()
    return stream


async def trickle(request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """Send the headers at once and the body in small pieces."""
    body = body_of(answer)
    stream = await _opened(request, answer)
    step = len(body) // SLOW_CHUNKS + 1
    for start in range(0, len(body), step):
        await asyncio.sleep(seconds / SLOW_CHUNKS)
        await stream.write(body[start : start + step])
    await stream.write_eof()
    return stream


async def misbehave(
    request: web.Request,
    fault: Fault,
    answer: web.Response,
    hang_seconds: float,
    refuse: Refuse = openai_refusal,
) -> web.StreamResponse:
    """Apply a fault that works on any answer; other faults leave the answer unchanged.

    `refuse`: how this protocol answers with an error status and words.
    """
    match fault.kind:
        case "drop":
            return drop(request)
        case "hang":
            return await hang(request, fault.number("seconds", hang_seconds))
        case "half_answer":
            return await cut(request, answer)
        case "cut_chunked" | "cut_clean" | "endless":
            return await _of_no_length(request, fault, answer)
        case "status":
            status = int(fault.number("status", 500))
            return status_answer(
                status, fault.params.get("retry_after"), fault.params.get("body"), fault.params.get("headers"), refuse
            )
        case "slow":
            return await trickle(request, answer, fault.number("seconds", 1.0))
        case "slow_headers":
            await asyncio.sleep(fault.number("seconds", 1.0))
            return answer
        case "redirect":
            location = fault.text("location", str(request.rel_url))
            return web.Response(status=int(fault.number("status", 307)), headers={"Location": location})
        case _:
            return BODIES.get(fault.kind, _unchanged)(fault, answer)


def _unchanged(_: Fault, answer: web.Response) -> web.Response:
    return answer


async def _of_no_length(request: web.Request, fault: Fault, answer: web.Response) -> web.StreamResponse:
    share = fault.number("share", 0.5)
    if fault.kind == "cut_chunked":
        return await cut_chunked(request, answer, share)
    if fault.kind == "cut_clean":
        return await cut_clean(request, answer, share, fault.text("framing", "chunked"))
    return await endless(request, answer, int(fault.number("bytes", ENDLESS_BYTES)))


def _closed_after(request: web.Request, answer: web.Response, part: bytes) -> web.Response:
    transport = request.transport
    if transport is not None:
        head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: {answer.content_type}\r\nConnection: close\r\n\r\n"
        # Written by hand because aiohttp always uses chunks for an HTTP/1.1 body of unknown length.
        transport.write(head.encode() + part)
        transport.close()
    return web.Response()


async def _chunked(request: web.Request, answer: web.Response) -> web.StreamResponse:
    stream = web.StreamResponse(status=answer.status)
    stream.content_type = answer.content_type
    stream.enable_chunked_encoding()
    await stream.prepare(request)
    return stream


async def _opened(request: web.Request, answer: web.Response) -> web.StreamResponse:
    stream = web.StreamResponse(status=answer.status)
    stream.content_type = answer.content_type
    stream.content_length = len(body_of(answer))
    await stream.prepare(request)
    return stream
