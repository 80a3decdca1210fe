"""Runway's double, asked as Runway is asked, and bought from by the product's own module."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from providers.job import Job, JobStatus
from providers.orders import ClearNo, Made, Order, Unclear
from providers.transport import VideoProvider
from providers.transport import open_provider as open_client
from providers.vendors.runway import Runway
from tests.simulator.conftest import Open, Provider

FOX = {"promptText": "a red fox in the rain", "model": "gen4.5", "ratio": "720:1280", "duration": 5}
VERSION = {"X-Runway-Version": "2024-11-06"}
ORDER = Order(
    "run-1", "a red fox in the rain", "gen4.5", 5, "720x1280", "json", "runway", {"ratio": "720:1280", "duration": 5}
)


async def create(provider: Provider, path: str = "/runway/v1/text_to_video", **changes: Any) -> tuple[int, Any]:
    return await provider.ask("POST", path, json=FOX | changes, headers=VERSION)


async def task(provider: Provider, task_id: str) -> Any:
    return (await provider.ask("GET", f"/runway/v1/tasks/{task_id}", headers=VERSION))[1]


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[VideoProvider]:
    base = f"{provider.root}/runway"
    async with open_client(base, "tests", api=Runway(base)) as opened:
        yield opened


async def test_order_is_made_and_its_task_shows_the_clip_and_its_cost(provider: Provider) -> None:
    status, made = await create(provider)
    assert (status, made["estimatedCost"]) == (200, {"credits": 60})
    shown = await task(provider, made["id"])
    assert (shown["id"], shown["status"], shown["cost"]) == (made["id"], "SUCCEEDED", {"credits": 60})
    assert set(shown) == {"id", "status", "createdAt", "cost", "output"}
    status, clip, _ = await provider.raw("GET", shown["output"][0].removeprefix(provider.root))
    assert status == 200 and clip[4:8] == b"ftyp"
    assert (await provider.books())["creates"][0]["charged_microusd"] == 600_000


async def test_task_that_has_not_ended_shows_an_estimate_and_no_cost(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=60) as slow:
        _, made = await create(slow)
        shown = await task(slow, made["id"])
    assert (shown["status"], shown["estimatedCost"], "cost" in shown) == ("PENDING", {"credits": 60}, False)


@pytest.mark.parametrize(("refunds", "credits_charged"), [(True, 0), (False, 60)])
async def test_failed_task_says_why_and_what_remains_charged(
    open_provider: Open, refunds: bool, credits_charged: int
) -> None:
    async with open_provider(refund_failed=refunds) as provider:
        await provider.trouble("render", "fails", code="SAFETY.OUTPUT.VIDEO", message="moderated")
        _, made = await create(provider)
        shown = await task(provider, made["id"])
    assert (shown["status"], shown["failure"], shown["failureCode"]) == ("FAILED", "moderated", "SAFETY.OUTPUT.VIDEO")
    assert shown["cost"] == {"credits": credits_charged}


async def test_picture_is_ordered_at_an_address_of_its_own(provider: Provider) -> None:
    assert (await create(provider, "/runway/v1/image_to_video"))[0] == 400
    assert (await create(provider, "/runway/v1/image_to_video", promptImage="https://p.test/1.png"))[0] == 200


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"promptText": ""}, "promptText"),
        ({"promptText": "x" * 1001}, "promptText"),
        ({"promptText": "\N{FOX FACE}" * 501}, "promptText"),
        ({"model": ""}, "model"),
        ({"ratio": "portrait"}, "ratio"),
    ],
)
async def test_order_that_does_not_fit_is_refused_with_the_member_at_fault(
    provider: Provider, changes: dict[str, Any], path: str
) -> None:
    status, body = await create(provider, **changes)
    assert (status, body["issues"][0]["path"]) == (400, [path])
    assert (await provider.books())["totals"]["by_provider"]["runway"]["paid_calls"] == 0


async def test_longest_prompt_is_counted_in_utf16_units(provider: Provider) -> None:
    assert (await create(provider, promptText="\N{FOX FACE}" * 500))[0] == 200


async def test_version_of_the_api_is_required(provider: Provider) -> None:
    assert (await provider.ask("POST", "/runway/v1/text_to_video", json=FOX))[0] == 400


@pytest.mark.parametrize("path", ["/runway/v1/tasks", "/runway/v1/tasks/nobody"])
async def test_neither_a_list_nor_unknown_tasks_are_shown(provider: Provider, path: str) -> None:
    assert (await provider.ask("GET", path))[0] == 404


async def test_product_buys_and_reads_its_task_and_the_charge(provider: Provider, client: VideoProvider) -> None:
    made = client.api.read_answer(await client.post(ORDER, lambda: None), refuses_429=False)
    assert isinstance(made, Made)
    job = await client.job(made.job.job_id, "gen4.5")
    assert isinstance(job, Job)
    assert (job.status, len(job.urls), job.cost_microusd) == (JobStatus.COMPLETED, 1, 600_000)
    assert (await provider.books())["totals"]["by_provider"]["runway"]["paid_calls"] == 1


async def test_product_knows_a_refusal_from_a_lost_answer(provider: Provider, client: VideoProvider) -> None:
    too_long = await client.post(replace(ORDER, prompt="x" * 1001), lambda: None)
    await provider.trouble("create", "made_then_drop")
    lost = await client.post(ORDER, lambda: None)
    answers = [client.api.read_answer(answer, refuses_429=False) for answer in (too_long, lost)]
    assert isinstance(answers[0], ClearNo) and isinstance(answers[1], Unclear)
