"""Higgsfield's double, asked by our own module and with what the module never sends."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from providers.clips.download import Content
from providers.job import Job, JobStatus
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import ReadError
from providers.transport import VideoProvider
from providers.transport import open_provider as open_transport
from providers.vendors.higgsfield import Higgsfield, verify_callback
from simulator.providers.vendors.higgsfield import SIGNING_SECRET
from tests.simulator.conftest import Open, Provider
from tests.simulator.providers.receiving import receiving

MODEL = "bytedance/seedance-2.5/text-to-video"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
INPUT = {"duration": 5, "resolution": "720p", "aspect_ratio": "9:16"}
KEY = "test-id:test-secret"
HEADERS = {"Authorization": f"Key {KEY}"}


def order(prompt: str = "a red fox in the rain", run_id: str = RUN, callback_url: str | None = None) -> Order:
    return Order(run_id, prompt, MODEL, 5, "720x1280", "json", "higgsfield", INPUT, callback_url)


@asynccontextmanager
async def account(sim: Provider, key: str = KEY) -> AsyncIterator[VideoProvider]:
    base_url = f"{sim.root}/higgsfield"
    async with open_transport(base_url, key, api=Higgsfield(base_url)) as provider:
        yield provider


async def bought(sim: Provider, wanted: Order, key: str = KEY) -> tuple[Answer, Made | ClearNo | Unclear]:
    async with account(sim, key) as provider:
        answer = await provider.post(wanted, lambda: None)
        return answer, provider.api.read_answer(answer, refuses_429=False, our_key=wanted.run_id, prompt=wanted.prompt)


async def made(sim: Provider, wanted: Order) -> str:
    _, meant = await bought(sim, wanted)
    assert isinstance(meant, Made), meant
    return meant.job.job_id


async def job(sim: Provider, job_id: str) -> Job | ReadError:
    async with account(sim) as provider:
        return await provider.job(job_id, MODEL)


async def again(sim: Provider, body: object, key: str = RUN, query: str = "") -> tuple[int, Any]:
    """A second POST, which the product never sends."""
    headers = HEADERS | {"Idempotency-Key": key}
    return await sim.ask("POST", f"/higgsfield/{MODEL}{query}", json=body, headers=headers)


async def totals(sim: Provider) -> Any:
    return (await sim.books())["totals"]["by_provider"]["higgsfield"]


async def test_one_video_from_order_to_clip(provider: Provider, tmp_path: Path) -> None:
    job_id = await made(provider, order())
    shown = await job(provider, job_id)
    assert isinstance(shown, Job) and (shown.status, shown.named, shown.described) == (JobStatus.COMPLETED, True, True)
    async with account(provider) as client:
        got = await client.content_at(shown.urls[0], tmp_path / "clip.mp4")
    assert isinstance(got, Content)
    assert await totals(provider) == {"creates": 1, "paid_calls": 1, "charged_microusd": 500_000}
    assert (await provider.books())["creates"][0]["key"] == RUN
    assert (await provider.truth())[0]["input"] == {"prompt": order().prompt, **INPUT}


async def test_repeat_with_the_same_key_finds_the_lost_request_and_buys_nothing(provider: Provider) -> None:
    await provider.trouble("create", "made_then_drop")
    _, meant = await bought(provider, order())
    assert isinstance(meant, Unclear)
    status, found = await again(provider, {"prompt": order().prompt, **INPUT})
    assert (status, found["request_id"]) == (200, (await provider.truth())[0]["id"])
    assert await totals(provider) == {"creates": 2, "paid_calls": 1, "charged_microusd": 500_000}


@pytest.mark.parametrize(
    ("body", "query"),
    [({"prompt": "another", **INPUT}, ""), ({"prompt": order().prompt, **INPUT}, "?hf_webhook=https://a.example/b")],
)
async def test_used_key_with_another_request_is_refused(provider: Provider, body: Any, query: str) -> None:
    await made(provider, order())
    status, refused = await again(provider, body, query=query)
    meant = Higgsfield().read_answer(Answer(status, json.dumps(refused)), refuses_429=False)
    assert status == 422 and meant == Unclear("key_used_before", refused["detail"])
    assert (await totals(provider))["paid_calls"] == 1


async def test_refused_order_does_not_use_its_key(provider: Provider) -> None:
    assert (await again(provider, {"prompt": "provider-refuse"}))[0] == 400
    assert (await again(provider, {"prompt": "a fox"}))[0] == 200
    assert (await again(provider, {"prompt": "a fox"}, key="run-2"))[0] == 200
    assert (await totals(provider))["paid_calls"] == 2


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "ñ"])
async def test_key_of_a_wrong_form_is_refused(provider: Provider, key: str) -> None:
    assert (await again(provider, {"prompt": "a fox"}, key=key))[0] == 422


async def test_refusals_are_clear_to_our_module(provider: Provider, open_provider: Open) -> None:
    assert (await bought(provider, order("provider-refuse")))[1] == ClearNo(
        "prompt_refused", "The prompt was rejected by content moderation."
    )
    assert isinstance((await bought(provider, order(" ")))[1], ClearNo)
    async with open_provider(api_keys=frozenset({KEY})) as locked:
        assert (await bought(locked, order(), key="wrong:key"))[1] == ClearNo("unauthorized", "Invalid API key.")
        assert (await bought(locked, order()))[0].status == 200


async def test_failed_renders_say_why(provider: Provider) -> None:
    await provider.trouble("render", "fails", code="out_of_memory", message="Render node ran out of memory.")
    failed = await job(provider, await made(provider, order()))
    await provider.trouble("render", "fails", code="content_policy_violation", message="flagged")
    withheld = await job(provider, await made(provider, order(run_id="run-2")))
    assert isinstance(failed, Job) and isinstance(withheld, Job)
    assert (failed.status, failed.error, failed.kept_back) == (
        JobStatus.FAILED,
        "Render node ran out of memory.",
        None,
    )
    assert (withheld.status, withheld.error, withheld.kept_back) == (JobStatus.FAILED, "nsfw", "nsfw")


async def test_only_a_queued_request_can_be_canceled(open_provider: Open) -> None:
    async with open_provider(speed=1, render_seconds=600, refund_failed=True) as sim:
        job_id = await made(sim, order())
        path = f"/higgsfield/requests/{job_id}/cancel"
        assert (await sim.ask("POST", path, headers=HEADERS))[0] == 202
        ended = await job(sim, job_id)
        assert isinstance(ended, Job) and (ended.status, ended.word) == (JobStatus.FAILED, "canceled")
        assert (await totals(sim))["charged_microusd"] == 0
        assert (await sim.ask("POST", path, headers=HEADERS))[0] == 400
        assert (await sim.ask("POST", "/higgsfield/requests/no/cancel", headers=HEADERS))[0] == 404
        assert (await sim.ask("POST", path, headers={"Authorization": "Bearer x"}))[0] == 401


async def test_unknown_request_and_one_under_another_id_are_not_ours(provider: Provider) -> None:
    unknown = await job(provider, RUN)
    assert unknown == ReadError(404, "HTTP 404: Not found.")
    job_id = await made(provider, order())
    await provider.trouble("retrieve", "other_id", id=RUN, status="failed")
    assert isinstance(await job(provider, job_id), ReadError)


@pytest.mark.parametrize(
    ("prompt", "code", "word"),
    [("a fox", "", "completed"), ("render-fails", "", "failed"), ("a fox", "nsfw", "nsfw")],
)
async def test_callback_is_signed_and_names_the_request(provider: Provider, prompt: str, code: str, word: str) -> None:
    if code:
        await provider.trouble("render", "fails", code=code)
    async with receiving() as receiver:
        job_id = await made(provider, order(prompt, callback_url=receiver.url))
        heard = await receiver.next()
    told = json.loads(heard.body)
    assert (told["request_id"], told["status"], "video" in told) == (job_id, word, word == "completed")
    assert verify_callback(heard.headers, heard.body, SIGNING_SECRET, time.time())
    assert not verify_callback(heard.headers, heard.body + b" ", SIGNING_SECRET, time.time())


async def test_callback_with_a_wrong_signature_is_not_verified(provider: Provider) -> None:
    await provider.habit(callbacks="wrong_signature")
    async with receiving() as receiver:
        await again(provider, {"prompt": "a fox"}, query=f"?hf_webhook={quote(receiver.url)}")
        heard = await receiver.next()
    assert not verify_callback(heard.headers, heard.body, SIGNING_SECRET, time.time())
