"""Whether a clip is whole, and its facts, are read from the file's structure, never from its name."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media.clip_file import Facts, Kind, NotAClip, as_ordered, is_much_smaller, kind_of, one_line, read_clip, words_in
from tests.media.builders import TURNED, UNKNOWN, box, cluster, element, fragmented, ftyp, heard, moov, mp4, webm

SOUND = element(0x83, b"\2")
UPRIGHT = Facts(Kind.MP4, 720, 1280, 8.0)
TO_THE_END = struct.pack(">I4s", 0, b"mdat") + b"pictures"
NESTED = b""
for _ in range(2000):
    NESTED = box(b"trak", NESTED)


def read(content: bytes, folder: Path, *, complete: bool = True) -> Facts | NotAClip:
    path = folder / "file"
    path.write_bytes(content)
    return read_clip(path, transfer_complete=complete)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        pytest.param(mp4(), UPRIGHT, id="index first"),
        pytest.param(ftyp() + box(b"mdat", b"p") + moov(), UPRIGHT, id="index last"),
        pytest.param(mp4(index=moov(version=1)), UPRIGHT, id="times of 64 bits"),
        pytest.param(ftyp() + moov() + box(b"mdat", b"p", large=True), UPRIGHT, id="a length of 64 bits"),
        pytest.param(ftyp() + moov() + TO_THE_END, UPRIGHT, id="to the end"),
        pytest.param(mp4() + box(b"free", b"job_1"), UPRIGHT, id="room behind it"),
        pytest.param(mp4(index=moov(1280, 720, matrix=TURNED)), UPRIGHT, id="turned"),
        pytest.param(mp4(index=moov(1280, 720, 4)), Facts(Kind.MP4, 1280, 720, 4.0), id="another size"),
        pytest.param(fragmented(), Facts(Kind.MP4, 720, 1280, 6.0), id="fragments"),
        pytest.param(mp4(index=box(b"moov")), Facts(Kind.MP4), id="an index that says nothing"),
        pytest.param(mp4(index=box(b"moov", b"?" * 99)), Facts(Kind.MP4), id="an index we cannot read"),
        pytest.param(mp4(index=moov(0, 0, 0)), Facts(Kind.MP4), id="no size and no length"),
        pytest.param(mp4(index=moov(65_535, 65_535)), Facts(Kind.MP4, seconds=8.0), id="a size that cannot be"),
        pytest.param(mp4(index=box(b"moov", NESTED)), Facts(Kind.MP4), id="boxes in boxes"),
        pytest.param(mp4(index=box(b"moov", box(b"trak") * 20_000)), Facts(Kind.MP4), id="boxes beside boxes"),
        pytest.param(
            mp4(index=box(b"moov", heard(b"soun") + heard(b"vide"))), Facts(Kind.MP4), id="sound and pictures"
        ),
        pytest.param(mp4(index=box(b"moov", heard(b"soun") + box(b"trak"))), Facts(Kind.MP4), id="sound and a riddle"),
        pytest.param(webm(track=SOUND + element(0xE0)), Facts(Kind.WEBM, None, None, 4.0), id="a track of both"),
        pytest.param(mp4(brand=b"qt  "), Facts(Kind.MOV, 720, 1280, 8.0), id="QuickTime"),
        pytest.param(mp4()[len(ftyp()) :], Facts(Kind.MOV, 720, 1280, 8.0), id="old QuickTime"),
        pytest.param(mp4() + b"\r\n", UPRIGHT, id="a line end behind it"),
        pytest.param(mp4() + bytes(500), UPRIGHT, id="a block's rest behind it"),
        pytest.param(webm(live=False) + bytes(500), Facts(Kind.WEBM, 360, 640, 4.0), id="WebM and a block's rest"),
        pytest.param(box(b"wide") + box(b"mdat", b"p") + moov(), Facts(Kind.MOV, 720, 1280, 8.0), id="older"),
        pytest.param(webm(live=False), Facts(Kind.WEBM, 360, 640, 4.0), id="WebM"),
        pytest.param(
            webm(live=True, seconds=None) + b"".join(map(cluster, (5000, 6000, 7960))),
            Facts(Kind.WEBM, 360, 640, 7.96, ends=False),
            id="by its last picture",
        ),
        pytest.param(
            webm(live=True, seconds=None, cluster_size=UNKNOWN)
            + cluster(5900, size=UNKNOWN)
            + cluster(7800, size=UNKNOWN),
            Facts(Kind.WEBM, 360, 640, 7.8, ends=False),
            id="clusters without a length",
        ),
        pytest.param(webm(live=True, tick=b""), Facts(Kind.WEBM, 360, 640, 4.0, ends=False), id="no tick"),
        pytest.param(webm(live=True, tick=bytes(3)), Facts(Kind.WEBM, 360, 640, 4.0, ends=False), id="tick of zero"),
        pytest.param(webm(live=True), Facts(Kind.WEBM, 360, 640, 4.0, ends=False), id="live WebM"),
        pytest.param(webm(doctype=b"matroska\0", live=False), Facts(Kind.WEBM, 360, 640, 4.0), id="Matroska"),
    ],
)
def test_facts_of_a_whole_clip_are_read(content: bytes, facts: Facts, tmp_path: Path) -> None:
    assert read(content, tmp_path) == facts
    assert kind_of(tmp_path / "file") is facts.kind


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a video (0 bytes)"),
        (b"<html>please sign in</html>", "not a video; it begins: <html>please sign in</html>"),
        (b'{"error": "not ready"}', 'not a video; it begins: {"error": "not ready"}'),
        (bytes(100), "not a video (100 bytes)"),
        (ftyp(), "cut short: it has no index (moov)"),
        (ftyp() + moov(), "cut short: it has no pictures (mdat)"),
        (ftyp() + moov() + box(b"mdat"), "cut short: it has no pictures (mdat)"),
        (ftyp() + box(b"mdat", b"p"), "cut short: it has no index (moov)"),
        (mp4() + b"\r\n.", "3 bytes after its last box"),
        (mp4() + bytes(8) + b"pictures", "bytes that are no box at"),
        (mp4() + bytes(5000), "bytes that are no box at"),
        (mp4() + b"</html> or so", "cut short: "),
        (ftyp() + struct.pack(">I4s", 4, b"moov"), "a box of impossible length"),
        (ftyp() + struct.pack(">I4sQ", 1, b"mdat", 15), "a box of impossible length"),
        (ftyp() + struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1), "cut short: "),
        (box(b"styp", b"msdh") + mp4(), "not a video ("),
        (ftyp() + box(b"free") * 100_001 + moov(), "too many boxes"),
        (fragmented()[: -len(box(b"mdat", b"pictures"))], "its last fragment has no pictures"),
        (element(0x1A45DFA3, element(0x4282, b"webm")), "cut short: it has no segment"),
        (webm(doctype=b"something"), "an EBML file that is no video"),
        (webm(live=False) + b"\0.", "bytes that are no element"),
        (webm(seconds=8), "cut short: 4.0 s of the 8.0 s that its header promises"),
        (webm(live=False, seconds=8), "cut short: 4.0 s of the 8.0 s that its header promises"),
        (webm(live=True, seconds=None) + cluster(7960), "not all there: nothing between its ticks 3960 and 7960"),
        (webm(live=True) + bytes(9000) + cluster(8000), "bytes that are no element"),
        (
            webm(live=True) + element(0x1F43B675, element(0xA3, bytes(40))),
            "not all there: zeros where a picture should be",
        ),
        (webm(track=SOUND), "it has a sound track and no pictures"),
        (mp4(index=box(b"moov", heard(b"soun"))), "it has a sound track and no pictures"),
        (mp4(index=box(b"moov", heard(b"soun") + heard(b"text"))), "it has a sound track and no pictures"),
    ],
)
def test_invalid_or_incomplete_clip_is_rejected_with_a_reason(content: bytes, why: str, tmp_path: Path) -> None:
    found = read(content, tmp_path)
    assert isinstance(found, NotAClip)
    assert why in found.why


WHOLE = {
    "index first": mp4(b"p" * 500),
    "index last": ftyp() + box(b"mdat", b"p" * 500) + moov(),
    "large": ftyp() + moov() + box(b"mdat", b"p" * 500, large=True),
    "QuickTime": mp4(brand=b"qt  ")[len(ftyp()) :],
    "WebM": webm(live=False),
}


@pytest.mark.parametrize("name", WHOLE)
def test_truncated_clip_is_never_whole(name: str, tmp_path: Path) -> None:
    content = WHOLE[name]
    assert isinstance(read(content, tmp_path), Facts)
    boundaries = [at - 4 + off for at in range(4, len(content)) if content[at : at + 4].isalpha() for off in (0, 8)]
    cuts = {*boundaries, *random.Random(1).sample(range(len(content)), 100), *range(len(content) - 20, len(content))}
    for cut in sorted(cut for cut in cuts if cut < len(content)):
        for complete in (True, False):
            assert isinstance(read(content[:cut], tmp_path, complete=complete), NotAClip), cut


@pytest.mark.parametrize(
    "content", [fragmented(), ftyp() + moov() + TO_THE_END, webm(live=True)], ids=["fragments", "open box", "live"]
)
def test_open_ended_container_is_accepted_only_after_a_complete_transfer(content: bytes, tmp_path: Path) -> None:
    assert isinstance(read(content, tmp_path, complete=True), Facts)
    assert isinstance(read(content, tmp_path, complete=False), NotAClip)


def test_fragmented_clip_with_a_final_index_is_whole_without_a_complete_transfer(tmp_path: Path) -> None:
    assert isinstance(read(fragmented(end=box(b"mfra", bytes(8))), tmp_path, complete=False), Facts)


STARTS = [b"", ftyp(), ftyp() + moov(), webm()[:40], webm(), b"\x1a\x45\xdf\xa3", b"\0\0\0\x01mdat"]


@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300), complete=st.booleans())
def test_arbitrary_bytes_never_raise(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes, complete: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert isinstance(read(start + rest, folder, complete=complete), Facts | NotAClip)


@given(at=st.integers(0, len(moov()) - 1), byte=st.integers(0, 255))
@example(at=28, byte=1)  # a film of a part of a millisecond
def test_corrupted_index_never_raises(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    broken = bytearray(moov())
    broken[at] = byte
    found = read(mp4(index=bytes(broken)), tmp_path_factory.getbasetemp())
    if isinstance(found, Facts):
        assert found.width is None or 0 < found.width <= 16_384
        assert found.seconds is None or 0 < found.seconds <= 86_400


@given(st.binary(max_size=400))
def test_extracted_text_is_printable_and_short(head: bytes) -> None:
    words = words_in(head)
    assert words.isprintable() or not words
    assert len(words) <= 200


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("see https://u:secret@cdn.example/v.mp4?X-Sig=secret&b=1 now", "see https://[...]cdn.example/v.mp4?[...] now"),
        ("no object /signed/tok-secret-0123456789/v.mp4", "no object /signed/[...]/v.mp4"),
        ("<a href='/b/v.mp4?X-Amz-Credential=AK/us&amp;X-Amz-Signature=secret'>", "<a href='/b/v.mp4?[...]'>"),
        ('{"u": "https:\\/\\/cdn.example\\/tok-secret-0123456789\\/v?secret0123456789"}', None),
        ("https://cdn.example/v#access_token=secret", "https://cdn.example/v#[...]"),
        ("X-Amz-Signature=secret does not match", "X-Amz-Signature=[...] does not match"),
        ("https://a-very-long-bucket.storage.example/v.mp4", "https://a-very-long-bucket.storage.example/v.mp4"),
        (
            "Why? HTTP/1.1 and/or the job at /v1/videos/v/content",
            "Why? HTTP/1.1 and/or the job at /v1/videos/v/content",
        ),
    ],
)
def test_url_secrets_are_removed_from_kept_text(words: str, kept: str | None) -> None:
    for shown in (one_line(words), words_in(words.encode())):
        assert "secret" not in shown
        assert kept is None or shown == kept


@pytest.mark.parametrize(
    ("width", "height", "smaller"), [(90, 160, True), (359, 800, True), (360, 640, False), (None, None, False)]
)
def test_clip_under_half_the_ordered_width_is_much_smaller(
    width: int | None, height: int | None, smaller: bool
) -> None:
    assert is_much_smaller(Facts(Kind.MP4, width, height, 8.0), "720x1280") is smaller


@pytest.mark.parametrize(
    ("width", "height", "seconds", "same"),
    [
        (720, 1280, 8.0, True),
        (1080, 1920, 8.5, True),
        (720, 1264, 9.0, True),
        (None, None, None, True),
        (1280, 720, 8.0, False),
        (720, 1280, 4.0, False),
        (720, 1280, 9.1, False),
        (1024, 1024, None, False),
    ],
)
def test_clip_matches_the_order_only_with_similar_length_and_aspect_ratio(
    width: int | None, height: int | None, seconds: float | None, same: bool
) -> None:
    assert as_ordered(Facts(Kind.MP4, width, height, seconds), 8, "720x1280") is same


def test_live_clip_with_a_truncated_cluster_is_cut_short(tmp_path: Path) -> None:
    """The segment states no length; the clusters in it do."""
    last = cluster(4000)
    content = webm(live=True) + last * 3
    assert isinstance(read(content, tmp_path), Facts)
    assert isinstance(read(content + b"\0", tmp_path), Facts), "what cannot be read proves nothing"
    for left in (1, 30, len(last) - 1):
        found = read(content[: left - len(last)], tmp_path)
        assert isinstance(found, NotAClip) and found.why.startswith("cut short"), left
