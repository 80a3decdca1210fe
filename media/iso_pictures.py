"""Check that a film has its pictures: neither sound alone nor a file with missing pictures is a clip.

A download in progress into a file of the final size looks whole, with zeros where no data has arrived yet.

In       an open file, its top-level boxes, the index (moov)
Out      why pictures are missing; empty if none are known to be
Raises   nothing: what cannot be read proves nothing
Effects  none
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import BinaryIO

from media.common import Broken
from media.iso_boxes import Box, find, handler, tracks
from media.iso_tables import some_samples

PICTURES = b"vide"
WITHOUT_PICTURES = frozenset({b"soun", b"text", b"sbtl", b"subt", b"clcp", b"meta", b"tmcd", b"hint"})
START_BYTES = 16  # of a sample: every codec has a header there, so it is never all zeros
START_BYTES_MIN = 4
HOLE_BYTES = 4_096
# Uncompressed sound, in which silence is zeros.
PCM = {b"sowt", b"twos", b"lpcm", b"ipcm", b"fpcm", b"raw ", b"in24", b"in32", b"fl32", b"fl64", b"NONE"}
ZEROS = bytes(HOLE_BYTES)
SAMPLE_BYTES_MAX = 8_000_000
PLACES = 64  # checked in each fragment


def missing_pictures(file: BinaryIO, top: Sequence[Box], moov: Box) -> str:
    with suppress(Broken):
        kinds = [(track, handler(file, track)) for track in tracks(file, moov)]
        if kinds and all(kind in WITHOUT_PICTURES for _, kind in kinds):
            return "it has a sound track and no pictures"
        for track, kind in kinds:
            if kind == PICTURES and (at := _hole(file, track)) is not None:
                return f"not all there: no picture where its index (moov) has one, at byte {at}"
            if kind == PICTURES and len(kinds) == 1 and (at := _no_chain_in_fragments(file, top, track)) is not None:
                return f"not all there: bytes of another place among its pictures (mdat), at byte {at}"
        raw_sound = any(kind == b"soun" and _is_uncompressed(file, track) for track, kind in kinds)
        if (
            not raw_sound
            and any(box.type == b"moof" for box in top)
            and (at := _hole_in_fragments(file, top)) is not None
        ):
            return f"not all there: zeros among its pictures (mdat), at byte {at}"
    return ""


def _hole_in_fragments(file: BinaryIO, top: Sequence[Box]) -> int | None:
    """Where a fragment's pictures have a longer run of zeros than any codec writes; None if nowhere."""
    for box in top:
        if box.type == b"mdat":
            for at in range(box.start, box.end - HOLE_BYTES, max(HOLE_BYTES, (box.end - box.start) // PLACES)):
                file.seek(at)
                if not any(file.read(HOLE_BYTES)):
                    return at
    return None


def _no_chain_in_fragments(file: BinaryIO, top: Sequence[Box], track: Box) -> int | None:
    """Where a fragment of a film without sound is not filled exactly by its units; None if nowhere."""
    prefix = _prefix_bytes(file, track)
    for before, box in pairwise(top):
        if prefix and (before.type, box.type) == (b"moof", b"mdat") and box.end - box.start <= SAMPLE_BYTES_MAX:
            file.seek(box.start)
            if not _is_chain(file.read(box.end - box.start), prefix):
                return box.start
    return None


def _hole(file: BinaryIO, track: Box) -> int | None:
    """Where a sample of the track is not a picture: zeros, or units that do not fill it. None if nowhere."""
    with suppress(Broken):
        prefix = _prefix_bytes(file, track)
        for at, size in some_samples(file, track):
            file.seek(at)
            sample = file.read(min(size, SAMPLE_BYTES_MAX))
            if len(sample) >= START_BYTES_MIN and not any(sample[:START_BYTES]):
                return at
            if prefix and size <= SAMPLE_BYTES_MAX and not _is_chain(sample, prefix):
                return at
            if (hole := sample.find(ZEROS)) >= 0 and size > HOLE_BYTES:
                return at + hole
    return None


def _prefix_bytes(file: BinaryIO, track: Box) -> int:
    """Bytes of the length before each unit of a picture (H.264, H.265); 0 for other codecs."""
    table = find(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    if table is None or table.end - table.start > 65_536:
        return 0
    file.seek(table.start)
    said = file.read(table.end - table.start)
    if b"encv" in said:  # encrypted as a whole
        return 0
    if (at := said.find(b"avcC")) >= 0 and len(said) > at + 8:
        return (said[at + 8] & 3) + 1
    if (at := said.find(b"hvcC")) >= 0 and len(said) > at + 25:
        return (said[at + 25] & 3) + 1
    return 0


def _is_chain(sample: bytes, prefix: int) -> bool:
    """Whether units, each after its length, fill the sample exactly; bytes from another place do not."""
    at = 0
    while at + prefix <= len(sample):
        at += prefix + int.from_bytes(sample[at : at + prefix])
    return at == len(sample)


def _is_uncompressed(file: BinaryIO, track: Box) -> bool:
    """Whether the track is PCM sound, in which silence is zeros."""
    table = find(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    if table is None:
        return False
    file.seek(table.start + 12)
    return file.read(4) in PCM
