"""A film in fragments is whole only if it has the length and the bytes that its own headers promise."""

import struct
from pathlib import Path

import pytest

from media.clip_file import Facts, NotAClip, read_clip
from tests.media.builders import box
from tests.media.tables import SCALE, fragment, full, in_fragments, mvex, stco, stsc, trak, uniform
from tests.media.test_iso_tables import encoded, read

SECOND = fragment()
USUAL = {"ticks": 500, "size": 100}
BARE_RUN = full(b"trun", struct.pack(">I", 2))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("end", [b"", box(b"mfra", bytes(8))], ids=["open end", "an index at the end"])
def test_clip_missing_its_last_fragments_is_not_whole(version: int, end: bytes, tmp_path: Path) -> None:
    promise = mvex(4000, version=version)
    whole = read(in_fragments(promise, *[SECOND] * 4, end), tmp_path)
    assert isinstance(whole, Facts) and whole.seconds == 4.0
    for left in (1, 2, 3):
        found = read(in_fragments(promise, *[SECOND] * left, end), tmp_path)
        why = f"cut short: {left}.0 s of the 4.0 s that its header (mehd) promises"
        assert found == NotAClip(why)


@pytest.mark.parametrize(
    "piece",
    [
        SECOND,
        fragment(run=BARE_RUN),
        fragment(run=BARE_RUN, head=full(b"tfhd", struct.pack(">III", 1, 500, 100), 0x18)),
        fragment(run=BARE_RUN, head=full(b"tfhd", struct.pack(">IQIII", 1, 0, 1, 500, 100), 0x1B)),
        fragment(run=full(b"trun", struct.pack(">IiIIIIIII", 2, 0, 0, 100, 0, 0, 100, 0, 0), 0xE05)),
    ],
    ids=["by sample", "by track", "by fragment", "with every field", "sizes alone"],
)
def test_fragment_durations_are_read_from_all_header_forms(piece: bytes, tmp_path: Path) -> None:
    assert isinstance(read(in_fragments(mvex(3000, **USUAL), *[piece] * 3), tmp_path), Facts)
    assert isinstance(read(in_fragments(mvex(3000, **USUAL), *[piece] * 2), tmp_path), NotAClip)


def test_clip_longer_or_slightly_shorter_than_promised_is_whole(tmp_path: Path) -> None:
    for promised in (1000, 1200, 2250):
        assert isinstance(read(in_fragments(mvex(promised), SECOND, SECOND), tmp_path), Facts)


def test_samples_in_the_index_count_towards_the_duration(tmp_path: Path) -> None:
    times = full(b"stts", struct.pack(">III", 1, 4, 500))
    content = in_fragments(mvex(3000), SECOND, tables=[times])
    found = read(content, tmp_path)
    assert isinstance(found, Facts) and found.seconds == 3.0


@pytest.mark.parametrize(
    "piece",
    [
        fragment(held=199),
        fragment(held=1),
        fragment(run=BARE_RUN, held=150),
        fragment(head=full(b"tfhd", struct.pack(">IQ", 1, 1 << 40), 1), held=150),
    ],
)
def test_fragment_with_fewer_bytes_than_its_samples_is_cut_short(piece: bytes, tmp_path: Path) -> None:
    found = read(in_fragments(mvex(None, **USUAL), SECOND, piece), tmp_path)
    assert isinstance(found, NotAClip)
    assert "cut short: the fragment at" in found.why


def test_open_ended_last_fragment_is_whole_only_with_its_last_byte(tmp_path: Path) -> None:
    last = SECOND.replace(struct.pack(">I4s", 208, b"mdat"), struct.pack(">I4s", 0, b"mdat"))
    assert isinstance(read(in_fragments(mvex(None), SECOND, last), tmp_path), Facts)
    assert isinstance(read(in_fragments(mvex(None), SECOND, last[:-1]), tmp_path), NotAClip)


@pytest.mark.parametrize(
    "piece",
    [
        box(b"moof", full(b"mfhd", bytes(4))) + box(b"mdat", b"p"),
        fragment(run=box(b"trun", b"?"), held=9),
        fragment(run=full(b"trun", struct.pack(">I", 1000), 0x300), held=9),
        fragment(head=b"", held=9),
        fragment(head=full(b"tfhd", struct.pack(">IQ", 1, 0), 1), held=9),
    ],
    ids=["no track", "a short run", "a run cut inside", "no head", "pictures before it"],
)
def test_unreadable_fragments_do_not_reject_the_clip(piece: bytes, tmp_path: Path) -> None:
    promised = None if b"tfhd" in piece else 9000
    assert isinstance(read(in_fragments(mvex(promised), piece), tmp_path), Facts)


def test_indexed_samples_outside_the_file_reject_a_fragmented_clip(tmp_path: Path) -> None:
    tables = [uniform(100, 2), stsc((1, 2)), stco(9_999_999)]
    assert isinstance(read(in_fragments(mvex(None), SECOND, tables=tables), tmp_path), NotAClip)


def sidx(first: int, following: int) -> bytes:
    """An index of one segment, which begins `first` bytes after it and has `following` bytes."""
    return full(b"sidx", struct.pack(">IIIIHHIII", 1, 1000, 0, first, 0, 1, following, 4000, 0))


@pytest.mark.parametrize(
    ("content", "ends"),
    [
        (in_fragments(mvex(None), SECOND, SECOND), False),
        (in_fragments(mvex(2000), SECOND, SECOND), True),
        (in_fragments(mvex(None), SECOND, SECOND, box(b"mfra", bytes(8))), True),
        (in_fragments(mvex(None), sidx(0, 2 * len(SECOND)), SECOND, SECOND), True),
        (in_fragments(mvex(None), sidx(0, len(SECOND)), SECOND, SECOND), False),
        (in_fragments(mvex(None), sidx(0, len(SECOND)), SECOND, sidx(0, len(SECOND)), SECOND), False),
    ],
    ids=["nothing", "a promise", "an index behind it", "one index", "an index of some", "an index each"],
)
def test_facts_record_whether_a_cut_between_fragments_is_possible(content: bytes, ends: bool, tmp_path: Path) -> None:
    found = read(content, tmp_path)
    assert isinstance(found, Facts) and found.ends is ends


def begun(at_ms: int) -> bytes:
    """A second of pictures that states when it begins (tfdt)."""
    return fragment(head=full(b"tfhd", struct.pack(">I", 1), 0x20000) + full(b"tfdt", struct.pack(">I", at_ms)))


def test_missing_middle_fragment_is_detected(tmp_path: Path) -> None:
    end = box(b"mfra", bytes(8))
    assert isinstance(read(in_fragments(mvex(None), begun(0), begun(1000), begun(2000), end), tmp_path), Facts)
    found = read(in_fragments(mvex(None), begun(0), begun(2000), end), tmp_path)
    assert isinstance(found, NotAClip) and "not all there: 1.0 s are missing before the fragment" in found.why


def test_zeros_inside_a_fragment_are_detected(tmp_path: Path) -> None:
    run = full(b"trun", struct.pack(">III", 1, 1000, 300_000), 0x300)
    whole = fragment(run=run, held=300_000)[:-300_000] + b"pic" * 100_000
    assert isinstance(read(in_fragments(mvex(1000), whole), tmp_path), Facts)
    start = len(whole) - 200_000
    holed = whole[:start] + bytes(60_000) + whole[start + 60_000 :]
    found = read(in_fragments(mvex(1000), holed), tmp_path)
    assert isinstance(found, NotAClip) and "not all there: zeros among its pictures" in found.why


# -- films as encoders really write them


def promising(content: bytes, seconds: float) -> bytes:
    """The same film with a length (mehd) in its index; the fragments' own offsets are relative."""
    scale = 1000
    promise = full(b"mehd", struct.pack(">I", round(seconds * scale)))
    at = content.index(b"mvex") - 4
    grown = bytearray(content)
    grown[at + 8 : at + 8] = promise
    for box_at in (at, content.index(b"moov") - 4):
        struct.pack_into(">I", grown, box_at, struct.unpack_from(">I", content, box_at)[0] + len(promise))
    return bytes(grown)


@pytest.mark.parametrize("flags", ["", "+dash", "+cmaf", "+separate_moof"])
def test_encoded_clip_that_lost_fragments_is_not_whole(flags: str, tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof" + flags}
    content = promising(encoded(tmp_path / "film", "mp4", options, 4), 4.0)
    assert isinstance(read(content, tmp_path), Facts)
    moofs = [at - 4 for at in range(len(content)) if content[at : at + 4] == b"moof"]
    for cut in moofs[1:]:
        if isinstance(found := read(content[:cut], tmp_path), Facts):
            assert flags == "+separate_moof" and cut == moofs[-1], found  # the sound of the last second


def test_clip_shorter_than_its_segment_index_is_cut_short(tmp_path: Path) -> None:
    content = encoded(tmp_path / "film", "mp4", {"movflags": "frag_keyframe+empty_moov+dash+global_sidx"}, 4)
    moofs = [at - 4 for at in range(len(content)) if content[at : at + 4] == b"moof"]
    for cut in moofs[1:]:
        found = read(content[:cut], tmp_path)
        assert isinstance(found, NotAClip) and "by its segment index (sidx)" in found.why


def test_many_fragments_are_read_quickly(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(in_fragments(mvex(10_000_000), *[SECOND] * 10_000))
    found = read_clip(path, transfer_complete=True)
    assert isinstance(found, Facts) and found.seconds == 10_000.0


def test_clip_that_announces_fragments_but_has_none_is_judged_by_its_index(tmp_path: Path) -> None:
    content = in_fragments(mvex(0), box(b"mdat", b"pictures"), tables=[trak()])
    assert isinstance(read(content, tmp_path), Facts)


def test_a_fragment_that_repeats_its_first_half_is_not_whole(tmp_path: Path) -> None:
    """The result of a download that was resumed at the wrong place; each box still has its length."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    content = encoded(tmp_path / "film", "mp4", options, 4, sound=False)
    assert isinstance(read(content, tmp_path), Facts)
    data = bytearray(content)
    at = data.index(b"mdat")
    half = (int.from_bytes(data[at - 4 : at]) - 8) // 2
    data[at + 4 + half : at + 4 + 2 * half] = data[at + 4 : at + 4 + half]
    found = read(bytes(data), tmp_path)
    assert isinstance(found, NotAClip) and "bytes of another place among its pictures" in found.why


def test_track_with_a_zero_timescale_does_not_reject_the_clip(tmp_path: Path) -> None:
    content = in_fragments(mvex(None), begun(0), begun(2000), box(b"mfra", bytes(8)))
    no_ticks = content.replace(struct.pack(">IIII", 0, 0, SCALE, 0), bytes(16))
    assert no_ticks != content and isinstance(read(no_ticks, tmp_path), Facts)
