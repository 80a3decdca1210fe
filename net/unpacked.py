"""Unpack compressed bodies. The header that names the compression is often wrong, so the bytes decide.

Gateways leave `Content-Encoding: gzip` on bodies that they have unpacked, and object stores pass on `aws-chunked`; in
both cases the bytes are plain. Only bodies that begin as gzip or zlib are unpacked: no clip and no JSON begins so.

In       chunks of a body as they arrive
Out      chunks of the plain body; each step unpacks at most STEP_BYTES
Raises   Unreadable: broken compression, or too much after its end. TooMuch: over the bound, packed or unpacked
Effects  none
"""

import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator

STEP_BYTES = 1 << 16
GZIP = b"\x1f\x8b\x08"
ZLIB = tuple(bytes([0x78, level]) for level in (0x01, 0x5E, 0x9C, 0xDA))
ANY_HEADER = 32 + zlib.MAX_WBITS  # zlib: detect gzip or zlib by the header
BEHIND_BYTES_MAX = 1 << 16  # allowed after the compressed data: padding, a line break, but not an endless rest


class Unreadable(Exception):
    """A body that cannot be unpacked."""


class TooMuch(Exception):
    """More bytes than the bound."""


async def unpacked(chunks: AsyncIterable[bytes], bytes_max: int) -> AsyncIterator[bytes]:
    """The plain body of these chunks; at most `bytes_max`, both packed and unpacked."""
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
    """One body. Consecutive compressed members are read as one, as `cat a.gz b.gz` and bgzip write them."""

    def __init__(self) -> None:
        self._zlib: zlib._Decompress | None = None
        self._start = b""  # of the body, or of the bytes after a member; too few to recognize the format
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
        """The bytes held back. Raises Unreadable if the compressed data is incomplete."""
        if self._zlib is not None:
            raise Unreadable("cut short inside its packing")
        if self._start and not self._members:
            yield self._start

    def _begin(self, chunk: bytes) -> bytes:
        """The bytes to read next, once there are enough to recognize the format."""
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
