"""Check that the samples listed by an index (moov) are in the file: an index at the front survives a cut.

In       an open file, its size, its top-level boxes, the index
Out      why samples are missing, empty if none are known to be; where some of a track's samples are
Raises   nothing: tables that cannot be read (too large, of another kind, in another file) prove nothing
Effects  none
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from media.common import Broken
from media.iso_boxes import Box, find, inside, number, numbers, tracks

CHUNKS_MAX = 2_000_000  # of one track; enough for nine hours of one-frame chunks
PLACES_MAX = 100
SAMPLES_MAX = 500  # of one chunk
ONE_BYTE = 1  # QuickTime states this for every sample if the sound's description has the real size


def missing_samples(file: BinaryIO, size: int, top: Sequence[Box], moov: Box) -> str:
    """Why samples are missing: the last chunk of every track must lie in a box of pictures (mdat)."""
    data = [box for box in top if box.type == b"mdat"]
    for first, end in _last_chunks(file, moov):
        if end > size:
            return f"cut short: {size} bytes of at least {end}, by its index (moov)"
        if not any(box.start <= first and end <= box.end for box in data):
            return f"its index (moov) has samples outside of its pictures (mdat), up to byte {end}"
    return ""


def _last_chunks(file: BinaryIO, moov: Box) -> list[tuple[int, int]]:
    """Where the last chunk of each track begins and ends."""
    found = []
    with suppress(Broken):
        for track in tracks(file, moov):
            with suppress(Broken):
                found += _last_chunk(file, track)
    return found


def _last_chunk(file: BinaryIO, track: Box) -> list[tuple[int, int]]:
    tables = _tables(file, track)
    if tables is None:
        return []
    chunk, first = _highest(file, tables.offsets)
    return [(first, first + _chunk_bytes(file, tables, chunk))]


def some_samples(file: BinaryIO, track: Box) -> Iterator[tuple[int, int]]:
    """Offset and size of samples in chunks spread evenly over the track, including the last chunk."""
    tables = _tables(file, track)
    if tables is None or tables.sizes.type == b"stz2":
        return
    count = number(file, tables.offsets, 4)
    spread = {1 + round(place * (count - 1) / PLACES_MAX) for place in range(PLACES_MAX + 1)}
    for chunk in sorted(spread) if 0 < count <= CHUNKS_MAX else ():
        before, samples = _span(file, tables, chunk)
        at = _offset(file, tables.offsets, chunk)
        for sample in range(before, before + min(samples, SAMPLES_MAX)):
            size = _sample_bytes(file, tables.sizes, sample)
            yield at, size
            at += size
        if samples > SAMPLES_MAX:
            last = _sample_bytes(file, tables.sizes, before + samples - 1)
            yield _offset(file, tables.offsets, chunk) + _chunk_bytes(file, tables, chunk) - last, last


@dataclass(frozen=True)
class _Tables:
    sizes: Box
    runs: Box
    offsets: Box


def _tables(file: BinaryIO, track: Box) -> _Tables | None:
    """The sample tables of a track; None if it has no samples, or has them in another file."""
    media = find(file, track, b"mdia", b"minf")
    table = find(file, media, b"stbl") if media else None
    if media is None or table is None or _is_elsewhere(file, media):
        return None
    parts = {box.type: box for box in inside(file, table)}
    sizes, runs = parts.get(b"stsz", parts.get(b"stz2")), parts.get(b"stsc")
    offsets = parts.get(b"stco", parts.get(b"co64"))
    if sizes is None or runs is None or offsets is None or not number(file, sizes, 8):
        return None
    return _Tables(sizes, runs, offsets)


def _is_elsewhere(file: BinaryIO, media: Box) -> bool:
    """Whether a data reference names another file."""
    references = find(file, media, b"dinf", b"dref")
    if references is None:
        return False
    entries = Box(b"dref", references.start + 8, references.end)
    return any(not number(file, box, 0) & 1 for box in inside(file, entries))


def _highest(file: BinaryIO, offsets: Box) -> tuple[int, int]:
    """Number (from 1) and offset of the last chunk in the file. Raises Broken if there is none."""
    count = number(file, offsets, 4)
    if not 0 < count <= CHUNKS_MAX:
        raise Broken("no chunks, or too many")
    before, found = 0, (0, -1)
    for block in numbers(file, offsets, 8, count, "Q" if offsets.type == b"co64" else "I"):
        if (highest := max(block)) > found[1]:
            found = before + block.index(highest) + 1, highest
        before += len(block)
    return found


def _offset(file: BinaryIO, offsets: Box, chunk: int) -> int:
    width = 8 if offsets.type == b"co64" else 4
    return number(file, offsets, 8 + width * (chunk - 1), width)


def _chunk_bytes(file: BinaryIO, tables: _Tables, chunk: int) -> int:
    """A lower bound on the chunk's bytes; packed sizes (stz2) are not read."""
    sizes = tables.sizes
    if sizes.type == b"stz2":
        return 0
    before, samples = _span(file, tables, chunk)
    if uniform := number(file, sizes, 4):
        return 0 if uniform == ONE_BYTE else samples * uniform
    return sum(sum(block) for block in numbers(file, sizes, 12 + 4 * before, samples))


def _sample_bytes(file: BinaryIO, sizes: Box, sample: int) -> int:
    return number(file, sizes, 4) or number(file, sizes, 12 + 4 * sample)


def _span(file: BinaryIO, tables: _Tables, chunk: int) -> tuple[int, int]:
    """How many samples come before this chunk, and how many it has, according to the tables."""
    count = number(file, tables.runs, 4)
    if count > CHUNKS_MAX:
        return 0, 0
    blocks = numbers(file, tables.runs, 8, 3 * count)
    before, samples = _samples(((row[0], row[1]) for block in blocks for row in _rows(block)), chunk)
    return before, min(samples, max(0, number(file, tables.sizes, 8) - before))


def _rows(block: Sequence[int]) -> Iterable[Sequence[int]]:
    return (block[at : at + 3] for at in range(0, len(block), 3))


def _samples(runs: Iterable[tuple[int, int]], chunk: int) -> tuple[int, int]:
    """How many samples come before this chunk, and how many it has. `runs`: (first chunk, samples per chunk)."""
    before, since, each = 0, 1, 0
    for first, per_chunk in runs:
        if first > chunk:
            break
        if first < since:
            raise Broken("chunks out of order")
        before += (first - since) * each
        since, each = first, per_chunk
    return before + (chunk - since) * each, each
