"""The product's own two transports to the ledger, for tests that do not run in an event loop.

In       an opened transport, as a context manager
Out      TransportClient.ask: the answer of one function; the errors are the product's
Effects  a thread with an event loop of its own, until closed
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from pipeline.ledger.transports.common import LedgerCall

ANSWER_SECONDS = 60.0


class TransportClient:
    def __init__(self, loop: asyncio.AbstractEventLoop, rpc: LedgerCall) -> None:
        self._loop, self._rpc = loop, rpc

    def ask(self, name: str, **args: Any) -> Any:
        """Thread-safe."""
        future = asyncio.run_coroutine_threadsafe(_asked(self._rpc, name, args), self._loop)
        return future.result(ANSWER_SECONDS)


async def _asked(rpc: LedgerCall, name: str, args: dict[str, Any]) -> Any:
    return await rpc(name, args)


@contextmanager
def opened_transport(transport: AbstractAsyncContextManager[LedgerCall]) -> Iterator[TransportClient]:
    """The transport, open in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        rpc = asyncio.run_coroutine_threadsafe(transport.__aenter__(), loop).result(ANSWER_SECONDS)
        try:
            yield TransportClient(loop, rpc)
        finally:
            asyncio.run_coroutine_threadsafe(transport.__aexit__(None, None, None), loop).result(ANSWER_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
