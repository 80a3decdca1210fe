"""fal's double, read by the product's own module over real HTTP; and the paths that fal's own client asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from providers.clips.download import Content
from providers.job import Job, JobStatus
from providers.list_jobs import look
from providers.order_match import is_marked
from providers.orders import ClearNo, Fault, Made, Order, Unclear
from providers.port import ReadError, Scope
from providers.transport import VideoProvider, open_provider
from providers.vendors.fal import Fal as FalApi
from tests.providers.vendors.test_fal import order
from tests.simulator.conftest import Open
from tests.simulator.providers.conftest import MODEL, Fal

SCOPE = Scope((MODEL, "fal-ai/other"), since=0.0)


@asynccontextmanager
async def bought(fal: Fal, **changes: Any) -> AsyncIterator[tuple[VideoProvider, Order, Made | ClearNo | Unclear]]:
    """The product's transport at the double, with one order sent and its answer read."""
    url, sent = f"{fal.sim.root}/fal", order(**changes)
    async with open_provider(url, "tests", api=FalApi(url), request_seconds=5) as provider:
        answer = await provider.post(sent, lambda: None)
        yield provider, sent, provider.api.read_answer(answer, refuses_429=False, prompt=sent.prompt)


async def test_order_is_bought_read_fetched_and_charged(fal: Fal, tmp_path: Path) -> None:
    async with bought(fal) as (provider, sent, made):
        assert isinstance(made, Made)
        job = await provider.job(made.job.job_id, MODEL)
        assert isinstance(job, Job) and (job.status, job.named, job.described) == (JobStatus.COMPLETED, True, True)
        clip = await provider.content_at(job.urls[0], tmp_path / "clip.mp4")
        assert isinstance(clip, Content)
        charge = await provider._read(FalApi(provider.api.base_url).charge(job.job_id, 0.0))
        assert charge == (await fal.totals())["charged_microusd"]
    (entry,) = (await fal.sim.books())["creates"]
    assert (entry["prompt"], entry["model"], entry["job_id"]) == (sent.prompt, MODEL, job.job_id)
    assert (await fal.sim.books())["totals"]["files_with_authorization"] == 0


async def test_lost_answer_is_found_in_the_history_by_its_seed(fal: Fal) -> None:
    await fal.sim.trouble("create", "made_then_drop")
    await fal.sim.habit(neighbours="same")
    async with bought(fal) as (provider, sent, lost):
        assert isinstance(lost, Unclear) and lost.reason == "lost"
        await fal.submit(prompt="something else")
        found = await look(provider, scope=SCOPE)
        assert found.complete and not found.odd_rows and len(found.jobs) == 4
        ours = [job for job in found.jobs if is_marked(job, sent)]
        assert len(ours) == 2  # the neighbour copied the seed: only then may there be two
        assert {job.request == {**sent.params, "prompt": sent.prompt} for job in ours} == {True}


async def test_history_is_read_over_many_pages_and_models(fal: Fal) -> None:
    async with bought(fal, model="fal-ai/other") as (provider, sent, _):
        for number in range(130):
            await fal.submit(prompt=f"fox {number}")
        found = await look(provider, scope=SCOPE)
        assert (found.complete, len(found.jobs)) == (True, 131)
        assert [job.model for job in found.jobs if is_marked(job, sent)] == ["fal-ai/other"]
        assert len((await look(provider, scope=Scope(("fal-ai/other",), 0.0))).jobs) == 1


async def test_failed_render_fails_and_a_clear_no_buys_nothing(fal: Fal) -> None:
    await fal.sim.trouble("render", "fails", code="content_policy_violation", message="flagged by a checker")
    async with bought(fal) as (provider, _, made):
        assert isinstance(made, Made)
        job = await provider.job(made.job.job_id, MODEL)
        assert isinstance(job, Job) and job.status is JobStatus.FAILED
        assert job.error == "flagged by a checker" and job.refuses_content(job.error)
    async with bought(fal, prompt="a fox, provider-refuse") as (_, _, refused):
        assert isinstance(refused, ClearNo) and (refused.reason, refused.may_bill) == ("prompt_refused", True)
    async with bought(fal, prompt=" ") as (_, _, refused):
        assert isinstance(refused, ClearNo) and refused.reason == "bad_request"
    assert (await fal.totals())["paid_calls"] == 1


async def test_render_is_followed_through_the_queue(slow_fal: Fal) -> None:
    async with bought(slow_fal) as (provider, _, made):
        assert isinstance(made, Made)
        job = await provider.job(made.job.job_id, MODEL)
        assert isinstance(job, Job) and (job.status, job.described) == (JobStatus.QUEUED, True)
        found = await look(provider, scope=SCOPE)
        assert [each.status for each in found.jobs] == [JobStatus.QUEUED]
        await slow_fal.sim.ask("POST", "/_sim/speed", json={"speed": "instant"})
        job = await provider.job(made.job.job_id, MODEL)
        assert isinstance(job, Job) and job.status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    ("kind", "params", "part"),
    [
        ("other_id", {"status": "failed"}, "status"),
        ("echo", {}, "status"),
        ("idless", {"body": {"status": "FAILED", "error": "not you"}}, "status"),
        ("status", {"status": 422, "body": {"error": {"message": "no"}}}, "result"),
        ("html", {"status": 422}, "result"),
        ("html", {}, "status"),
        ("not_found", {}, "status"),
        ("list_instead", {}, "status"),
        ("list_instead", {}, "result"),
        ("drop", {}, "result"),
        ("cut_clean", {}, "status"),
    ],
)
async def test_misbehaving_read_never_fails_a_request_that_completed(
    fal: Fal, kind: str, params: dict[str, Any], part: str
) -> None:
    async with bought(fal) as (provider, _, made):
        assert isinstance(made, Made)
        await fal.sim.trouble("retrieve", kind, part=part, **params)
        job = await provider.job(made.job.job_id, MODEL)
        assert not (isinstance(job, Job) and job.status is JobStatus.FAILED)
        again = await provider.job(made.job.job_id, MODEL)
        assert isinstance(again, Job) and again.status is JobStatus.COMPLETED


@pytest.mark.parametrize("kind", ["half_answer", "garbage_json", "id_missing", "error_body", "html", "cut_utf8"])
async def test_broken_answer_leaves_the_order_in_doubt(fal: Fal, kind: str) -> None:
    await fal.sim.trouble("create", kind)
    async with bought(fal) as (_, _, unclear):
        assert isinstance(unclear, Unclear)


async def test_order_that_never_left_is_told_from_a_lost_one(fal: Fal) -> None:
    async with open_provider("http://127.0.0.1:9/fal", "tests", api=FalApi("http://127.0.0.1:9/fal")) as provider:
        assert (await provider.post(order(), lambda: None)).fault is Fault.NEVER_CONNECTED
        assert isinstance(await provider.job("x", MODEL), ReadError)


async def test_history_shows_only_models_times_and_payloads_that_are_asked_for(fal: Fal) -> None:
    _, answer = await fal.submit()
    assert (await fal.history(f"&request_id={answer['request_id']}"))["items"][0]["status_code"] == 200
    assert (await fal.history("&start=2100-01-01T00:00:00Z"))["items"] == []
    path = "/api/v1/models/requests/by-endpoint"
    _, bare = await fal.ask("GET", f"{path}?endpoint_id={MODEL}")
    assert "json_input" not in bare["items"][0] and bare["items"][0]["endpoint_id"] == MODEL
    assert (await fal.ask("GET", f"{path}?endpoint_id=fal-ai/none"))[1]["items"] == []
    assert (await fal.ask("GET", path))[0] == 400
    assert (await fal.ask("GET", f"{path}?endpoint_id={MODEL}&limit=101"))[0] == 400
    assert (await fal.ask("GET", f"{path}?endpoint_id={MODEL}", headers={"Authorization": ""}))[0] == 401


async def test_request_is_known_only_below_its_own_app(fal: Fal) -> None:
    _, answer = await fal.submit()
    assert (await fal.ask("GET", f"/fal-ai/other/requests/{answer['request_id']}/status"))[0] == 404
    assert (await fal.job(answer["request_id"], ""))[1]["seed"] == 7
    assert answer["status_url"].removeprefix(fal.sim.root) == (
        f"/fal/fal-ai/veo3.1/requests/{answer['request_id']}/status"
    )


async def test_refunded_and_unknown_requests_have_no_charge(open_provider: Open) -> None:
    async with open_provider(refund_failed=True) as simulator:
        fal = Fal(simulator)
        _, answer = await fal.submit(prompt="render-fails")
        for request_id in (answer["request_id"], "unknown"):
            _, body = await fal.ask("GET", f"/api/v1/models/billing-events?request_id={request_id}")
            assert body["billing_events"] == []
