"""Ark's double, asked as Ark is asked, and bought from by the product's own module."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from providers.job import Job, JobStatus, ListPage
from providers.order_match import is_marked
from providers.orders import ClearNo, Made, Order, Unclear
from providers.port import Scope
from providers.transport import VideoProvider
from providers.transport import open_provider as open_client
from providers.vendors.ark import Ark
from tests.simulator.conftest import Open, Provider

TASKS = "/ark/contents/generations/tasks"
MODEL = "dreamina-seedance-2-0-260128"
FOX: dict[str, Any] = {
    "model": MODEL,
    "content": [{"type": "text", "text": "a red fox in the rain"}],
    "resolution": "720p",
    "ratio": "9:16",
    "duration": 5,
    "seed": 7,
    "execution_expires_after": 5_001,
}
INPUT = {"resolution": "720p", "ratio": "9:16", "duration": 5}
ORDER = Order("run-1", "a red fox in the rain", MODEL, 5, "720x1280", "json", "ark", INPUT)


async def create(provider: Provider, **changes: Any) -> tuple[int, Any]:
    return await provider.ask("POST", TASKS, json=FOX | changes)


async def listed(provider: Provider, query: str = "") -> Any:
    status, body = await provider.ask("GET", f"{TASKS}?page_size=500{query}")
    assert status == 200, body
    return body


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[VideoProvider]:
    base = f"{provider.root}/ark"
    async with open_client(base, "tests", api=Ark(base)) as opened:
        yield opened


async def test_order_is_made_and_its_task_shows_the_clip_and_no_prompt(provider: Provider) -> None:
    status, made = await create(provider)
    assert status == 200 and set(made) == {"id"} and made["id"].startswith("cgt-")
    status, task = await provider.ask("GET", f"{TASKS}/{made['id']}")
    assert (status, task["id"], task["status"]) == (200, made["id"], "succeeded")
    assert task["execution_expires_after"] == 5_001
    assert (task["duration"], task["ratio"], task["resolution"]) == (5, "9:16", "720p")
    assert "a red fox" not in json.dumps(task)
    status, clip, _ = await provider.raw("GET", task["content"]["video_url"].removeprefix(provider.root))
    assert status == 200 and clip[4:8] == b"ftyp"


@pytest.mark.parametrize(("model", "same"), [("seedance-1-0-pro-250528", True), (MODEL, False)])
async def test_seed_is_the_orders_at_the_first_models_only(provider: Provider, model: str, same: bool) -> None:
    _, made = await create(provider, model=model)
    assert ((await listed(provider))["items"][0]["seed"] == 7) is same
    assert made["id"] == (await listed(provider))["items"][0]["id"]


async def test_unfinished_and_failed_tasks_show_the_expiry_but_no_seed(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=60) as slow:
        await create(slow)
        queued = (await listed(slow))["items"][0]
    assert (queued["status"], queued["execution_expires_after"], "seed" in queued) == ("queued", 5_001, False)
    async with open_provider() as provider:
        await provider.trouble("render", "fails", code="OutputVideoSensitiveContentDetected", message="sensitive")
        await create(provider)
        failed = (await listed(provider))["items"][0]
    assert (failed["status"], failed["execution_expires_after"], "seed" in failed) == ("failed", 5_001, False)
    assert failed["error"] == {"code": "OutputVideoSensitiveContentDetected", "message": "sensitive"}


async def test_members_that_are_null_are_not_set(provider: Provider) -> None:
    """Ark's own client sends null for all that is not set."""
    status, _ = await create(provider, service_tier=None, execution_expires_after=None, seed=None)
    assert (status, (await listed(provider))["items"][0]["execution_expires_after"]) == (200, 172_800)


async def test_list_has_a_total_pages_and_filters(provider: Provider) -> None:
    ids = [(await create(provider))[1]["id"] for _ in range(3)]
    await create(provider, service_tier="flex", model="other")
    assert [row["id"] for row in (await listed(provider))["items"]] == ids[::-1]
    _, page = await provider.ask("GET", f"{TASKS}?page_num=2&page_size=2")
    assert (page["total"], [row["id"] for row in page["items"]]) == (3, ids[:1])
    assert [row["model"] for row in (await listed(provider, "&filter.service_tier=flex"))["items"]] == ["other"]
    assert (await listed(provider, f"&filter.task_ids={ids[0]}&filter.task_ids={ids[1]}"))["total"] == 2
    assert (await listed(provider, "&filter.status=running"))["total"] == 0
    assert (await listed(provider, "&filter.model=nobody"))["total"] == 0


@pytest.mark.parametrize("query", ["page_size=501", "page_size=0", "page_num=0", "page_num=x"])
async def test_list_refuses_pages_that_ark_does_not_have(provider: Provider, query: str) -> None:
    assert (await provider.ask("GET", f"{TASKS}?{query}"))[0] == 400


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": ""}, "InvalidParameter"),
        ({"content": []}, "InvalidParameter"),
        ({"execution_expires_after": 3_599}, "InvalidParameter"),
        ({"execution_expires_after": 259_201}, "InvalidParameter"),
        ({"service_tier": "gold"}, "InvalidParameter"),
        ({"content": [{"type": "text", "text": "provider-refuse"}]}, "InputTextSensitiveContentDetected"),
    ],
)
async def test_order_that_ark_refuses_is_not_charged(provider: Provider, changes: dict[str, Any], code: str) -> None:
    status, body = await create(provider, **changes)
    assert (status, body["error"]["code"]) == (400, code)
    assert (await provider.books())["totals"]["by_provider"]["ark"]["paid_calls"] == 0


async def test_options_in_a_prompt_set_what_is_charged(provider: Provider) -> None:
    await create(provider, content=[{"type": "text", "text": "a red fox --dur 12 --rs 1080p"}])
    assert (await provider.books())["creates"][0]["seconds"] == "12"
    assert (await listed(provider))["items"][0]["resolution"] == "1080p"


async def test_callback_is_the_task(provider: Provider) -> None:
    received: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/here", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        _, made = await create(provider, callback_url=f"http://127.0.0.1:{runner.addresses[0][1]}/here")
        while not received:
            await provider.books()
    finally:
        await runner.cleanup()
    assert (received[0]["id"], received[0]["status"]) == (made["id"], "succeeded")


async def test_product_buys_reads_and_finds_its_job_by_the_marker(provider: Provider, client: VideoProvider) -> None:
    other = replace(ORDER, run_id="run-2")
    sent = [await client.post(order, lambda: None) for order in (ORDER, other)]
    made = [client.api.read_answer(answer, refuses_429=False) for answer in sent]
    await create(provider)  # by somebody else with the same key
    page = await client.page(None, Scope())
    assert isinstance(page, ListPage) and (page.total, page.has_more, page.flaw) == (3, False, "")
    for order, answer in zip((ORDER, other), made, strict=True):
        assert isinstance(answer, Made)
        assert [job.job_id for job in page.jobs if is_marked(job, order)] == [answer.job.job_id]
        job = await client.job(answer.job.job_id, MODEL)
        assert isinstance(job, Job) and (job.status, len(job.urls)) == (JobStatus.COMPLETED, 1)
    assert (await provider.books())["totals"]["by_provider"]["ark"]["paid_calls"] == 3


async def test_product_reads_pages_of_a_server_with_smaller_ones(provider: Provider, client: VideoProvider) -> None:
    ids = {(await create(provider))[1]["id"] for _ in range(5)}
    await provider.habit(page_size=2)
    seen, after, pages = set[str](), None, 0
    while pages == 0 or after is not None:
        page = await client.page(after, Scope())
        assert isinstance(page, ListPage) and not page.flaw
        seen, after, pages = seen | {job.job_id for job in page.jobs}, page.next_page, pages + 1
    assert (seen, pages) == (ids, 3)


async def test_users_options_do_not_change_what_the_product_buys(provider: Provider, client: VideoProvider) -> None:
    await client.post(replace(ORDER, prompt="a red fox --dur 12 --rs 1080p"), lambda: None)
    entry = (await provider.books())["creates"][0]
    assert (entry["seconds"], entry["size"]) == ("5", "720x1280")


async def test_product_knows_a_refusal_from_a_lost_answer(provider: Provider, client: VideoProvider) -> None:
    refused = await client.post(replace(ORDER, prompt="provider-refuse"), lambda: None)
    await provider.trouble("create", "made_then_drop")
    lost = await client.post(ORDER, lambda: None)
    answers = [client.api.read_answer(answer, refuses_429=False) for answer in (refused, lost)]
    assert isinstance(answers[0], ClearNo) and answers[0].reason == "prompt_refused"
    assert isinstance(answers[1], Unclear)
