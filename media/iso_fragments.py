"""Compare the fragments (moof) of a file with what its header and its segment index promise.

In       an open file, its size, its top-level boxes, the index (moov)
Out      Fragments: the real length of the film, and why part of it is missing
Raises   nothing: fragments that cannot be read prove nothing
Effects  none
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import mul
from typing import BinaryIO

from media.common import Broken
from media.iso_boxes import LARGE_HEADER_BYTES, Box, find, inside, is_large, number, numbers, tracks

SECONDS_APART_MAX = 0.25  # allows a last frame without a duration or a trimmed start; a lost fragment is longer
FRAGMENTS_BYTES_MAX = 64_000_000  # of fragment headers (moof), without the pictures
# The flags that say which of these values a box states.
BASE, DESCRIPTION, DURATION, SIZE = 0x1, 0x2, 0x8, 0x10  # tfhd
OFFSET, FIRST_FLAGS, EACH_DURATION, EACH_SIZE = 0x1, 0x4, 0x100, 0x200  # trun
COLUMNS = (EACH_DURATION, EACH_SIZE, 0x400, 0x800)


@dataclass(frozen=True)
class Fragments:
    """`seconds`: of the longest track, None if unreadable. `missing`: why part of the film is missing, else empty.

    `ends`: the header or a segment index says where the film ends.
    """

    seconds: float | None = None
    missing: str = ""
    ends: bool = True


@dataclass(frozen=True)
class _Held:
    """Ticks and bytes: of one sample for a default, otherwise of all samples together."""

    ticks: int = 0
    bytes: int = 0


def read_fragments(file: BinaryIO, size: int, top: Sequence[Box], moov: Box) -> Fragments:
    """Checks the fragments of a file that announces them; in any other file none are missing."""
    if missing := _beyond_the_end(file, size, top):
        return Fragments(missing=missing)
    with suppress(Broken):
        if (extends := find(file, moov, b"mvex")) is not None:
            found = _judged(file, top, moov, extends)
            return replace(found, ends=find(file, extends, b"mehd") is not None or _is_indexed_whole(file, top))
    return Fragments()


def _is_indexed_whole(file: BinaryIO, top: Sequence[Box]) -> bool:
    """Whether one index lists all that follows. If each fragment has its own index, the last one may be missing."""
    indexes = [box for box in top if box.type == b"sidx"]
    return len(indexes) == 1 and _indexed(file, indexes[0]) >= max(box.end for box in top if box.type == b"mdat")


def _beyond_the_end(file: BinaryIO, size: int, top: Sequence[Box]) -> str:
    """Why the file is shorter than the bytes that a segment index (sidx) counts; empty if it is not."""
    for box in top:
        with suppress(Broken):
            if box.type == b"sidx" and (end := _indexed(file, box)) > size:
                return f"cut short: {size} bytes of at least {end}, by its segment index (sidx)"
    return ""


def _indexed(file: BinaryIO, sidx: Box) -> int:
    """The end offset of the last segment that the index lists."""
    large = is_large(file, sidx)
    offset = number(file, sidx, 20, 8) if large else number(file, sidx, 16)
    at = 28 if large else 20
    rows = numbers(file, sidx, at + 4, 3 * (number(file, sidx, at) & 0xFFFF))
    return sidx.end + offset + sum(length & 0x7FFFFFFF for block in rows for length in block[::3])


def _judged(file: BinaryIO, top: Sequence[Box], moov: Box, extends: Box) -> Fragments:
    """Checks every fragment. Raises Broken if a part cannot be read."""
    scale, ticks = _initial(file, moov)
    defaults = _defaults(file, extends)
    fragments = _with_pictures(top)
    if sum(moof.end - moof.start for moof, _ in fragments) > FRAGMENTS_BYTES_MAX:
        return Fragments()
    ends: dict[int, int] = {}
    for moof, present in fragments:
        needed = 0
        if missing := _gap(file, moof, defaults, scale, ends):
            return Fragments(missing=missing)
        for track, held in _held(file, moof, defaults):
            ticks[track] = ticks.get(track, 0) + held.ticks
            needed += held.bytes
        if needed > present:
            return Fragments(missing=f"cut short: the fragment at {moof.start} has {present} bytes of {needed}")
    seconds = max((ticks[track] / scale[track] for track in ticks if scale.get(track)), default=0.0)
    return Fragments(seconds or None, _shorter(file, moov, extends, seconds))


def _gap(
    file: BinaryIO, moof: Box, defaults: Mapping[int, _Held], scale: Mapping[int, int], ends: dict[int, int]
) -> str:
    """Why a fragment before this one is missing: this one begins (tfdt) after the previous end. Empty if none is."""
    for traf in (box for box in inside(file, moof) if box.type == b"traf"):
        head, begin = find(file, traf, b"tfhd"), find(file, traf, b"tfdt")
        if head is None or begin is None:
            continue
        track = number(file, head, 4)
        if not scale.get(track, 1):  # ticks without a length cannot be converted to seconds
            continue
        at = number(file, begin, 4, 8 if is_large(file, begin) else 4)
        if track in ends and at - ends[track] > SECONDS_APART_MAX * scale.get(track, 1):
            gap = (at - ends[track]) / scale.get(track, 1)
            return f"not all there: {gap:.1f} s are missing before the fragment at {moof.start}"
        usual = _usual(file, head, _flags(file, head), defaults.get(track, _Held()))
        ends[track] = at + sum(_run(file, box, usual).ticks for box in inside(file, traf) if box.type == b"trun")
    return ""


def _shorter(file: BinaryIO, moov: Box, extends: Box, seconds: float) -> str:
    """Why the film is shorter than its header (mehd) promises; empty if it is not, or no fragment states a length."""
    promise, film = find(file, extends, b"mehd"), find(file, moov, b"mvhd")
    if promise is None or film is None or not seconds:
        return ""
    promised = number(file, promise, 4, 8 if is_large(file, promise) else 4) / max(1, _after_times(file, film))
    missing = promised - seconds > SECONDS_APART_MAX
    return f"cut short: {seconds:.1f} s of the {promised:.1f} s that its header (mehd) promises" if missing else ""


def _initial(file: BinaryIO, moov: Box) -> tuple[dict[int, int], dict[int, int]]:
    """By track: ticks per second, and the ticks of the samples that the index already lists."""
    scale: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for track in tracks(file, moov):
        head, media = find(file, track, b"tkhd"), find(file, track, b"mdia", b"mdhd")
        times = find(file, track, b"mdia", b"minf", b"stbl", b"stts")
        if head is None or media is None:
            continue
        name = _after_times(file, head)
        scale[name] = _after_times(file, media)
        rows = numbers(file, times, 8, 2 * number(file, times, 4)) if times else ()
        ticks[name] = sum(sum(map(mul, block[::2], block[1::2])) for block in rows)
    return scale, ticks


def _after_times(file: BinaryIO, box: Box) -> int:
    """The number after the two dates: the track's number (tkhd) or the ticks per second (mvhd, mdhd)."""
    return number(file, box, 20 if is_large(file, box) else 12)


def _defaults(file: BinaryIO, extends: Box) -> dict[int, _Held]:
    found = (box for box in inside(file, extends) if box.type == b"trex")
    return {number(file, box, 4): _Held(number(file, box, 12), number(file, box, 16)) for box in found}


def _with_pictures(top: Sequence[Box]) -> list[tuple[Box, int]]:
    """Each fragment's header (moof), and the bytes of pictures between it and the next."""
    found: list[tuple[Box, int]] = []
    for box in top:
        if box.type == b"moof":
            found.append((box, 0))
        elif box.type == b"mdat" and found:
            moof, present = found[-1]
            found[-1] = moof, present + box.end - box.start
    return found


def _held(file: BinaryIO, moof: Box, defaults: Mapping[int, _Held]) -> Iterator[tuple[int, _Held]]:
    """What each run holds, by track. Bytes before the fragment are not counted."""
    for traf in (box for box in inside(file, moof) if box.type == b"traf"):
        head = find(file, traf, b"tfhd")
        if head is None:
            raise Broken("a fragment of no track")
        track, flags = number(file, head, 4), _flags(file, head)
        usual = _usual(file, head, flags, defaults.get(track, _Held()))
        before = flags & BASE and number(file, head, 8, 8) < moof.start - LARGE_HEADER_BYTES
        for run in (box for box in inside(file, traf) if box.type == b"trun"):
            held = _run(file, run, usual)
            yield track, _Held(held.ticks, 0 if before else held.bytes)


def _usual(file: BinaryIO, head: Box, flags: int, default: _Held) -> _Held:
    at = 8 + 8 * bool(flags & BASE) + 4 * bool(flags & DESCRIPTION)
    ticks = number(file, head, at) if flags & DURATION else default.ticks
    at += 4 * bool(flags & DURATION)
    return _Held(ticks, number(file, head, at) if flags & SIZE else default.bytes)


def _run(file: BinaryIO, run: Box, usual: _Held) -> _Held:
    """The sums of a table with one row per sample; the flags say which columns it has."""
    flags, count = _flags(file, run), number(file, run, 4)
    columns = [column for column in COLUMNS if flags & column]
    if not columns:
        return _Held(count * usual.ticks, count * usual.bytes)
    at = 8 + 4 * bool(flags & OFFSET) + 4 * bool(flags & FIRST_FLAGS)
    sums = dict.fromkeys(columns, 0)
    for block in numbers(file, run, at, count * len(columns)):
        for place, column in enumerate(columns):
            sums[column] += sum(block[place :: len(columns)])
    return _Held(sums.get(EACH_DURATION, count * usual.ticks), sums.get(EACH_SIZE, count * usual.bytes))


def _flags(file: BinaryIO, box: Box) -> int:
    return number(file, box, 0) & 0xFFFFFF
