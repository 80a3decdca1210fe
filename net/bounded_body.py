"""Bound every answer that is read into memory: a body may be endless, or small and unpack to gigabytes.

In       a response whose body has not been read (as an event hook of the HTTP client gets it)
Out      the same response; its body is unpacked, and reading past `BODY_BYTES_MAX` fails
Raises   httpx2.DecodingError while the body is read
"""

from collections.abc import AsyncIterator
from typing import cast

import httpx2

from net.unpacked import TooMuch, Unreadable, unpacked

BODY_BYTES_MAX = 8_000_000  # a page of a hundred jobs with the longest prompts takes a fifth of it


async def bound_body(response: httpx2.Response) -> None:
    """An event hook for `httpx2.AsyncClient`: `event_hooks={"response": [bound_body]}`."""
    response.headers.pop("content-encoding", None)  # the bytes decide; the client must not unpack again
    response.stream = _Bounded(cast("httpx2.AsyncByteStream", response.stream))


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for plain in unpacked(self._stream, BODY_BYTES_MAX):
                yield plain
        except TooMuch:
            raise httpx2.DecodingError(f"the answer is longer than {BODY_BYTES_MAX} bytes") from None
        except Unreadable as error:
            raise httpx2.DecodingError(f"the answer: {error}") from None

    async def aclose(self) -> None:
        await self._stream.aclose()
