"""Retrieve, content and delete, during a render and under faults."""

import asyncio
from typing import Any

import aiohttp
import pytest

from simulator.videos.books import Job
from simulator.videos.jobs import progress_of, status_of
from tests.simulator.conftest import FOX, Open, Provider


def _job(**changes: Any) -> Job:
    plain: dict[str, Any] = {
        "id": "video_1",
        "prompt": "a fox",
        "model": "sim-1",
        "seconds": 8,
        "size": "720x1280",
        "made_at": 1000.0,
        "created_at": 1000,
        "started_at": 1000.0,
        "ready_at": 1040.0,
        "work_seconds": 40.0,
    }
    return Job(**plain | changes)


def test_render_goes_from_queued_to_in_progress_to_completed() -> None:
    seen = [(status_of(_job(), now), progress_of(_job(), now)) for now in (1000, 1003, 1005, 1022, 1039.9, 1040)]
    assert seen == [
        ("queued", 0),
        ("queued", 0),
        ("in_progress", 2),
        ("in_progress", 50),
        ("in_progress", 99),
        ("completed", 100),
    ]


def test_stuck_render_never_completes_and_failing_render_fails_at_the_end() -> None:
    assert status_of(_job(fate="stuck"), 9e9) == "in_progress"
    assert [status_of(_job(fate="fails"), now) for now in (1030, 1040)] == ["in_progress", "failed"]


async def test_render_passes_through_its_statuses_over_http(open_provider: Open) -> None:
    async with open_provider(speed=5.0, render_seconds=40.0) as provider:
        _, video = await provider.buy()
        assert (video["status"], video["completed_at"]) == ("queued", None)
        statuses = set()
        while video["status"] != "completed":
            statuses.add(video["status"])
            await asyncio.sleep(0.01)
            _, video = await provider.ask("GET", f"/v1/videos/{video['id']}")
        assert statuses == {"queued", "in_progress"}
        assert (video["progress"], video["expires_at"] - video["completed_at"]) == (100, 3600)


async def test_speed_change_applies_to_running_renders(open_provider: Open) -> None:
    async with open_provider(speed=1.0) as provider:
        _, video = await provider.buy()
        await provider.ask("POST", "/_sim/speed", json={"speed": "instant"})
        _, video = await provider.ask("GET", f"/v1/videos/{video['id']}")
        assert video["status"] == "completed"


async def test_each_job_has_its_own_mp4_content(provider: Provider) -> None:
    clips = []
    for _ in range(2):
        _, video = await provider.buy()
        status, clip, headers = await provider.raw("GET", f"/v1/videos/{video['id']}/content")
        assert (status, headers["Content-Type"], int(headers["Content-Length"])) == (
            200,
            "video/mp4",
            len(clip),
        )
        clips.append(clip)
    assert all(clip[4:8] == b"ftyp" for clip in clips)
    assert clips[0] != clips[1]


async def test_content_is_404_until_the_render_completes(open_provider: Open) -> None:
    async with open_provider(speed=1.0) as provider:
        _, video = await provider.buy()
        status, answer = await provider.ask("GET", f"/v1/videos/{video['id']}/content")
        assert (status, answer["error"]["code"]) == (404, "video_not_ready")


async def test_content_expires(open_provider: Open) -> None:
    async with open_provider(expires_after_seconds=0.0) as provider:
        _, video = await provider.buy()
        status, answer = await provider.ask("GET", f"/v1/videos/{video['id']}/content")
        assert (status, answer["error"]["code"]) == (404, "video_expired")


@pytest.mark.parametrize("path", ["", "/content"])
async def test_an_unknown_job_is_404_and_a_missing_key_401(provider: Provider, path: str) -> None:
    status, answer = await provider.ask("GET", f"/v1/videos/video_none{path}")
    assert (status, answer["error"]["code"]) == (404, "video_not_found")
    status, _ = await provider.ask("GET", f"/v1/videos/video_none{path}", headers={"Authorization": ""})
    assert status == 401


async def test_deleting_hides_the_job_and_leaves_the_charge(provider: Provider) -> None:
    _, video = await provider.buy()
    path = f"/v1/videos/{video['id']}"
    answer = {"id": video["id"], "object": "video.deleted", "deleted": True}
    assert await provider.ask("DELETE", path) == (200, answer)
    assert (await provider.ask("GET", path))[0] == 404
    assert (await provider.ask("GET", "/v1/videos"))[1]["data"] == []
    assert (await provider.books())["totals"]["charged_microusd"] == 800_000


async def test_a_running_render_cannot_be_deleted(open_provider: Open) -> None:
    async with open_provider(speed=1.0) as provider:
        _, video = await provider.buy()
        assert (await provider.ask("DELETE", f"/v1/videos/{video['id']}"))[0] == 400


@pytest.mark.parametrize("refund", [True, False])
async def test_failed_render_is_charged_unless_refund_failed_is_set(open_provider: Open, refund: bool) -> None:
    async with open_provider(refund_failed=refund) as provider:
        _, video = await provider.buy(prompt="a fox, render-fails")
        assert (video["status"], video["error"]["code"]) == ("failed", "generation_failed")
        totals = (await provider.books())["totals"]
        assert (totals["paid_calls"], totals["charged_microusd"]) == (1, 0 if refund else 800_000)


async def test_render_faults_can_fail_stall_or_set_an_unknown_status(provider: Provider) -> None:
    await provider.trouble("render", "fails", code="content_policy", message="The output was blocked.")
    _, failed = await provider.buy()
    assert failed["error"] == {"code": "content_policy", "message": "The output was blocked."}
    await provider.trouble("render", "stuck")
    assert (await provider.buy())[1]["status"] == "in_progress"
    assert (await provider.buy(prompt="render-stuck"))[1]["status"] == "in_progress"
    await provider.trouble("render", "unknown_status", status="upscaling")
    assert (await provider.buy())[1]["status"] == "upscaling"
    assert (await provider.buy())[1]["status"] == "completed"


async def test_unknown_status_fault_shows_an_unknown_status_once(provider: Provider) -> None:
    _, video = await provider.buy()
    await provider.trouble("retrieve", "unknown_status", status="upscaling")
    seen = [(await provider.ask("GET", f"/v1/videos/{video['id']}"))[1]["status"] for _ in range(2)]
    assert seen == ["upscaling", "completed"]


@pytest.mark.parametrize("target", ["retrieve", "list", "content", "chat"])
@pytest.mark.parametrize(
    ("kind", "how", "error"),
    [
        ("drop", {}, aiohttp.ClientConnectionError),
        ("hang", {}, TimeoutError),
        ("garbage", {}, ValueError),
        ("half_answer", {}, aiohttp.ClientPayloadError),
    ],
)
async def test_read_faults_break_one_response(
    provider: Provider, target: str, kind: str, how: dict[str, object], error: type[Exception]
) -> None:
    _, video = await provider.buy()
    path = {"list": "/v1/videos", "content": f"/v1/videos/{video['id']}/content"}
    asked: dict[str, Any] = {}
    method, where = "GET", path.get(target, f"/v1/videos/{video['id']}")
    if target == "chat":
        method, where = "POST", "/v1/chat/completions"
        asked["json"] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    await provider.trouble(target, kind, **how)
    with pytest.raises(error):
        await provider.ask(method, where, timeout=aiohttp.ClientTimeout(total=1 if kind == "hang" else 60), **asked)
    assert (await provider.ask(method, where, **asked))[0] == 200


@pytest.mark.parametrize("status", [404, 410])
async def test_expired_fault_returns_404_or_410_for_a_download(provider: Provider, status: int) -> None:
    _, video = await provider.buy()
    await provider.trouble("content", "expired", status=status)
    assert (await provider.ask("GET", f"/v1/videos/{video['id']}/content"))[0] == status


async def test_content_faults_truncate_or_replace_the_download(provider: Provider) -> None:
    _, video = await provider.buy()
    path = f"/v1/videos/{video['id']}/content"
    await provider.trouble("content", "truncated")
    with pytest.raises(aiohttp.ClientPayloadError):
        await provider.ask("GET", path)
    await provider.trouble("content", "not_mp4")
    status, body, headers = await provider.raw("GET", path)
    assert (status, headers["Content-Type"], body[:6]) == (200, "video/mp4", b"<html>")
    await provider.trouble("content", "file", base64="AAAA")
    assert (await provider.raw("GET", path))[:2] == (200, bytes(3))


async def test_sparse_habit_shows_only_three_job_fields(provider: Provider) -> None:
    await provider.ask("POST", "/_sim/habits", json={"sparse": True})
    _, video = await provider.buy()
    assert set(video) == {"id", "status", "created_at"}
    assert set((await provider.ask("GET", f"/v1/videos/{video['id']}"))[1]) == {"id", "status", "created_at"}


async def test_habits_can_null_prompts_prefix_models_and_change_job_ids(provider: Provider) -> None:
    habits = {"null_prompts": True, "model_prefix": "openai/", "strange_ids": True}
    await provider.ask("POST", "/_sim/habits", json=habits)
    _, video = await provider.buy()
    assert (video["prompt"], video["model"]) == (None, "openai/sim-1")
    _, seen = await provider.ask("GET", f"/v1/videos/{video['id']}")
    assert seen["id"] != video["id"]
    assert (await provider.ask("GET", f"/v1/videos/{seen['id']}"))[0] == 404


async def test_clock_skew_shifts_created_at(provider: Provider) -> None:
    _, true = await provider.buy()
    await provider.ask("POST", "/_sim/clock", json={"skew_seconds": -90})
    _, skewed = await provider.buy(prompt=FOX["prompt"])
    assert -91 <= skewed["created_at"] - true["created_at"] <= -88
