"""An index at the front survives a cut: a clip is whole only if the samples that it lists are there."""

import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from media.clip_file import Facts, NotAClip, read_clip
from tests.media.builders import box, ftyp, moov
from tests.media.tables import co64, data_at, progressive, stco, stsc, stsz, trak, uniform

PICTURES = bytes(600)
OPEN = 0
Track = Callable[[int], bytes]


def read(content: bytes, folder: Path) -> Facts | NotAClip:
    path = folder / "file"
    path.write_bytes(content)
    return read_clip(path, transfer_complete=True)


def clip(make: Track, pictures: bytes = PICTURES, header: int | None = None) -> bytes:
    """A file with one track; its tables get the offset of the pictures."""
    return progressive(pictures, make(data_at(make(0))), header=header)


# Six samples of a hundred bytes, or what lists as many.
TRACKS: dict[str, Track] = {
    "a chunk of all": lambda at: trak(uniform(100, 6), stsc((1, 6)), stco(at)),
    "a chunk each": lambda at: trak(uniform(100, 6), stsc((1, 1)), stco(*range(at, at + 600, 100))),
    "sizes": lambda at: trak(stsz([50, 150, 100, 200, 60, 40]), stsc((1, 3)), stco(at, at + 300)),
    "runs": lambda at: trak(stsz([100] * 6), stsc((1, 1), (3, 4)), stco(at, at + 100, at + 200)),
    "not in order": lambda at: trak(stsz([100] * 6), stsc((1, 3)), stco(at + 300, at)),
    "64 bits": lambda at: trak(uniform(100, 6), stsc((1, 3)), co64(at, at + 300)),
}


@pytest.mark.parametrize("name", TRACKS)
def test_truncation_in_an_open_ended_box_is_detected_by_the_index(name: str, tmp_path: Path) -> None:
    make = TRACKS[name]
    for header in (None, OPEN):
        assert isinstance(read(clip(make, header=header), tmp_path), Facts)
    for left in (599, 300, 1):
        found = read(clip(make, PICTURES[:left], OPEN), tmp_path)
        assert isinstance(found, NotAClip), left
        assert found.why.startswith("cut short: ") and "by its index (moov)" in found.why


@pytest.mark.parametrize("name", TRACKS)
def test_media_data_smaller_than_the_index_lists_is_rejected(name: str, tmp_path: Path) -> None:
    assert isinstance(read(clip(TRACKS[name], b"p"), tmp_path), NotAClip)
    padded = read(clip(TRACKS[name], b"p") + box(b"free", bytes(1000)), tmp_path)
    assert isinstance(padded, NotAClip) and "outside of its pictures (mdat)" in padded.why


def test_samples_in_a_second_mdat_box_are_checked(tmp_path: Path) -> None:
    content = clip(lambda at: trak(uniform(100, 6), stsc((1, 3)), stco(at, at + 308)), bytes(300))
    assert isinstance(read(content + box(b"mdat", bytes(300)), tmp_path), Facts)
    assert isinstance(read(content + box(b"mdat", bytes(299)), tmp_path), NotAClip)


def test_one_truncated_track_makes_the_clip_incomplete(tmp_path: Path) -> None:
    def both(at: int) -> bytes:
        return TRACKS["a chunk each"](at) + trak(uniform(100, 1), stsc((1, 1)), stco(at + 600))

    assert isinstance(read(clip(both, bytes(700)), tmp_path), Facts)
    assert isinstance(read(clip(both, bytes(650), OPEN), tmp_path), NotAClip)


HOLES = {"first": (0, 100), "last of the first": (100, 300), "middle": (300, 420), "last": (560, 600)}


def film(at: int) -> bytes:
    sizes = stsz([100, 200, 60, 60, 140, 40])
    return trak(sizes, stsc((1, 2)), stco(at, at + 300, at + 420), handler=b"vide")


@pytest.mark.parametrize("name", HOLES)
def test_zeros_in_the_picture_data_mean_an_incomplete_download(name: str, tmp_path: Path) -> None:
    pictures, (start, end) = bytearray(b"p" * 600), HOLES[name]
    assert isinstance(read(clip(film, bytes(pictures)), tmp_path), Facts)
    pictures[start:end] = bytes(end - start)
    found = read(clip(film, bytes(pictures)), tmp_path)
    assert isinstance(found, NotAClip) and found.why.startswith("not all there")


def test_zeros_in_the_sound_track_are_accepted(tmp_path: Path) -> None:
    def heard(at: int) -> bytes:
        return trak(uniform(100, 6), stsc((1, 6)), stco(at), handler=b"soun") + film(at + 600)

    assert isinstance(read(clip(heard, bytes(600) + b"p" * 600), tmp_path), Facts)


UNREAD: dict[str, Track] = {
    "no samples": lambda _: trak(stsz([]), stsc(), stco()),
    "no samples, an offset": lambda _: trak(stsz([]), stsc((1, 1)), stco(9_999_999)),
    "no tables": lambda _: trak(),
    "no chunks": lambda _: trak(uniform(100, 6), stsc((1, 6)), stco()),
    "a table cut inside": lambda at: trak(uniform(100, 6), stsc((1, 6)), box(b"stco", struct.pack(">III", 0, 9, at))),
    "sizes cut inside": lambda at: trak(box(b"stsz", struct.pack(">III", 0, 0, 6)), stsc((1, 6)), stco(at)),
    "runs out of order": lambda at: trak(uniform(100, 6), stsc((1, 9), (5, 1), (2, 1)), stco(*[at] * 9)),
    "in another file": lambda _: trak(uniform(100, 6), stsc((1, 6)), stco(9_999_999), self_contained=False),
    "sizes in the sound's description": lambda at: trak(uniform(1, 90_000), stsc((1, 90_000)), stco(at)),
    "packed sizes": lambda at: trak(box(b"stz2", struct.pack(">III", 0, 8, 6)), stsc((1, 6)), stco(at)),
    "more samples in the runs": lambda at: trak(uniform(100, 6), stsc((1, 900)), stco(at)),
}


@pytest.mark.parametrize("name", UNREAD)
def test_unreadable_index_tables_do_not_reject_the_clip(name: str, tmp_path: Path) -> None:
    assert isinstance(read(clip(UNREAD[name]), tmp_path), Facts)


def test_unreadable_track_does_not_hide_a_truncated_track(tmp_path: Path) -> None:
    def both(at: int) -> bytes:
        return UNREAD["a table cut inside"](at) + TRACKS["a chunk each"](at)

    assert isinstance(read(clip(both, b"p"), tmp_path), NotAClip)


def test_open_ended_index_with_a_truncated_box_is_rejected(tmp_path: Path) -> None:
    index = b"\0\0\0\0" + moov()[4:]
    start = ftyp() + box(b"mdat", PICTURES)
    assert isinstance(read(start + index, tmp_path), Facts)
    assert isinstance(read(start + index[:-30], tmp_path), NotAClip)


def test_large_tables_are_read_quickly_with_little_memory(tmp_path: Path) -> None:
    """A million chunks; the last one is missing."""
    sizes = uniform(2, 1_000_000)
    content = clip(lambda at: trak(sizes, stsc((1, 1)), stco(*range(at, at + 2_000_000, 2))), bytes(1_999_999), OPEN)
    (tmp_path / "file").write_bytes(content)
    began = time.process_time()
    tracemalloc.start()
    found = read_clip(tmp_path / "file", transfer_complete=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found, NotAClip)
    assert peak < 1_000_000
    assert time.process_time() - began < 5


# -- films as encoders really write them


def encoded(path: Path, kind: str, options: dict[str, str], seconds: int = 2, *, sound: bool = True) -> bytes:
    """A film of noise with silent sound, in a container of this kind."""
    frame_of: Any = av.VideoFrame.from_image  # PyAV ships this one function without types
    with av.open(path, "w", format=kind, options=options) as film:
        pictures = film.add_stream("libx264", rate=12, options={"preset": "ultrafast", "g": "12"})
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        heard = film.add_stream("aac", rate=12_000, layout="mono") if sound else None
        for number in range(12 * seconds):
            noise = random.Random(number).randbytes(64 * 64 * 3)
            film.mux(pictures.encode(frame_of(Image.frombytes("RGB", (64, 64), noise))))
            if heard is not None:
                silence = av.AudioFrame("fltp", "mono", 1_000)
                silence.planes[0].update(bytes(silence.planes[0].buffer_size))
                silence.sample_rate, silence.pts, silence.time_base = 12_000, number * 1_000, Fraction(1, 12_000)
                film.mux(heard.encode(silence))
        film.mux(pictures.encode())
        if heard is not None:
            film.mux(heard.encode())
    return path.read_bytes()


ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "mp4": ("mp4", {}),
    "index first": ("mp4", {"movflags": "+faststart"}),
    "QuickTime": ("mov", {}),
    "QuickTime, index first": ("mov", {"movflags": "+faststart"}),
    "3GP": ("3gp", {}),
    "fragments": ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "fragments, first samples in the index": ("mp4", {"movflags": "frag_keyframe"}),
    "a fragment each": ("mp4", {"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
    "a fragment of each track": ("mp4", {"movflags": "frag_keyframe+empty_moov+separate_moof"}),
    "segments": ("mp4", {"movflags": "frag_keyframe+empty_moov+dash"}),
    "segments, one index": ("mp4", {"movflags": "frag_keyframe+empty_moov+dash+global_sidx"}),
    "CMAF": ("mp4", {"movflags": "frag_keyframe+empty_moov+cmaf"}),
    "fragments, an index at the end": ("mp4", {"movflags": "hybrid_fragmented"}),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoded_clips_are_whole_and_their_length_is_known(name: str, tmp_path: Path) -> None:
    kind, options = ENCODERS[name]
    content = encoded(tmp_path / "film", kind, options)
    found = read(content, tmp_path)
    assert isinstance(found, Facts), found
    assert (found.width, found.height) == (64, 64)
    assert found.seconds == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_faststart_clip_with_an_open_end_is_whole_only_with_its_last_byte(kind: str, tmp_path: Path) -> None:
    content = bytearray(encoded(tmp_path / "film", kind, {"movflags": "+faststart"}))
    content[content.rindex(b"mdat") - 4 : content.rindex(b"mdat")] = bytes(4)
    assert isinstance(read(bytes(content), tmp_path), Facts)
    begins = content.rindex(b"mdat") + 4
    for left in (len(content) - 1, (begins + len(content)) // 2, begins + 1):
        assert isinstance(read(bytes(content[:left]), tmp_path), NotAClip), left
