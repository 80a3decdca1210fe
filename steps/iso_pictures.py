"""Whether a film shows anything: a sound track alone is no clip, nor is a file whose pictures are still to come.

A download that is under way into a file of the final size looks whole, with zeros where nothing has come yet.

In       an open file and its index (moov)
Out      why there is nothing to show; empty if that cannot be told
Raises   nothing: what cannot be read here proves nothing
Effects  none
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

from steps.iso_boxes import Box, handler, tracks
from steps.iso_tables import some_samples
from steps.media import Broken

PICTURES = b"vide"
WITHOUT_PICTURES = frozenset({b"soun", b"text", b"sbtl", b"subt", b"clcp", b"meta", b"tmcd", b"hint"})
START_BYTES = 16  # of a sample: every codec says there what follows
START_BYTES_MIN = 4
HOLE_BYTES = 4_096
PLACES = 64  # of a fragment


def missing_pictures(file: BinaryIO, top: Sequence[Box], moov: Box) -> str:
    with suppress(Broken):
        kinds = [(track, handler(file, track)) for track in tracks(file, moov)]
        if kinds and all(kind in WITHOUT_PICTURES for _, kind in kinds):
            return "it has a sound track and no pictures"
        for track, kind in kinds:
            if kind == PICTURES and (at := _hole(file, track)) is not None:
                return f"not all there: zeros where its index (moov) has a picture, at byte {at}"
        if any(box.type == b"moof" for box in top) and (at := _hole_in_fragments(file, top)) is not None:
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


def _hole(file: BinaryIO, track: Box) -> int | None:
    """Where a sample of the track is nothing but zeros; None if none is known to be."""
    with suppress(Broken):
        for at, size in some_samples(file, track):
            file.seek(at)
            start = file.read(min(size, START_BYTES))
            if len(start) >= START_BYTES_MIN and not any(start):
                return at
    return None
