"""A provider that makes every job that it is asked for, and whose answer is lost each time.

In       the trouble: what happens after a create was read to its end
Out      a Counter: every create that arrived
Effects  listens on two free ports of 127.0.0.1: HTTP/1.1 with WebSocket, and HTTP/2 for gRPC
"""

import asyncio
import json
import socket
import struct
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import WSMsgType, web

SHUTDOWN_SECONDS = 0.1  # aiohttp takes 0 for "for ever"
RESET_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST instead of FIN

# HTTP/2 (RFC 9113): frame types and flags, and answers without a body in HPACK (RFC 7541, appendix A).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0x0, 0x1, 0x4, 0x6
ACK, END_STREAM, END_HEADERS = 0x1, 0x1, 0x4
STATUS_FIELDS = {500: b"\x8e", 429: b"\x08\x03429"}


class Trouble(StrEnum):
    """What the client gets instead of the answer."""

    RESET = "reset"
    CLOSED = "closed"
    SILENCE = "silence"
    HTTP_500 = "500"
    HTTP_429 = "429"


WITHOUT_ANSWER = {Trouble.RESET, Trouble.CLOSED, Trouble.SILENCE}


@dataclass(frozen=True)
class Create:
    """One create that arrived, as it was sent. Over a WebSocket, `body` is one task, and `method` says so.

    `target`: path and query. `headers`: names in lower case; empty for gRPC, which packs them.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str | None:
        """The key under which a provider takes it once: a header, or the id that a task of Runware's carries."""
        with suppress(ValueError):
            tasks = json.loads(self.body)
            if isinstance(tasks, list) and tasks and isinstance(tasks[0], dict) and "taskUUID" in tasks[0]:
                return str(tasks[0]["taskUUID"])
        return self.headers.get("idempotency-key")


@dataclass
class Counter:
    """What reached the server. `url`: for HTTP and, as ws://, for WebSocket; `grpc_url`: for HTTP/2.

    `first`: set by the first create. `over`: set at the end, so that nothing is left that waits.
    """

    trouble: Trouble
    url: str = ""
    grpc_url: str = ""
    creates: list[Create] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, create: Create) -> None:
        self.creates.append(create)
        self.first.set()

    @property
    def jobs(self) -> int:
        """Jobs at a provider that honours the client's keys: creates under one key are one job."""
        keyed = {create.key for create in self.creates if create.key is not None}
        return len(keyed) + sum(create.key is None for create in self.creates)


@asynccontextmanager
async def losing(trouble: Trouble) -> AsyncIterator[Counter]:
    counter = Counter(trouble)
    runner = web.ServerRunner(web.Server(_http(counter)), shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    serve_grpc, tasks = _grpc(counter), set[asyncio.Task[None]]()

    def start(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.ensure_future(serve_grpc(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    grpc = await asyncio.start_server(start, "127.0.0.1", 0)
    counter.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    counter.grpc_url = f"http://127.0.0.1:{grpc.sockets[0].getsockname()[1]}"
    try:
        yield counter
    finally:
        counter.over.set()
        grpc.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.cleanup()


def _http(counter: Counter) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _converse(request, counter)
        body = await request.read()
        if request.method != "POST":
            return web.json_response({"error": {"message": "no such job"}}, status=404)
        counter.count(_create(request, request.method, body))
        return await _lose(counter, request.transport)

    return answer


async def _lose(counter: Counter, transport: asyncio.BaseTransport | None) -> web.StreamResponse:
    if counter.trouble in WITHOUT_ANSWER:
        hang_up(transport, counter.trouble)
        await counter.over.wait()
        return web.Response(status=503)  # nobody hears it
    error = {"message": "the answer was lost", "type": "server_error", "code": counter.trouble.value}
    return web.json_response({"error": error}, status=int(counter.trouble))


def hang_up(transport: asyncio.BaseTransport | None, trouble: Trouble) -> None:
    """Closes the connection with RST or FIN; leaves it open for silence."""
    assert isinstance(transport, asyncio.Transport)
    if trouble is Trouble.RESET:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
        transport.abort()
    elif trouble is Trouble.CLOSED:
        transport.close()


async def _converse(request: web.BaseRequest, counter: Counter) -> web.StreamResponse:
    """Runware's protocol: lists of tasks; authentication and pings are answered, an inference is not."""
    talk = web.WebSocketResponse()
    await talk.prepare(request)
    async for message in talk:
        if message.type is not WSMsgType.TEXT:
            continue
        for task in json.loads(message.data):
            match task.get("taskType"):
                case "authentication":
                    await talk.send_json({"data": [{**task, "connectionSessionUUID": "session-1"}]})
                case "ping":
                    await talk.send_json({"data": [{"taskType": "ping", "pong": True}]})
                case _:
                    counter.count(_create(request, "WebSocket", json.dumps([task]).encode()))
                    await _lose_task(counter.trouble, task, talk, request.transport)
    return talk


async def _lose_task(
    trouble: Trouble, task: Mapping[str, Any], talk: web.WebSocketResponse, transport: asyncio.BaseTransport | None
) -> None:
    if trouble in WITHOUT_ANSWER:
        hang_up(transport, trouble)
    else:
        code = "tooManyRequests" if trouble is Trouble.HTTP_429 else "internalServerError"
        named = {name: task[name] for name in ("taskType", "taskUUID")}
        await talk.send_json({"errors": [{"code": code, "message": "the answer was lost", **named}]})


def _create(request: web.BaseRequest, method: str, body: bytes) -> Create:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Create(method, request.path_qs, headers, body)


def _grpc(counter: Counter) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(IncompleteReadError, ConnectionError):
                if await reader.readexactly(len(PREFACE)) == PREFACE:
                    writer.write(_frame(SETTINGS))
                    while True:
                        await _serve_frame(reader, writer, counter)
        finally:
            writer.close()

    return serve


async def _serve_frame(reader: StreamReader, writer: StreamWriter, counter: Counter) -> None:
    head = await reader.readexactly(9)
    kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
    payload = await reader.readexactly(int.from_bytes(head[:3]))
    if kind in {SETTINGS, PING} and not flags & ACK:
        writer.write(_frame(kind, ACK, payload=payload if kind == PING else b""))
    if kind not in {DATA, HEADERS} or not flags & END_STREAM:
        return
    counter.count(Create("gRPC", "", {}, b""))
    if counter.trouble in WITHOUT_ANSWER:
        hang_up(writer.transport, counter.trouble)
    else:
        fields = STATUS_FIELDS[int(counter.trouble)]
        writer.write(_frame(HEADERS, END_HEADERS | END_STREAM, stream, fields))


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
