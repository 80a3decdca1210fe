"""The provider's four calls on the wire: what leaves, how often, and what each kind of trouble becomes."""

import asyncio
import gzip
import hashlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from steps.provider import Content, Gone, ReadError, TooLate, VideoProvider, open_provider
from steps.videos_protocol import Answer, Fault, Job, JobStatus, Order, Page
from tests.steps.scripted import Reply, Script, Seen, Server, answer, in_turn, scripted

KEY = "sk-a-key-of-some-length"
ORDER = Order("0b9c-run", "un barco ñ {{ 7*7 }}\nbajo la lluvia", "minimax/h3", 8, "720x1280", "multipart")
MADE = {"id": "video_1", "status": "queued"}
MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 1000


def go() -> None:
    """Still in time."""


@asynccontextmanager
async def partner(
    script: Script, request_seconds: float = 5, key: str = KEY
) -> AsyncIterator[tuple[Server, VideoProvider]]:
    async with (
        scripted(script) as server,
        open_provider(server.url, key, connect_seconds=1, request_seconds=request_seconds) as provider,
    ):
        yield server, provider


def form_of(seen: Seen) -> dict[str, str]:
    head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + seen.body).get_payload()
    assert isinstance(parts, list)
    found = {}
    for part in parts:
        assert isinstance(part, Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found[str(part.get_param("name", header="content-disposition"))] = content.decode()
    return found


@pytest.mark.asyncio
async def test_an_order_leaves_once_as_a_form_with_its_runs_id_as_key() -> None:
    async with partner(in_turn(answer(200, MADE))) as (server, provider):
        got = await provider.post(ORDER, go)
    assert got == Answer(200, json.dumps(MADE))
    [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/videos")
    assert seen.headers["idempotency-key"] == ORDER.run_id
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert form_of(seen) == ORDER.fields()


@pytest.mark.asyncio
async def test_a_server_that_wants_json_gets_json_with_seconds_as_text() -> None:
    order = Order(**{**vars(ORDER), "create_body": "json"})
    async with partner(in_turn(answer(200, MADE))) as (server, provider):
        await provider.post(order, go)
    [seen] = server.seen
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == order.run_id
    assert json.loads(seen.body) == order.fields()
    assert json.loads(seen.body)["seconds"] == "8"


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503])
async def test_no_status_makes_the_client_send_again(status: int) -> None:
    reply = answer(status, {"error": {"message": "no"}}, x_should_retry="true", retry_after="0")
    async with partner(in_turn(reply)) as (server, provider):
        got = await provider.post(ORDER, go)
    assert (got.status, len(server.seen)) == (status, 1)
    assert json.loads(got.body) == {"error": {"message": "no"}}


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    async with partner(in_turn(answer(status, "", location="/v1/elsewhere"))) as (server, provider):
        got = await provider.post(ORDER, go)
    assert (got.status, got.fault, len(server.seen)) == (status, None, 1)


HALF = Reply(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"id": "video_1"')


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(b""), id="hung up"),
        pytest.param(HALF, id="half an answer"),
        pytest.param(Reply(b"HTTP/1.1 200 OK\r\ncontent-le"), id="half a head"),
        pytest.param(Reply(b"220 mail.example ESMTP\r\n"), id="another protocol"),
        pytest.param(Reply(b"", then_hang=True), id="silence"),
        pytest.param(Reply(HALF.raw, then_hang=True), id="half, then silence"),
        pytest.param(answer(200, MADE, content_encoding="gzip"), id="broken compression"),
    ],
)
async def test_an_answer_lost_on_the_way_is_lost_and_asked_for_once(reply: Reply) -> None:
    async with partner(in_turn(reply), request_seconds=0.3) as (server, provider):
        got = await provider.post(ORDER, go)
    assert (got.status, got.fault, len(server.seen)) == (None, Fault.LOST, 1)


@pytest.mark.asyncio
async def test_an_answer_that_drips_is_lost_after_the_whole_time_not_after_each_drop() -> None:
    drip = Reply(answer(200, MADE).raw, drip=0.15)
    async with (
        scripted(in_turn(drip)) as server,
        open_provider(server.url, KEY, connect_seconds=1, request_seconds=0.5) as provider,
    ):
        got = await asyncio.wait_for(provider.post(ORDER, go), timeout=10)
    assert (got.fault, len(server.seen)) == (Fault.LOST, 1)


@pytest.mark.asyncio
async def test_a_refused_connection_was_never_made() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        async with open_provider(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", KEY) as provider:
            got = await provider.post(ORDER, go)
    assert (got.status, got.fault) == (None, Fault.NEVER_CONNECTED)


@pytest.mark.asyncio
async def test_a_failed_tls_handshake_was_never_a_connection() -> None:
    async with (
        scripted(in_turn(Reply(b"no tls here\r\n"))) as server,
        open_provider(server.url.replace("http:", "https:"), KEY, connect_seconds=1) as provider,
    ):
        got = await provider.post(ORDER, go)
    assert got.fault is Fault.NEVER_CONNECTED
    assert server.seen == []


@pytest.mark.asyncio
async def test_an_address_that_is_none_is_never_connected() -> None:
    async with open_provider("localhost:1/v1", KEY) as provider:
        got = await provider.post(ORDER, go)
    assert got.fault is Fault.NEVER_CONNECTED


def too_late_at(call: int) -> Callable[[], None]:
    calls = 0

    def before_send() -> None:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise TooLate

    return before_send


@pytest.mark.asyncio
@pytest.mark.parametrize("call", [1, 2])
async def test_too_late_sends_not_one_byte_even_if_the_time_ran_out_while_connecting(call: int) -> None:
    async with partner(in_turn(answer(200, MADE))) as (server, provider):
        got = await provider.post(ORDER, too_late_at(call))
        await asyncio.sleep(0.05)
        assert server.bytes_received == 0
    assert (got.status, got.fault) == (None, Fault.NEVER_SENT)


@pytest.mark.asyncio
async def test_a_key_that_no_header_can_carry_sends_nothing_and_is_not_repeated_in_words() -> None:
    async with partner(in_turn(answer(200, MADE)), key="sk-señor-secreto") as (server, provider):
        got = await provider.post(ORDER, go)
    assert got.fault is Fault.NEVER_SENT
    assert "secreto" not in got.body
    assert server.bytes_received == 0


@pytest.mark.asyncio
async def test_a_cancelled_purchase_is_cancelled_and_says_so() -> None:
    async with partner(in_turn(Reply(b"", then_hang=True))) as (server, provider):
        task = asyncio.ensure_future(provider.post(ORDER, go))
        while not server.seen:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_a_second_order_is_a_second_connection() -> None:
    """A kept-alive connection may be dead, and a purchase on it would be in doubt."""
    alive = Reply(answer(200, MADE).raw.replace(b"connection: close\r\n", b""), then_hang=True)
    async with partner(in_turn(alive)) as (server, provider):
        await provider.post(ORDER, go)
        await provider.post(ORDER, go)
    assert [seen.method for seen in server.seen] == ["POST", "POST"]


@pytest.mark.asyncio
async def test_plain_http_goes_around_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(in_turn(answer(200, MADE))) as trap, scripted(in_turn(answer(200, MADE))) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, trap.url)
        async with open_provider(server.url, KEY) as provider:
            await provider.post(ORDER, go)
            await provider.job("video_1")
    assert (trap.seen, len(server.seen)) == ([], 2)


@pytest.mark.asyncio
async def test_a_key_that_a_refusal_repeats_is_not_kept() -> None:
    refusal = answer(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
    async with partner(in_turn(refusal)) as (_, provider):
        got = await provider.post(ORDER, go)
        read = await provider.job("video_1")
    assert KEY not in got.body
    assert "[key]" in got.body
    assert isinstance(read, ReadError)
    assert KEY not in read.detail


@pytest.mark.asyncio
async def test_a_job_keeps_the_id_it_was_asked_for_by() -> None:
    reply = answer(200, {"id": "another", "status": "in_progress", "progress": 40})
    async with partner(in_turn(reply)) as (server, provider):
        seen = await provider.job("video_1/..")
    assert seen == Job("video_1/..", JobStatus.IN_PROGRESS, 40)
    assert server.seen[0].path == "/v1/videos/video_1%2F.."


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (answer(404, {"error": {"message": "no such video"}}), 404),
        (answer(429), 429),
        (answer(500, "<html>"), 500),
        (answer(302, "", location="/elsewhere"), 302),
        (answer(200, "not json"), 200),
        (answer(200, {"error": {"message": "try later"}}), 200),
        (Reply(b""), None),
        (HALF, None),
    ],
)
async def test_a_job_or_a_list_that_cannot_be_read_is_a_value(reply: Reply, status: int | None) -> None:
    async with partner(in_turn(reply)) as (server, provider):
        for read in (await provider.job("video_1"), await provider.page()):
            assert isinstance(read, ReadError)
            assert read.status == status
    assert len(server.seen) == 2


@pytest.mark.asyncio
async def test_a_page_is_asked_for_newest_first_and_after_the_last_id() -> None:
    reply = answer(200, {"data": [{"id": "a"}], "has_more": True, "last_id": "a"})
    async with partner(in_turn(reply)) as (server, provider):
        assert await provider.page() == Page((Job("a", JobStatus.UNKNOWN),), True, "a")
        await provider.page("a")
    first, second = (seen.path for seen in server.seen)
    assert "order=desc" in first
    assert "after" not in first
    assert "after=a" in second


@pytest.mark.asyncio
async def test_a_server_that_drips_keeps_no_read_longer_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.provider.CONTENT_SECONDS_MAX", 0.4)
    drip = Reply(answer(200, MADE).raw, drip=0.15)
    async with (
        scripted(in_turn(drip)) as server,
        open_provider(server.url, KEY, connect_seconds=0.1, request_seconds=0.3) as provider,
    ):
        reads = provider.job("video_1"), provider.page(), provider.content("video_1", tmp_path / "clip.part")
        got: list[object] = list(await asyncio.wait_for(asyncio.gather(*reads), timeout=2))
    assert got == [ReadError(None, "no whole answer in time")] * 3


@pytest.mark.asyncio
async def test_an_id_or_a_key_that_no_request_can_carry_is_a_read_error_without_the_key(tmp_path: Path) -> None:
    async with partner(in_turn(answer(200, MADE)), key="sk-señor-secreto") as (server, provider):
        got = [
            await provider.job("video_1"),
            await provider.page(),
            await provider.content("video_1", tmp_path / "clip.part"),
        ]
    assert got == [ReadError(None, "UnicodeEncodeError in the request")] * 3
    async with partner(in_turn(answer(200, MADE))) as (server, provider):
        assert await provider.job("..") == ReadError(None, "ValueError in the request")
    assert server.seen == []


@pytest.mark.asyncio
@pytest.mark.parametrize("location", ["", "//", "http://[bad", "ftp://storage.example/clip", "/v1/videos/v/content"])
async def test_a_clip_behind_a_redirect_to_nowhere_can_be_fetched_again(location: str, tmp_path: Path) -> None:
    async with partner(in_turn(answer(302, "", location=location))) as (_, provider):
        got = await provider.content("v", tmp_path / "clip.part")
    assert isinstance(got, ReadError)


@pytest.mark.asyncio
async def test_a_compressed_clip_is_stored_as_it_was(tmp_path: Path) -> None:
    squeezed = answer(200, gzip.compress(MP4), content_encoding="gzip")
    async with partner(in_turn(squeezed)) as (_, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert got == Content(len(MP4), hashlib.sha256(MP4).hexdigest())


@pytest.mark.asyncio
async def test_a_clip_arrives_whole_with_its_hash(tmp_path: Path) -> None:
    async with partner(in_turn(answer(200, MP4, content_type="video/mp4"))) as (server, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert got == Content(len(MP4), hashlib.sha256(MP4).hexdigest())
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
        pytest.param(answer(500), 500, id="broken"),
        pytest.param(answer(202), 202, id="not ready"),
        pytest.param(answer(403), 403, id="forbidden"),
        pytest.param(Reply(b""), None, id="hung up"),
    ],
)
async def test_what_is_not_a_whole_clip_can_be_fetched_again(reply: Reply, outcome: int | None, tmp_path: Path) -> None:
    async with partner(in_turn(reply)) as (_, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert isinstance(got, ReadError)
    assert got.status == outcome


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [404, 410])
async def test_content_that_is_gone_is_gone(status: int, tmp_path: Path) -> None:
    async with partner(in_turn(answer(status))) as (_, provider):
        assert await provider.content("video_1", tmp_path / "clip.part") == Gone(status)


@pytest.mark.asyncio
async def test_a_clip_is_followed_to_its_storage_without_the_key(tmp_path: Path) -> None:
    async with scripted(in_turn(answer(200, MP4))) as storage:
        away = answer(302, "", location=f"http://127.0.0.1:{storage.port}/signed?x=1")
        async with partner(in_turn(away)) as (_, provider):
            got = await provider.content("video_1", tmp_path / "clip.part")
    assert isinstance(got, Content)
    assert "authorization" not in storage.seen[0].headers


@pytest.mark.asyncio
async def test_a_clip_that_is_moved_on_the_same_host_is_fetched_with_the_key(tmp_path: Path) -> None:
    async with partner(in_turn(answer(307, "", location="/v2/clip"), answer(200, MP4))) as (server, provider):
        got = await provider.content("video_1", tmp_path / "clip.part")
    assert isinstance(got, Content)
    assert server.seen[1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
async def test_a_full_disk_is_not_a_read_error() -> None:
    async with partner(in_turn(answer(200, MP4))) as (_, provider):
        with pytest.raises(OSError, match="No space left"):
            await provider.content("video_1", Path("/dev/full"))
