"""What the fragments (moof) of a file hold, against what its header and its segment index promise.

In       an open file, its size, its boxes at the top, the index (moov)
Out      Fragments: how long the film really is, and why some of it is missing
Raises   nothing: fragments that are not read here prove nothing
Effects  none
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import mul
from typing import BinaryIO

from media.common import Broken
from media.iso_boxes import LARGE_HEADER_BYTES, Box, find, inside, is_large, number, numbers, tracks

SECONDS_APART_MAX = 0.25  # a last frame without a duration, or a start that was trimmed; a lost fragment is more
FRAGMENTS_BYTES_MAX = 64_000_000  # of descriptions, without the pictures
# Which of these a box states, by its flags.
BASE, DESCRIPTION, DURATION, SIZE = 0x1, 0x2, 0x8, 0x10  # tfhd
OFFSET, FIRST_FLAGS, EACH_DURATION, EACH_SIZE = 0x1, 0x4, 0x100, 0x200  # trun
COLUMNS = (EACH_DURATION, EACH_SIZE, 0x400, 0x800)


@dataclass(frozen=True)
class Fragments:
    """`seconds`: of the longest track, None if that cannot be read. `missing`: why; empty if nothing is.

    `ends`: the header or a segment index says where the film ends.
    """

    seconds: float | None = None
    missing: str = ""
    ends: bool = True


@dataclass(frozen=True)
class _Held:
    """Ticks and bytes: of one sample where they are a default, else of all samples together."""

    ticks: int = 0
    bytes: int = 0


def read_fragments(file: BinaryIO, size: int, top: Sequence[Box], moov: Box) -> Fragments:
    """Judges a file that announces fragments; any other has none missing."""
    if missing := _beyond_the_end(file, size, top):
        return Fragments(missing=missing)
    with suppress(Broken):
        if (extends := find(file, moov, b"mvex")) is not None:
            found = _judged(file, top, moov, extends)
            return replace(found, ends=find(file, extends, b"mehd") is not None or _is_indexed_whole(file, top))
    return Fragments()


def _is_indexed_whole(file: BinaryIO, top: Sequence[Box]) -> bool:
    """Whether one index lists all that follows; where each fragment has its own, the last one may be missing."""
    indexes = [box for box in top if box.type == b"sidx"]
    return len(indexes) == 1 and _indexed(file, indexes[0]) >= max(box.end for box in top if box.type == b"mdat")


def _beyond_the_end(file: BinaryIO, size: int, top: Sequence[Box]) -> str:
    """A segment index (sidx) counts the bytes that follow it."""
    for box in top:
        with suppress(Broken):
            if box.type == b"sidx" and (end := _indexed(file, box)) > size:
                return f"cut short: {size} bytes of at least {end}, by its segment index (sidx)"
    return ""


def _indexed(file: BinaryIO, sidx: Box) -> int:
    """Where the last segment ends that it lists."""
    large = is_large(file, sidx)
    offset = number(file, sidx, 20, 8) if large else number(file, sidx, 16)
    at = 28 if large else 20
    rows = numbers(file, sidx, at + 4, 3 * (number(file, sidx, at) & 0xFFFF))
    return sidx.end + offset + sum(length & 0x7FFFFFFF for block in rows for length in block[::3])


def _judged(file: BinaryIO, top: Sequence[Box], moov: Box, extends: Box) -> Fragments:
    """Raises Broken if a part of it cannot be read."""
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
    """Whether this fragment begins (tfdt) later than the one before it ended: a fragment between them is missing."""
    for traf in (box for box in inside(file, moof) if box.type == b"traf"):
        head, begin = find(file, traf, b"tfhd"), find(file, traf, b"tfdt")
        if head is None or begin is None:
            continue
        track = number(file, head, 4)
        if not scale.get(track, 1):  # ticks of no length tell no time
            continue
        at = number(file, begin, 4, 8 if is_large(file, begin) else 4)
        if track in ends and at - ends[track] > SECONDS_APART_MAX * scale.get(track, 1):
            gap = (at - ends[track]) / scale.get(track, 1)
            return f"not all there: {gap:.1f} s are missing before the fragment at {moof.start}"
        usual = _usual(file, head, _flags(file, head), defaults.get(track, _Held()))
        ends[track] = at + sum(_run(file, box, usual).ticks for box in inside(file, traf) if box.type == b"trun")
    return ""


def _shorter(file: BinaryIO, moov: Box, extends: Box, seconds: float) -> str:
    """Whether the header (mehd) promises more; it cannot be told where no fragment states its length."""
    promise, film = find(file, extends, b"mehd"), find(file, moov, b"mvhd")
    if promise is None or film is None or not seconds:
        return ""
    promised = number(file, promise, 4, 8 if is_large(file, promise) else 4) / max(1, _after_times(file, film))
    missing = promised - seconds > SECONDS_APART_MAX
    return f"cut short: {seconds:.1f} s of the {promised:.1f} s that its header (mehd) promises" if missing else ""


def _initial(file: BinaryIO, moov: Box) -> tuple[dict[int, int], dict[int, int]]:
    """By track: ticks a second, and the ticks of the samples that stand in the index already."""
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
    """What follows the two dates: a track's number (tkhd), or the ticks a second (mvhd, mdhd)."""
    return number(file, box, 20 if is_large(file, box) else 12)


def _defaults(file: BinaryIO, extends: Box) -> dict[int, _Held]:
    found = (box for box in inside(file, extends) if box.type == b"trex")
    return {number(file, box, 4): _Held(number(file, box, 12), number(file, box, 16)) for box in found}


def _with_pictures(top: Sequence[Box]) -> list[tuple[Box, int]]:
    """Each fragment's description, and the bytes of pictures between it and the next."""
    found: list[tuple[Box, int]] = []
    for box in top:
        if box.type == b"moof":
            found.append((box, 0))
        elif box.type == b"mdat" and found:
            moof, present = found[-1]
            found[-1] = moof, present + box.end - box.start
    return found


def _held(file: BinaryIO, moof: Box, defaults: Mapping[int, _Held]) -> Iterator[tuple[int, _Held]]:
    """By track. Bytes that lie before the fragment are not counted."""
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
    """A table with a row per sample; the flags say which of its columns are there."""
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
