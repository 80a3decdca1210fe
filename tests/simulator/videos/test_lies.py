"""Jobs shown with wrong dates, words, prompts or ids. The books stay true."""

import base64
from typing import Any

import pytest

from simulator.faults import broken_clips
from simulator.settings import WORDS, Habits
from simulator.videos import lies
from tests.simulator.conftest import FOX, Open, Provider

HOUR = 3600


def test_every_habit_value_is_implemented() -> None:
    assert set(lies._DATES) | {"missing"} == set(WORDS["created_at"])
    assert set(lies._REWRITES) == set(WORDS["prompt_rewrite"])
    assert set(lies._POISONS) == set(WORDS["poison"])
    assert set(lies._ENVELOPES) == set(WORDS["envelope"])
    assert set(lies.ODD_ROWS) == set(WORDS["odd_rows"])
    assert set(broken_clips.BROKEN) == set(WORDS["clip_lie"])


async def test_unknown_habits_and_values_are_rejected(provider: Provider) -> None:
    status, answer = await provider.ask("POST", "/_sim/habits", json={"created_at": "soon"})
    assert (status, "negative" in answer["error"]["message"]) == (400, True)
    lie = {"target": "retrieve", "kind": "lie", "habits": {"envelope": "brown paper"}}
    assert (await provider.ask("POST", "/_sim/faults", json=lie))[0] == 400
    lie = {"target": "retrieve", "kind": "lie", "habits": {"mood": "bad"}}
    assert (await provider.ask("POST", "/_sim/faults", json=lie))[0] == 400


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("zero", lambda _: 0),
        ("negative", lambda _: -62_135_596_800),
        ("hour_one", lambda _: 3600),
        ("a_year_ago", lambda true: true - 365 * 24 * HOUR),
        ("hours_behind", lambda true: true - 8 * HOUR),
        ("hours_ahead", lambda true: true + 8 * HOUR),
        ("milliseconds", lambda true: true * 1000),
        ("digits", str),
        ("null", lambda _: None),
    ],
)
async def test_date_habits_change_the_dates_in_every_response(provider: Provider, word: str, shown: Any) -> None:
    await provider.habit(created_at=word, completed_at=word, expires_at=word)
    _, bought = await provider.buy()
    (true,) = await provider.truth()
    for video in (bought, await provider.seen(bought["id"]), (await provider.listed())["data"][0]):
        for name in ("created_at", "completed_at", "expires_at"):
            assert video[name] == shown(true[name]), name


async def test_date_habits_can_show_text_or_hide_a_date(provider: Provider) -> None:
    await provider.habit(created_at="text", completed_at="missing")
    _, video = await provider.buy()
    assert video["created_at"].endswith("+00:00")
    assert "completed_at" not in video


async def test_shown_dates_can_be_shifted_or_drift_with_each_response(provider: Provider) -> None:
    await provider.habit(dates_shift_seconds=-8 * HOUR)
    _, video = await provider.buy()
    (true,) = await provider.truth()
    assert video["created_at"] == true["created_at"] - 8 * HOUR
    await provider.habit(dates_shift_seconds=0, dates_drift_seconds=60)
    seen = [(await provider.seen(video["id"]))["created_at"] for _ in range(3)]
    assert (seen[1] - seen[0], seen[2] - seen[1]) == (60, 60)
    assert (await provider.truth()) == [true]


async def test_lies_in_limits_a_habit_to_the_named_responses(provider: Provider) -> None:
    await provider.habit(created_at="zero", lies_in=["list"])
    _, video = await provider.buy()
    assert video["created_at"] > 0
    assert (await provider.seen(video["id"]))["created_at"] > 0
    assert (await provider.listed())["data"][0]["created_at"] == 0


@pytest.mark.parametrize(
    ("habits", "shown"),
    [
        ({"null_prompts": True}, None),
        ({"prompt_characters": 5}, "a red"),
        ({"prompt_characters": 5, "prompt_ellipsis": "…"}, "a red…"),
        ({"prompt_characters": 500, "prompt_ellipsis": "…"}, FOX["prompt"]),
        ({"prompt_rewrite": "upper"}, "A RED FOX IN THE RAIN"),
        ({"prompt_rewrite": "cinematic"}, "A cinematic shot: a red fox in the rain"),
        ({"poison": "nul"}, FOX["prompt"] + "\x00"),
        ({"poison": "surrogate"}, FOX["prompt"] + "\ud800"),
    ],
)
async def test_prompt_habits_hide_cut_rewrite_or_poison_prompts(
    provider: Provider, habits: dict[str, object], shown: str | None
) -> None:
    await provider.habit(**habits)
    _, video = await provider.buy()
    assert video["prompt"] == shown
    assert (await provider.listed())["data"][0]["prompt"] == shown
    assert (await provider.truth())[0]["prompt"] == FOX["prompt"]


async def test_poison_habit_applies_to_model_status_and_error(provider: Provider) -> None:
    await provider.habit(poison="nul", poisoned=["model", "status", "error"])
    _, video = await provider.buy(prompt="render-fails")
    assert (video["model"], video["status"], video["prompt"]) == ("sim-1\x00", "failed\x00", "render-fails")
    assert video["error"]["code"] == "generation_failed\x00"


@pytest.mark.parametrize("word", ["finished", "ready", " Completed ", "succeed", "SUCCESS", "\x00", 2, None])
async def test_status_words_habit_replaces_the_completed_and_failed_statuses(provider: Provider, word: object) -> None:
    await provider.habit(status_words={"completed": word, "failed": "FAILURE"})
    _, video = await provider.buy()
    assert (video["status"], (await provider.truth())[0]["status"]) == (word, "completed")
    assert (await provider.buy(prompt="render-fails"))[1]["status"] == "FAILURE"


async def test_shown_and_hidden_habits_replace_or_remove_job_fields(provider: Provider) -> None:
    await provider.habit(shown={"seconds": "4", "size": "1280x720", "expires_at": 3600}, hidden=["model"])
    _, video = await provider.buy()
    assert (video["seconds"], video["size"], video["expires_at"]) == ("4", "1280x720", 3600)
    assert "model" not in video
    assert (await provider.truth())[0]["seconds"] == "8"


async def test_lie_fault_applies_habits_to_one_request(provider: Provider) -> None:
    _, video = await provider.buy()
    await provider.trouble("retrieve", "lie", habits={"created_at": "negative"})
    assert (await provider.seen(video["id"]))["created_at"] < 0
    assert (await provider.seen(video["id"]))["created_at"] > 0
    await provider.trouble("create", "lie", habits={"prompt_rewrite": "upper"})
    assert (await provider.buy())[1]["prompt"] == "A RED FOX IN THE RAIN"


async def test_deleting_habits_restores_the_startup_habits(open_provider: Open) -> None:
    async with open_provider(habits=Habits(sparse=True)) as provider:
        await provider.habit(sparse=False, created_at="zero")
        _, state = await provider.ask("DELETE", "/_sim/habits")
        assert (state["habits"]["sparse"], state["habits"]["created_at"]) == (True, "")


@pytest.mark.parametrize(
    ("envelope", "path"),
    [
        ("data", ("data", "id")),
        ("code", ("data", "id")),
        ("code_task", ("data", "task_id")),
        ("code_lone", ("data", "task_id")),
        ("task", ("task_id",)),
        ("lone_task", ("task_id",)),
        ("output", ("output", "task_id")),
    ],
)
@pytest.mark.parametrize("target", ["create", "retrieve"])
async def test_job_can_be_wrapped_in_another_gateways_envelope(
    provider: Provider, envelope: str, path: tuple[str, ...], target: str
) -> None:
    await provider.trouble(target, "enveloped", envelope=envelope)
    _, answer = await provider.buy()
    (true,) = await provider.truth()
    if target == "retrieve":
        answer = await provider.seen(true["id"])
    for name in path:
        answer = answer[name]
    assert answer == true["id"]
    await provider.habit(envelope=envelope)
    assert "object" not in await provider.seen(true["id"])


async def test_aliased_ids_habit_shows_different_working_ids_for_one_job(provider: Provider) -> None:
    await provider.habit(aliased_ids=True)
    _, video = await provider.buy()
    (true,) = await provider.truth()
    seen = await provider.seen(video["id"])
    listed = (await provider.listed())["data"][0]
    assert len({video["id"], seen["id"], true["id"]}) == 3
    packed = base64.b64decode(video["id"].removeprefix("video_")).decode()
    assert packed == f"litellm:custom_llm_provider:openai;model_id:sim-1;video_id:{true['id']}"
    for shown_id in (video["id"], seen["id"], listed["id"], true["id"]):
        assert (await provider.ask("GET", f"/v1/videos/{shown_id}/content"))[0] == 200
    assert (await provider.listed(f"?after={video['id']}"))["data"] == []


async def test_failed_looks_habit_shows_a_completed_job_as_failed_at_first(provider: Provider) -> None:
    await provider.habit(failed_looks=2)
    _, video = await provider.buy()
    seen = [(await provider.seen(video["id"]))["status"] for _ in range(3)]
    assert seen == ["failed", "failed", "completed"]
    assert (await provider.truth())[0]["status"] == "completed"


@pytest.mark.parametrize(
    ("kind", "how", "shown"),
    [
        ("shows_failed", {}, {"status": "failed", "error": lies.FAILED}),
        ("shows_failed", {"error": {"code": "\x00"}}, {"status": "failed", "error": {"code": "\x00"}}),
        ("shows_expired", {}, {"status": "expired", "progress": 40, "error": lies.TIMED_OUT}),
        ("other_id", {}, {"id": lies.OTHER_ID, "status": "completed"}),
        ("other_id", {"id": "video_b", "status": "failed"}, {"id": "video_b", "status": "failed"}),
    ],
)
async def test_retrieve_fault_shows_a_wrong_job_once(
    provider: Provider, kind: str, how: dict[str, object], shown: dict[str, object]
) -> None:
    _, video = await provider.buy()
    await provider.trouble("retrieve", kind, **how)
    seen = await provider.seen(video["id"])
    assert seen | shown == seen
    assert await provider.seen(video["id"]) == video


async def test_retrieve_faults_can_omit_the_job_or_return_404(provider: Provider) -> None:
    _, video = await provider.buy()
    path = f"/v1/videos/{video['id']}"
    await provider.trouble("retrieve", "idless")
    assert await provider.ask("GET", path) == (200, {"status": "error", "message": "upstream busy"})
    await provider.trouble("retrieve", "idless", body={"status": "completed"})
    assert await provider.ask("GET", path) == (200, {"status": "completed"})
    await provider.trouble("retrieve", "not_found")
    assert [(await provider.ask("GET", path))[0] for _ in range(2)] == [404, 200]


@pytest.mark.parametrize("status", [422, 500])
async def test_retrieve_error_response_can_contain_the_job(provider: Provider, status: int) -> None:
    await provider.habit(failed_status=status)
    _, failed = await provider.buy(prompt="render-fails")
    _, good = await provider.buy()
    seen, body = await provider.ask("GET", f"/v1/videos/{failed['id']}")
    assert (seen, body["id"], body["status"]) == (status, failed["id"], "failed")
    path = f"/v1/videos/{good['id']}"
    assert (await provider.ask("GET", path))[0] == 200
    await provider.trouble("retrieve", "job_in_error", status=status)
    seen, body = await provider.ask("GET", path)
    assert (seen, body["status"]) == (status, "completed")
