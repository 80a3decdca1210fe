"""Broken clips, and files that are no clips. Pure.

In       the bytes of a whole mp4
Out      other bytes, and the content type they come with
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
    """What a client gets instead of its clip."""

    body: bytes
    content_type: str = "video/mp4"


def boxes(clip: bytes) -> list[tuple[bytes, int, int]]:
    """Top-level boxes: type, start, end."""
    found, start = [], 0
    while start + 8 <= len(clip):
        size, kind = struct.unpack_from(">I4s", clip, start)
        found.append((kind, start, start + size))
        start += max(size, 8)
    return found


def _no_moov(clip: bytes) -> Served:
    return Served(b"".join(clip[start:end] for kind, start, end in boxes(clip) if kind != b"moov"))


def _box_overrun(clip: bytes) -> Served:
    """The size of the last box runs past the end of the file."""
    _, start, end = boxes(clip)[-1]
    return Served(clip[:start] + struct.pack(">I", end - start + OVERRUN_BYTES) + clip[start + 4 :])


def _quicktime(clip: bytes) -> Served:
    _, start, end = boxes(clip)[0]
    brands = (end - start - 16) // 4
    head = struct.pack(">I4s4sI", end - start, b"ftyp", b"qt  ", 512)
    return Served(head + b"qt  " * brands + clip[end:], "video/quicktime")


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
}


def grown(clip: bytes, fetch: int, steps: int) -> bytes:
    """The part served at the given fetch, from 1, of a clip that is whole at fetch `steps`."""
    return clip if fetch >= steps else clip[: len(clip) * fetch // steps]
