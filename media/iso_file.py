"""The outline of an MP4 or QuickTime file: its boxes, which must fill it exactly, and what its index (moov) says.

A cut is proved by a box that ends past the end of the file, or by samples that the index lists and the file lacks
(`media/iso_tables.py`, `media/iso_fragments.py`, `media/iso_pictures.py`). What cannot be read proves nothing.

In       an open file and its size
Out      Outline
Raises   media.Broken: cut short, or not a film
Effects  none
"""

import struct
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

from media.common import PADDING_BYTES_MAX, SIDE_PIXELS_MAX, Broken, Outline, check_end, length, side
from media.iso_boxes import Box, boxes, inside, is_large, payload
from media.iso_fragments import read_fragments
from media.iso_pictures import missing_pictures
from media.iso_tables import missing_samples

BOXES_MAX = 100_000  # at the top level; an hour of one-second fragments has 7,200
CHILDREN_MAX = 10_000  # in the index, on all levels together
FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})  # QuickTime predates `ftyp`
QUICKTIME = b"qt  "
NOT_KNOWN = (2**32 - 1, 2**64 - 1)  # a length that the header leaves open


def read(file: BinaryIO, size: int, *, transfer_complete: bool) -> tuple[bytes | None, Outline]:
    """The major brand (None if the file has none) and the outline."""
    top = list(boxes(file, 0, size, BOXES_MAX, padding_max=PADDING_BYTES_MAX))
    _check_whole(top, transfer_complete)
    ftyp = next((box for box in top if box.type == b"ftyp"), None)
    brand = payload(file, ftyp, 4) if ftyp else None
    moov = next(box for box in top if box.type == b"moov")
    if moov.open:
        check_end(inside(file, moov))
    fragments = read_fragments(file, size, top, moov)
    missing = fragments.missing or missing_samples(file, size, top, moov) or missing_pictures(file, top, moov)
    if missing:
        raise Broken(missing)
    ends = fragments.ends or any(box.type == b"mfra" for box in top)
    with suppress(Broken):  # players may be able to read an index that we cannot: the clip still counts as whole
        outline = _outline(file, moov)
        seconds = outline.seconds if fragments.seconds is None else length(fragments.seconds)
        return brand, replace(outline, seconds=seconds, ends=ends)
    return brand, Outline(ends=ends)


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
    if b"moof" in types and b"mfra" not in types:  # any fragment may be the last; only an index at the end shows it
        raise Broken("its fragments have no end, and the transfer may have been cut")


def _outline(file: BinaryIO, moov: Box) -> Outline:
    """Width and height of the largest picture track, and the length of the film."""
    parts = list(boxes(file, moov.start, moov.end, CHILDREN_MAX))
    left = CHILDREN_MAX - len(parts)
    sizes, ticks, scale, fragments_ticks = [(0, 0)], 0, 0, 0
    for part in parts:
        if part.type == b"mvhd":
            ticks, scale = _duration(file, part)
        elif part.type in {b"trak", b"mvex"}:
            children = list(boxes(file, part.start, part.end, left))
            left -= len(children)
            sizes += [_shown(file, box) for box in children if box.type == b"tkhd"]
            fragments_ticks += sum(_fragments(file, box) for box in children if box.type == b"mehd")
    width, height = (side(pixels) for pixels in max(sizes, key=lambda both: both[0] * both[1]))
    seconds = length((ticks or fragments_ticks) / scale) if scale else None
    return Outline(width, height, seconds) if width and height else Outline(seconds=seconds)


def _shown(file: BinaryIO, tkhd: Box) -> tuple[int, int]:
    """Width and height of a track, 16.16 fixed point, swapped if its matrix rotates it by 90 degrees."""
    matrix = 52 if is_large(file, tkhd) else 40
    data = payload(file, tkhd, matrix + 44)[matrix:]
    a, b = struct.unpack(">ii", data[:8])
    width, height = (min(round(fixed / 65536), SIDE_PIXELS_MAX + 1) for fixed in struct.unpack(">II", data[36:]))
    return (height, width) if abs(b) > abs(a) else (width, height)


def _duration(file: BinaryIO, mvhd: Box) -> tuple[int, int]:
    """The duration in ticks, and the ticks per second."""
    if is_large(file, mvhd):
        scale, ticks = struct.unpack(">IQ", payload(file, mvhd, 32)[20:])
    else:
        scale, ticks = struct.unpack(">II", payload(file, mvhd, 20)[12:])
    return (0 if ticks in NOT_KNOWN else ticks), scale


def _fragments(file: BinaryIO, mehd: Box) -> int:
    return int.from_bytes(payload(file, mehd, 12 if is_large(file, mehd) else 8)[4:])
