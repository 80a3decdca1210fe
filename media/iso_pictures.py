"""Whether a film shows anything: a sound track alone is no clip, nor is a file whose pictures are still to come.

A download that is under way into a file of the final size looks whole, with zeros where nothing has come yet.

In       an open file and its index (moov)
Out      why there is nothing to show; empty if that cannot be told
Raises   nothing: what cannot be read here proves nothing
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
START_BYTES = 16  # of a sample: every codec says there what follows
START_BYTES_MIN = 4
HOLE_BYTES = 4_096
# Sound in which silence is zeros.
PCM = {b"sowt", b"twos", b"lpcm", b"ipcm", b"fpcm", b"raw ", b"in24", b"in32", b"fl32", b"fl64", b"NONE"}
ZEROS = bytes(HOLE_BYTES)
SAMPLE_BYTES_MAX = 8_000_000
PLACES = 64  # of a fragment


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
    """Where the pictures of a fragment are zeros for longer than a codec writes any."""
    for box in top:
        if box.type == b"mdat":
            for at in range(box.start, box.end - HOLE_BYTES, max(HOLE_BYTES, (box.end - box.start) // PLACES)):
                file.seek(at)
                if not any(file.read(HOLE_BYTES)):
                    return at
    return None


def _no_chain_in_fragments(file: BinaryIO, top: Sequence[Box], track: Box) -> int | None:
    """Where the fragments of a film without sound do not hold units that fill them."""
    prefix = _prefix_bytes(file, track)
    for before, box in pairwise(top):
        if prefix and (before.type, box.type) == (b"moof", b"mdat") and box.end - box.start <= SAMPLE_BYTES_MAX:
            file.seek(box.start)
            if not _is_chain(file.read(box.end - box.start), prefix):
                return box.start
    return None


def _hole(file: BinaryIO, track: Box) -> int | None:
    """Where a sample of the track is no picture: zeros, or units that do not fill it; None if none is known."""
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
    """Of the length that stands before each unit of a picture (H.264, H.265); 0 for other codecs."""
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
    """Whether its units, each with its length before it, fill the picture exactly: bytes of another place do not."""
    at = 0
    while at + prefix <= len(sample):
        at += prefix + int.from_bytes(sample[at : at + prefix])
    return at == len(sample)


def _is_uncompressed(file: BinaryIO, track: Box) -> bool:
    """Whether silence is zeros in it."""
    table = find(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    if table is None:
        return False
    file.seek(table.start + 12)
    return file.read(4) in PCM
