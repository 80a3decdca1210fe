"""Luma's double, asked as Luma is asked, and bought from by the product's own module."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from providers.job import Job, JobStatus, ListPage
from providers.list_jobs import look
from providers.order_match import is_marked, is_order_of
from providers.orders import ClearNo, Made, Order, Unclear
from providers.transport import VideoProvider
from providers.transport import open_provider as open_client
from providers.vendors.luma import Luma
from tests.simulator.conftest import Open, Provider
from tests.simulator.providers.receiving import receiving

GENERATIONS = "/luma/dream-machine/v1/generations"
FOX: dict[str, Any] = {
    "model": "ray-2",
    "prompt": "a red fox in the rain",
    "duration": "5s",
    "aspect_ratio": "9:16",
    "resolution": "720p",
}
INPUT = {"duration": "5s", "aspect_ratio": "9:16", "resolution": "720p"}
ORDER = Order("run-1", FOX["prompt"], "ray-2", 5, "720x1280", "json", "luma", INPUT)


def nothing() -> None:
    """Nothing happens on the last line before sending."""


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[VideoProvider]:
    base = f"{provider.root}/luma"
    async with open_client(base, "tests", api=Luma(base)) as opened:
        yield opened


async def bought(client: VideoProvider, order: Order = ORDER) -> str:
    meant = client.api.read_answer(await client.post(order, nothing), refuses_429=False)
    assert isinstance(meant, Made), meant
    return meant.job.job_id


async def shown(client: VideoProvider, job_id: str) -> Job:
    job = await client.job(job_id)
    assert isinstance(job, Job), job
    return job


async def test_order_is_made_and_its_generation_shows_the_clip(provider: Provider) -> None:
    status, made = await provider.ask("POST", f"{GENERATIONS}/video", json=FOX)
    assert (status, made["request"]) == (201, FOX | {"generation_type": "video"})
    _, done = await provider.ask("GET", f"{GENERATIONS}/{made['id']}")
    assert (done["id"], done["state"], done["failure_reason"]) == (made["id"], "completed", None)
    path = done["assets"]["video"].removeprefix(provider.root)
    status, clip, _ = await provider.raw("GET", path, headers={"Authorization": ""})
    assert status == 200 and clip[4:8] == b"ftyp"
    entry = (await provider.books())["creates"][0]
    assert (entry["provider"], entry["model"], entry["size"]) == ("luma", "ray-2", "720x1280")
    assert entry["charged_microusd"] == 500_000


async def test_our_module_buys_and_finds_its_job_by_the_callbacks_token(client: VideoProvider) -> None:
    told = replace(ORDER, callback_url="https://bot.example/callbacks/luma/t0ken")
    job_id = await bought(client, told)
    await bought(client)
    job = await shown(client, job_id)
    assert (job.status, len(job.urls), is_order_of(job, told)) == (JobStatus.COMPLETED, 1, True)
    seen = await look(client)
    assert seen.complete and [each.job_id for each in seen.jobs if is_marked(each, told)] == [job_id]


async def test_generation_is_seen_to_wait(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=60) as slow:
        base = f"{slow.root}/luma"
        async with open_client(base, "tests", api=Luma(base)) as client:
            job_id = await bought(client)
            job, page = await shown(client, job_id), await client.page()
    assert (job.word, job.status, job.urls, job.exists) == ("queued", JobStatus.QUEUED, (), True)
    assert isinstance(page, ListPage) and page.jobs[0].running


async def test_failed_generation_says_why(provider: Provider, client: VideoProvider) -> None:
    await provider.trouble("render", "fails", message="Contains blacklisted words")
    job = await shown(client, await bought(client))
    assert (job.status, job.refuses_content(job.error or "")) == (JobStatus.FAILED, True)


@pytest.mark.parametrize(
    ("fault", "habits", "why"),
    [
        ({}, {}, ""),
        ({}, {"has_more": "missing"}, ""),
        ({}, {"page_size": 2}, ""),
        ({}, {"list_order": "oldest_first"}, ""),
        ({}, {"list_order": "shuffled"}, "rows_out_of_order"),
        ({}, {"odd_rows": ["string"]}, ""),
        ({"kind": "shifted", "count": 5}, {}, ""),
        ({"kind": "skipped", "count": 9}, {}, ""),
        ({"kind": "skipped", "count": 10}, {}, "pages_leave_a_gap"),
        ({"kind": "empty"}, {}, "pages_leave_a_gap"),
        ({"kind": "repeated_page"}, {}, "repeated_page"),
    ],
)
async def test_look_is_complete_only_if_no_row_can_be_missing(
    provider: Provider, client: VideoProvider, fault: dict[str, Any], habits: dict[str, Any], why: str
) -> None:
    for place in range(30):
        other = {"provider": "luma", "input": FOX, "prompt": FOX["prompt"], "created_at_offset": place - 60}
        assert (await provider.ask("POST", "/_sim/jobs", json=other))[0] == 200
    await provider.habit(**{"page_size": 20, **habits})
    if fault:
        await provider.trouble("list", "slow", seconds=0)  # the first page is as it should be
        await provider.trouble("list", **fault)
    seen = await look(client)
    assert (seen.why_incomplete, seen.complete) == (why, why == "")
    assert why or len({job.job_id for job in seen.jobs}) >= 30


async def test_list_has_limits_and_offsets(provider: Provider) -> None:
    for _ in range(3):
        await provider.ask("POST", f"{GENERATIONS}/video", json=FOX)
    _, page = await provider.ask("GET", f"{GENERATIONS}?limit=2&offset=1")
    told = (page["count"], page["limit"], page["offset"], page["has_more"])
    assert told == (2, 2, 1, False)
    assert [row["id"] for row in page["generations"]] == [job["id"] for job in (await provider.truth())[1::-1]]
    assert (await provider.ask("GET", f"{GENERATIONS}?limit=0"))[1]["limit"] == 1
    assert (await provider.ask("GET", f"{GENERATIONS}?limit=1000"))[1]["limit"] == 100
    for query in ("limit=x", "offset=-1", "offset=1.5"):
        assert (await provider.ask("GET", f"{GENERATIONS}?{query}"))[0] == 422


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"prompt": None}, 400, "Prompt is required"),
        ({"prompt": "ab"}, 400, "Prompt is too short, minimum length is 3 characters"),
        ({"prompt": "a" * 5_001}, 400, "Prompt is too long, maximum length is 5000 characters"),
        ({"prompt": "provider-refuse"}, 400, "Advanced prompt moderation failed"),
        ({"model": None}, 422, [{"loc": ["body", "model"], "msg": "Field required", "type": "missing"}]),
    ],
)
async def test_order_that_does_not_fit_is_refused(
    provider: Provider, changes: dict[str, Any], status: int, detail: object
) -> None:
    assert await provider.ask("POST", f"{GENERATIONS}/video", json=FOX | changes) == (status, {"detail": detail})
    assert (await provider.books())["creates"][0]["charged_microusd"] == 0


async def test_our_module_reads_its_refusals(provider: Provider, client: VideoProvider) -> None:
    answers = [await client.post(replace(ORDER, prompt="provider-refuse"), nothing)]
    answers.append(await client.post(replace(ORDER, prompt="ab"), nothing))
    for status in (402, 429, 503):
        await provider.trouble("create", "status", status=status)
        answers.append(await client.post(ORDER, nothing))
    meant = [client.api.read_answer(answer, refuses_429=False) for answer in answers]
    assert [(type(each), each.reason) for each in meant if not isinstance(each, Made)] == [
        (ClearNo, "prompt_refused"),
        (ClearNo, "bad_request"),
        (ClearNo, "no_credit"),
        (Unclear, "rate_limited"),
        (Unclear, "http_503"),
    ]


async def test_callback_at_the_end_is_the_generation(provider: Provider) -> None:
    async with receiving() as receiver:
        _, made = await provider.ask("POST", f"{GENERATIONS}/video", json=FOX | {"callback_url": receiver.url})
        told = json.loads((await receiver.next()).body)
    assert (told["id"], told["state"], told["request"]["callback_url"]) == (made["id"], "completed", receiver.url)
