"""Parse one page of a list of jobs, and find signs of rows that it does not show. Pure: no I/O, no clock."""

import re
from collections.abc import Mapping
from typing import Any

from net.caching import is_cached
from net.error_text import FINE_CODES, has_gap, object_with_gaps, storable
from providers.job import ListPage
from providers.job_ids import id_of, same_job, shown_ids
from providers.json_numbers import whole
from providers.openai_videos.jobs import job_of

# Known fields of a page. Any other field with a value makes the page doubtful: gateways add `error` or `partial` when
# rows are missing.
PAGE_ROWS = {"object", "data", "has_more", "first_id", "last_id", "created", "model", "id", "request_id"}
PAGE_LINKS = {"next", "next_page", "next_cursor", "cursor", "previous", "after", "before", "order", "offset"}
PAGE_COUNTS = {"total", "total_count", "count", "limit", "page", "page_size", "total_pages"}
PAGE_TOTALS = ("total", "total_count", "count")
HEADER_TOTALS = ("x-total-count", "x-total", "content-range")
PAGE_NEXT = ("next", "next_page", "next_cursor", "cursor")
YES, NO = {"1", "true", "yes"}, {"0", "false", "no"}  # some servers send `has_more` this way
PAGE_NOTES = ("pagination", "paging", "meta")  # where some servers put the links and counts
PAGE_NAMES = PAGE_ROWS | PAGE_LINKS | PAGE_COUNTS


def read_page(body: str, headers: Mapping[str, str] | None = None) -> ListPage | None:
    """The page in a body; None if it is not a list of jobs. `headers`: of its answer, with names in lower case.

    A row that cannot be read hides no other. One of which a part cannot be read is shown, and is odd all the same.
    """
    page = _with_its_notes(object_with_gaps(body))
    rows = page.get("data")
    if not isinstance(rows, list) or has_gap([value for name, value in page.items() if name != "data"]):
        return None
    headers = headers or {}
    single = [row for row in rows if isinstance(row, dict) and not _holds_jobs(row)]
    shown = [(job, has_gap(row)) for row in single if (job := job_of(row))]
    jobs = tuple(job for job, _ in shown)
    has_more = _yes_or_no(page.get("has_more"))
    own_last = jobs[-1].job_id if jobs else None
    return ListPage(
        jobs,
        has_more,
        _last_id(page) or own_last,
        odd_rows=len(rows) - len(jobs) + sum(gap for _, gap in shown),
        flaw=_flaw(page, rows) or _flaw_in(headers, more=has_more is True),
        total=max(whole(told) or 0 for told in (*map(page.get, PAGE_TOTALS), *_totals_in(headers))),
        pages=max(whole(told) or 0 for told in (page.get("total_pages"), headers.get("x-total-pages"))),
        full=any(0 < (whole(page.get(name)) or 0) <= len(rows) for name in ("limit", "page_size")),
    )


def _holds_jobs(row: Mapping[str, Any]) -> bool:
    """Whether a row groups jobs, such as the generations of a session. It is not read, and proves nothing."""
    lists = (value for value in row.values() if isinstance(value, list))
    return any(isinstance(each, dict) and shown_ids(each) for value in lists for each in value)


def _yes_or_no(value: object) -> bool | None:
    word = str(value).lower()
    return True if word in YES else False if word in NO else None


def _with_its_notes(page: dict[str, Any]) -> dict[str, Any]:
    notes = {name: value for name in PAGE_NOTES if isinstance(value := page.get(name), dict)}
    rest = {name: value for name, value in page.items() if name not in notes}
    return {name: value for note in notes.values() for name, value in note.items()} | rest


def _flaw_in(headers: Mapping[str, str], *, more: bool) -> str:
    """Signs of missing rows in the headers: a next page (RFC 8288), a warning (RFC 7234), a partial answer."""
    if is_cached(headers):
        return "list_from_a_cache"
    if not more and re.search(r"""rel\s*=\s*["']?next\b""", headers.get("link", "").lower()):
        return "list_goes_on"
    if not more and headers.get("x-next-page", "").strip() not in {"", "0"}:
        return "list_goes_on"
    warning = headers.get("warning", "").lower()
    warned = warning and "deprecat" not in warning and not warning.startswith("214")  # 214: a proxy compressed it
    partial = any(
        "partial" in name and value.strip().lower() not in NO | {"", "none"} for name, value in headers.items()
    )
    return "list_says_more: its headers" if warned or partial else ""


def _totals_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(headers.get(name, "").split("/")[-1] for name in HEADER_TOTALS)


def _flaw(page: Mapping[str, Any], rows: list[Any]) -> str:
    fine = {name for name in ("code", "status", "message", "msg", "success") if _is_fine(page.get(name))}
    if more := sorted(name for name, value in page.items() if value and name not in PAGE_NAMES | fine):
        return f"list_says_more: {storable(', '.join(more), 100)}"
    if _yes_or_no(page.get("has_more")) is not True and any(page.get(name) for name in PAGE_NEXT):
        return "list_goes_on"
    last_id, last = _last_id(page), rows[-1] if rows else None
    if last_id and isinstance(last, dict):
        shown = shown_ids(last)
        if shown and not any(same_job(each, last_id) for each in shown):
            return "last_id_is_not_the_last_row"
    return ""


def _last_id(page: Mapping[str, Any]) -> str | None:
    last_id = page.get("last_id")
    return last_id if isinstance(last_id, str) else id_of(last_id)


def _is_fine(value: object) -> bool:
    return value is True or str(value).lower() in FINE_CODES
