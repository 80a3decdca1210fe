"""A look through the provider's list is complete only if the pages prove it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from providers.list_jobs import Look, look
from providers.transport import open_provider
from simulator.videos.lies import alias
from tests.providers.scripted import Reply, answer, in_turn, scripted


def page(*jobs: tuple[str, float | None], has_more: bool | None = None) -> Reply:
    rows = [{"id": name, "created_at": at} for name, at in jobs]
    body: dict[str, Any] = {"object": "list", "data": rows}
    return answer(200, body if has_more is None else body | {"has_more": has_more})


LISTS_THAT_SAY_MORE: list[tuple[dict[str, Any], str]] = [
    ({"error": {"message": "shard 2 timed out"}}, "list_says_more: error"),
    ({"partial": True}, "list_says_more: partial"),
    ({"code": 206}, "list_says_more: code"),
    ({"warnings": ["one region is away"]}, "list_says_more: warnings"),
    ({"last_id": "z"}, "last_id_is_not_the_last_row"),
    ({"next_cursor": "c2"}, "list_goes_on"),
    ({"total": 3}, "fewer_rows_than_it_says"),
    ({"total_pages": 2}, "fewer_rows_than_it_says"),
]


async def looked(replies: Sequence[Reply], back_to: float = 100, pages_max: int = 50) -> tuple[Look, int]:
    async with scripted(in_turn(*replies)) as server, open_provider(server.url, "k") as provider:
        seen = await look(provider, back_to=back_to, pages_max=pages_max)
    return seen, len(server.seen)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("replies", "complete", "why", "names"),
    [
        pytest.param([page(has_more=False)], True, "", "", id="an empty list"),
        pytest.param([page()], True, "", "", id="an empty list that says nothing of more"),
        pytest.param([page(("a", 200), has_more=False)], True, "", "a", id="one page, the last"),
        pytest.param(
            [page(("a", 300), ("b", 200), has_more=True), page(("b", 200), ("c", 150), has_more=False)],
            True,
            "",
            "abc",
            id="two pages",
        ),
        pytest.param(
            [page(("a", 300), ("b", 200), has_more=True), page(("a", 300), ("b", 201), ("c", 150), has_more=False)],
            True,
            "",
            "abc",
            id="the row it was asked to begin after comes again, and times are counted back from now",
        ),
        pytest.param(
            [page(("a", 300), has_more=True), page(("b", 200), has_more=False)],
            False,
            "pages_of_one_row",
            "ab",
            id="pages that cannot overlap",
        ),
        pytest.param(
            [page(("a", 300), ("b", 99), has_more=True), page(("b", 99), ("c", 98), has_more=False)],
            True,
            "",
            "abc",
            id="back past the moment, and on to the end",
        ),
        pytest.param(
            [page(("a", 300), ("b", 99), has_more=True)], False, "repeated_page", "ab", id="more, and never shown"
        ),
        pytest.param([page(("a", 300), ("b", 99))], True, "", "ab", id="one page, whatever is asked for"),
        pytest.param([page(("a", 300)), page()], True, "", "a", id="no word on more, and an empty page after it"),
        pytest.param(
            [page(("a", 300), ("b", 99), has_more=True), page(("b", 99), ("v", 200), has_more=False)],
            True,
            "",
            "abv",
            id="a newer job behind the page that reached back far enough",
        ),
        *[
            pytest.param(
                [answer(200, {"data": [{"id": "a"}], "has_more": False} | more)], False, why, "a", id=f"rows and {more}"
            )
            for more, why in LISTS_THAT_SAY_MORE
        ],
        pytest.param(
            [answer(200, {"object": "list", "data": [{"id": "a"}], "error": None, "code": 0, "last_id": "a"}), page()],
            True,
            "",
            "a",
            id="rows and words that say nothing",
        ),
        pytest.param([answer(206, {"data": [{"id": "a"}], "has_more": False})], False, "list_unreadable", "", id="206"),
        pytest.param(
            [page(("b", 99), ("a", 300), has_more=True), page(("a", 300), ("c", 400), has_more=False)],
            True,
            "",
            "bac",
            id="oldest first: read to the end",
        ),
        pytest.param(
            [page(("b", 50), ("a", 300), ("c", 40), has_more=True), page(("c", 40), ("d", 200), has_more=False)],
            True,
            "",
            "bacd",
            id="in no order: read to the end",
        ),
        pytest.param(
            [page(("a", None), ("b", 50), has_more=True), answer(500)],
            False,
            "list_unreadable",
            "ab",
            id="a job without a time hides how far the page goes",
        ),
        pytest.param(
            [page(("a", 300), ("b", 99), has_more=True), page(("d", 80), has_more=False)],
            False,
            "pages_leave_a_gap",
            "abd",
            id="a page that does not begin where the one before it ended",
        ),
        pytest.param(
            [page(("a", 300), ("b", 99), has_more=True), page(("b", 99))],
            False,
            "empty_page_after_more",
            "ab",
            id="a page with nothing but the row that it was to begin with",
        ),
        pytest.param([page(("a", 200))], False, "no_paging", "a", id="no word on whether there is more"),
        pytest.param([answer(400, {"error": "no list here"})], False, "list_unreadable", "", id="no list"),
        pytest.param(
            [page(("a", 300), has_more=True), answer(502)],
            False,
            "list_unreadable",
            "a",
            id="error on page two",
        ),
        pytest.param(
            [page(("a", 300), has_more=True), page(has_more=False)],
            False,
            "empty_page_after_more",
            "a",
            id="a page that was promised and is empty",
        ),
        pytest.param(
            [page(("a", 300), has_more=True), page(("a", 300), has_more=True)],
            False,
            "repeated_page",
            "a",
            id="the same page again",
        ),
        pytest.param(
            [answer(200, {"data": [{"status": "queued"}, {"id": "a"}], "has_more": False})],
            True,
            "",
            "a",
            id="an unreadable row beside a job",
        ),
        pytest.param([page(has_more=True)], False, "repeated_page", "", id="an empty page that promises more"),
        pytest.param(
            [answer(200, {"data": [{"status": "queued"}]})],
            False,
            "no_paging",
            "",
            id="an unreadable row and no word on what follows",
        ),
    ],
)
async def test_list_scan_is_complete_only_if_every_page_was_read(
    replies: list[Reply], complete: bool, why: str, names: str
) -> None:
    seen, _ = await looked(replies)
    assert seen.complete is complete
    assert seen.why_incomplete.startswith(why)
    assert (seen.why_incomplete == "") is complete
    assert [job.job_id for job in seen.jobs] == list(names)


@pytest.mark.asyncio
async def test_list_scan_stops_a_limited_number_of_rows_after_a_known_job() -> None:
    pages = [page((f"j{n}", 1000 - n), (f"j{n + 1}", 999 - n), has_more=True) for n in range(30)]
    async with scripted(in_turn(*pages)) as server, open_provider(server.url, "k") as provider:
        seen = await look(provider, past=["j2"], rows_beyond=10)
    assert (seen.complete, len(server.seen)) == (True, 2 + 10)


@pytest.mark.asyncio
async def test_an_unsorted_list_is_read_to_its_end() -> None:
    """A known job that changed last comes first; newer jobs may be anywhere after it."""
    times = [2000, 500, *range(1500, 1480, -1)]
    rows = [(f"j{n}", at) for n, at in enumerate(times)]
    pages = [page(*pair, has_more=pair[1] != rows[-1]) for pair in pairwise(rows)]
    async with scripted(in_turn(*pages)) as server, open_provider(server.url, "k") as provider:
        seen = await look(provider, past=["j1"], rows_beyond=3)
    assert (seen.complete, len(server.seen)) == (True, len(times) - 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("other", ["prompt", "created_at"])
async def test_same_id_with_a_different_prompt_or_date_is_an_odd_row(other: str) -> None:
    rows = [{"id": "a", "prompt": "a fox", "created_at": 5}, {"id": "a", "prompt": "a fox", "created_at": 5}]
    once, again = rows[0], rows[1] | {other: {"prompt": "an owl", "created_at": 9}[other]}
    for pages in ([[once, again]], [[once, {"id": "b"}], [again, {"id": "c"}]]):
        replies = [answer(200, {"data": data, "has_more": data is not pages[-1]}) for data in pages]
        seen, _ = await looked(replies)
        assert seen.odd_rows == 1
    both = [answer(200, {"data": [row], "has_more": more}) for row, more in zip(rows, (True, False), strict=True)]
    assert (await looked(both))[0].odd_rows == 0, "pages may overlap"


@pytest.mark.asyncio
async def test_one_id_twice_in_a_page_is_an_odd_row() -> None:
    """Two replicas behind one list may use the same numbers, so the second row may be another job."""
    rows = [{"id": "2"}, {"id": "1"}, {"id": "1"}]
    seen, _ = await looked([answer(200, {"data": rows, "has_more": False})])
    assert ([job.job_id for job in seen.jobs], seen.odd_rows) == (["2", "1"], 1)
    pages = [answer(200, {"data": data, "has_more": more}) for data, more in ((rows[:2], True), (rows[1:], False))]
    seen, _ = await looked(pages)
    assert ([job.job_id for job in seen.jobs], seen.odd_rows) == (["2", "1"], 1), "also if one of them overlaps"


@pytest.mark.asyncio
async def test_list_scan_is_incomplete_after_too_many_pages() -> None:
    pages = [page((f"j{n}", 1000 - n), (f"j{n + 1}", 999 - n), has_more=True) for n in range(9)]
    seen, asked = await looked(pages, pages_max=5)
    assert (seen.complete, seen.why_incomplete, asked) == (False, "too_many_pages", 5)


@pytest.mark.asyncio
async def test_packed_ids_with_the_same_inner_id_are_two_jobs_and_one_odd_row() -> None:
    rows = [{"id": alias("video_7", model)} for model in ("east", "west")]
    seen, _ = await looked([answer(200, {"data": rows, "has_more": False})])
    assert (len(seen.jobs), seen.odd_rows) == (2, 1)
