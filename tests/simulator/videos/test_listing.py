"""`GET /v1/videos`: pages, and pages that lie."""

from typing import Any

import pytest

from tests.simulator.conftest import Provider


async def _bought(provider: Provider, count: int) -> list[str]:
    """Job ids, newest first. All may be made in the same second: the order must not depend on it."""
    return [(await provider.buy(prompt=f"fox {number}"))[1]["id"] for number in range(count)][::-1]


async def _page(provider: Provider, **query: object) -> Any:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    return (await provider.ask("GET", f"/v1/videos?{words}"))[1]


def _ids(page: Any) -> list[str]:
    return [video["id"] for video in page["data"]]


async def test_list_pages_run_newest_first_until_has_more_is_false(provider: Provider) -> None:
    bought = await _bought(provider, 5)
    seen: list[str] = []
    after: dict[str, object] = {}
    for expected_more in (True, True, False):
        page = await _page(provider, limit=2, **after)
        seen += _ids(page)
        assert (page["first_id"], page["last_id"]) == (_ids(page)[0], _ids(page)[-1])
        assert page["has_more"] is expected_more
        after = {"after": page["last_id"]}
    assert seen == bought


async def test_ascending_order_is_the_same_list_backwards(provider: Provider) -> None:
    bought = await _bought(provider, 3)
    assert _ids(await _page(provider, order="asc")) == bought[::-1]
    assert _ids(await _page(provider, order="asc", after=bought[2])) == bought[1::-1]


async def test_empty_list_has_null_first_and_last_ids(provider: Provider) -> None:
    empty: dict[str, Any] = {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    assert await _page(provider) == empty


@pytest.mark.parametrize("query", ["limit=101", "limit=-1", "limit=x", "order=up", "after=video_none"])
async def test_invalid_list_query_is_rejected_with_400(provider: Provider, query: str) -> None:
    assert (await provider.ask("GET", f"/v1/videos?{query}"))[0] == 400


@pytest.mark.parametrize("status", [400, 404])
async def test_no_list_status_habit_disables_the_list(provider: Provider, status: int) -> None:
    await provider.ask("POST", "/_sim/habits", json={"no_list_status": status})
    assert (await provider.ask("GET", "/v1/videos"))[0] == status


async def test_repeated_page_fault_returns_the_first_page_with_has_more(provider: Provider) -> None:
    bought = await _bought(provider, 4)
    await provider.trouble("list", "repeated_page")
    page = await _page(provider, limit=2, after=bought[1])
    assert (_ids(page), page["has_more"]) == (bought[:2], True)


async def test_no_prompt_fault_removes_prompts_from_the_list(provider: Provider) -> None:
    await _bought(provider, 1)
    await provider.trouble("list", "no_prompt")
    assert "prompt" not in (await _page(provider))["data"][0]


async def test_missing_job_fault_hides_one_job_from_the_list(provider: Provider) -> None:
    bought = await _bought(provider, 3)
    await provider.trouble("list", "missing_job")
    assert _ids(await _page(provider)) == bought[1:]
    await provider.trouble("list", "missing_job", job_id=bought[2])
    assert _ids(await _page(provider)) == bought[:2]
    assert _ids(await _page(provider)) == bought


async def test_jobs_created_between_pages_shift_known_jobs_to_the_next_page(provider: Provider) -> None:
    bought = await _bought(provider, 4)
    await provider.trouble("list", "shifted", count=1, skip=1)
    first = _ids(await _page(provider, limit=2))
    second = _ids(await _page(provider, limit=2, after=first[-1]))
    assert (first, second) == (bought[:2], bought[1:3])
    assert (await provider.books())["totals"]["foreign_jobs"] == 1


async def test_skipped_fault_omits_a_job_from_the_page(provider: Provider) -> None:
    bought = await _bought(provider, 4)
    await provider.trouble("list", "skipped")
    assert _ids(await _page(provider, limit=2, after=bought[0])) == bought[2:]


async def test_foreign_job_is_listed_by_its_date_but_not_counted_as_a_purchase(
    provider: Provider,
) -> None:
    (ours,) = await _bought(provider, 1)
    asked = {"prompt": "fox 0", "seconds": 8, "created_at_offset": -60, "by": "a colleague"}
    _, foreign = await provider.ask("POST", "/_sim/jobs", json=asked)
    assert _ids(await _page(provider)) == [ours, foreign["id"]]
    totals = (await provider.books())["totals"]
    assert (totals["creates"], totals["paid_calls"], totals["foreign_jobs"]) == (1, 1, 1)
    _, jobs = await provider.ask("GET", "/_sim/jobs")
    assert [job["owner"] for job in jobs["jobs"]] == ["client", "a colleague"]
