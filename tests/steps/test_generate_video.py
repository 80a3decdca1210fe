"""Waiting for a render, and fetching it: failed reads are repeated, and only clear answers end a wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.clip_file import Facts, Kind
from providers.job import Job, JobStatus
from providers.orders import Answer, Order
from providers.port import ReadError
from providers.transport import VideoProvider, open_provider
from steps.generate_video import (
    POLL_SECONDS_MAX,
    POLL_SECONDS_MIN,
    Clip,
    Missing,
    Rendered,
    SaysFailed,
    StillRendering,
    fetch,
    poll_delay,
    submit,
    wait,
)
from tests.media.builders import mp4
from tests.providers.scripted import Reply, Server, answer, in_turn, scripted

DONE = Job("v", JobStatus.COMPLETED)
MP4 = mp4()


@dataclass
class Clockwork:
    """A clock that advances only by sleeping."""

    now: float = 0
    slept: list[float] = field(default_factory=list)
    progress: list[int | None] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def looked(self, job: Job) -> None:
        self.progress.append(job.progress)


@asynccontextmanager
async def partner(*replies: Reply) -> AsyncIterator[tuple[Server, VideoProvider]]:
    async with scripted(in_turn(*replies)) as server, open_provider(server.url, "k") as provider:
        yield server, provider


def job(status: str, **more: object) -> Reply:
    return answer(200, {"id": "v", "object": "video", "status": status, **more})


async def waited(
    provider: VideoProvider,
    time: Clockwork,
    *,
    expected: float = 60,
    elapsed: float = 0,
    deadline: float = 600,
    poll: float | None = None,
    failing: str | None = None,
) -> Rendered | SaysFailed | StillRendering:
    return await wait(
        "v",
        provider,
        expected_seconds=expected,
        elapsed_seconds=elapsed,
        deadline_seconds=deadline,
        poll_seconds=poll,
        looked=time.looked,
        clock=time.clock,
        sleep=time.sleep,
        jitter=lambda: 0.5,
        failing_words=failing,
    )


@given(st.floats(0, 10_000), st.floats(0, 10_000), st.floats(0, 1), st.integers(0, 5_000))
def test_poll_delay_is_2_to_15_seconds_after_half_the_expected_time(
    expected: float, elapsed: float, jitter: float, unread: int
) -> None:
    delay = poll_delay(expected, elapsed, jitter, unread)
    if elapsed < expected / 2:
        assert delay == max(0.05, expected / 2 - elapsed)
    else:
        assert POLL_SECONDS_MIN <= delay <= POLL_SECONDS_MAX


def test_poll_delay_has_jitter_and_grows_with_failed_reads() -> None:
    assert poll_delay(60, 60, 0.0) < poll_delay(60, 60, 1.0)
    assert [poll_delay(40, 60, 0.5, unread) for unread in range(4)] == [4, 8, 15, 15]


@pytest.mark.asyncio
async def test_first_poll_is_after_half_the_expected_time() -> None:
    time = Clockwork()
    async with partner(job("completed")) as (server, provider):
        assert await waited(provider, time) == Rendered(DONE)
    assert time.now == 30
    assert len(server.seen) == 1


@pytest.mark.asyncio
async def test_resumed_wait_past_half_time_polls_after_the_normal_interval() -> None:
    time = Clockwork()
    async with partner(job("completed")) as (_, provider):
        await waited(provider, time, elapsed=50)
    assert time.now == pytest.approx(6)


@pytest.mark.asyncio
async def test_wait_reports_each_look_that_shows_the_job_unfinished() -> None:
    time = Clockwork()
    replies = (job("queued"), answer(500), job("in_progress", progress=40), job("completed"))
    async with partner(*replies) as (_, provider):
        await waited(provider, time)
    assert time.progress == [None, 40]


@pytest.mark.asyncio
async def test_job_read_errors_do_not_end_the_wait() -> None:
    errors = [answer(404), answer(500), answer(401), Reply(b""), answer(200, "garbage"), job("warming_up")]
    time = Clockwork()
    async with partner(*errors, job("completed")) as (server, provider):
        assert await waited(provider, time) == Rendered(DONE)
    assert len(server.seen) == 7


@pytest.mark.asyncio
async def test_failed_render_keeps_the_providers_error_message() -> None:
    failed = job("failed", error={"code": "moderation", "message": "the frame was refused"})
    gave_up = job("expired", progress=40)
    async with partner(failed, job("failed"), gave_up, job("expired")) as (_, provider):
        details = [await waited(provider, Clockwork()) for _ in range(4)]
    assert [each.detail for each in details if isinstance(each, SaysFailed)] == [
        "the frame was refused",
        "the provider gave no reason",
        "the provider gave no reason",
        "the provider says that the clip has expired",
    ]


@pytest.mark.asyncio
async def test_failure_counts_only_if_the_body_names_the_job() -> None:
    busy = answer(200, {"status": "error", "message": "upstream busy"})
    nameless = answer(200, {"object": "video", "model": "wan", "status": "failed"})
    other = answer(200, {"id": "w", "object": "video", "status": "failed"})
    errors = [busy, nameless, other, answer(500, {"object": "video", "status": "failed"})]
    async with partner(*errors, job("completed")) as (server, provider):
        assert await waited(provider, Clockwork()) == Rendered(DONE)
    assert len(server.seen) == 5


@pytest.mark.asyncio
@pytest.mark.parametrize("word", ["error", "failed", "expired"])
async def test_error_that_only_echoes_the_job_id_is_not_a_failed_job(word: str) -> None:
    echo = answer(200, {"id": "v", "status": word, "error": {"message": "upstream request failed"}})
    async with partner(echo, echo, echo, job("completed")) as (server, provider):
        assert await waited(provider, Clockwork()) == Rendered(DONE)
    assert len(server.seen) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [422, 500])
async def test_failed_job_in_an_error_response_is_read(status: int) -> None:
    """vLLM-Omni shows failed jobs this way."""
    body = {"id": "v", "model": "wan", "status": "failed", "error": {"message": "oom"}, "created_at": 1790000000}
    async with partner(answer(status, body)) as (_, provider):
        ended = await waited(provider, Clockwork())
    assert isinstance(ended, SaysFailed) and ended.detail == "oom"


@pytest.mark.asyncio
async def test_not_found_ends_the_wait_only_after_an_earlier_reported_failure() -> None:
    async with partner(answer(404), job("completed")) as (_, provider):
        assert await waited(provider, Clockwork()) == Rendered(DONE)
    async with partner(answer(404)) as (_, provider):
        ended = await waited(provider, Clockwork(), failing="the frame was refused")
    assert isinstance(ended, SaysFailed) and ended.detail == "the frame was refused"


@pytest.mark.asyncio
async def test_deadline_result_records_whether_the_last_poll_found_the_job() -> None:
    for reply, not_found in ((answer(404), True), (answer(410), True), (answer(500), False), (job("queued"), False)):
        async with partner(reply) as (_, provider):
            ended = await waited(provider, Clockwork(), deadline=0)
            assert isinstance(ended, StillRendering)
            assert ended.not_found is not_found


@pytest.mark.asyncio
async def test_wait_past_the_deadline_returns_still_rendering() -> None:
    time = Clockwork()
    async with partner(job("in_progress")) as (_, provider):
        assert await waited(provider, time, deadline=100) == StillRendering(Job("v", JobStatus.IN_PROGRESS))
    assert time.now == pytest.approx(100)


@pytest.mark.asyncio
async def test_wait_without_time_left_polls_once() -> None:
    time = Clockwork()
    async with partner(job("in_progress")) as (server, provider):
        assert await waited(provider, time, deadline=0) == StillRendering(Job("v", JobStatus.IN_PROGRESS))
    assert (time.slept, len(server.seen)) == ([], 1)


@pytest.mark.asyncio
async def test_deadline_result_reflects_only_the_last_poll() -> None:
    async with partner(job("in_progress"), answer(500)) as (_, provider):
        assert await waited(provider, Clockwork(), deadline=100) == StillRendering(error=ReadError(500, "HTTP 500"))


@pytest.mark.asyncio
async def test_configured_poll_interval_is_used() -> None:
    time = Clockwork()
    async with partner(job("queued"), answer(500), job("completed")) as (_, provider):
        await waited(provider, time, poll=0.5)
    assert time.slept == [0.5, 0.5, 0.5]


@pytest.mark.asyncio
async def test_fetch_returns_clip_missing_or_read_error(tmp_path: Path) -> None:
    into = tmp_path / "clip.part"
    async with partner(answer(200, MP4), answer(404), answer(410), answer(500)) as (_, provider):
        clip = await fetch(DONE, provider, into)
        assert isinstance(clip, Clip)
        assert (clip.path, clip.bytes, clip.facts) == (into, len(MP4), Facts(Kind.MP4, 720, 1280, 8.0))
        assert [await fetch(DONE, provider, into) for _ in range(2)] == [Missing(404, ""), Missing(410, "")]
        assert isinstance(await fetch(DONE, provider, into), ReadError)


@pytest.mark.asyncio
async def test_submit_sends_one_order() -> None:
    order = Order("r", "p", "m", 4, "720x1280", "json")
    async with partner(answer(500)) as (server, provider):
        assert await submit(order, provider, lambda: None) == Answer(500, "")
    assert len(server.seen) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_clip_missing_at_content_is_fetched_from_the_jobs_url_without_the_key(
    status: int, tmp_path: Path
) -> None:
    async with scripted(in_turn(answer(200, MP4))) as storage, partner(answer(status)) as (_, provider):
        clip = await fetch(replace(DONE, urls=(f"http://127.0.0.1:{storage.port}/v.mp4",)), provider, tmp_path / "c")
    assert isinstance(clip, Clip)
    assert "authorization" not in storage.seen[0].headers


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("at_content", "at_url", "outcome"),
    [
        (answer(404, {"error": {"message": "no such video"}}), answer(410), Missing(404, "no such video")),
        (answer(404), answer(503), ReadError(503, "HTTP 503")),
        (answer(500), answer(200, MP4), ReadError(500, "HTTP 500")),
        (answer(501), answer(404), ReadError(501, "HTTP 501")),
    ],
    ids=["absent in both", "address out of order", "content only postponed", "not served, and absent"],
)
async def test_clip_url_is_tried_only_if_content_is_absent_or_unsupported(
    at_content: Reply, at_url: Reply, outcome: Missing | ReadError, tmp_path: Path
) -> None:
    async with scripted(in_turn(at_url)) as storage, partner(at_content) as (_, provider):
        job = replace(DONE, urls=(f"http://127.0.0.1:{storage.port}/v.mp4",))
        assert await fetch(job, provider, tmp_path / "c") == outcome


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "replies",
    [
        pytest.param((answer(200, b"\xff\xd8 a picture"), answer(200, MP4)), id="a picture first"),
        pytest.param((answer(410), answer(200, MP4)), id="a link that has expired first"),
        pytest.param((answer(503), answer(200, MP4)), id="a server out of order first"),
    ],
)
async def test_each_clip_url_of_a_job_is_tried_in_turn(replies: tuple[Reply, ...], tmp_path: Path) -> None:
    async with scripted(in_turn(*replies)) as storage, partner(answer(404)) as (_, provider):
        base = f"http://127.0.0.1:{storage.port}"
        clip = await fetch(replace(DONE, urls=(f"{base}/a", f"{base}/b")), provider, tmp_path / "c")
    assert isinstance(clip, Clip)
    assert [seen.path for seen in storage.seen] == ["/a", "/b"]


@pytest.mark.asyncio
async def test_clip_is_missing_even_if_one_url_serves_a_thumbnail(tmp_path: Path) -> None:
    async with (
        scripted(in_turn(answer(404), answer(200, b"\xff\xd8"))) as storage,
        partner(answer(404)) as (_, provider),
    ):
        base = f"http://127.0.0.1:{storage.port}"
        got = await fetch(replace(DONE, urls=(f"{base}/a", f"{base}/b.jpg")), provider, tmp_path / "c")
    assert isinstance(got, Missing)


@pytest.mark.asyncio
async def test_clip_url_in_a_json_content_response_is_followed_without_the_key(tmp_path: Path) -> None:
    async with scripted(in_turn(answer(200, MP4))) as storage:
        link = {"url": f"http://127.0.0.1:{storage.port}/v.mp4?sig=0123456789"}
        async with partner(answer(200, link)) as (_, provider):
            clip = await fetch(DONE, provider, tmp_path / "c")
    assert isinstance(clip, Clip)
    assert "authorization" not in storage.seen[0].headers


@pytest.mark.asyncio
async def test_secrets_of_a_broken_clip_url_are_removed_from_the_detail(tmp_path: Path) -> None:
    async with scripted(in_turn(answer(404))) as storage:
        link = {"url": f"http://127.0.0.1:{storage.port}/tok-secret0123456789/v.mp4?X-Amz-Signature=secret0123"}
        async with partner(answer(200, link)) as (_, provider):
            got = await fetch(DONE, provider, tmp_path / "c")
    assert isinstance(got, ReadError)
    assert got.detail.startswith("not a video; it begins:") and "secret" not in got.detail
