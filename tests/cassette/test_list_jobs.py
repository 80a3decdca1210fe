"""The provider's list, page after page."""

import pytest

from providers.catalogue import price_microusd
from providers.list_jobs import look
from providers.openai_videos import protocol
from providers.openai_videos.protocol import read_answer
from providers.orders import Made, Order
from providers.transport import open_provider
from tests.cassette.conversation import Talk

pytestmark = [pytest.mark.vcr, pytest.mark.simulator_only]

PROMPTS = ("a paper boat", "a paper plane", "a paper crane")


async def test_a_list_over_two_pages_shows_every_job_newest_first(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PAGE_JOBS", 2)
    bought = []
    async with open_provider(talk.video_url, talk.video_key) as provider:
        for place, prompt in enumerate(PROMPTS):
            order = Order(
                f"00000000-0000-4000-8000-00000000000{place}",
                prompt,
                talk.video_model,
                *talk.shape,
                "multipart",
            )
            answer = await provider.post(order, lambda: None)
            assert answer.status == 200
            made = read_answer(answer, refuses_429=False)
            assert isinstance(made, Made)
            assert made.job.status.value in {"queued", "in_progress"}
            assert (made.job.prompt, made.job.model, made.job.seconds, made.job.size) == (
                prompt, talk.video_model, *talk.shape)  # fmt: skip
            bought.append(made.job)
        seen = await look(provider, back_to=0)
    assert seen.complete, seen.why_incomplete
    assert [job.job_id for job in seen.jobs] == [job.job_id for job in reversed(bought)]
    assert [job.prompt for job in seen.jobs] == list(reversed(PROMPTS))
    assert {(job.model, job.seconds, job.size) for job in seen.jobs} == {(talk.video_model, *talk.shape)}
    assert {job.status.value for job in seen.jobs} <= {"queued", "in_progress"}
    assert sum(price_microusd(talk.model(), job.seconds or 0, job.size or "") for job in seen.jobs) == 1_200_000
    pages = [request.query for request in talk.cassette.requests if request.method == "GET"]
    assert [dict(page).get("after") for page in pages] == [None, bought[2].job_id], "pages overlap by a row"
    assert [answer["last_id"] for answer in talk.answers()[3:]] == [bought[1].job_id, bought[0].job_id]
    first, second = (answer["data"] for answer in talk.answers()[3:])
    facts = ("id", "prompt", "model", "seconds", "size", "created_at")
    assert [second[0][fact] for fact in facts] == [first[-1][fact] for fact in facts]
    assert {row["status"] for row in (*first, *second)} <= {"queued", "in_progress"}
