"""What a media file is, by its own structure: a whole clip, or why not. Reads headers only, never the whole file.

In       a file, and whether its transfer is known to have ended where the server ended it
Out      Facts: container, width, height, length. NotAClip: why not, with the first words if it is text
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
SECONDS_APART_MAX = 1.0  # a frame more or less, or sound that ends after the picture, is what was ordered
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
    """What the file says of itself; None where it does not say. Width and height as shown, after rotation.

    `ends`: a cut at any place would show. A file in fragments or clusters may have been cut between two of them.
    """

    kind: Kind
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    ends: bool = True


@dataclass(frozen=True)
class NotAClip:
    """`why` in a few words for the operator."""

    why: str


def read_clip(path: Path, *, transfer_complete: bool) -> Facts | NotAClip:
    """Judges the file. `transfer_complete` matters for containers that do not state their own length."""
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
            # Whatever a file holds, it must not stop its run for ever.
            return NotAClip(f"damaged: it cannot be read ({type(error).__name__})")
    return NotAClip(f"not a video; it begins: {words_in(head)}" if words_in(head) else f"not a video ({size} bytes)")


def kind_of(path: Path) -> Kind:
    """The container of a file that is kept already; MP4 if it cannot be read as anything else."""
    with suppress(OSError):
        found = read_clip(path, transfer_complete=True)
        if isinstance(found, Facts):
            return found.kind
    return Kind.MP4


def words_in(head: bytes) -> str:
    """The text that these bytes are, on one line and harmless to store; empty if they are no text."""
    text = head[:HEAD_BYTES].decode("utf-8", errors="ignore")
    if not text or b"\0" in head or len(text.encode()) < len(head[:HEAD_BYTES]) - 3:  # the last character may be cut
        return ""
    return one_line(text)


def one_line(text: str) -> str:
    """Without control characters, halves of surrogate pairs, line ends and what opens a link; bounded."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return without_links(" ".join(printable.split()))[:WORDS_CHARACTERS_MAX]


def in_words(facts: Facts) -> str:
    """For the operator: `4 s at 1280x720`, and the container if it is no MP4."""
    length = f"{facts.seconds:.1f}".removesuffix(".0") + " s" if facts.seconds is not None else "unknown length"
    size = f"{facts.width}x{facts.height}" if facts.width is not None else "unknown size"
    return f"{length} at {size}" + ("" if facts.kind is Kind.MP4 else f" ({facts.kind})")


def as_ordered(facts: Facts, seconds: int, size: str) -> bool:
    """Whether the clip has the ordered length and shape. What is not known does not differ."""
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
