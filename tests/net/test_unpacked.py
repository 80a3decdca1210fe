"""Bodies are unpacked by their bytes: in any pieces, member by member, with a bound on what follows."""

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from net import unpacked
from net.unpacked import BEHIND_BYTES_MAX, TooMuch, Unreadable

BODY = bytes(range(256)) * 40
AMPLE = 100_000_000


def in_short(body: bytes) -> str:
    return body[:9].hex() or "empty"


async def pieces(body: bytes, each: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), each):
        yield body[at : at + each]


async def read(body: bytes, each: int = 1 << 16, bytes_max: int = AMPLE) -> bytes:
    return b"".join([chunk async for chunk in unpacked.unpacked(pieces(body, each), bytes_max)])


@pytest.mark.asyncio
@pytest.mark.parametrize("each", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"\x1f\x8b", b"\x1f\x8b\x07", b"{}", BODY, b"x"], ids=lambda body: body[:9].hex() or "empty"
)
async def test_uncompressed_body_is_returned_unchanged(body: bytes, each: int) -> None:
    assert await read(body, each) == body


@pytest.mark.asyncio
@pytest.mark.parametrize("each", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("behind", [b"", b"\0", bytes(1_000), b"\r\n", b"<!-- cached -->"], ids=len)
async def test_compressed_members_are_concatenated_and_trailing_bytes_dropped(each: int, behind: bytes) -> None:
    members = gzip.compress(BODY[:99]) + gzip.compress(b"") + zlib.compress(BODY[99:])
    assert await read(members + behind, each) == BODY


@pytest.mark.asyncio
@pytest.mark.parametrize("each", [1_000, AMPLE])
async def test_too_many_trailing_bytes_make_the_body_unreadable(each: int) -> None:
    with pytest.raises(Unreadable):
        await read(gzip.compress(BODY) + b"\xaa" * (BEHIND_BYTES_MAX + 1), each)
    assert await read(gzip.compress(BODY) + b"\xaa" * BEHIND_BYTES_MAX, each) == BODY


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body", [gzip.compress(BODY)[:-1], gzip.compress(BODY)[:-8] + bytes(8), zlib.compress(BODY)[:9]]
)
async def test_truncated_or_corrupt_compression_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        await read(body)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body", [gzip.compress(bytes(101)), gzip.compress(b"") * 10, bytes(101)], ids=["one", "none", "plain"]
)
async def test_size_limit_counts_both_received_and_unpacked_bytes(body: bytes) -> None:
    with pytest.raises(TooMuch):
        await read(body, bytes_max=100)
