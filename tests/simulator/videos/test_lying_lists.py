"""Lists that drop, delay, omit or shuffle jobs, or contain other clients' jobs."""

import asyncio
from typing import Any

import pytest

from tests.simulator.conftest import FOX, Open, Provider


async def _bought(provider: Provider, count: int) -> list[str]:
    """Job ids, oldest first."""
    return [(await provider.buy(prompt=f"fox {number}"))[1]["id"] for number in range(count)]


def _ids(page: Any) -> list[Any]:
    return [row["id"] if isinstance(row, dict) and "id" in row else row for row in page["data"]]


@pytest.mark.parametrize(("are_404", "status"), [(False, 200), (True, 404)])
async def test_restart_hides_old_jobs_from_the_list(provider: Provider, are_404: bool, status: int) -> None:
    (old,) = await _bought(provider, 1)
    await provider.ask("POST", "/_sim/restart", json={"are_404": are_404})
    assert _ids(await provider.listed()) == []
    assert (await provider.ask("GET", f"/v1/videos/{old}"))[0] == status
    (new,) = await _bought(provider, 1)
    assert _ids(await provider.listed()) == [new]
    assert [job["id"] for job in await provider.truth()] == [old, new]


async def test_list_share_habit_hides_a_fixed_share_of_jobs(provider: Provider) -> None:
    bought = await _bought(provider, 30)
    await provider.habit(list_share=0.5)
    listed = _ids(await provider.listed("?limit=100"))
    assert 5 < len(listed) < 25
    assert listed == _ids(await provider.listed("?limit=100"))
    assert set(listed) < set(bought)


async def test_list_hides_habit_omits_running_jobs(open_provider: Open) -> None:
    async with open_provider(speed=1.0) as provider:
        (job,) = await _bought(provider, 1)
        await provider.habit(list_hides=["queued", "in_progress"])
        assert _ids(await provider.listed()) == []
        await provider.ask("POST", "/_sim/speed", json={"speed": "instant"})
        assert _ids(await provider.listed()) == [job]


async def test_list_lag_habit_delays_new_jobs_in_the_list(provider: Provider) -> None:
    await provider.habit(list_lag_seconds=0.3)
    (job,) = await _bought(provider, 1)
    assert _ids(await provider.listed()) == []
    await asyncio.sleep(0.35)
    assert _ids(await provider.listed()) == [job]


async def test_list_age_habit_serves_an_older_list(open_provider: Open) -> None:
    async with open_provider(speed=100.0, render_seconds=20.0) as provider:
        (job,) = await _bought(provider, 1)
        await asyncio.sleep(0.25)
        await provider.habit(list_age_seconds=0.2)
        (new,) = await _bought(provider, 1)
        page = await provider.listed()
        assert [(row["id"], row["status"]) for row in page["data"]] == [(job, "in_progress")]
        assert (await provider.seen(job))["status"] == "completed"
        await provider.habit(list_age_seconds=0)
        assert _ids(await provider.listed()) == [new, job]


@pytest.mark.parametrize(("order", "asked"), [("oldest_first", "desc"), ("newest_first", "asc")])
async def test_list_order_habit_overrides_the_requested_order(provider: Provider, order: str, asked: str) -> None:
    bought = await _bought(provider, 3)
    right = _ids(await provider.listed(f"?order={asked}"))
    await provider.habit(list_order=order)
    assert _ids(await provider.listed(f"?order={asked}")) == right[::-1]
    assert set(right) == set(bought)


async def test_shuffled_fault_reorders_the_list_once(provider: Provider) -> None:
    bought = await _bought(provider, 12)
    await provider.trouble("list", "shuffled")
    shuffled = _ids(await provider.listed())
    assert shuffled not in (bought, bought[::-1])
    assert sorted(shuffled) == sorted(bought)
    assert _ids(await provider.listed()) == bought[::-1]


@pytest.mark.parametrize(
    ("word", "first", "last"), [("null", None, None), ("always", True, True), ("never", False, False)]
)
async def test_has_more_habit_replaces_the_has_more_value(
    provider: Provider, word: str, first: bool | None, last: bool | None
) -> None:
    await _bought(provider, 2)
    await provider.habit(has_more=word)
    assert (await provider.listed("?limit=1"))["has_more"] is first
    assert (await provider.listed("?limit=2"))["has_more"] is last


async def test_has_more_can_be_missing_and_pages_smaller_than_requested(provider: Provider) -> None:
    bought = await _bought(provider, 7)
    await provider.habit(has_more="missing", page_size=5)
    page = await provider.listed("?limit=100")
    assert ("has_more" in page, _ids(page)) == (False, bought[:1:-1])
    assert _ids(await provider.listed(f"?limit=100&after={page['last_id']}")) == bought[1::-1]


async def test_odd_rows_fault_inserts_malformed_rows_between_jobs(provider: Provider) -> None:
    bought = await _bought(provider, 2)
    await provider.trouble("list", "odd_rows")
    rows = (await provider.listed())["data"]
    assert [row["id"] for row in (rows[0], rows[2])] == bought[::-1]
    assert [rows[1]["id"], rows[3], *rows[4:7]] == [
        12345,
        {"object": "video", "status": "completed", "prompt": "a job without a name"},
        None,
        "video_in_words",
        [{"id": "video_inside", "status": "completed"}],
    ]
    assert [row["id"] for row in rows[7:]] == ["video_\x00nul", "video_\ud800half"]
    await provider.habit(odd_rows=["null"])
    assert _ids(await provider.listed()) == [bought[1], None, bought[0]]


async def test_list_faults_return_an_empty_or_malformed_list_once(provider: Provider) -> None:
    bought = await _bought(provider, 1)
    await provider.trouble("list", "empty")
    await provider.trouble("list", "odd_body")
    await provider.trouble("list", "odd_body", body=[1])
    assert (await provider.listed())["data"] == []
    assert await provider.listed() == {"object": "list", "data": {"data": []}}
    assert await provider.listed() == [1]
    assert _ids(await provider.listed()) == bought


async def test_stale_fault_serves_an_older_list_once(provider: Provider) -> None:
    bought = await _bought(provider, 1)
    await provider.trouble("list", "stale", seconds=30)
    assert [_ids(await provider.listed()) for _ in range(2)] == [[], bought]


@pytest.mark.parametrize(
    ("how", "prompt"),
    [({}, "somebody else's video 0"), ({"same": True}, FOX["prompt"]), ({"prompt": "a \x00 owl"}, "a \x00 owl")],
)
async def test_foreign_fault_adds_another_clients_job_to_the_list(
    provider: Provider, how: dict[str, object], prompt: str
) -> None:
    await provider.buy()
    await provider.trouble("list", "foreign", **how)
    rows = (await provider.listed())["data"]
    assert (len(rows), rows[0]["prompt"]) == (2, prompt)
    assert [job["owner"] for job in await provider.truth()] == ["client", "somebody else"]


@pytest.mark.parametrize(
    ("neighbours", "prompt", "size"),
    [
        ("same", FOX["prompt"], FOX["size"]),
        ("similar", FOX["prompt"], "1280x720"),
        ("other", "somebody else's video 0", FOX["size"]),
    ],
)
async def test_neighbours_habit_adds_a_foreign_job_for_each_order(
    provider: Provider, neighbours: str, prompt: str, size: str
) -> None:
    await provider.habit(neighbours=neighbours)
    await provider.buy()
    ours, theirs = await provider.truth()
    assert (ours["owner"], theirs["owner"]) == ("client", "somebody else")
    assert (theirs["prompt"], theirs["size"]) == (prompt, size)
    totals = (await provider.books())["totals"]
    assert (totals["paid_calls"], totals["foreign_jobs"]) == (1, 1)


@pytest.mark.parametrize("job_id", ["video_\x00", "video_\ud800"])
async def test_a_foreign_job_may_have_any_id(provider: Provider, job_id: str) -> None:
    await provider.ask("POST", "/_sim/jobs", json={"id": job_id})
    assert _ids(await provider.listed()) == [job_id]


async def test_list_can_put_chosen_jobs_first_or_concatenate_two_shards(provider: Provider) -> None:
    bought = await _bought(provider, 12)
    await provider.habit(list_first=[bought[2], bought[0]], page_size=5)
    assert _ids(await provider.listed()) == [bought[2], bought[0], *bought[:8:-1]]
    await provider.habit(list_first=[], page_size=None, list_order="shards")
    shards = _ids(await provider.listed())
    assert sorted(shards) == sorted(bought)
    falls = [at for at in range(1, 12) if bought.index(shards[at]) > bought.index(shards[at - 1])]
    assert len(falls) == 1, "newest first, and once more newest first"


async def test_list_can_show_one_model_only_and_be_marked_partial(provider: Provider) -> None:
    (fox,) = await _bought(provider, 1)
    await provider.buy(model="sim-1-pro")
    await provider.habit(list_models=["sim-1"], list_says={"partial": True, "last_id": "video_x"}, list_status=206)
    status, page = await provider.ask("GET", "/v1/videos")
    assert (status, _ids(page), page["partial"], page["last_id"]) == (206, [fox], True, "video_x")


async def test_list_can_reuse_ids_and_shift_prompts_by_one_row(provider: Provider) -> None:
    bought = await _bought(provider, 3)
    await provider.habit(renamed={bought[2]: bought[0]}, prompts_shifted=True, lies_in=["list"])
    rows = (await provider.listed())["data"]
    assert [(row["id"], row["prompt"]) for row in rows] == [
        (bought[0], "fox 1"),
        (bought[1], "fox 0"),
        (bought[0], "fox 2"),
    ]
    assert (await provider.seen(bought[2]))["prompt"] == "fox 2"


@pytest.mark.parametrize(
    ("rewrite", "shown"),
    [
        ("escaped", "a &lt;b&gt;ﬁne&lt;/b&gt; fox 🦊 runs"),
        ("ascii", "a <b>ne</b> fox  runs"),
        ("composed", "a <b>fine</b> fox 🦊 runs"),
        ("middle", "a <b>ﬁn …  🦊 runs"),
        ("redacted", "[redacted]"),
    ],
)
async def test_prompt_rewrite_habit_alters_markup_and_non_ascii_prompts(
    provider: Provider, rewrite: str, shown: str
) -> None:
    await provider.buy(prompt="a plain fox")
    await provider.buy(prompt="a <b>ﬁne</b> fox 🦊 runs")
    await provider.habit(prompt_rewrite=rewrite)
    odd, plain = (row["prompt"] for row in (await provider.listed())["data"])
    assert odd == shown
    assert rewrite == "middle" or plain == "a plain fox"


async def test_of_job_fault_serves_another_jobs_clip(provider: Provider) -> None:
    one, other = await _bought(provider, 2)
    path = "/v1/videos/{}/content"
    clips = [(await provider.raw("GET", path.format(each)))[1] for each in (one, other)]
    await provider.trouble("content", "of_job", job_id=one)
    assert (await provider.raw("GET", path.format(other)))[1] == clips[0] != clips[1]
