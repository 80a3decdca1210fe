"""A server that does exactly what a test says, byte by byte, and records what reached it.

It implements just enough HTTP to read a request; the answer is whatever bytes the script yields, so that resets,
half answers, silence and slow answers are real ones.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Script = Callable[["Seen"], "Reply"]


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """Bytes to send, and how: all at once or byte by byte `drip` seconds apart, then close or stay silent."""

    raw: bytes
    then_hang: bool = False
    drip: float = 0


@dataclass
class Server:
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    bytes_received: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def answer(status: int, body: Any = "", **headers: str) -> Reply:
    """A whole answer; a body that is not bytes or text is sent as JSON."""
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = {"content-type": "application/json", "content-length": str(len(data)), "connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Reply(f"HTTP/1.1 {status} -\r\n{head}\r\n".encode() + data)


def in_turn(*replies: Reply) -> Script:
    """One after the other; the last one forever."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Server]:
    server, tasks = Server(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen = await _read(reader, server)
            server.seen.append(seen)
            await _send(writer, script(seen))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a client that hangs up is part of many scripts
        finally:
            writer.close()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(start, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader, server: Server) -> Seen:
    first = await reader.readexactly(1)
    server.bytes_received += 1
    head = first + await reader.readuntil(b"\r\n\r\n")
    request, *lines = head.decode().strip().split("\r\n")
    method, path, _ = request.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    server.bytes_received += len(head) + len(body)
    return Seen(method, path, headers, body)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    if reply.drip:
        for byte in reply.raw:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(reply.drip)
    else:
        writer.write(reply.raw)
        await writer.drain()
    if reply.then_hang:
        await asyncio.sleep(60)
