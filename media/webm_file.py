"""The outline of a WebM or Matroska file, from its header and its one segment.

In       an open file that begins with MAGIC, and its size
Out      Outline
Raises   media.Broken: cut short, or of another document type
Effects  none
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from media.common import PADDING_BYTES_MAX, Broken, Cut, Outline, is_padding, length, side

MAGIC = b"\x1a\x45\xdf\xa3"
ELEMENTS_MAX = 10_000  # on each level
TEXT_BYTES_MAX = 64
NANOSECONDS_A_TICK = 1_000_000
BLOCK_HEAD_BYTES = 16
GAP_SECONDS_MAX = 2.0  # in a stream without a length; a longer gap means a missing cluster
SECONDS_APART_MAX = 1.0  # the last picture has a duration, and sound may end before it

EBML, DOCTYPE, SEGMENT, CLUSTER, VOID = 0x1A45DFA3, 0x4282, 0x18538067, 0x1F43B675, 0xEC
INFO, TICK, DURATION = 0x1549A966, 0x2AD7B1, 0x4489
TRACKS, TRACK, VIDEO, WIDTH, HEIGHT = 0x1654AE6B, 0xAE, 0xE0, 0xB0, 0xBA
TIMECODE, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
TYPE, SOUND, SUBTITLES = 0x83, 2, 17


@dataclass(frozen=True)
class Element:
    """`open`: the element states no length and runs to the end of the file."""

    id: int
    start: int
    end: int
    open: bool = False


def read(file: BinaryIO, size: int, *, transfer_complete: bool) -> Outline:
    """A segment without a length, as live encoders write it, counts as whole only if the transfer was complete."""
    top = list(_elements(file, 0, size, padding_max=PADDING_BYTES_MAX))
    if not any(each.id == DOCTYPE and _bytes(file, each) in {b"webm", b"matroska"} for each in _inside(file, top[0])):
        raise Broken("an EBML file that is no video")
    segment = next((element for element in top if element.id == SEGMENT), None)
    if segment is None:
        raise Broken("cut short: it has no segment")
    if segment.open and not transfer_complete:
        raise Broken("its segment has no length, and the transfer may have been cut")
    outline = _outline(file, segment)
    return replace(outline, ends=not segment.open)


def _outline(file: BinaryIO, segment: Element) -> Outline:
    seconds, tick, width, height, last = None, NANOSECONDS_A_TICK, None, None, None
    for element in _elements(file, segment.start, segment.end):
        if element.id == INFO:
            seconds, tick = _seconds(file, element)
        elif element.id == TRACKS:
            width, height = _size(file, element)
        elif element.id == CLUSTER:
            gap_max = GAP_SECONDS_MAX * 1e9 / tick if segment.open else math.inf
            last = _last_ticks(file, element.start, segment.end, gap_max)
            break
    if last is None:
        raise Broken("cut short: it has no pictures (cluster)")
    shown = last * tick / 1e9  # when the last picture or sound begins
    if seconds is not None and seconds - shown > SECONDS_APART_MAX:
        raise Broken(f"cut short: {shown:.1f} s of the {seconds:.1f} s that its header promises")
    return Outline(width, height, seconds if seconds is not None else length(shown))


def _last_ticks(file: BinaryIO, start: int, end: int, gap_max: float) -> int:
    """The start of the last block of all clusters, in ticks. Raises Broken for zeros in a block's place, or a gap."""
    begins = last = 0
    for part in _in_clusters(file, start, end):
        if part.id == TIMECODE:
            begins = int.from_bytes(_bytes(file, part))
        blocks = (part,) if part.id == SIMPLE_BLOCK else _inside(file, part) if part.id == BLOCK_GROUP else ()
        for block in blocks:
            if block.id in {SIMPLE_BLOCK, BLOCK}:
                at = begins + _after_begin(file, block)
                if at - last > gap_max:
                    raise Broken(f"not all there: nothing between its ticks {last} and {at}")
                last = max(last, at)
    return last


def _in_clusters(file: BinaryIO, start: int, end: int) -> Iterator[Element]:
    """The elements of all clusters from here on, flattened: a cluster without a length seems to hold the next ones."""
    at: int | None = start
    while at is not None:
        parts, at = _elements(file, at, end, padding_max=PADDING_BYTES_MAX), None
        for part in parts:
            if part.id == CLUSTER:
                at = part.start
                break
            yield part


def _after_begin(file: BinaryIO, block: Element) -> int:
    """Ticks since the start of its cluster: a signed 16-bit number after the track's number."""
    file.seek(block.start)
    head = file.read(min(BLOCK_HEAD_BYTES, block.end - block.start))
    if len(head) == BLOCK_HEAD_BYTES and not any(head):
        raise Broken(f"not all there: zeros where a picture should be, at byte {block.start}")
    at = _width(head, 0, 8)
    return int.from_bytes(head[at : at + 2], signed=True)


def _seconds(file: BinaryIO, info: Element) -> tuple[float | None, int]:
    """The length in the header, and the nanoseconds per tick."""
    tick, ticks = NANOSECONDS_A_TICK, 0.0
    for element in _inside(file, info):
        data = _bytes(file, element)
        if element.id == TICK:
            tick = int.from_bytes(data) or NANOSECONDS_A_TICK  # an empty element has the default value (RFC 8794)
        elif element.id == DURATION and len(data) in {4, 8}:
            (ticks,) = struct.unpack(">f" if len(data) == 4 else ">d", data)
    return length(ticks * tick / 1e9), tick


def _size(file: BinaryIO, tracks: Element) -> tuple[int | None, int | None]:
    """Width and height of the first picture track. Raises Broken if all tracks are sound or subtitles."""
    types = []
    for track in _inside(file, tracks):
        for part in _inside(file, track) if track.id == TRACK else ():
            if part.id == TYPE:
                types.append(int.from_bytes(_bytes(file, part)))
            elif part.id == VIDEO:
                numbers = {each.id: int.from_bytes(_bytes(file, each)) for each in _inside(file, part)}
                found = side(numbers.get(WIDTH, 0)), side(numbers.get(HEIGHT, 0))
                return found if all(found) else (None, None)
    if types and all(each in {SOUND, SUBTITLES} for each in types):
        raise Broken("it has a sound track and no pictures")
    return None, None


def _inside(file: BinaryIO, parent: Element) -> Iterator[Element]:
    return _elements(file, parent.start, parent.end)


def _elements(file: BinaryIO, start: int, end: int, *, padding_max: int = 0) -> Iterator[Element]:
    """The elements between these two offsets. They must fill the range, except for padding. Raises Broken."""
    at = start
    for _ in range(ELEMENTS_MAX):
        if at == end or (start < at and end - at <= padding_max and is_padding(file, at, end)):
            return
        file.seek(at)
        header = file.read(min(12, end - at))
        id_bytes = _width(header, 0, 4)
        size_bytes = _width(header, id_bytes, 8)
        head = id_bytes + size_bytes
        if len(header) < head:
            raise Cut(f"cut short at {at}")
        mask = (1 << 7 * size_bytes) - 1
        stated = int.from_bytes(header[id_bytes:head]) & mask
        is_open = stated == mask
        stop = end if is_open else at + head + stated
        if stop > end:
            raise Cut(f"cut short: {end} bytes of at least {stop}")
        yield Element(int.from_bytes(header[:id_bytes]), at + head, stop, is_open)
        at = stop
    if at != end:
        raise Broken("too many elements")


def _width(header: bytes, at: int, at_most: int) -> int:
    """How many bytes a variable-length number takes: one more than its leading zero bits."""
    if at >= len(header):
        raise Cut("cut short inside an element")
    found = 9 - header[at].bit_length()
    if found > at_most:
        raise Broken("bytes that are no element")
    return found


def _bytes(file: BinaryIO, element: Element) -> bytes:
    """The element's payload; empty if it is longer than TEXT_BYTES_MAX."""
    if element.end - element.start > TEXT_BYTES_MAX:
        return b""
    file.seek(element.start)
    data = file.read(element.end - element.start)
    return data.rstrip(b"\0") if element.id == DOCTYPE else data
