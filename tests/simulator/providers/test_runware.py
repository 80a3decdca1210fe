"""Runware's double, asked as Runware is asked, and bought from by the product's own module."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from providers.callbacks import job_named
from providers.job import Job, JobStatus
from providers.order_match import is_marked
from providers.orders import ClearNo, Made, Order, Unclear
from providers.port import ReadError
from providers.transport import VideoProvider
from providers.transport import open_provider as open_client
from providers.vendors.runware import Runware
from tests.simulator.conftest import Open, Provider
from tests.simulator.providers.receiving import receiving

MODEL = "google:3@3"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
FOX: dict[str, Any] = {
    "taskType": "videoInference",
    "taskUUID": RUN,
    "deliveryMethod": "async",
    "includeCost": True,
    "model": MODEL,
    "positivePrompt": "a red fox in the rain",
    "duration": 8,
    "width": 720,
    "height": 1280,
}
INPUT = {"duration": 8, "width": 720, "height": 1280}
ORDER = Order(RUN, "a red fox in the rain", MODEL, 8, "720x1280", "json", "runware", INPUT)


async def send(provider: Provider, *tasks: object) -> tuple[int, Any]:
    return await provider.ask("POST", "/runware", json=list(tasks))


async def create(provider: Provider, **changes: Any) -> tuple[int, Any]:
    return await send(provider, FOX | changes)


async def asked(provider: Provider, kind: str, task_id: str = RUN) -> Any:
    status, body = await send(provider, {"taskType": kind, "taskUUID": task_id})
    assert status == 200, body
    return body


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[VideoProvider]:
    base = f"{provider.root}/runware"
    async with open_client(base, "tests", api=Runware(base)) as opened:
        yield opened


async def meaning(client: VideoProvider, order: Order = ORDER) -> Any:
    answer = await client.post(order, lambda: None)
    return client.api.read_answer(answer, refuses_429=False, our_key=order.run_id, prompt=order.prompt)


async def test_order_is_acknowledged_and_its_task_shows_clip_and_cost(provider: Provider) -> None:
    status, made = await create(provider)
    assert (status, made) == (200, {"data": [{"taskType": "videoInference", "taskUUID": RUN}]})
    (row,) = (await asked(provider, "getResponse"))["data"]
    entry = (await provider.books())["creates"][0]
    assert (row["taskUUID"], row["status"], row["cost"]) == (RUN, "success", entry["charged_microusd"] / 1e6)
    assert (entry["seconds"], entry["size"], entry["job_id"]) == ("8", "720x1280", RUN)
    status, clip, _ = await provider.raw("GET", row["videoURL"].removeprefix(provider.root))
    assert status == 200 and clip[4:8] == b"ftyp"


async def test_details_hold_the_whole_request_and_its_answer(provider: Provider) -> None:
    await create(provider, seed=7)
    (row,) = (await asked(provider, "getTaskDetails"))["data"]
    assert (row["taskType"], row["taskUUID"], row["request"]) == ("getTaskDetails", RUN, [FOX | {"seed": 7}])
    (result,) = row["response"]["data"]
    assert result["videoURL"] and "status" not in result


async def test_unknown_task_and_one_that_waits_look_alike_but_for_its_details(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=60) as slow:
        await create(slow)
        for kind in ("getResponse", "getTaskDetails"):
            assert await asked(slow, kind, OTHER) == {"data": []}
        assert await asked(slow, "getResponse") == {"data": []}
        (row,) = (await asked(slow, "getTaskDetails"))["data"]
        assert row["response"] == {"data": [{"taskType": "videoInference", "taskUUID": RUN}]}
        await slow.trouble("retrieve", "lie", habits={"status_words": {"queued": "in_progress"}})
        (row,) = (await asked(slow, "getResponse"))["data"]
        assert (row["status"], row["progress"]) == ("processing", 0)


async def test_failed_task_is_an_error_that_names_it(provider: Provider) -> None:
    await provider.trouble("render", "fails", code="providerContentPolicyViolation", message="Blocked")
    await create(provider)
    failure = {"code": "providerContentPolicyViolation", "message": "Blocked"}
    of_task = {"taskType": "videoInference", "taskUUID": RUN}
    state = await asked(provider, "getResponse")
    assert state == {"data": [], "errors": [{**failure, **of_task, "status": "error"}]}
    assert (await asked(provider, "getTaskDetails"))["data"][0]["response"] == {"errors": [{**failure, **of_task}]}


@pytest.mark.parametrize("named", [RUN, RUN.upper()])
async def test_second_order_under_one_id_is_a_conflict_and_free(provider: Provider, named: str) -> None:
    await create(provider)
    status, body = await create(provider, taskUUID=named, positivePrompt="another")
    assert (status, body["errors"][0]["code"], body["errors"][0]["taskUUID"]) == (400, "conflictTaskUUID", named)
    assert (await provider.books())["totals"]["by_provider"]["runware"]["paid_calls"] == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"taskUUID": "run-1"}, "invalidTaskUUID"),
        ({"taskType": "imageInference"}, "unsupportedTaskType"),
        ({"model": "veo"}, "invalidModel"),
        ({"positivePrompt": " "}, "missingPositivePrompt"),
        ({"deliveryMethod": "sync"}, "invalidDeliveryMethod"),
        ({"numberResults": 0}, "invalidNumberResults"),
        ({"positivePrompt": "provider-refuse"}, "contentPolicyViolation"),
    ],
)
async def test_order_that_is_refused_is_not_charged(provider: Provider, changes: dict[str, Any], code: str) -> None:
    status, body = await create(provider, **changes)
    assert (status, body["errors"][0]["code"], body["data"]) == (400, code, [])
    assert (await provider.books())["totals"]["by_provider"]["runware"]["paid_calls"] == 0


@pytest.mark.parametrize("body", [b"{}", b"[]", b"[[]]", b"[", json.dumps([FOX, FOX]).encode()])
async def test_anything_but_an_array_of_one_task_is_refused(provider: Provider, body: bytes) -> None:
    status, answer = await provider.ask("POST", "/runware", data=body)
    assert (status, answer["errors"][0]["code"]) == (400, "validationFailed")


async def test_two_results_cost_twice(provider: Provider) -> None:
    await create(provider)
    await create(provider, taskUUID=OTHER, numberResults=2)
    one, two = (entry["charged_microusd"] for entry in (await provider.books())["creates"])
    assert two == 2 * one


async def test_key_is_needed_for_every_task(open_provider: Open) -> None:
    async with open_provider(api_keys=frozenset({"right"})) as provider:
        for kind in ("videoInference", "getResponse", "getTaskDetails"):
            status, body = await send(provider, FOX | {"taskType": kind})
            assert (status, body["errors"][0]["code"]) == (401, "invalidApiKey")


@pytest.mark.parametrize("prompt", ["a red fox in the rain", "a red fox, render-fails"])
async def test_callback_is_the_result_or_the_error_and_names_the_task(provider: Provider, prompt: str) -> None:
    async with receiving() as receiver:
        await create(provider, webhookURL=receiver.url, positivePrompt=prompt)
        body = (await receiver.next()).body.decode()
    told = json.loads(body)
    assert len(told["data"]) + len(told.get("errors", [])) == 1
    assert job_named("runware", body) == RUN


async def test_product_buys_and_reads_its_task(provider: Provider, client: VideoProvider) -> None:
    assert await meaning(client) == Made(Job(RUN, JobStatus.UNKNOWN))
    job = await client.job(RUN, MODEL)
    assert isinstance(job, Job) and (job.status, len(job.urls), job.described) == (JobStatus.COMPLETED, 1, True)
    assert job.cost_microusd == (await provider.books())["creates"][0]["charged_microusd"]
    await provider.trouble("retrieve", "status", status=500, part="getResponse")
    stored = await client.job(RUN, MODEL)
    assert isinstance(stored, Job) and (stored.status, stored.prompt) == (JobStatus.COMPLETED, ORDER.prompt)


async def test_product_finds_the_order_whose_answer_was_lost(provider: Provider, client: VideoProvider) -> None:
    await provider.trouble("create", "made_then_drop")
    assert isinstance(await meaning(client), Unclear)
    job = await client.find(ORDER)
    assert isinstance(job, Job) and is_marked(job, ORDER)
    assert await client.find(replace(ORDER, run_id=OTHER)) is None


async def test_product_reads_a_waiting_task_from_its_details(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=60) as slow:
        base = f"{slow.root}/runware"
        async with open_client(base, "tests", api=Runware(base)) as client:
            assert isinstance(await meaning(client), Made)
            job = await client.find(ORDER)
    assert isinstance(job, Job) and (job.status, job.described) == (JobStatus.UNKNOWN, True)
    assert is_marked(job, ORDER)


async def test_product_believes_the_conflict_that_a_proxys_copy_of_its_order_hears(
    provider: Provider, client: VideoProvider
) -> None:
    await provider.trouble("create", "repeated_by_proxy", after=0, answer="second")
    assert await meaning(client) == Made(Job(RUN, JobStatus.UNKNOWN))
    books = await provider.books()
    assert (books["totals"]["repeated_by_proxy"], books["totals"]["by_provider"]["runware"]["paid_calls"]) == (0, 1)


async def test_product_believes_a_failure_that_the_details_confirm(provider: Provider, client: VideoProvider) -> None:
    await meaning(client, replace(ORDER, prompt="a red fox, render-fails"))
    job = await client.job(RUN, MODEL)
    assert isinstance(job, Job) and (job.status, job.described) == (JobStatus.FAILED, True)
    assert (job.error, job.error_code) == ("The video could not be generated.", "inferenceError")
    await provider.trouble("retrieve", "status", status=503, part="getTaskDetails")
    alone = await client.job(RUN, MODEL)
    assert isinstance(alone, Job) and not alone.described


async def test_product_does_not_believe_one_false_failure(provider: Provider, client: VideoProvider) -> None:
    await meaning(client)
    await provider.trouble("retrieve", "shows_failed")
    job = await client.job(RUN, MODEL)
    assert isinstance(job, Job) and job.status is JobStatus.COMPLETED


async def test_product_knows_refusals_and_failed_reads(provider: Provider, client: VideoProvider) -> None:
    refused = await meaning(client, replace(ORDER, prompt="provider-refuse"))
    assert isinstance(refused, ClearNo) and refused.reason == "prompt_refused"
    await provider.trouble("create", "status", status=402)
    poor = await meaning(client)
    assert isinstance(poor, ClearNo) and poor.reason == "no_credit"
    assert isinstance(await client.job(OTHER, MODEL), ReadError)
