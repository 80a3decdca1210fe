"""Fetching a clip: only a whole one is Content, however it arrived; other results say whether to retry."""

import gzip
import hashlib
import sys
import zlib
from pathlib import Path

import pytest

from media.clip_file import Facts, Kind
from net.caching import FROM_A_CACHE
from providers.clips.download import ClipGone, Content
from providers.port import ReadError
from tests.media.builders import mp4, webm
from tests.providers.scripted import Reply, Seen, answer, in_turn, scripted
from tests.providers.test_provider import KEY, partner

MP4 = mp4(bytes(range(256)) * 1000)
FACTS = Facts(Kind.MP4, 720, 1280, 8.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("location", ["", "//", "http://[bad", "ftp://storage.example/clip", "/v1/videos/v/content"])
async def test_invalid_or_looping_clip_redirect_is_a_read_error(location: str, tmp_path: Path) -> None:
    async with partner(in_turn(answer(302, "", location=location))) as (_, provider):
        got = await provider.content("v", tmp_path / "clip.part")
    assert isinstance(got, ReadError)
    assert got.detail.startswith("the clip's ")


@pytest.mark.asyncio
async def test_gzipped_clip_is_stored_unpacked(tmp_path: Path) -> None:
    squeezed = answer(200, gzip.compress(MP4), content_encoding="gzip")
    async with partner(in_turn(squeezed)) as (_, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert got == Content(len(MP4), hashlib.sha256(MP4).hexdigest(), FACTS)


HALF = len(MP4) // 2
PACKED = gzip.compress(MP4)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(200, MP4, content_encoding="gzip"), id="gzip is left on what was unpacked"),
        pytest.param(answer(200, MP4, content_encoding="aws-chunked"), id="the object store's word"),
        pytest.param(answer(200, PACKED, content_encoding="aws-chunked,gzip"), id="two words"),
        pytest.param(answer(200, PACKED), id="packed, and nothing said"),
        pytest.param(answer(200, zlib.compress(MP4), content_encoding="deflate"), id="zlib"),
        pytest.param(answer(200, gzip.compress(MP4[:HALF]) + gzip.compress(MP4[HALF:])), id="two members"),
        pytest.param(answer(200, PACKED + bytes(500)), id="padded"),
        pytest.param(answer(203, MP4), id="handed on by a proxy"),
        pytest.param(answer(206, MP4, content_range=f"bytes 0-{len(MP4) - 1}/{len(MP4)}"), id="a part that is all"),
    ],
)
async def test_whole_clip_is_recognized_by_its_bytes_not_its_headers(reply: Reply, tmp_path: Path) -> None:
    async with partner(in_turn(reply)) as (_, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert got == Content(len(MP4), hashlib.sha256(MP4).hexdigest(), FACTS)


@pytest.mark.asyncio
async def test_clip_is_downloaded_with_its_size_and_hash(tmp_path: Path) -> None:
    async with partner(in_turn(answer(200, MP4, content_type="video/mp4"))) as (server, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert got == Content(len(MP4), hashlib.sha256(MP4).hexdigest(), FACTS)
    assert (tmp_path / "clip.part").read_bytes() == MP4
    assert server.seen[0].path == "/v1/videos/video_1/content"
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        pytest.param(Reply(answer(200, MP4).raw[:-10]), None, id="cut short"),
        pytest.param(answer(200, {"url": "https://elsewhere"}), 200, id="not a film"),
        pytest.param(answer(200, b""), 200, id="empty"),
        pytest.param(answer(200, MP4[:32]), 200, id="a head alone"),
        pytest.param(answer(200, MP4[:-10]), 200, id="a part, announced as the whole"),
        pytest.param(Reply(b"HTTP/1.1 200 -\r\n\r\n" + MP4[:-10]), 200, id="cut without a length"),
        pytest.param(Reply(b"HTTP/1.1 200 -\r\n\r\n" + webm(live=True)), 200, id="live, without a length"),
        pytest.param(answer(200, gzip.compress(MP4)[:-10], content_encoding="gzip"), 200, id="cut inside gzip"),
        pytest.param(answer(200, gzip.compress(MP4) + bytes(100_000)), 200, id="much behind gzip"),
        pytest.param(answer(200, b"\x1b\x3f" + bytes(999), content_encoding="br"), 200, id="packed as nobody asked"),
        pytest.param(answer(206, MP4, content_range="bytes 0-99/300000"), 206, id="a part"),
        pytest.param(answer(206, MP4, content_range=f"bytes 1-{len(MP4)}/{len(MP4)}"), 206, id="a later part"),
        pytest.param(answer(206, MP4), 206, id="a part of whatever"),
        pytest.param(answer(206, MP4[:-9], content_range=f"bytes 0-9/{10}"), 206, id="a part, called the whole"),
        pytest.param(answer(500), 500, id="broken"),
        pytest.param(answer(202), 202, id="not ready"),
        pytest.param(answer(403), 403, id="forbidden"),
        pytest.param(Reply(b""), None, id="hung up"),
    ],
)
async def test_incomplete_or_failed_download_is_a_read_error(reply: Reply, outcome: int | None, tmp_path: Path) -> None:
    async with partner(in_turn(reply)) as (_, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert isinstance(got, ReadError)
    assert got.status == outcome


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
async def test_absent_content_is_clip_gone_with_the_providers_message(status: int, tmp_path: Path) -> None:
    refusal = answer(status, {"error": {"message": f"no video for {KEY}\0"}})
    async with partner(in_turn(refusal)) as (_, provider):
        assert await provider.content("video_1", tmp_path / "clip.part") == ClipGone(status, "no video for [key]")


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 503])
async def test_temporary_content_errors_are_read_errors(status: int, tmp_path: Path) -> None:
    async with partner(in_turn(answer(status, {"detail": f"later, {KEY}"}))) as (_, provider):
        assert await provider.content("video_1", tmp_path / "clip.part") == ReadError(status, "later, [key]")


@pytest.mark.asyncio
async def test_clip_redirect_to_another_server_is_followed_without_the_key(tmp_path: Path) -> None:
    async with scripted(in_turn(answer(200, MP4))) as storage:
        away = answer(302, "", location=f"http://127.0.0.1:{storage.port}/signed?x=1")
        async with partner(in_turn(away)) as (_, provider):
            got = await provider.content("video_1", tmp_path / "clip.part")
    assert isinstance(got, Content)
    assert "authorization" not in storage.seen[0].headers


@pytest.mark.asyncio
async def test_clip_redirect_on_the_same_host_keeps_the_key(tmp_path: Path) -> None:
    async with partner(in_turn(answer(307, "", location="/v2/clip"), answer(200, MP4))) as (server, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert isinstance(got, Content)
    assert server.seen[1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.asyncio
async def test_clip_redirect_to_a_forbidden_address_is_not_followed(tmp_path: Path) -> None:
    """A provider in our own network may redirect to a server there, never to one that only this machine can reach."""
    async with scripted(in_turn(answer(200, MP4))) as inside:
        away = answer(302, "", location=f"http://0.0.0.0:{inside.port}/signed?x=1")
        async with partner(in_turn(away)) as (_, provider):
            got = await provider.content("video_1", tmp_path / "clip.part")
    assert got == ReadError(None, "the clip's host 0.0.0.0 is not on the public network")
    assert inside.seen == []


@pytest.mark.asyncio
async def test_key_is_not_sent_after_a_redirect_back_from_another_server(tmp_path: Path) -> None:
    """Not even to the provider: the other server chose the address."""
    answers: dict[str, Reply] = {"/v1/chosen": answer(200, MP4)}

    def reply(seen: Seen) -> Reply:
        return answers[seen.path]

    async with scripted(reply) as storage, partner(reply) as (server, provider):
        answers["/v.mp4"] = answer(302, "", location=f"{server.url}/chosen")
        answers["/v1/videos/v/content"] = answer(302, "", location=f"http://127.0.0.1:{storage.port}/v.mp4")
        assert isinstance(await provider.content("v", tmp_path / "clip.part"), Content)
    assert ["authorization" in seen.headers for seen in server.seen] == [True, False]


@pytest.mark.asyncio
@pytest.mark.parametrize(("at_home", "elsewhere"), [(5, 0), (0, 5), (2, 3)])
async def test_limit_of_five_redirects_counts_same_host_and_other_hosts_together(
    at_home: int, elsewhere: int, tmp_path: Path
) -> None:
    more = answer(302, "", location="/next")
    for one_more in (0, 1):
        last = [more] * (elsewhere + one_more - 1) if elsewhere else []
        async with scripted(in_turn(*last, answer(200, MP4))) as storage:
            away = answer(302, "", location=f"http://127.0.0.1:{storage.port}/v.mp4")
            home = [more] * at_home + ([away] if elsewhere else [more] * one_more)
            async with partner(in_turn(*home, answer(200, MP4))) as (_, provider):
                got = await provider.content("video_1", tmp_path / "clip.part")
        assert isinstance(got, Content) is not bool(one_more), got
    assert got == ReadError(None, "the clip's address redirects more than 5 times")


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
async def test_a_full_disk_is_not_a_read_error() -> None:
    async with partner(in_turn(answer(200, MP4))) as (_, provider):
        with pytest.raises(OSError, match="No space left"):
            await provider.content("video_1", Path("/dev/full"))


@pytest.mark.asyncio
async def test_detail_cut_inside_the_key_does_not_reveal_part_of_it(tmp_path: Path) -> None:
    long = "x" * 190 + KEY
    async with partner(in_turn(answer(404, {"error": {"message": long}}))) as (_, provider):
        assert await provider.content("video_1", tmp_path / "c") == ClipGone(404, "x" * 190 + "[key]")


@pytest.mark.asyncio
async def test_growing_clip_is_accepted_only_when_it_is_whole(tmp_path: Path) -> None:
    parts = [answer(200, MP4[: len(MP4) * share // 4]) for share in (1, 2, 3, 4)]
    async with partner(in_turn(*parts)) as (_, provider):
        got = [await provider.content("video_1", tmp_path / "clip.part") for _ in parts]
    assert [isinstance(each, Content) for each in got] == [False, False, False, True]


@pytest.mark.asyncio
async def test_clip_is_requested_with_identity_encoding(tmp_path: Path) -> None:
    async with partner(in_turn(answer(200, MP4))) as (server, provider):
        await provider.content("video_1", tmp_path / "clip.part")
    assert server.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.asyncio
async def test_clip_download_stops_at_the_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.clips.download.CLIP_BYTES_MAX", 300_000)
    into, bomb = tmp_path / "clip.part", gzip.compress(bytes(50_000_000))
    endless = Reply(b"HTTP/1.1 200 -\r\n\r\n" + bytes(1_000_000))
    replies = answer(200, bomb, content_encoding="gzip"), endless, answer(200, bytes(300_001))
    async with partner(in_turn(*replies)) as (_, provider):
        for _ in replies:
            got = await provider.content("video_1", into)
            assert isinstance(got, ReadError)
            assert "too large for a clip" in got.detail
            assert into.stat().st_size <= 300_000


@pytest.mark.asyncio
async def test_error_detail_shows_the_start_of_a_non_video_body(tmp_path: Path) -> None:
    page = "<html>\n<b>Please sign in\x1b[31m\u202e</b>" + "x" * 5000
    async with partner(in_turn(answer(200, page))) as (_, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert isinstance(got, ReadError)
    assert got.detail.startswith("not a video; it begins: <html> <b>Please sign in [31m </b>xxx")
    assert len(got.detail) < 230


@pytest.mark.asyncio
async def test_cached_404_is_a_read_error_not_clip_gone(tmp_path: Path) -> None:
    async with partner(in_turn(answer(404, {}, age="30"), answer(404, {}))) as (_, provider):
        cached, own = [await provider.content("v", tmp_path / "clip.part") for _ in range(2)]
    assert cached == ReadError(404, FROM_A_CACHE)
    assert isinstance(own, ClipGone)
