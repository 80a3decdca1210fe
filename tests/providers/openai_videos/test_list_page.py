"""Signs, in the body and in the headers of a page, of rows that it does not show."""

import json

import pytest

from providers.job import ListPage
from providers.openai_videos.jobs import read_job
from providers.openai_videos.list_page import read_page

ROWS = {"data": [{"id": "a"}, {"id": "b"}], "has_more": False}


def page(headers: dict[str, str] | None = None, **more: object) -> ListPage:
    found = read_page(json.dumps(ROWS | more), headers)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("headers", "flaw"),
    [
        ({"link": '<https://api.example.org/v1/videos?page=2>; rel="next"'}, "list_goes_on"),
        ({"link": "<?page=2>; rel=next, <?page=9>; rel=last"}, "list_goes_on"),
        ({"link": "</docs>; rel=nextcloud, </v1/videos>; rel=prev"}, ""),
        ({"warning": '199 gateway "shard 2 timed out"'}, "list_says_more: its headers"),
        ({"warning": '299 - "Deprecated API"'}, ""),
        ({"x-partial-results": "true"}, "list_says_more: its headers"),
        ({"x-partial-results": "false", "accept-ranges": "bytes"}, ""),
        ({"warning": '214 proxy "Transformation Applied"'}, ""),
        ({"x-next-page": "2"}, "list_goes_on"),
        ({"x-cache": "HIT, MISS"}, "list_from_a_cache"),
        ({"cf-cache-status": "DYNAMIC"}, ""),
        ({"age": "17"}, "list_from_a_cache"),
        ({"age": "0"}, ""),
    ],
)
def test_headers_that_signal_missing_rows_mark_the_page_as_flawed(headers: dict[str, str], flaw: str) -> None:
    assert page(headers).flaw == flaw


def test_next_link_with_has_more_is_not_a_flaw() -> None:
    assert page({"link": "<?page=2>; rel=next"}, has_more=True).flaw == ""


@pytest.mark.parametrize(
    "headers", [{"x-total-count": "3"}, {"x-total": "3"}, {"content-range": "items 0-1/3"}, {"content-range": "1-2/3"}]
)
def test_list_total_is_read_from_count_headers(headers: dict[str, str]) -> None:
    assert page(headers).total == 3
    assert page(dict.fromkeys(headers, "many")).total == 0


@pytest.mark.parametrize("name", ["pagination", "paging", "meta"])
def test_list_totals_and_cursors_are_read_from_nested_paging_objects(name: str) -> None:
    bare = {"data": ROWS["data"]}
    found = read_page(json.dumps(bare | {name: {"total": 3, "has_more": True}}))
    assert found is not None and (found.total, found.has_more, found.flaw) == (3, True, "")
    found = read_page(json.dumps(bare | {name: {"next_cursor": "x"}}))
    assert found is not None and found.flaw == "list_goes_on"
    found = read_page(json.dumps(bare | {name: {"shards_failed": 1}}))
    assert found is not None and found.flaw == "list_says_more: shards_failed"


def test_duplicate_json_keys_make_a_page_unreadable_unless_equal() -> None:
    """A gateway may join the pages of two shards; a JSON parser keeps only the last member."""
    assert read_page('{"data": [{"id": "a"}], "has_more": false, "data": [{"id": "b"}]}') is None
    assert read_page('{"object": "list", "data": [{"id": "a"}], "object": "list"}') is not None


@pytest.mark.parametrize(
    ("row", "shown", "odd"),
    [
        ('{"id": "x", "id": "y"}', [], 1),
        ('{"id": "x", "metadata": {"a": 1, "a": 2}}', ["x"], 1),
        ('{"id": "x", "prompt": "a boat\n\tand a \x01 tower"}', ["x"], 0),
        ('{"id": "x", "progress": ' + "9" * 5000 + "}", ["x"], 0),
        ('{"id": ' + "9" * 5000 + "}", [], 1),
        ('{"id": "x", "prompt": "[{\\"", "metadata": ' + '{"a": ' * 2000 + "1" + "}" * 2000 + "}", ["x"], 1),
        ('{"id": "x", "metadata": ' + "[" * 2000 + "]" * 2000 + "}", ["x"], 1),
        ("[" * 100_000 + "]" * 100_000, [], 1),
    ],
    ids=["doubled", "doubled_within", "control", "digits", "digits_of_an_id", "deep", "deep_lists", "deep_row"],
)
def test_malformed_row_does_not_hide_the_rows_around_it(row: str, shown: list[str], odd: int) -> None:
    found = read_page('{"data": [{"id": "a"}, ' + row + ', {"id": "b"}], "has_more": false}')
    assert found is not None
    assert ([job.job_id for job in found.jobs], found.odd_rows) == (["a", *shown, "b"], odd)


def test_malformed_json_around_the_rows_makes_the_page_unreadable() -> None:
    assert read_page('{"data": [{"id": "a"}], "meta": {"total": 1, "total": 2}}') is None
    assert read_page('{"data": [{"id": "a"}], "meta": ' + "[" * 2000 + "]" * 2000 + "}") is None
    assert read_page('{"data": [{"id": "a"}, ' + "[" * 2000) is None


@pytest.mark.parametrize("within", ['{"id": "a", "id": "b", "status": "queued"}', '{"x": {"y": 1, "y": 2}}'])
def test_single_job_with_duplicate_nested_keys_is_not_read(within: str) -> None:
    assert read_job('{"id": "v", "status": "completed", "data": ' + within + "}", "v") is None
    assert read_job('{"id": "v", "status": "completed", "prompt": "two\nlines"}', "v") is not None


@pytest.mark.parametrize(("word", "more"), [(1, True), ("true", True), ("no", False), (0, False), (None, None)])
def test_has_more_is_read_from_numbers_and_words(word: object, more: bool | None) -> None:
    assert page(has_more=word).has_more is more


@pytest.mark.parametrize(
    ("said", "total", "full", "flaw"),
    [
        ({"count": 3}, 3, False, ""),
        ({"cursor": "c2"}, 0, False, "list_goes_on"),
        ({"limit": 2}, 0, True, ""),
        ({"limit": 100}, 0, False, ""),
        ({"page_size": 2}, 0, True, ""),
    ],
    ids=str,
)
def test_counts_cursors_and_limits_show_whether_the_list_continues(
    said: dict[str, object], total: int, full: bool, flaw: str
) -> None:
    found = read_page(json.dumps(ROWS | said))
    assert found is not None
    assert (found.total, found.full, found.flaw) == (total, full, flaw)


def test_row_with_nested_jobs_is_odd() -> None:
    rows = [
        {"id": "a"},
        {"id": "b", "generations": [{"id": "c"}]},
        {"id": "d", "tags": ["x"], "output": [{"url": "u"}]},
    ]
    found = read_page(json.dumps({"data": rows, "has_more": False}))
    assert found is not None and ([job.job_id for job in found.jobs], found.odd_rows) == (["a", "d"], 1)
