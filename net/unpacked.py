"""Bodies as they were before they were packed. What names the packing is often wrong: the bytes decide.

Gateways leave `Content-Encoding: gzip` on what they have unpacked, object stores hand on `aws-chunked`; neither changes
the bytes. Only what begins as gzip or zlib does is unpacked: no clip and no JSON begins so.

In       chunks of a body as they come
Out      chunks of what it holds, never more than STEP_BYTES at a time
Raises   Unreadable: broken packing, or too much behind its end. TooMuch: past the bound, packed or not
Effects  none
"""

import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator

STEP_BYTES = 1 << 16
GZIP = b"\x1f\x8b\x08"
ZLIB = tuple(bytes([0x78, level]) for level in (0x01, 0x5E, 0x9C, 0xDA))
ANY_HEADER = 32 + zlib.MAX_WBITS  # zlib: recognise both by their headers
BEHIND_BYTES_MAX = 1 << 16  # after the packing's end: padding, a line end; an endless rest is no answer


class Unreadable(Exception):
    """A body that does not unpack."""


class TooMuch(Exception):
    """More bytes than the bound."""


async def unpacked(chunks: AsyncIterable[bytes], bytes_max: int) -> AsyncIterator[bytes]:
    """The body of these chunks; never more than `bytes_max`, as it comes and as it is."""
    unpack, came, read = _Unpacked(), 0, 0
    async for packed in chunks:
        came += len(packed)
        for plain in unpack(packed):
            read += len(plain)
            if read > bytes_max:
                raise TooMuch
            yield plain
        if came > bytes_max:
            raise TooMuch
    for plain in unpack.end():
        yield plain


class _Unpacked:
    """One body. Several packed members in a row are read as one, as `cat a.gz b.gz` and bgzip write them."""

    def __init__(self) -> None:
        self._zlib: zlib._Decompress | None = None
        self._start = b""  # of the body, or of what follows a member; too little to tell what it is
        self._members = 0
        self._is_plain = False
        self._behind = 0

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        while chunk and not self._is_plain:
            if self._zlib is None:
                chunk = self._begin(chunk)
            else:
                yield self._step(self._zlib, chunk)
                chunk = self._left(self._zlib)
        if chunk:
            yield chunk

    def end(self) -> Iterator[bytes]:
        """What was held back. Raises Unreadable if the packing goes on."""
        if self._zlib is not None:
            raise Unreadable("cut short inside its packing")
        if self._start and not self._members:
            yield self._start

    def _begin(self, chunk: bytes) -> bytes:
        """What is to be read next, once enough is here to tell how."""
        if self._behind:
            return self._drop(chunk)
        start = self._start + chunk
        if len(start) < len(GZIP):
            self._start = start
            return b""
        self._start = b""
        if start.startswith((GZIP, *ZLIB)):
            self._zlib = zlib.decompressobj(ANY_HEADER)
        elif self._members:
            return self._drop(start)
        else:
            self._is_plain = True
        return start

    def _drop(self, chunk: bytes) -> bytes:
        self._behind += len(chunk)
        if self._behind > BEHIND_BYTES_MAX:
            raise Unreadable(f"more than {BEHIND_BYTES_MAX} bytes behind the end of its packing")
        return b""

    def _step(self, member: "zlib._Decompress", chunk: bytes) -> bytes:
        try:
            return member.decompress(chunk, STEP_BYTES)
        except zlib.error:
            raise Unreadable("its packing is broken") from None

    def _left(self, member: "zlib._Decompress") -> bytes:
        if not member.eof:
            return member.unconsumed_tail
        self._zlib, self._members = None, self._members + 1
        return member.unused_data
