"""Decide by a media file's structure whether it is a whole clip. Never loads the whole file.

In       a file, and whether its transfer is known to be complete
Out      Facts: container, width, height, length. NotAClip: why not, with the first words if the file is text
Raises   OSError if the file cannot be read
Effects  none
"""

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from media import iso_file, webm_file
from media.common import Broken
from net.error_text import without_links

HEAD_BYTES = 200
WORDS_CHARACTERS_MAX = 200
SECONDS_APART_MAX = 1.0  # allows a frame more or less, or sound that ends after the picture
RATIO_APART_MAX = 0.02  # encoders round a side to a multiple of 16


class Kind(StrEnum):
    """The container; also the file's extension."""

    MP4 = "mp4"
    MOV = "mov"
    WEBM = "webm"

    @property
    def content_type(self) -> str:
        return {"mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm"}[self.value]


@dataclass(frozen=True)
class Facts:
    """What the file states about itself; None where it states nothing. Width and height as shown, after rotation.

    `ends`: a cut at any place would be detected; otherwise the file may end between two fragments or clusters.
    """

    kind: Kind
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    ends: bool = True


@dataclass(frozen=True)
class NotAClip:
    """`why`: a few words for the operator."""

    why: str


def read_clip(path: Path, *, transfer_complete: bool) -> Facts | NotAClip:
    """The file's facts, or why it is no whole clip. `transfer_complete` matters if it does not state its length."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(HEAD_BYTES)
        try:
            if head.startswith(webm_file.MAGIC):
                found = webm_file.read(file, size, transfer_complete=transfer_complete)
                return Facts(Kind.WEBM, found.width, found.height, found.seconds, found.ends)
            if head[4:8] in iso_file.FIRST:
                brand, found = iso_file.read(file, size, transfer_complete=transfer_complete)
                kind = Kind.MOV if brand in {None, iso_file.QUICKTIME} else Kind.MP4
                return Facts(kind, found.width, found.height, found.seconds, found.ends)
        except Broken as broken:
            return NotAClip(str(broken))
        except (
            ArithmeticError,
            LookupError,
            ValueError,
        ) as error:
            # A damaged file must not block its run forever.
            return NotAClip(f"damaged: it cannot be read ({type(error).__name__})")
    return NotAClip(f"not a video; it begins: {words_in(head)}" if words_in(head) else f"not a video ({size} bytes)")


def kind_of(path: Path) -> Kind:
    """The container of a stored file; MP4 if it cannot be read."""
    with suppress(OSError):
        found = read_clip(path, transfer_complete=True)
        if isinstance(found, Facts):
            return found.kind
    return Kind.MP4


def words_in(head: bytes) -> str:
    """The bytes as one line of text that is safe to store; empty if they are not text."""
    text = head[:HEAD_BYTES].decode("utf-8", errors="ignore")
    if not text or b"\0" in head or len(text.encode()) < len(head[:HEAD_BYTES]) - 3:  # the last character may be cut
        return ""
    return one_line(text)


def one_line(text: str) -> str:
    """The text without control characters, lone surrogates, line breaks and secrets in links; bounded."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return without_links(" ".join(printable.split()))[:WORDS_CHARACTERS_MAX]


def in_words(facts: Facts) -> str:
    """For the operator: `4 s at 1280x720`, and the container if it is not MP4."""
    length = f"{facts.seconds:.1f}".removesuffix(".0") + " s" if facts.seconds is not None else "unknown length"
    size = f"{facts.width}x{facts.height}" if facts.width is not None else "unknown size"
    return f"{length} at {size}" + ("" if facts.kind is Kind.MP4 else f" ({facts.kind})")


def as_ordered(facts: Facts, seconds: int, size: str) -> bool:
    """Whether the clip has the ordered length and shape. Unknown values count as equal."""
    return not (is_shorter(facts, seconds) or is_longer(facts, seconds)) and has_shape(facts, size)


def is_longer(facts: Facts, seconds: int) -> bool:
    return facts.seconds is not None and facts.seconds - seconds > SECONDS_APART_MAX


def has_shape(facts: Facts, size: str) -> bool:
    """Whether the clip has the ordered ratio of width to height, as far as both are known."""
    width, _, height = size.partition("x")
    if facts.width is None or facts.height is None or not (width.isdecimal() and height.isdecimal()):
        return True
    ordered, made = int(width) * facts.height, int(height) * facts.width
    return abs(ordered - made) <= RATIO_APART_MAX * ordered


def is_shorter(facts: Facts, seconds: int) -> bool:
    """Whether the clip is known to be shorter than the ordered length."""
    return facts.seconds is not None and seconds - facts.seconds > SECONDS_APART_MAX


def is_much_smaller(facts: Facts, size: str) -> bool:
    """Whether the clip's shorter side is known to be less than half of the ordered one."""
    sides = [int(side) for side in size.split("x") if side.isdecimal()]
    if facts.width is None or facts.height is None or not sides:
        return False
    return 2 * min(facts.width, facts.height) < min(sides)
