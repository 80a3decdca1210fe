"""Tiny media files, built byte by byte: a valid outline, and no real pictures."""

import struct

TURNED = (0, 1, 0, -1, 0, 0)  # a, b, u, c, d, v: by a quarter
UPRIGHT = (1, 0, 0, 0, 1, 0)
UNKNOWN = (1 << 56) - 1


def box(kind: bytes, payload: bytes = b"", *, large: bool = False) -> bytes:
    if large:
        return struct.pack(">I4sQ", 1, kind, 16 + len(payload)) + payload
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def moov(
    width: int = 720,
    height: int = 1280,
    seconds: float = 8,
    *,
    matrix: tuple[int, ...] = UPRIGHT,
    version: int = 0,
    more: bytes = b"",
) -> bytes:
    times = ">QQIQ" if version else ">IIII"
    mvhd = bytes([version, 0, 0, 0]) + struct.pack(times, 0, 0, 1000, round(seconds * 1000)) + bytes(80)
    track = bytes([version, 0, 0, 7]) + bytes(32 if version else 20) + bytes(16)
    turned = struct.pack(">9i", *(number << 16 for number in matrix), 0, 0, 1 << 30)
    tkhd = track + turned + struct.pack(">II", width << 16, height << 16)
    sound = track + struct.pack(">9i", *(number << 16 for number in UPRIGHT), 0, 0, 1 << 30) + bytes(8)
    traks = box(b"trak", box(b"tkhd", sound)) + box(b"trak", box(b"tkhd", tkhd) + box(b"mdia"))
    return box(b"moov", box(b"mvhd", mvhd) + traks + more)


def ftyp(brand: bytes = b"isom") -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"isommp42")


def mp4(pictures: bytes = b"pictures", index: bytes | None = None, brand: bytes = b"isom") -> bytes:
    return ftyp(brand) + (index or moov()) + box(b"mdat", pictures)


def fragmented(end: bytes = b"") -> bytes:
    mehd = box(b"mehd", bytes(4) + struct.pack(">I", 6000))
    fragment = box(b"moof", box(b"mfhd", bytes(8))) + box(b"mdat", b"pictures")
    return ftyp() + moov(seconds=0, more=box(b"mvex", mehd)) + fragment * 3 + end


def element(identity: int, payload: bytes = b"", *, size: int | None = None) -> bytes:
    stated = len(payload) if size is None else size
    name = identity.to_bytes((identity.bit_length() + 7) // 8)
    return name + (stated | 1 << 56).to_bytes(8) + payload


def heard(kind: bytes) -> bytes:
    """A track that states only its kind."""
    return box(b"trak", box(b"mdia", box(b"hdlr", bytes(8) + kind + bytes(13))))


def cluster(milliseconds: int, pictures: bytes = b"pictures that are long", *, size: int | None = None) -> bytes:
    """One picture, which begins at this time. `size`: the stated size, if not the real one."""
    block = element(0xA3, b"\x81\0\0\x80" + pictures)
    return element(0x1F43B675, element(0xE7, milliseconds.to_bytes(2)) + block, size=size)


def webm(
    *,
    live: bool = False,
    doctype: bytes = b"webm",
    track: bytes | None = None,
    seconds: float | None = 4,
    cluster_size: int | None = None,
    tick: bytes = (1_000_000).to_bytes(3),
) -> bytes:
    """Four seconds. `live`: the segment does not state its length. `seconds`: the length in the header.
    `track`: the content of its one track, if unusual. `cluster_size`: the size that its one cluster states.
    `tick`: nanoseconds per tick, as in the header.
    """
    said = b"" if seconds is None else element(0x4489, struct.pack(">d", seconds * 1000))
    info = element(0x1549A966, element(0x2AD7B1, tick) + said)
    video = element(0xE0, element(0xB0, (360).to_bytes(2)) + element(0xBA, (640).to_bytes(2)))
    tracks = element(0x1654AE6B, element(0xAE, video if track is None else track))
    clusters = b"".join(cluster(at, size=cluster_size) for at in (0, 1000, 2000, 3000, 3960))
    body = info + tracks + clusters
    return element(0x1A45DFA3, element(0x4282, doctype)) + element(0x18538067, body, size=UNKNOWN if live else None)
