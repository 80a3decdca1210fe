"""Shared by the readers of media files: bounds, the outline, and the errors for files that break their format."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

SIDE_PIXELS_MAX = 16_384
SECONDS_MAX = 86_400.0
PADDING_BYTES_MAX = 4_096  # zeros or line breaks after the last part, from disk blocks or a script's echo


class Broken(Exception):
    """The file breaks its format, or ends before it should."""


class Cut(Broken):
    """A part of the file ends past the end of the file."""


@dataclass(frozen=True)
class Outline:
    """What a file states about its pictures; None where it states nothing. `ends`: any cut would be detected."""

    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    ends: bool = True


def side(pixels: int) -> int | None:
    return pixels if 0 < pixels <= SIDE_PIXELS_MAX else None


def length(seconds: float) -> float | None:
    """Rounded to the millisecond; None if no film can have this length."""
    return round(seconds, 3) if math.isfinite(seconds) and 0.0005 < seconds <= SECONDS_MAX else None


def is_padding(file: BinaryIO, at: int, end: int) -> bool:
    """Whether only zeros and line breaks lie between these two offsets."""
    file.seek(at)
    return not file.read(end - at).strip(b"\0\r\n")


def check_end(parts: Iterable[object]) -> None:
    """Walks the parts up to the end of the file. Raises Cut; a part that cannot be read proves nothing."""
    try:
        for _ in parts:
            pass
    except Cut:
        raise
    except Broken:
        return
