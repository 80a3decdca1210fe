"""The provider's protocol, call by call, with what each answer is read as and what it costs."""

import hashlib
from pathlib import Path

import pytest

from providers.catalogue import price_microusd
from providers.job import Job, JobStatus
from providers.openai_videos.protocol import read_answer
from providers.orders import Answer, ClearNo, Made, Order
from providers.port import ReadError
from providers.transport import VideoProvider, open_provider
from steps.generate_video import Clip, fetch
from tests.cassette.conversation import Talk

pytestmark = pytest.mark.vcr

RUN_ID = "00000000-0000-4000-8000-000000000001"
PROMPT = "A paper boat drifts along a gutter in the rain. Camera: low tracking shot."
PRICES_MICROUSD = {"sim-1": 400_000}  # 4 s at $0.10 a second


def order(talk: Talk, prompt: str = PROMPT, create_body: str = "multipart") -> Order:
    return Order(RUN_ID, prompt, talk.video_model, *talk.shape, create_body)


async def buy(talk: Talk, provider: VideoProvider, wanted: Order) -> Answer:
    answer = await provider.post(wanted, lambda: None)
    assert [request.method for request in talk.cassette.requests if request.method != "GET"] == ["POST"]
    return answer


def made(talk: Talk, answer: Answer, wanted: Order) -> Job:
    """The job in an answer that shows it whole, at the price of what was asked for."""
    assert answer.status == 200
    read = read_answer(answer, refuses_429=False)
    assert isinstance(read, Made)
    check_shown(talk, read.job, wanted)
    assert read.job.status in {JobStatus.QUEUED, JobStatus.IN_PROGRESS}
    return read.job


def check_shown(talk: Talk, job: Job, wanted: Order) -> None:
    """What the answer shows is what was asked for, at its price."""
    assert (job.prompt, job.model, job.seconds, job.size) == (wanted.prompt, wanted.model, *talk.shape)
    price = price_microusd(talk.model(), job.seconds or 0, job.size or "")
    assert price == PRICES_MICROUSD.get(talk.video_model, price_microusd(talk.model(), *talk.shape))


async def test_a_multipart_order_is_rendered_and_its_clip_arrives_whole(talk: Talk, tmp_path: Path) -> None:
    wanted = order(talk)
    async with open_provider(talk.video_url, talk.video_key) as provider:
        job = made(talk, await buy(talk, provider, wanted), wanted)
        seen = [job.status]
        while seen[-1] not in {JobStatus.COMPLETED, JobStatus.FAILED}:
            assert len(seen) < 90
            await talk.pause()
            look = await provider.job(job.job_id)
            assert isinstance(look, Job)
            assert look.job_id == job.job_id
            check_shown(talk, look, wanted)
            seen.append(look.status)
        assert seen[-1] is JobStatus.COMPLETED
        assert isinstance(look, Job)
        assert set(seen[:-1]) <= {JobStatus.QUEUED, JobStatus.IN_PROGRESS}
        assert seen == sorted(seen, key=["queued", "in_progress", "completed"].index)
        clip = await fetch(look, provider, tmp_path / "clip.mp4")
    assert isinstance(clip, Clip)
    assert {answer["id"] for answer in talk.answers()} == {job.job_id}
    whole = clip.path.read_bytes()
    assert (clip.bytes, clip.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert talk.is_recorded_clip(clip.path)
    assert talk.requests()[0] == wanted.fields()
    assert [request.method for request in talk.cassette.requests] == ["POST", *["GET"] * len(seen)]


async def test_a_json_order_carries_the_same_fields(talk: Talk) -> None:
    wanted = order(talk, create_body="json")
    async with open_provider(talk.video_url, talk.video_key) as provider:
        job = made(talk, await buy(talk, provider, wanted), wanted)
        look = await provider.job(job.job_id)
    assert isinstance(look, Job)
    assert look.job_id == job.job_id
    check_shown(talk, look, wanted)
    assert look.status in {JobStatus.QUEUED, JobStatus.IN_PROGRESS}
    assert {answer["id"] for answer in talk.answers()} == {job.job_id}
    (sent, _) = talk.requests()
    assert sent == wanted.fields()
    assert talk.cassette.requests[0].headers["content-type"] == "application/json"


@pytest.mark.simulator_only
async def test_a_prompt_that_the_provider_refuses_costs_nothing(talk: Talk) -> None:
    async with open_provider(talk.video_url, talk.video_key) as provider:
        answer = await buy(talk, provider, order(talk, "a paper boat, provider-refuse"))
    assert answer.status == 400
    refused = read_answer(answer, refuses_429=False)
    assert isinstance(refused, ClearNo)
    assert refused.reason == "prompt_refused"
    assert refused.detail
    assert talk.answers()[0]["error"]["code"] == "moderation_blocked"


async def test_a_wrong_key_buys_nothing_and_says_so(talk: Talk) -> None:
    async with open_provider(talk.video_url, "wrong-key") as provider:
        answer = await buy(talk, provider, order(talk))
    assert answer.status == 401
    no = read_answer(answer, refuses_429=False)
    assert isinstance(no, ClearNo)
    assert no.reason == "unauthorized"
    assert "API key" in no.detail
    assert talk.answers()[0]["error"]["code"] == "invalid_api_key"


@pytest.mark.simulator_only
async def test_a_render_that_fails_says_why(talk: Talk) -> None:
    wanted = order(talk, "a paper boat, render-fails")
    async with open_provider(talk.video_url, talk.video_key) as provider:
        job = made(talk, await buy(talk, provider, wanted), wanted)
        look = job
        while look.status is not JobStatus.FAILED:
            assert look.status in {JobStatus.QUEUED, JobStatus.IN_PROGRESS}
            await talk.pause()
            shown = await provider.job(job.job_id)
            assert isinstance(shown, Job)
            look = shown
            check_shown(talk, look, wanted)
    assert {answer["id"] for answer in talk.answers()} == {job.job_id}
    assert look.error_code == "generation_failed"
    assert look.error


@pytest.mark.simulator_only
async def test_an_unknown_job_is_a_read_error_not_a_failure(talk: Talk) -> None:
    async with open_provider(talk.video_url, talk.video_key) as provider:
        look = await provider.job("video_nobody_made")
    assert isinstance(look, ReadError)
    assert look.status == 404
    assert talk.answers()[0]["error"]["code"] == "video_not_found"


@pytest.mark.simulator_only
async def test_sparse_answers_are_enough_to_come_back_for_the_clip(talk: Talk, tmp_path: Path) -> None:
    talk.control("/_sim/habits", {"sparse": True})
    wanted = order(talk)
    try:
        async with open_provider(talk.video_url, talk.video_key) as provider:
            answer = await buy(talk, provider, wanted)
            assert answer.status == 200
            read = read_answer(answer, refuses_429=False)
            assert isinstance(read, Made)
            assert (read.job.prompt, read.job.seconds, read.job.size) == (None, None, None)
            look = await provider.job(read.job.job_id)
            assert isinstance(look, Job)
            assert {read.job.status, look.status} <= {JobStatus.QUEUED, JobStatus.IN_PROGRESS}
            while isinstance(look, Job) and look.status is not JobStatus.COMPLETED:
                assert look.status in {JobStatus.QUEUED, JobStatus.IN_PROGRESS}
                await talk.pause()
                look = await provider.job(read.job.job_id)
            assert isinstance(look, Job)
            assert (look.job_id, look.seconds) == (read.job.job_id, None)
            clip = await fetch(look, provider, tmp_path / "clip.mp4")
    finally:
        talk.control("/_sim/habits", {"sparse": False})
    assert isinstance(clip, Clip)
    assert {answer["id"] for answer in talk.answers()} == {read.job.job_id}
    assert talk.is_recorded_clip(clip.path)
