"""Clip downloads that are cut, late, broken, at another URL, or not clips."""

import struct
from typing import Any

import aiohttp
import pytest

from simulator.faults import broken_clips
from tests.simulator.conftest import Open, Provider


async def _job(provider: Provider) -> tuple[str, bytes]:
    """The path of a clip, and its bytes without faults."""
    _, video = await provider.buy()
    path = f"/v1/videos/{video['id']}/content"
    return path, (await provider.ask("GET", path))[1]


@pytest.mark.parametrize(("framing", "header"), [("chunked", "Transfer-Encoding"), ("length", "Content-Length")])
async def test_cut_clean_fault_serves_half_a_clip_with_valid_framing(
    provider: Provider, framing: str, header: str
) -> None:
    path, clip = await _job(provider)
    await provider.trouble("content", "cut_clean", framing=framing)
    status, body, headers = await provider.raw("GET", path)
    assert (status, body, header in headers) == (200, clip[: len(clip) // 2], True)


async def test_cut_clean_fault_can_end_a_partial_clip_by_closing_the_connection(provider: Provider) -> None:
    path, clip = await _job(provider)
    await provider.trouble("content", "cut_clean", framing="close", share=0.25)
    status, body, headers = await provider.raw("GET", path)
    assert (status, body) == (200, clip[: len(clip) // 4])
    assert not {"Content-Length", "Transfer-Encoding"} & set(headers)


async def test_cut_chunked_fault_breaks_the_download(provider: Provider) -> None:
    path, _ = await _job(provider)
    await provider.trouble("content", "cut_chunked")
    with pytest.raises(aiohttp.ClientPayloadError):
        await provider.ask("GET", path)


def _boxes(body: bytes) -> list[bytes]:
    return [kind for kind, _, _ in broken_clips.boxes(body)]


@pytest.mark.parametrize(
    ("kind", "content_type", "looks"),
    [
        ("empty", "video/mp4", lambda body, _: body == b""),
        ("ftyp_only", "video/mp4", lambda body, _: len(body) == 32 and _boxes(body) == [b"ftyp"]),
        ("no_moov", "video/mp4", lambda body, _: b"moov" not in body and b"mdat" in body),
        ("trailing_garbage", "video/mp4", lambda body, clip: body == clip + broken_clips.GARBAGE),
        ("box_overrun", "video/mp4", lambda body, clip: len(body) == len(clip) < broken_clips.boxes(body)[-1][2]),
        ("html", "text/html", lambda body, _: body.startswith(b"<!DOCTYPE")),
        ("json_error", "application/json", lambda body, _: "error" in body),
        ("webm", "video/webm", lambda body, _: body.startswith(b"\x1a\x45\xdf\xa3")),
        ("quicktime", "video/quicktime", lambda body, clip: body[8:12] == b"qt  " and len(body) == len(clip)),
        ("open_mdat_cut", "video/mp4", lambda body, clip: b"\0\0\0\0mdat" in body and len(body) < len(clip)),
        ("one_byte_mdat", "video/mp4", lambda body, clip: b"\0\0\0\x09mdat" in body and _boxes(body) == _boxes(clip)),
        ("fragment_lost", "video/mp4", lambda body, clip: b"mehd" in body and _boxes(body) == _boxes(clip)),
        ("zeros", "video/mp4", lambda body, clip: bytes(500) in body and len(body) == len(clip)),
        ("sound_alone", "video/mp4", lambda body, clip: b"soun" in body and _boxes(body) == _boxes(clip)),
    ],
)
async def test_broken_clips_can_be_served_once_by_a_fault_or_always_by_a_habit(
    provider: Provider, kind: str, content_type: str, looks: Any
) -> None:
    path, clip = await _job(provider)
    await provider.trouble("content", kind)
    status, body, headers = await provider.raw("GET", path)
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, content_type)
    assert looks(body, clip)
    assert (await provider.ask("GET", path))[1] == clip
    await provider.habit(clip_lie=kind)
    assert looks((await provider.ask("GET", path))[1], clip)


async def test_clip_boxes_end_at_the_end_of_the_file(provider: Provider) -> None:
    _, clip = await _job(provider)
    assert broken_clips.boxes(clip)[-1][2] == len(clip)
    assert struct.unpack_from(">4s", clip, 4)[0] == b"ftyp"


@pytest.mark.parametrize("by_habit", [True, False])
async def test_clip_can_grow_with_each_download(provider: Provider, by_habit: bool) -> None:
    if by_habit:
        await provider.habit(clip_steps=3)
    else:
        await provider.trouble("content", "grows", steps=3, always=True)
    path, _ = await _job(provider)
    second, whole, again = [(await provider.ask("GET", path))[1] for _ in range(3)]
    assert (len(second) < len(whole), whole) == (True, again)


async def test_lie_fault_applies_habits_to_one_download(provider: Provider) -> None:
    path, _ = await _job(provider)
    await provider.trouble("content", "lie", habits={"content_status": 403})
    assert [(await provider.ask("GET", path))[0] for _ in range(2)] == [403, 200]


async def test_clip_404s_habit_hides_the_clip_from_the_first_downloads(provider: Provider) -> None:
    await provider.habit(clip_404s=2)
    _, video = await provider.buy()
    path = f"/v1/videos/{video['id']}/content"
    assert [(await provider.ask("GET", path))[0] for _ in range(3)] == [404, 404, 200]
    await provider.trouble("content", "expired", status=410)
    assert [(await provider.ask("GET", path))[0] for _ in range(2)] == [410, 200]


@pytest.mark.parametrize(
    ("where", "link"),
    [
        ("url", lambda job: job["url"]),
        ("video_url", lambda job: job["video_url"]),
        ("output", lambda job: job["output"][0]),
        ("data", lambda job: job["data"][0]["url"]),
    ],
)
async def test_clip_url_habit_serves_the_clip_at_a_separate_url(provider: Provider, where: str, link: Any) -> None:
    path, clip = await _job(provider)
    await provider.habit(clip_url=where, content_status=404)
    assert (await provider.ask("GET", path))[0] == 404
    url = link(await provider.seen(path.split("/")[3]))
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.status, await answer.read()) == (200, clip)
    totals = (await provider.books())["totals"]
    assert (totals["files"], totals["files_with_authorization"]) == (1, 0)


async def test_books_count_clip_url_downloads_that_sent_the_api_key(open_provider: Open, tmp_path: Any) -> None:
    async with open_provider(books_path=tmp_path / "books") as provider:
        await provider.habit(clip_url="url")
        _, video = await provider.buy()
        path = video["url"].removeprefix(provider.root)
        await provider.trouble("file", "forbidden")
        assert [(await provider.ask("GET", path))[0] for _ in range(2)] == [403, 200]
        assert (await provider.ask("GET", "/_sim/files/none.mp4"))[0] == 404
    async with open_provider(books_path=tmp_path / "books") as provider:
        totals = (await provider.books())["totals"]
        assert (totals["files"], totals["files_with_authorization"]) == (2, 2)


async def test_running_job_has_no_clip_url(open_provider: Open) -> None:
    async with open_provider(speed=1.0) as provider:
        await provider.habit(clip_url="url")
        assert "url" not in (await provider.buy())[1]


async def test_preview_seconds_habit_serves_a_short_clip_before_completion(open_provider: Open) -> None:
    async with open_provider(speed=1.0) as provider:
        await provider.habit(preview_seconds=2)
        _, video = await provider.buy()
        status, clip = await provider.ask("GET", f"/v1/videos/{video['id']}/content")
        assert (status, video["status"]) == (200, "queued")
        film = clip.index(b"mvhd") + 16
        scale, ticks = struct.unpack_from(">II", clip, film)
        assert ticks == 2 * scale
