"""The provider's four calls on the wire: what is sent, how often, and what each kind of failure becomes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from net.caching import FROM_A_CACHE
from providers.job import Job, JobStatus, ListPage
from providers.orders import Answer, Fault, Order
from providers.port import ReadError
from providers.transport import TooLate, VideoProvider, open_provider
from providers.vendors.kling import Kling
from tests.providers.scripted import Reply, Script, Seen, Server, answer, in_turn, scripted

KEY = "sk-a-key-of-some-length"
PAIR = "access:secret-of-a-pair"
ORDER = Order("0b9c-run", "un barco ñ {{ 7*7 }}\nbajo la lluvia", "minimax/h3", 8, "720x1280", "multipart")
MADE = {"id": "video_1", "status": "queued"}


def go() -> None:
    """Still in time."""


@asynccontextmanager
async def partner(
    script: Script, request_seconds: float = 60, key: str = KEY
) -> AsyncIterator[tuple[Server, VideoProvider]]:
    async with (
        scripted(script) as server,
        open_provider(server.url, key, connect_seconds=60, request_seconds=request_seconds) as provider,
    ):
        yield server, provider


async def arrived(server: Server) -> list[Seen]:
    """The requests that reached the server. It may read the first one only after the client has given up."""
    async with asyncio.timeout(60):
        while not server.seen:
            await asyncio.sleep(0.01)
    return server.seen


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
async def test_order_is_posted_once_as_a_form_with_the_run_id_as_idempotency_key() -> None:
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
async def test_json_order_sends_seconds_as_text() -> None:
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
async def test_order_is_not_resent_on_any_error_status(status: int) -> None:
    reply = answer(status, {"error": {"message": "no"}}, x_should_retry="true", retry_after="0")
    async with partner(in_turn(reply)) as (server, provider):
        got = await provider.post(ORDER, go)
    assert (got.status, len(server.seen)) == (status, 1)
    assert json.loads(got.body) == {"error": {"message": "no"}}


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_order_redirect_is_not_followed(status: int) -> None:
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
        pytest.param(answer(200, b"\x1f\x8b\x08" + bytes(99), content_encoding="gzip"), id="broken compression"),
    ],
)
async def test_lost_answer_is_reported_and_the_order_is_sent_once(reply: Reply) -> None:
    async with partner(in_turn(reply), request_seconds=0.5 if reply.then_hang else 60) as (server, provider):
        got = await provider.post(ORDER, go)
        seen = await arrived(server)
    assert (got.status, got.fault, len(seen)) == (None, Fault.LOST, 1)


@pytest.mark.asyncio
async def test_request_timeout_covers_the_whole_answer_not_each_read() -> None:
    drip = Reply(answer(200, MADE).raw, drip=0.15)
    async with (
        scripted(in_turn(drip)) as server,
        open_provider(server.url, KEY, connect_seconds=3, request_seconds=1) as provider,
    ):
        got = await provider.post(ORDER, go)  # a whole answer would take twenty seconds
        seen = await arrived(server)
    assert (got.fault, len(seen)) == (Fault.LOST, 1)


@pytest.mark.asyncio
async def test_refused_connection_is_never_connected() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        async with open_provider(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", KEY) as provider:
            got = await provider.post(ORDER, go)
    assert (got.status, got.fault) == (None, Fault.NEVER_CONNECTED)


@pytest.mark.asyncio
async def test_failed_tls_handshake_is_never_connected() -> None:
    async with (
        scripted(in_turn(Reply(b"no tls here\r\n"))) as server,
        open_provider(server.url.replace("http:", "https:"), KEY, connect_seconds=1) as provider,
    ):
        got = await provider.post(ORDER, go)
    assert got.fault is Fault.NEVER_CONNECTED
    assert server.seen == []


@pytest.mark.asyncio
async def test_invalid_base_url_is_never_connected() -> None:
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
async def test_expired_deadline_sends_nothing_even_if_it_passes_while_connecting(call: int) -> None:
    async with partner(in_turn(answer(200, MADE))) as (server, provider):
        got = await provider.post(ORDER, too_late_at(call))
        await asyncio.sleep(0.05)
        assert server.bytes_received == 0
    assert (got.status, got.fault) == (None, Fault.NEVER_SENT)


@pytest.mark.asyncio
async def test_non_ascii_key_sends_nothing_and_is_not_shown_in_the_error() -> None:
    async with partner(in_turn(answer(200, MADE)), key="sk-señor-secreto") as (server, provider):
        got = await provider.post(ORDER, go)
    assert got.fault is Fault.NEVER_SENT
    assert "secreto" not in got.body
    assert server.bytes_received == 0


@pytest.mark.asyncio
async def test_canceled_order_raises_cancelled_error() -> None:
    async with partner(in_turn(Reply(b"", then_hang=True))) as (server, provider):
        task = asyncio.ensure_future(provider.post(ORDER, go))
        while not server.seen:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_each_order_uses_a_new_connection() -> None:
    """A kept-alive connection may be dead, and a purchase on it would be in doubt."""
    alive = Reply(answer(200, MADE).raw.replace(b"connection: close\r\n", b""), then_hang=True)
    async with partner(in_turn(alive)) as (server, provider):
        await provider.post(ORDER, go)
        await provider.post(ORDER, go)
    assert [seen.method for seen in server.seen] == ["POST", "POST"]


@pytest.mark.asyncio
async def test_http_requests_ignore_proxy_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(in_turn(answer(200, MADE))) as trap, scripted(in_turn(answer(200, MADE))) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, trap.url)
        async with open_provider(server.url, KEY) as provider:
            await provider.post(ORDER, go)
            await provider.job("video_1")
    assert (trap.seen, len(server.seen)) == ([], 2)


@pytest.mark.asyncio
async def test_key_echoed_in_a_refusal_is_masked() -> None:
    refusal = answer(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
    async with partner(in_turn(refusal)) as (_, provider):
        got = await provider.post(ORDER, go)
        read = await provider.job("video_1")
    assert KEY not in got.body
    assert "[key]" in got.body
    assert isinstance(read, ReadError) and KEY not in read.detail


@pytest.mark.asyncio
async def test_secret_and_tokens_of_a_pair_of_keys_are_masked_in_a_refusal() -> None:
    def echo(seen: Seen) -> Reply:
        return answer(401, {"code": 1002, "message": f"{seen.headers['authorization']} of secret-of-a-pair is invalid"})

    async with scripted(echo) as server, open_provider(server.url, PAIR, api=Kling(server.url)) as kling:
        got, read = await kling.post(ORDER, go), await kling.job("1")
    words = "Bearer [key] of [key] is invalid"
    assert (json.loads(got.body)["message"], read) == (words, ReadError(401, words))


@pytest.mark.asyncio
async def test_job_read_keeps_the_requested_id_and_rejects_another() -> None:
    reply = answer(200, {"id": "video_1/..", "status": "in_progress", "progress": 40})
    another = answer(200, {"id": "another", "status": "in_progress", "progress": 40})
    async with partner(in_turn(reply, another)) as (server, provider):
        seen = await provider.job("video_1/..")
        other = await provider.job("video_1/..")
    assert seen == Job("video_1/..", JobStatus.IN_PROGRESS, 40)
    assert isinstance(other, ReadError) and "does not name the job" in other.detail
    assert server.seen[0].path == "/v1/videos/video_1%2F.."


@pytest.mark.asyncio
async def test_job_in_an_error_body_counts_only_with_its_id() -> None:
    failed = {"status": "failed", "error": None}
    async with partner(in_turn(answer(500, failed), answer(500, failed | {"id": "video_1"}))) as (_, provider):
        unnamed, named = [await provider.job("video_1") for _ in range(2)]
    assert isinstance(unnamed, ReadError) and unnamed.status == 500
    assert named == Job("video_1", JobStatus.FAILED)


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
async def test_unreadable_job_or_list_returns_a_read_error(reply: Reply, status: int | None) -> None:
    async with partner(in_turn(reply)) as (server, provider):
        for read in (await provider.job("video_1"), await provider.page()):
            assert isinstance(read, ReadError)
            assert read.status == status
    assert len(server.seen) == 2


@pytest.mark.asyncio
async def test_list_is_requested_newest_first_and_after_the_last_id() -> None:
    reply = answer(200, {"data": [{"id": "a"}], "has_more": True, "last_id": "a"})
    async with partner(in_turn(reply)) as (server, provider):
        assert await provider.page() == ListPage((Job("a", JobStatus.UNKNOWN),), True, "a")
        await provider.page("a")
    first, second = (seen.path for seen in server.seen)
    assert "order=desc" in first
    assert "after" not in first
    assert "after=a" in second


@pytest.mark.asyncio
async def test_slowly_dripping_reads_time_out_as_read_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.transport.CONTENT_SECONDS_MAX", 4)
    drip = Reply(answer(200, MADE).raw, drip=0.15)
    async with (
        scripted(in_turn(drip)) as server,
        open_provider(server.url, KEY, connect_seconds=2, request_seconds=2) as provider,
    ):
        reads = provider.job("video_1"), provider.page(), provider.content("video_1", tmp_path / "clip.part")
        got: list[object] = list(await asyncio.gather(*reads))  # a whole answer would take twenty seconds
    assert got == [ReadError(None, "no complete answer in time")] * 3


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Debug: authorization=Bearer " + KEY.encode() + b"\x01\x00\r\n",
        b"HTTP/1.1 302 -\r\nLocation: http://cdn.example/v?X-Amz-Signature=" + KEY.encode() + b"\x00\r\n",
        b"HTTP/1.1 Bearer " + KEY.encode() + b"\r\n",
    ],
    ids=["echoed", "signed", "no status"],
)
async def test_broken_response_headers_are_not_kept_in_the_error(head: bytes, tmp_path: Path) -> None:
    """Nor is the key in its quoted form, with its backslashes doubled."""
    async with partner(in_turn(Reply(head + b"Content-Length: 0\r\n\r\n"))) as (_, provider):
        bought = await provider.post(ORDER, lambda: None)
        reads = [await provider.job("v"), await provider.page(), await provider.content("v", tmp_path / "c")]
    assert (bought.status, bought.body, bought.fault) == (None, "RemoteProtocolError", Fault.LOST)
    assert reads == [ReadError(None, "RemoteProtocolError")] * 3


@pytest.mark.asyncio
async def test_unsendable_id_or_key_is_a_read_error_without_the_key(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("name", "told", "attempts"),
    [
        ("x-litellm-attempted-retries", "2", 2),
        ("x-litellm-attempted-fallbacks", "1", 1),
        ("x-portkey-retry-attempt-count", "0", 0),
        ("x-portkey-retry-attempt-count", "1", 1),
        ("x-portkey-retry-attempt-count", "-1", 1),
        ("Ngrok-AIG-Attempts", "1", 0),
        ("Ngrok-AIG-Attempts", "3", 2),
        ("x-envoy-attempt-count", "1", 0),
        ("x-envoy-attempt-count", "2", 1),
        ("x-envoy-attempt-count", "0", 0),
        ("x-envoy-attempt-count", "9" * 5000, 1),
        ("cf-aig-step", "0", 0),
        ("cf-aig-step", "1", 1),
        ("cf-aig-step", "fallback", 1),
        ("cf-aig-step", "", 1),
        ("x-other-attempts", "7", 0),
    ],
)
async def test_gateway_retries_are_counted_from_response_headers(name: str, told: str, attempts: int) -> None:
    async with partner(in_turn(answer(400, {"error": {"message": "no"}}, **{name: told}))) as (_, provider):
        assert (await provider.post(ORDER, go)).attempts == attempts


@pytest.mark.asyncio
async def test_cached_job_failure_is_a_read_error_not_a_failed_job() -> None:
    failed = {"id": "video_1", "object": "video", "status": "failed"}
    replies = [answer(200, failed, age="17"), answer(422, failed, age="17"), answer(200, failed, age="0")]
    replies.append(answer(200, failed | {"status": "queued"}, age="17"))
    async with partner(in_turn(*replies)) as (server, provider):
        shown = [await provider.job("video_1") for _ in replies]
    assert shown[:2] == [ReadError(200, FROM_A_CACHE), ReadError(422, FROM_A_CACHE)]
    assert [each.status for each in shown[2:] if isinstance(each, Job)] == [JobStatus.FAILED, JobStatus.QUEUED]
    assert {seen.headers["cache-control"] for seen in server.seen} == {"no-cache"}
