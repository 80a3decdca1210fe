"""OpenRouter's double, asked by our own module."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.clips.download import ClipGone, Content
from providers.job import Job, JobStatus
from providers.openai_videos.missing_clip import is_absent
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import ReadError, Reply, Request, read_with
from providers.transport import VideoProvider
from providers.transport import open_provider as open_transport
from providers.vendors.openrouter import OpenRouter, verify_callback
from simulator.providers.vendors.openrouter import MODELS, SIGNING_SECRET
from tests.simulator.conftest import Open, Provider
from tests.simulator.providers.receiving import receiving

MODEL = "google/veo-3.1-fast"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
INPUT = {"duration": 8, "resolution": "720p", "aspect_ratio": "9:16"}
KEY = "test-key-of-openrouter"


def order(prompt: str = "a red fox in the rain", callback_url: str | None = None) -> Order:
    return Order(RUN, prompt, MODEL, 8, "720x1280", "json", "openrouter", INPUT, callback_url)


@asynccontextmanager
async def account(sim: Provider, key: str = KEY) -> AsyncIterator[VideoProvider]:
    base_url = f"{sim.root}/openrouter"
    async with open_transport(base_url, key, api=OpenRouter(base_url)) as provider:
        yield provider


async def bought(sim: Provider, wanted: Order, key: str = KEY) -> tuple[Answer, Made | ClearNo | Unclear]:
    async with account(sim, key) as provider:
        answer = await provider.post(wanted, lambda: None)
        return answer, provider.api.read_answer(answer, refuses_429=False, our_key=RUN, prompt=wanted.prompt)


async def made(sim: Provider, wanted: Order) -> str:
    answer, meant = await bought(sim, wanted)
    assert isinstance(meant, Made) and answer.status == 202, meant
    return meant.job.job_id


async def job(sim: Provider, job_id: str) -> Job | ReadError:
    async with account(sim) as provider:
        return await provider.job(job_id, MODEL)


async def content(sim: Provider, job_id: str, into: Path) -> Any:
    async with account(sim) as provider:
        return await provider.content(job_id, into / "clip.mp4")


async def test_one_video_from_order_to_clip(provider: Provider, tmp_path: Path) -> None:
    job_id = await made(provider, order())
    assert len(job_id) == len("gen-vid-1700000000-aBcDeFgHiJkLmNoPqRsT")
    shown = await job(provider, job_id)
    assert isinstance(shown, Job) and (shown.status, shown.named, shown.described) == (JobStatus.COMPLETED, True, True)
    got = await content(provider, job_id, tmp_path)
    async with account(provider) as client:
        signed = await client.content_at(shown.urls[0], tmp_path / "signed.mp4")
    assert isinstance(got, Content) and isinstance(signed, Content) and got.sha256 == signed.sha256
    totals = (await provider.books())["totals"]["by_provider"]["openrouter"]
    assert totals == {"creates": 1, "paid_calls": 1, "charged_microusd": shown.cost_microusd} and shown.cost_microusd
    sent = {"model": MODEL, "prompt": order().prompt, "session_id": RUN, **INPUT}
    assert (await provider.truth())[0]["input"] == sent


async def test_clip_needs_the_key(provider: Provider) -> None:
    job_id = await made(provider, order())
    path = f"/openrouter/videos/{job_id}/content?index=0"
    status, refused = await provider.ask("GET", path, headers={"Authorization": ""})
    assert status == 401 and refused["error"]["code"] == 401
    assert (await provider.raw("GET", path))[0] == 200


async def test_clip_is_not_there_before_the_end_nor_for_ever(open_provider: Open, tmp_path: Path) -> None:
    async with open_provider(speed=1, render_seconds=600) as slow:
        job_id = await made(slow, order())
        assert (await job(slow, job_id)) == Job(job_id, JobStatus.QUEUED)
        early = await content(slow, job_id, tmp_path)
        assert early.status == 409 and not is_absent(early.status, early.detail, "")
    async with open_provider(expires_after_seconds=0) as forgetful:
        late = await content(forgetful, await made(forgetful, order()), tmp_path)
        assert isinstance(late, ClipGone) and late.status == 410


async def test_refusals_are_clear_to_our_module(provider: Provider, open_provider: Open) -> None:
    refused = (
        (order("provider-refuse"), "prompt_refused"),
        (order(" "), "bad_request"),
        (replace(order(), model="veo"), "not_found"),
        (replace(order(), input={"duration": "8s"}), "bad_request"),
    )
    for wanted, reason in refused:
        _, meant = await bought(provider, wanted)
        assert isinstance(meant, ClearNo) and meant.reason == reason
    async with open_provider(api_keys=frozenset({KEY})) as locked:
        assert (await bought(locked, order(), key="another-key"))[1] == ClearNo("unauthorized", "Invalid API key.")
    assert (await provider.books())["totals"]["paid_calls"] == 0


async def test_body_that_is_no_json_is_refused(provider: Provider) -> None:
    assert (await provider.ask("POST", "/openrouter/videos", data=b"{"))[0] == 400


async def test_lost_answer_leaves_a_job_that_only_a_callback_can_name(provider: Provider) -> None:
    await provider.trouble("create", "made_then_drop")
    async with receiving() as receiver:
        _, meant = await bought(provider, order(callback_url=receiver.url))
        heard = await receiver.next()
    told = json.loads(heard.body)
    assert isinstance(meant, Unclear)
    assert told["data"]["id"] == (await provider.truth())[0]["id"]
    assert isinstance(await job(provider, told["data"]["id"]), Job)


async def test_failed_render_says_why_and_other_ends_are_read(provider: Provider, tmp_path: Path) -> None:
    failed = await job(provider, await made(provider, order("render-fails")))
    assert isinstance(failed, Job) and failed.described
    assert (failed.status, failed.error) == (JobStatus.FAILED, "The video could not be generated.")
    nothing = await content(provider, failed.job_id, tmp_path)
    assert isinstance(nothing, ClipGone) and is_absent(nothing.status, nothing.detail, failed.error or "")
    for word, status in (("cancelled", JobStatus.FAILED), ("expired", JobStatus.EXPIRED)):
        await provider.trouble("render", "unknown_status", status=word)
        ended = await job(provider, await made(provider, order()))
        assert isinstance(ended, Job) and ended.status is status


async def test_unknown_job_and_one_under_another_id_are_not_ours(provider: Provider) -> None:
    assert await job(provider, "gen-vid-1") == ReadError(404, "HTTP 404: Not found.")
    job_id = await made(provider, order())
    await provider.trouble("retrieve", "other_id", id="gen-vid-1", status="failed")
    assert isinstance(await job(provider, job_id), ReadError)


async def test_table_of_models_is_shown_without_a_key(provider: Provider) -> None:
    status, table = await provider.ask("GET", "/openrouter/videos/models", headers={"Authorization": ""})

    def answer(_: Request) -> Reply:
        return Reply(status, json.dumps(table))

    rows = read_with(OpenRouter().models(), answer)
    assert not isinstance(rows, ReadError) and tuple(row["id"] for row in rows) == MODELS


@pytest.mark.parametrize(("prompt", "word"), [("a fox", "completed"), ("render-fails", "failed")])
async def test_callback_is_signed_and_names_the_job(provider: Provider, prompt: str, word: str) -> None:
    async with receiving() as receiver:
        job_id = await made(provider, order(prompt, receiver.url))
        heard = await receiver.next()
    told = json.loads(heard.body)
    assert (told["type"], told["data"]["id"]) == (f"video.generation.{word}", job_id)
    assert heard.headers["x-openrouter-idempotency-key"] == f"{job_id}-{word}"
    assert verify_callback(heard.headers, heard.body, SIGNING_SECRET, time.time())
    assert not verify_callback(heard.headers, heard.body + b" ", SIGNING_SECRET, time.time())


async def test_callback_with_a_wrong_signature_is_not_verified(provider: Provider) -> None:
    await provider.habit(callbacks="wrong_signature")
    async with receiving() as receiver:
        await made(provider, order(callback_url=receiver.url))
        heard = await receiver.next()
    assert not verify_callback(heard.headers, heard.body, SIGNING_SECRET, time.time())
