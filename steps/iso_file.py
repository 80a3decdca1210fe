"""The outline of an MP4 or QuickTime file: its boxes, which must fill it exactly, and what its index (moov) says.

In       an open file and its size
Out      Outline
Raises   media.Broken: cut short, or no film
Effects  none
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from steps.media import SIDE_PIXELS_MAX, Broken, Outline, length, side

BOXES_MAX = 100_000  # at the top: an hour of one-second fragments has 7,200
CHILDREN_MAX = 10_000  # in the index, all levels together
HEADER_BYTES, LARGE_HEADER_BYTES = 8, 16
FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})  # QuickTime is older than `ftyp`
QUICKTIME = b"qt  "
NOT_KNOWN = (2**32 - 1, 2**64 - 1)  # a length that the header leaves open


@dataclass(frozen=True)
class Box:
    """`start` and `end` of its payload. `open`: it states no length, and runs to the file's end."""

    type: bytes
    start: int
    end: int
    open: bool = False


def read(file: BinaryIO, size: int, *, transfer_complete: bool) -> tuple[bytes | None, Outline]:
    """The major brand, None if it has none, and the outline."""
    top = list(_boxes(file, 0, size, BOXES_MAX))
    _check_whole(top, transfer_complete)
    ftyp = next((box for box in top if box.type == b"ftyp"), None)
    brand = _payload(file, ftyp, 4) if ftyp else None
    moov = next(box for box in top if box.type == b"moov")
    with suppress(Broken):  # an index that players may read and we do not: the clip is whole all the same
        return brand, _outline(file, moov)
    return brand, Outline()


def _check_whole(top: list[Box], transfer_complete: bool) -> None:
    types = {box.type for box in top}
    if b"moov" not in types:
        raise Broken("cut short: it has no index (moov)")
    if not any(box.type == b"mdat" and box.end > box.start for box in top):
        raise Broken("cut short: it has no pictures (mdat)")
    if top[-1].type == b"moof":
        raise Broken("cut short: its last fragment has no pictures")
    if transfer_complete:
        return
    if top[-1].open:
        raise Broken("its last box has no length, and the transfer may have been cut")
    if b"moof" in types and b"mfra" not in types:  # any fragment may be the last; an index at the end says so
        raise Broken("its fragments have no end, and the transfer may have been cut")


def _boxes(file: BinaryIO, start: int, end: int, at_most: int) -> Iterator[Box]:
    """The boxes between these two offsets, which they must fill exactly. Raises Broken."""
    at = start
    for _ in range(at_most):
        if at == end:
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
    if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):  # letters, and QuickTime's copyright sign
        raise Broken(f"bytes that are no box at {at}")
    head = HEADER_BYTES
    if stated == 1:
        if len(header) < LARGE_HEADER_BYTES:
            raise Broken(f"cut short inside a box at {at}")
        head, stated = LARGE_HEADER_BYTES, struct.unpack(">Q", header[HEADER_BYTES:])[0]
    stop = at + stated if stated else end
    if stop < at + head:
        raise Broken(f"a box of impossible length at {at}")
    if stop > end:
        raise Broken(f"cut short: {end} bytes of at least {stop}")
    return Box(kind, at + head, stop, open=stated == 0)


def _outline(file: BinaryIO, moov: Box) -> Outline:
    """Width and height of the largest picture track, and the length of the film."""
    parts = list(_boxes(file, moov.start, moov.end, CHILDREN_MAX))
    left = CHILDREN_MAX - len(parts)
    sizes, ticks, scale, fragments_ticks = [(0, 0)], 0, 0, 0
    for part in parts:
        if part.type == b"mvhd":
            ticks, scale = _duration(file, part)
        elif part.type in {b"trak", b"mvex"}:
            inside = list(_boxes(file, part.start, part.end, left))
            left -= len(inside)
            sizes += [_shown(file, box) for box in inside if box.type == b"tkhd"]
            fragments_ticks += sum(_fragments(file, box) for box in inside if box.type == b"mehd")
    width, height = (side(pixels) for pixels in max(sizes, key=lambda both: both[0] * both[1]))
    seconds = length((ticks or fragments_ticks) / scale) if scale else None
    return Outline(width, height, seconds) if width and height else Outline(seconds=seconds)


def _payload(file: BinaryIO, box: Box, count: int) -> bytes:
    """The first bytes of a box. Raises Broken if it is shorter."""
    if box.end - box.start < count:
        raise Broken(f"a short {box.type.decode('latin-1')}")
    file.seek(box.start)
    return file.read(count)


def _is_large(file: BinaryIO, box: Box) -> bool:
    """Version 1: times of 64 bits."""
    return _payload(file, box, 4)[0] == 1


def _shown(file: BinaryIO, tkhd: Box) -> tuple[int, int]:
    """Width and height of a track, 16.16 fixed point, swapped if its matrix turns it by a quarter."""
    matrix = 52 if _is_large(file, tkhd) else 40
    data = _payload(file, tkhd, matrix + 44)[matrix:]
    a, b = struct.unpack(">ii", data[:8])
    width, height = (min(round(fixed / 65536), SIDE_PIXELS_MAX + 1) for fixed in struct.unpack(">II", data[36:]))
    return (height, width) if abs(b) > abs(a) else (width, height)


def _duration(file: BinaryIO, mvhd: Box) -> tuple[int, int]:
    """Ticks, and ticks a second."""
    if _is_large(file, mvhd):
        scale, ticks = struct.unpack(">IQ", _payload(file, mvhd, 32)[20:])
    else:
        scale, ticks = struct.unpack(">II", _payload(file, mvhd, 20)[12:])
    return (0 if ticks in NOT_KNOWN else ticks), scale


def _fragments(file: BinaryIO, mehd: Box) -> int:
    return int.from_bytes(_payload(file, mehd, 12 if _is_large(file, mehd) else 8)[4:])
