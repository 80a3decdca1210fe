"""A bound on every answer that is read into memory: an endless body, or a small one that unpacks to gigabytes.

In       a response whose body has not been read (as an event hook of the HTTP client gets it)
Out      the same response; its body comes unpacked, and ends with an error past `BODY_BYTES_MAX`
Raises   httpx2.DecodingError while the body is read
"""

import zlib
from collections.abc import AsyncIterator
from typing import cast

import httpx2

BODY_BYTES_MAX = 8_000_000  # a page of a hundred jobs with the longest prompts takes a fifth of it
PLAIN = {"", "identity"}
PACKED = {"gzip", "x-gzip", "deflate"}
ANY_HEADER = 47  # zlib: recognise gzip and zlib by their headers


async def bound_body(response: httpx2.Response) -> None:
    """An event hook for `httpx2.AsyncClient`: `event_hooks={"response": [bound_body]}`."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in PLAIN:
        del response.headers["content-encoding"]
    response.stream = _Bounded(cast("httpx2.AsyncByteStream", response.stream), encoding)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._encoding not in PLAIN | PACKED:
            raise httpx2.DecodingError(f"the answer is packed as {self._encoding!r}, which was not asked for")
        unpack = zlib.decompressobj(ANY_HEADER) if self._encoding in PACKED else None
        left = BODY_BYTES_MAX
        async for chunk in self._stream:
            plain = chunk if unpack is None else _unpacked(unpack, chunk, left)
            left -= len(plain)
            if left < 0 or (unpack is not None and unpack.unconsumed_tail):
                raise httpx2.DecodingError(f"the answer is longer than {BODY_BYTES_MAX} bytes")
            yield plain

    async def aclose(self) -> None:
        await self._stream.aclose()


def _unpacked(unpack: "zlib._Decompress", chunk: bytes, left: int) -> bytes:
    try:
        return unpack.decompress(chunk, left + 1)
    except zlib.error as error:
        raise httpx2.DecodingError(str(error)) from error
