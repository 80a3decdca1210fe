"""Replicate's double, asked as Replicate is asked, and bought from by the product's own module."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from providers.job import Job, JobStatus, ListPage
from providers.list_jobs import look
from providers.order_match import is_marked, is_order_of
from providers.orders import SEED, ClearNo, Made, Order, Unclear
from providers.transport import VideoProvider
from providers.transport import open_provider as open_client
from providers.vendors.replicate import Replicate, verify_callback
from tests.simulator.conftest import Open, Provider
from tests.simulator.providers.receiving import receiving

PATH = "/replicate/v1/models/google/veo-3.1-fast/predictions"
FOX: dict[str, Any] = {"prompt": "a red fox in the rain", "duration": 8, "aspect_ratio": "9:16", "resolution": "720p"}
ORDER = Order(
    "run-1",
    FOX["prompt"],
    "google/veo-3.1-fast",
    8,
    "720x1280",
    "json",
    "replicate",
    {"duration": 8, "aspect_ratio": "9:16", "resolution": "720p", "seed": SEED},
)


def nothing() -> None:
    """Nothing happens on the last line before sending."""


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[VideoProvider]:
    base = f"{provider.root}/replicate"
    async with open_client(base, "tests", api=Replicate(base)) as opened:
        yield opened


async def bought(client: VideoProvider, order: Order = ORDER) -> str:
    meant = client.api.read_answer(await client.post(order, nothing), refuses_429=True)
    assert isinstance(meant, Made), meant
    return meant.job.job_id


async def shown(client: VideoProvider, job_id: str) -> Job:
    job = await client.job(job_id)
    assert isinstance(job, Job), job
    return job


async def test_order_is_made_and_its_prediction_shows_the_clip(provider: Provider) -> None:
    status, made = await provider.ask("POST", PATH, json={"input": FOX})
    assert (status, made["input"], made["source"]) == (201, FOX, "api")
    assert made["urls"]["get"] == f"{provider.root}/replicate/v1/predictions/{made['id']}"
    _, done = await provider.ask("GET", f"/replicate/v1/predictions/{made['id']}")
    assert (done["id"], done["status"], done["data_removed"], done["error"]) == (made["id"], "succeeded", False, None)
    assert done["metrics"]["predict_time"] >= 0 and done["completed_at"] >= done["created_at"]
    status, clip, _ = await provider.raw(
        "GET", done["output"].removeprefix(provider.root), headers={"Authorization": ""}
    )
    assert status == 200 and clip[4:8] == b"ftyp"
    entry = (await provider.books())["creates"][0]
    assert (entry["provider"], entry["model"], entry["size"]) == ("replicate", "google/veo-3.1-fast", "720x1280")
    assert entry["charged_microusd"] == 800_000


async def test_our_module_buys_and_finds_its_job_by_the_seed(provider: Provider, client: VideoProvider) -> None:
    job_id = await bought(client)
    await bought(client, replace(ORDER, run_id="run-2"))
    job = await shown(client, job_id)
    assert (job.status, len(job.urls), is_order_of(job, ORDER)) == (JobStatus.COMPLETED, 1, True)
    seen = await look(client)
    assert seen.complete and [each.job_id for each in seen.jobs if is_marked(each, ORDER)] == [job_id]
    assert (await provider.books())["totals"]["by_provider"]["replicate"]["paid_calls"] == 2


async def test_prediction_is_seen_to_start_and_run(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=60) as slow:
        base = f"{slow.root}/replicate"
        async with open_client(base, "tests", api=Replicate(base)) as client:
            job_id = await bought(client)
            job, page = await shown(client, job_id), await client.page()
    assert (job.word, job.status, job.urls, job.exists) == ("starting", JobStatus.QUEUED, (), True)
    assert isinstance(page, ListPage) and page.jobs[0].running


async def test_failed_prediction_says_why(provider: Provider, client: VideoProvider) -> None:
    await provider.trouble("render", "fails", message="The input or output was flagged as sensitive. (E005)")
    job = await shown(client, await bought(client))
    assert (job.status, job.refuses_content(job.error or "")) == (JobStatus.FAILED, True)


async def test_input_and_output_are_forgotten_and_the_row_stays(provider: Provider, client: VideoProvider) -> None:
    job_id = await bought(client)
    await provider.habit(input_seconds=0)
    job, page = await shown(client, job_id), await client.page()
    assert (job.status, job.prompt, job.marker, job.urls, job.is_gone) == (JobStatus.EXPIRED, None, None, (), True)
    assert isinstance(page, ListPage) and [each.job_id for each in page.jobs] == [job_id]
    row = (await provider.ask("GET", f"/replicate/v1/predictions/{job_id}"))[1]
    assert (row["data_removed"], row["input"], row["output"], row["status"]) == (True, {}, None, "succeeded")


@pytest.mark.parametrize("has_more", ["true", "missing"])
async def test_list_is_read_page_by_page_by_its_cursor(
    provider: Provider, client: VideoProvider, has_more: str
) -> None:
    ids = [await bought(client, replace(ORDER, run_id=f"run-{number}")) for number in range(5)]
    await provider.habit(page_size=2, **({"has_more": has_more} if has_more == "missing" else {}))
    first = await client.page()
    assert isinstance(first, ListPage) and first.next_page is not None
    newer = await bought(client, replace(ORDER, run_id="run-9"))
    second = await client.page(first.next_page)
    assert isinstance(second, ListPage) and [job.job_id for job in second.jobs] == ids[2:0:-1]
    seen = await look(client)
    assert (seen.complete, [job.job_id for job in seen.jobs]) == (True, [newer, *ids[::-1]])


async def test_unknown_cursor_is_refused(provider: Provider) -> None:
    for cursor in ("bm90aGluZw==", "!", "4pyT"):
        status, body = await provider.ask("GET", f"/replicate/v1/predictions?cursor={cursor}")
        assert (status, body["detail"]) == (400, "Unknown cursor.")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "- input is required\n"),
        ({"input": {"duration": 8}}, "- prompt is required\n"),
        ({"input": FOX, "inptu": 1}, "- Additional property inptu is not allowed\n"),
        ({"input": FOX | {"prompt": "provider-refuse"}}, None),
    ],
)
async def test_order_that_does_not_fit_is_refused(provider: Provider, body: object, detail: str | None) -> None:
    status, refusal = await provider.ask("POST", PATH, json=body)
    assert (status, refusal["status"], refusal["title"]) == (422, 422, "Input validation failed")
    assert detail is None or refusal["detail"] == detail
    assert (await provider.books())["creates"][0]["charged_microusd"] == 0


async def test_our_module_reads_its_refusals(provider: Provider, client: VideoProvider) -> None:
    answers = [await client.post(replace(ORDER, prompt="provider-refuse"), nothing)]
    for status in (402, 429, 503):
        await provider.trouble("create", "status", status=status)
        answers.append(await client.post(ORDER, nothing))
    meant = [client.api.read_answer(answer, refuses_429=True) for answer in answers]
    assert [(type(each), each.reason) for each in meant if not isinstance(each, Made)] == [
        (ClearNo, "prompt_refused"),
        (ClearNo, "no_credit"),
        (ClearNo, "rate_limited"),
        (Unclear, "http_503"),
    ]


async def test_key_of_another_scheme_or_not_allowed_is_turned_away(open_provider: Open) -> None:
    async with open_provider(api_keys=frozenset({"right"})) as provider:
        for key, status in (("Bearer wrong", 401), ("Key right", 401), ("Bearer right", 201)):
            got, _ = await provider.ask("POST", PATH, json={"input": FOX}, headers={"Authorization": key})
            assert got == status
            got, _ = await provider.ask("GET", "/replicate/v1/webhooks/default/secret", headers={"Authorization": key})
            assert got == min(status, 401) if status != 201 else 200


async def test_callback_at_the_end_is_signed(provider: Provider) -> None:
    secret = (await provider.ask("GET", "/replicate/v1/webhooks/default/secret"))[1]["key"]
    async with receiving() as receiver:
        order = {"input": FOX, "webhook": receiver.url, "webhook_events_filter": ["completed"]}
        await provider.ask("POST", PATH, json=order | {"webhook_events_filter": ["start"]})
        _, made = await provider.ask("POST", PATH, json=order)
        told = await receiver.next()
        assert made["id"].encode() in told.body and b'"succeeded"' in told.body
        assert verify_callback(told.headers, told.body, secret, time.time())
        await provider.habit(callbacks="wrong_signature")
        await provider.ask("POST", PATH, json=order)
        forged = await receiver.next()
        assert not verify_callback(forged.headers, forged.body, secret, time.time())
