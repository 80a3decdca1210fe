"""Broken clips, and files that are not clips. Pure.

In       the bytes of a whole mp4
Out      other bytes, and their content type
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

FTYP_ONLY = struct.pack(">I4s4sI4s4s4s4s", 32, b"ftyp", b"isom", 512, b"isom", b"iso2", b"avc1", b"mp41")
HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
_EBML_WEBM = bytes.fromhex(
    "1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853806701ffffffffffffff"
)
_JSON_ERROR = json.dumps({"error": {"message": "upstream returned no content", "code": "no_content"}}).encode()
GARBAGE = b"\x00\x00\x00\x03\xff\xfe--trailing garbage--"
OVERRUN_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """The file that a client gets instead of its clip."""

    body: bytes
    content_type: str = "video/mp4"


def boxes(clip: bytes) -> list[tuple[bytes, int, int]]:
    """The top-level boxes: type, start, end."""
    found, start = [], 0
    while start + 8 <= len(clip):
        size, kind = struct.unpack_from(">I4s", clip, start)
        found.append((kind, start, start + size))
        start += max(size, 8)
    return found


def _no_moov(clip: bytes) -> Served:
    return Served(b"".join(clip[start:end] for kind, start, end in boxes(clip) if kind != b"moov"))


def _box_overrun(clip: bytes) -> Served:
    """The last box's size runs past the end of the file."""
    _, start, end = boxes(clip)[-1]
    return Served(clip[:start] + struct.pack(">I", end - start + OVERRUN_BYTES) + clip[start + 4 :])


def _quicktime(clip: bytes) -> Served:
    _, start, end = boxes(clip)[0]
    brands = (end - start - 16) // 4
    head = struct.pack(">I4s4sI", end - start, b"ftyp", b"qt  ", 512)
    return Served(head + b"qt  " * brands + clip[end:], "video/quicktime")


def _pictures(clip: bytes) -> tuple[int, int]:
    """Start and end of the mdat box, which holds the samples."""
    return next((start, end) for kind, start, end in boxes(clip) if kind == b"mdat")


def _open_mdat_cut(clip: bytes) -> Served:
    """The mdat box claims to run to the end of the file, but the file ends halfway through the samples."""
    start, end = _pictures(clip)
    return Served(clip[:start] + struct.pack(">I4s", 0, b"mdat") + clip[start + 8 : (start + end) // 2])


def _one_byte_mdat(clip: bytes) -> Served:
    """The mdat box holds one byte of all the samples that the index lists."""
    start, end = _pictures(clip)
    return Served(clip[:start] + struct.pack(">I4s", 9, b"mdat") + clip[start + 8 : start + 9] + clip[end:])


def _fragment_lost(clip: bytes) -> Served:
    """The index announces fragments that would double the length; none follows."""
    start, end = next((start, end) for kind, start, end in boxes(clip) if kind == b"moov")
    film = clip.index(b"mvhd", start) + 4
    (ticks,) = struct.unpack_from(">I", clip, film + 16)
    promise = struct.pack(">I4sII", 16, b"mehd", 0, 2 * ticks)
    usual = struct.pack(">I4sIIIIII", 32, b"trex", 0, 1, 1, 0, 0, 0)
    announced = struct.pack(">I4s", 8 + len(promise) + len(usual), b"mvex") + promise + usual
    index = struct.pack(">I", end - start + len(announced)) + clip[start + 4 : end]
    return Served(clip[:start] + _moved(index, len(announced)) + announced + clip[end:])


def _moved(index: bytes, by: int) -> bytes:
    """The index with every sample offset moved back by `by` bytes."""
    moved, table = bytearray(index), index.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", index, table)
    for at in range(table + 4, table + 4 + 4 * count, 4):
        struct.pack_into(">I", moved, at, struct.unpack_from(">I", index, at)[0] + by)
    return bytes(moved)


def _zeros(clip: bytes) -> Served:
    """A download in progress into a file of the final size: two thirds of the samples are still zeros."""
    start, end = _pictures(clip)
    there = start + 8 + (end - start - 8) // 3
    return Served(clip[:there] + bytes(end - there) + clip[end:])


def _hole(clip: bytes) -> Served:
    """An unfinished parallel download: zeros in the middle of the samples, everything else complete."""
    start, end = _pictures(clip)
    third = (end - start - 8) // 3
    return Served(clip[: start + 8 + third] + bytes(third) + clip[start + 8 + 2 * third :])


def _sound_alone(clip: bytes) -> Served:
    """The only track is declared as sound."""
    start, end = next((start, end) for kind, start, end in boxes(clip) if kind == b"moov")
    return Served(clip[:start] + clip[start:end].replace(b"vide", b"soun") + clip[end:])


BROKEN: Mapping[str, Callable[[bytes], Served]] = {
    "empty": lambda _: Served(b""),
    "ftyp_only": lambda _: Served(FTYP_ONLY),
    "no_moov": _no_moov,
    "trailing_garbage": lambda clip: Served(clip + GARBAGE),
    "box_overrun": _box_overrun,
    "html": lambda _: Served(HTML, "text/html"),
    "json_error": lambda _: Served(_JSON_ERROR, "application/json"),
    "webm": lambda clip: Served(_EBML_WEBM + bytes(len(clip)), "video/webm"),
    "quicktime": _quicktime,
    "open_mdat_cut": _open_mdat_cut,
    "one_byte_mdat": _one_byte_mdat,
    "fragment_lost": _fragment_lost,
    "zeros": _zeros,
    "sound_alone": _sound_alone,
    "hole": _hole,
    "padded": lambda clip: Served(clip + bytes(-len(clip) % 512 or 512)),
}


def grown(clip: bytes, fetch: int, steps: int) -> bytes:
    """The part of the clip served at the given fetch (from 1); it is complete at fetch `steps`."""
    return clip if fetch >= steps else clip[: len(clip) * fetch // steps]
