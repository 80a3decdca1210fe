"""What the readers of media files share: bounds, and the word for a file that breaks its own format."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

SIDE_PIXELS_MAX = 16_384
SECONDS_MAX = 86_400.0
PADDING_BYTES_MAX = 4_096  # zeros or line ends behind the last part: a disk's blocks, a script's echo


class Broken(Exception):
    """The file breaks its format, or ends before it should."""


class Cut(Broken):
    """Something in the file ends past the file's end."""


@dataclass(frozen=True)
class Outline:
    """What a file says of its pictures; None where it does not say. `ends`: a cut at any place would show."""

    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    ends: bool = True


def side(pixels: int) -> int | None:
    return pixels if 0 < pixels <= SIDE_PIXELS_MAX else None


def length(seconds: float) -> float | None:
    """To the millisecond; None for one that no film has."""
    return round(seconds, 3) if math.isfinite(seconds) and 0.0005 < seconds <= SECONDS_MAX else None


def is_padding(file: BinaryIO, at: int, end: int) -> bool:
    """Whether nothing but zeros and line ends stands between these two offsets."""
    file.seek(at)
    return not file.read(end - at).strip(b"\0\r\n")


def check_end(parts: Iterable[object]) -> None:
    """Walks through what runs to the end of the file. Raises Cut; a part that cannot be read proves nothing."""
    try:
        for _ in parts:
            pass
    except Cut:
        raise
    except Broken:
        return
