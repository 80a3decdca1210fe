"""A provider's readings on the wire: they buy nothing, end, and never raise for what a server does."""

import pytest

from providers.job import Job, ListPage
from providers.openai_videos.protocol import OpenAIVideos
from providers.orders import Order
from providers.port import ReadError, Reading, Request
from providers.transport import READS_MAX, AlreadySent, open_provider
from tests.providers.scripted import answer, in_turn, scripted

KEY = "sk-a-key-of-some-length"
ORDER = Order("0b9c-run", "a paper boat", "minimax/h3", 8, "720x1280", "multipart")
MADE = {"id": "video_1", "status": "queued"}


class Buyer(OpenAIVideos):
    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        reply = yield self.create(ORDER)
        return ReadError(reply.status, "bought")


class Endless(OpenAIVideos):
    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        while True:
            yield Request("GET", f"{self.base_url}/videos/{job_id}")


@pytest.mark.asyncio
async def test_reading_that_would_buy_sends_nothing() -> None:
    async with (
        scripted(in_turn(answer(200, MADE))) as server,
        open_provider(server.url, KEY, api=Buyer(server.url)) as provider,
    ):
        with pytest.raises(AlreadySent):
            await provider.job("video_1")
    assert server.seen == []


@pytest.mark.asyncio
async def test_reading_that_never_ends_is_a_read_error() -> None:
    async with (
        scripted(in_turn(answer(200, MADE))) as server,
        open_provider(server.url, KEY, api=Endless(server.url)) as provider,
    ):
        got = await provider.job("video_1")
    assert got == ReadError(None, f"nothing after {READS_MAX} requests")
    assert len(server.seen) == READS_MAX


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 422])
async def test_rejected_page_size_is_retried_without_a_limit(status: int) -> None:
    refused = answer(status, {"error": {"message": "limit must be at most 50"}})
    replies = in_turn(refused, answer(200, {"data": [MADE], "has_more": False}))
    async with scripted(replies) as server, open_provider(server.url, KEY) as provider:
        page = await provider.page()
    assert isinstance(page, ListPage) and [job.job_id for job in page.jobs] == ["video_1"]
    assert [("limit=" in seen.path) for seen in server.seen] == [True, False]
