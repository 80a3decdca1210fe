"""Kling's double, asked as Kling is asked, and bought from by the product's own module."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from providers.callbacks import job_named
from providers.job import Job, JobStatus, ListPage
from providers.list_jobs import look
from providers.order_match import is_marked
from providers.orders import ClearNo, Made, Order, Unclear
from providers.port import ReadError
from providers.transport import VideoProvider
from providers.transport import open_provider as open_client
from providers.vendors.kling import Kling
from tests.simulator.conftest import Open, Provider
from tests.simulator.providers.receiving import receiving

TASKS = "/kling/v1/videos/text2video"
MODEL = "kling-v3"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
PAIR = "test-access:test-secret"
INPUT: dict[str, Any] = {"duration": "8", "mode": "std", "aspect_ratio": "9:16"}
FOX = INPUT | {"model_name": MODEL, "prompt": "a red fox in the rain", "external_task_id": RUN}
ORDER = Order(RUN, "a red fox in the rain", MODEL, 8, "720x1280", "json", "kling", INPUT)


async def create(provider: Provider, **changes: Any) -> tuple[int, Any]:
    return await provider.ask("POST", TASKS, json=FOX | changes)


async def task(provider: Provider, task_id: str = RUN) -> tuple[int, Any]:
    return await provider.ask("GET", f"{TASKS}/{task_id}")


@asynccontextmanager
async def account(provider: Provider, key: str = PAIR) -> AsyncIterator[VideoProvider]:
    base = f"{provider.root}/kling"
    async with open_client(base, key, api=Kling(base)) as opened:
        yield opened


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[VideoProvider]:
    async with account(provider) as opened:
        yield opened


async def meaning(client: VideoProvider, order: Order = ORDER, *, refuses_429: bool = False) -> Any:
    answer = await client.post(order, lambda: None)
    return client.api.read_answer(answer, refuses_429=refuses_429, our_key=order.run_id, prompt=order.prompt)


async def paid_calls(provider: Provider) -> int:
    return int((await provider.books())["totals"]["by_provider"]["kling"]["paid_calls"])


async def test_order_is_made_and_its_task_is_found_by_either_id(provider: Provider) -> None:
    status, made = await create(provider)
    assert (status, made["code"], made["message"]) == (200, 0, "SUCCEED")
    assert made["data"]["task_info"] == {"external_task_id": RUN} and made["data"]["task_id"].isdecimal()
    assert abs(made["data"]["created_at"] / 1000 - time.time()) < 60
    (_, ours), (_, theirs) = await task(provider), await task(provider, made["data"]["task_id"])
    assert ours["data"] == theirs["data"]
    shown = ours["data"]
    assert (shown["task_status"], shown["final_unit_deduction"]) == ("succeed", "1.6")
    assert "a red fox" not in json.dumps(shown)
    (clip,) = shown["task_result"]["videos"]
    status, data, _ = await provider.raw("GET", clip["url"].removeprefix(provider.root))
    assert status == 200 and data[4:8] == b"ftyp"


async def test_unfinished_and_failed_tasks_have_no_result(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=60) as slow:
        await create(slow)
        _, queued = await task(slow)
    assert (queued["data"]["task_status"], "task_result" in queued["data"]) == ("submitted", False)
    async with open_provider() as provider:
        await provider.trouble("render", "fails", message="Failure to pass the risk control system")
        await create(provider)
        _, failed = await task(provider)
    assert (failed["data"]["task_status"], "task_result" in failed["data"]) == ("failed", False)
    assert failed["data"]["task_status_msg"] == "Failure to pass the risk control system"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"model_name": "veo"}, 404, 1203),
        ({"prompt": ""}, 400, 1201),
        ({"prompt": "x" * 2501}, 400, 1201),
        ({"duration": 8}, 400, 1201),
        ({"duration": "2"}, 400, 1201),
        ({"mode": "best"}, 400, 1201),
        ({"aspect_ratio": ["9:16"]}, 400, 1201),
        ({"prompt": "provider-refuse"}, 400, 1301),
    ],
)
async def test_order_that_kling_refuses_is_not_charged(
    provider: Provider, changes: dict[str, Any], status: int, code: int
) -> None:
    got, body = await create(provider, **changes)
    assert (got, body["code"], "data" in body) == (status, code, False)
    assert await paid_calls(provider) == 0


async def test_body_that_is_no_object_is_refused(provider: Provider) -> None:
    status, body = await provider.ask("POST", TASKS, data=b"[]")
    assert (status, body["code"]) == (400, 1200)


async def test_what_is_not_sent_has_klings_defaults(provider: Provider) -> None:
    await provider.ask("POST", TASKS, json={"prompt": "a red fox"})
    entry = (await provider.books())["creates"][0]
    assert (entry["model"], entry["seconds"], entry["size"]) == ("kling-v1", "5", "1280x720")


async def test_list_shows_the_clients_own_ids_and_no_total(provider: Provider) -> None:
    ids = [(await create(provider, external_task_id=own_id))[1]["data"]["task_id"] for own_id in (RUN, OTHER, "")]
    status, page = await provider.ask("GET", f"{TASKS}?pageNum=1&pageSize=2")
    assert status == 200 and set(page) == {"code", "message", "request_id", "data"}
    assert [(row["task_id"], row["task_info"]) for row in page["data"]] == [
        (ids[2], {}),
        (ids[1], {"external_task_id": OTHER}),
    ]
    _, last = await provider.ask("GET", f"{TASKS}?pageNum=2&pageSize=2")
    _, beyond = await provider.ask("GET", f"{TASKS}?pageNum=3&pageSize=2")
    assert ([row["task_id"] for row in last["data"]], beyond["data"]) == (ids[:1], [])


@pytest.mark.parametrize("query", ["pageSize=501", "pageSize=0", "pageNum=0", "pageNum=1001", "pageNum=x"])
async def test_list_refuses_pages_that_kling_does_not_have(provider: Provider, query: str) -> None:
    status, body = await provider.ask("GET", f"{TASKS}?{query}")
    assert (status, body["code"]) == (400, 1201)


async def test_callback_is_the_task(provider: Provider) -> None:
    async with receiving() as receiver:
        _, made = await create(provider, callback_url=receiver.url)
        body = (await receiver.next()).body.decode()
    assert json.loads(body)["task_status"] == "succeed"
    assert job_named("kling", body) == made["data"]["task_id"]


async def test_token_is_checked_with_the_secret_key_and_its_time(open_provider: Open) -> None:
    async with open_provider(api_keys=frozenset({PAIR})) as provider:
        url = f"{provider.root}{TASKS}"

        async def status_at(key: str, moment: float) -> int:
            headers = dict(Kling().authorization(key, moment))
            status, _ = await provider.ask("GET", url.removeprefix(provider.root), headers=headers)
            return status

        now = time.time()
        assert await status_at(PAIR, now) == 200
        for key in ("test-access:other-secret", "other:test-secret", "plain-key"):
            assert await status_at(key, now) == 401
        for moment in (now - 1900, now + 60):
            assert await status_at(PAIR, moment) == 401


async def test_product_buys_and_reads_its_task(provider: Provider, client: VideoProvider) -> None:
    made = await meaning(client)
    assert isinstance(made, Made) and made.job.marker == RUN
    job = await client.job(made.job.job_id, MODEL)
    assert isinstance(job, Job) and (job.status, job.seconds, len(job.urls)) == (JobStatus.COMPLETED, 8, 1)
    assert is_marked(job, ORDER) and (await provider.books())["creates"][0]["size"] == "720x1280"


async def test_product_finds_the_order_whose_answer_was_lost(provider: Provider, client: VideoProvider) -> None:
    await provider.trouble("create", "made_then_drop")
    assert isinstance(await meaning(client), Unclear)
    job = await client.find(ORDER)
    assert isinstance(job, Job) and is_marked(job, ORDER) and job.job_id != RUN
    assert isinstance(await client.find(replace(ORDER, run_id=OTHER)), ReadError)


async def test_product_reads_the_list_to_its_end_whatever_the_pages_hold(
    provider: Provider, client: VideoProvider
) -> None:
    ids = {(await create(provider, external_task_id=f"run-{n}"))[1]["data"]["task_id"] for n in range(5)}
    await provider.habit(page_size=2)
    seen = await look(client)
    assert (seen.complete, seen.odd_rows, {job.job_id for job in seen.jobs}) == (True, 0, ids)
    page = await client.page("3")
    assert isinstance(page, ListPage) and [job.marker for job in page.jobs] == ["run-0"]


async def test_product_sees_both_tasks_of_an_order_that_a_proxy_repeated(
    provider: Provider, client: VideoProvider
) -> None:
    await provider.trouble("create", "repeated_by_proxy", after=0, answer="second")
    assert isinstance(await meaning(client), Made)
    seen = await look(client)
    assert [job.marker for job in seen.jobs] == [RUN, RUN]


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [(429, 1102, "no_credit"), (200, 1102, "no_credit"), (429, 1303, "rate_limited"), (200, 1301, "prompt_refused")],
)
async def test_product_reads_klings_codes(
    provider: Provider, client: VideoProvider, status: int, code: int, reason: str
) -> None:
    words = "Failure to pass the risk control system" if code == 1301 else "over the limit of your resource pack"
    body = {"code": code, "message": words, "request_id": "r"}
    await provider.trouble("create", "status", status=status, body=body)
    meant = await meaning(client, refuses_429=True)
    assert isinstance(meant, ClearNo) and meant.reason == reason
    assert await paid_calls(provider) == 0
