"""Server-sent events for every open page.

In       events as they happen; the provider's books, polled once a second while a page listens
Out      `GET /_sim/telegram/events`
Effects  one bounded queue per listener; a listener that is too slow is disconnected, reconnects and reloads everything
"""

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

from aiohttp import web

from simulator.state import STATE, SimulatorState

QUEUE_MAX = 5_000
BOOKS_SECONDS = 1.0
SILENCE_SECONDS = 15.0


class Listeners:
    """All connected listeners."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes | None]] = set()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Send an event to every listener."""
        raw = encoded(event, data)
        for queue in list(self._queues):
            try:
                queue.put_nowait(raw)
            except asyncio.QueueFull:
                self._queues.discard(queue)
                _end(queue)

    def join(self) -> asyncio.Queue[bytes | None]:
        """Add a listener; None in its queue means the end."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX)
        self._queues.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[bytes | None]) -> None:
        """Remove a listener."""
        self._queues.discard(queue)

    def close(self) -> None:
        """Disconnect all listeners: the server stops."""
        for queue in self._queues:
            _end(queue)
        self._queues.clear()


def encoded(event: str, data: dict[str, Any]) -> bytes:
    """One event in wire format."""
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def stream(request: web.Request, listeners: Listeners) -> web.StreamResponse:
    """Serve one listener until it disconnects, falls behind, or the server stops."""
    state = request.app[STATE]
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    queue = listeners.join()
    try:
        await answer.prepare(request)
        await answer.write(b": listening\n\n")
        await _pass_on(answer, queue, state)
    except ConnectionError:
        pass  # the page was closed
    finally:
        listeners.leave(queue)
    return answer


async def _pass_on(answer: web.StreamResponse, queue: asyncio.Queue[bytes | None], state: SimulatorState) -> None:
    books = _totals(state)
    looked_at = written_at = time.monotonic()
    while True:
        raw: bytes | None = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(BOOKS_SECONDS):
                raw = await queue.get()
        if raw is None:
            return
        now = time.monotonic()
        if now - looked_at >= BOOKS_SECONDS:
            looked_at, before, books = now, books, _totals(state)
            raw += encoded("books", books) if books != before else b""
        if not raw and now - written_at >= SILENCE_SECONDS:
            raw = b": still here\n\n"  # so that a dead connection is noticed
        if raw:
            written_at = now
            await answer.write(raw)


def _totals(state: SimulatorState) -> dict[str, Any]:
    totals: dict[str, Any] = state.books.as_json(entries=False)["totals"]
    return totals


def _end(queue: asyncio.Queue[bytes | None]) -> None:
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)
