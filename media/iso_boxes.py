"""The boxes that an MP4 or QuickTime file is made of, and the big-endian numbers in them.

In       an open file, and where to look in it
Out      Box, and blocks of numbers, so that no table is ever in memory as a whole
Raises   media.Broken: bytes that are not such boxes
Effects  none
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from media.common import Broken, Cut, is_padding

HEADER_BYTES, LARGE_HEADER_BYTES = 8, 16
PARTS_MAX = 1_000  # of one box; more are not read
TRACKS_MAX = 64
INDEX_BYTES_MAX = 64_000_000  # a hundred times what an hour of video needs
BLOCK_NUMBERS = 12_000  # read at a time; divisible into rows of 1, 2, 3 or 4 numbers


@dataclass(frozen=True)
class Box:
    """`start` and `end` of the payload. `open`: the box states no length and runs to the end of the file."""

    type: bytes
    start: int
    end: int
    open: bool = False


def boxes(file: BinaryIO, start: int, end: int, at_most: int, *, padding_max: int = 0) -> Iterator[Box]:
    """The boxes between these two offsets. They must fill the range, except for padding. Raises Broken."""
    at = start
    for _ in range(at_most):
        if at == end or (start < at and end - at <= padding_max and is_padding(file, at, end)):
            return
        box = _box(file, at, end)
        yield box
        at = box.end
    if at != end:
        raise Broken("too many boxes")


def _box(file: BinaryIO, at: int, end: int) -> Box:
    file.seek(at)
    header = file.read(min(LARGE_HEADER_BYTES, end - at))
    if len(header) < HEADER_BYTES:
        raise Broken(f"{end - at} bytes after its last box")
    stated, kind = struct.unpack(">I4s", header[:HEADER_BYTES])
    if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):  # printable ASCII, and QuickTime's copyright sign
        raise Broken(f"bytes that are no box at {at}")
    head = HEADER_BYTES
    if stated == 1:
        if len(header) < LARGE_HEADER_BYTES:
            raise Cut(f"cut short inside a box at {at}")
        head, stated = LARGE_HEADER_BYTES, struct.unpack(">Q", header[HEADER_BYTES:])[0]
    stop = at + stated if stated else end
    if stop < at + head:
        raise Broken(f"a box of impossible length at {at}")
    if stop > end:
        raise Cut(f"cut short: {end} bytes of at least {stop}")
    return Box(kind, at + head, stop, open=stated == 0)


def payload(file: BinaryIO, box: Box, count: int) -> bytes:
    """The first bytes of a box. Raises Broken if it is shorter."""
    if box.end - box.start < count:
        raise Broken(f"a short {box.type.decode('latin-1')}")
    file.seek(box.start)
    return file.read(count)


def is_large(file: BinaryIO, box: Box) -> bool:
    """Whether the box has version 1, with 64-bit times."""
    return payload(file, box, 4)[0] == 1


def inside(file: BinaryIO, parent: Box) -> Iterator[Box]:
    return boxes(file, parent.start, parent.end, PARTS_MAX)


def tracks(file: BinaryIO, moov: Box) -> list[Box]:
    """The tracks of an index. Raises Broken if the index is too large or ends inside a box."""
    if moov.end - moov.start > INDEX_BYTES_MAX:
        raise Broken("too large an index")
    return list(islice((box for box in inside(file, moov) if box.type == b"trak"), TRACKS_MAX))


def find(file: BinaryIO, parent: Box, *path: bytes) -> Box | None:
    """The first box at this path below the parent."""
    found: Box | None = parent
    for kind in path:
        found = next((box for box in inside(file, found) if box.type == kind), None) if found else None
    return found


def handler(file: BinaryIO, track: Box) -> bytes | None:
    """The kind of track that it states: `vide`, `soun`, ...; None if it states none."""
    says = find(file, track, b"mdia", b"hdlr")
    return payload(file, says, 12)[8:] if says else None


def number(file: BinaryIO, box: Box, at: int, width: int = 4) -> int:
    """The number `at` bytes into the payload."""
    return int.from_bytes(payload(file, box, at + width)[at:])


def numbers(file: BinaryIO, box: Box, at: int, count: int, code: str = "I") -> Iterator["array[int]"]:
    """`count` consecutive numbers of 32 bits ("I") or 64 ("Q"), in blocks. Raises Broken if the box is shorter."""
    width = array(code).itemsize
    if box.start + at + count * width > box.end:
        raise Broken(f"a short {box.type.decode('latin-1')}")
    for first in range(0, count, BLOCK_NUMBERS):
        file.seek(box.start + at + first * width)
        block = array(code, file.read(min(BLOCK_NUMBERS, count - first) * width))
        if sys.byteorder == "little":
            block.byteswap()
        yield block
