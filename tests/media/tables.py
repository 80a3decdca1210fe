"""MP4 files with sample tables in their index or in their fragments, built byte by byte."""

import struct
from collections.abc import Sequence

from tests.media.builders import box, ftyp, moov

SCALE = 1000
SAMPLE_BYTES = 100
EVERY_SAMPLE_MS = 500


def full(kind: bytes, payload: bytes, flags: int = 0, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + payload)


def trak(*tables: bytes, self_contained: bool = True, number: int = 1, handler: bytes = b"") -> bytes:
    """A track with these sample tables."""
    reference = full(b"dref", struct.pack(">I", 1) + full(b"url ", b"", int(self_contained)))
    media = box(b"minf", box(b"dinf", reference) + box(b"stbl", b"".join(tables)))
    header = full(b"mdhd", struct.pack(">IIII", 0, 0, SCALE, 0) + bytes(4))
    says = full(b"hdlr", bytes(4) + handler + bytes(13)) if handler else b""
    return box(
        b"trak", full(b"tkhd", struct.pack(">III", 0, 0, number) + bytes(68)) + box(b"mdia", header + says + media)
    )


def stsz(sizes: Sequence[int]) -> bytes:
    return full(b"stsz", struct.pack(f">II{len(sizes)}I", 0, len(sizes), *sizes))


def uniform(size: int, count: int) -> bytes:
    return full(b"stsz", struct.pack(">II", size, count))


def stsc(*runs: tuple[int, int]) -> bytes:
    rows = b"".join(struct.pack(">III", first, each, 1) for first, each in runs)
    return full(b"stsc", struct.pack(">I", len(runs)) + rows)


def stco(*offsets: int) -> bytes:
    return full(b"stco", struct.pack(f">I{len(offsets)}I", len(offsets), *offsets))


def co64(*offsets: int) -> bytes:
    return full(b"co64", struct.pack(f">I{len(offsets)}Q", len(offsets), *offsets))


def progressive(pictures: bytes, *tracks: bytes, header: int | None = None) -> bytes:
    """A file with its index first. `header`: the length that the box of pictures states, if not the real one."""
    stated = 8 + len(pictures) if header is None else header
    return ftyp() + moov(more=b"".join(tracks)) + struct.pack(">I4s", stated, b"mdat") + pictures


def data_at(*tracks: bytes) -> int:
    """Where the pictures begin in a file with such tracks."""
    return len(progressive(b"", *tracks))


def mvex(promised_ms: int | None, *, ticks: int = 0, size: int = 0, version: int = 0) -> bytes:
    """The box that announces fragments; `ticks` and `size` are the defaults of a sample that states none."""
    promise = b"" if promised_ms is None else full(b"mehd", promised_ms.to_bytes(8 if version else 4), version=version)
    return box(b"mvex", promise + full(b"trex", struct.pack(">IIIII", 1, 1, ticks, size, 0)))


def fragment(
    samples: int = 2, *, run: bytes | None = None, head: bytes | None = None, held: int | None = None
) -> bytes:
    """One second of pictures: two samples that state length and size. `held`: bytes of pictures, if not all."""
    rows = struct.pack(">II", EVERY_SAMPLE_MS, SAMPLE_BYTES) * samples
    run = full(b"trun", struct.pack(">Ii", samples, 0) + rows, 0x301) if run is None else run
    head = full(b"tfhd", struct.pack(">I", 1), 0x20000) if head is None else head
    pictures = bytes(samples * SAMPLE_BYTES if held is None else held)
    return box(b"moof", full(b"mfhd", bytes(4)) + box(b"traf", head + run)) + box(b"mdat", pictures)


def in_fragments(promise: bytes, *fragments: bytes, tables: Sequence[bytes] = ()) -> bytes:
    return ftyp() + moov(seconds=0, more=trak(*tables) + promise) + b"".join(fragments)
