"""Tells whether an address serves a video API, by its answers for the list of jobs and for an unknown job. Pure.

In       both answers
Out      what is wrong with the address, or None; the list of jobs, if there is one

A server without a list still counts as a video API if its error is about the unknown job. An error that it would give
for any address proves nothing.
"""

import json
import re
from dataclasses import dataclass

from net.error_text import error_words, json_object, without_links
from providers.job import JobStatus, ListPage
from providers.openai_videos.list_page import read_page

BEFORE_MARKUP = "\ufeff\ufffd\x00 \t\r\n"  # a byte order mark, whitespace, and the residue of UTF-16 read as UTF-8
NAMED_JOB = re.compile(r"video|task|job|generation", re.IGNORECASE)
NAMED_ROUTE = re.compile(
    r"\bcannot get\b|\bno (?:such )?(?:route|endpoint|handler)|method not allowed"
    r"|\b(?:invalid|unknown|unrecognized)(?: request)? (?:url|path|route|endpoint)\b"
    r"|\b(?:route|endpoint|url|path|page)\b[^.]{0,60}\bnot (?:be )?(?:found|exist)",
    re.IGNORECASE,
)
NOT_FOUND = re.compile(r"(?:404\W*)?not found\W*", re.IGNORECASE)
# Parts that vary between otherwise equal answers: the requested path, ids, times.
ASKED = re.compile(r"[^\s\"']*/videos[^\s\"']*|[0-9a-f]{8}[0-9a-f-]*|\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Heard:
    """The answer to one GET; `status` is None if there was no answer."""

    status: int | None
    body: str = ""
    headers: tuple[str, ...] = ()
    why: str = ""
    location: str = ""


def job_list(listed: Heard) -> ListPage | None:
    """The list of jobs, possibly empty; None if the answer is no list, or a list of something else."""
    page = read_page(listed.body) if listed.status == 200 else None
    if page is None:
        return None
    holds_jobs = any(job.exists or job.status is not JobStatus.UNKNOWN for job in page.jobs)
    return page if holds_jobs or not (page.jobs or page.odd_rows) else None


def is_page(heard: Heard) -> bool:
    """Whether the body is HTML, or XML as object stores send it: JSON never begins with `<`."""
    return heard.body.lstrip(BEFORE_MARKUP).startswith("<")


def why_no_api(listed: Heard, unknown: Heard) -> str | None:
    """Why this is not a usable video API, for a person; None if nothing is wrong."""
    for heard in (listed, unknown):
        if heard.status is not None and 300 <= heard.status < 400:
            target = without_links(heard.location) or "nowhere"
            return f"redirects to {target} (HTTP {heard.status}); redirects are not followed, so correct VIDEO_BASE_URL"
    if is_page(listed) or (is_page(unknown) and job_list(listed) is None):
        return "answers with a web page where an API was expected (is /v1 missing from VIDEO_BASE_URL?)"
    if listed.status == unknown.status and listed.status not in {None, 401, 403, 404}:
        return (
            f"answers HTTP {listed.status} to everything, so no job could be looked up and every order would stay "
            "in doubt"
        )
    if listed.status == 200 and not _is_json(listed.body):
        return "answers without JSON where a list of jobs was expected: check the path of VIDEO_BASE_URL"
    if job_list(listed) is None and _misses_the_route(listed, unknown):
        return f"answers HTTP {unknown.status} for a job, as for any unknown path: check the path of VIDEO_BASE_URL"
    return None


def _misses_the_route(listed: Heard, unknown: Heard) -> bool:
    """Whether the error means that the route does not exist, rather than that the job does not."""
    if unknown.status not in {404, 405}:
        return False
    said, of_list = (ASKED.sub("", each.body) for each in (unknown, listed))
    if unknown.status == 405 or NAMED_ROUTE.search(said):
        return True
    if NAMED_JOB.search(said):
        return False
    same = listed.status == unknown.status and said == of_list
    return same or not json_object(unknown.body) or NOT_FOUND.fullmatch(error_words(unknown.body)) is not None


def _is_json(body: str) -> bool:
    try:
        json.loads(body.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True
