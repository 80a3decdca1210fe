"""Luma's Dream Machine API, whose list repeats each order, with the address of its callback. Pure: no I/O, no clock.

The list is read by offsets, and each page overlaps the one before: where rows went away in between, the page does not
show the row that it must, and the look counts as incomplete.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_object, error_words, has_gap, json_object, object_with_gaps, storable
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.job_ids import id_of
from providers.json_numbers import epoch
from providers.openai_videos.job_links import clip_urls
from providers.openai_videos.job_rows import shown_text
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

GENERATIONS = "/dream-machine/v1/generations"
PAGE_ROWS = 100  # Luma's own default
OVERLAP_ROWS = 10
ROWS_MIN = 2  # of a page that another one can overlap
CURSOR = re.compile(r"(\d{1,9})/(.+)")  # offset / the last row of the page before
NOT_CACHED = {"Cache-Control": "no-cache"}
ENVELOPE = {"generations", "has_more", "count", "limit", "offset"}
STATUS_WORDS = {
    "queued": JobStatus.QUEUED,
    "dreaming": JobStatus.IN_PROGRESS,
    "completed": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
}
OF_A_JOB = ("created_at", "model", "request", "assets", "generation_type")
BLACKLISTED = re.compile(r"\bblack ?list", re.IGNORECASE)
WITHHELD = "moderation failed"

FACTS = Facts(
    name="luma",
    title="Luma",
    base_url="https://api.lumalabs.ai",
    key_names=("LUMAAI_API_KEY",),
    marker=Marker.ECHOED_REQUEST,
    has_list=True,
    echoes_prompts=True,
    newest_first=False,
    callback=Callback.UNSIGNED,
    failed_renders_free=True,
    cancel="not in the API; DELETE removes the record, so it is never sent",
    extend="a keyframe of the type `generation`",
    image_input="`keyframes` of the type `image`, at an address",
    charge="not per job; GET /credits shows what is left, in cents",
    sdk_repeats="lumaai 1.21.0: 3 tries, no key",
    unknown=(
        "in which order the list comes, and how soon it shows a new job: create, list at once",
        "how long a generation may be `queued`, and rendered: GET /generations/{id} at a busy hour",
        "how long generations and their clips are kept: GET /generations/{id} of an old one",
        "whether `request` repeats the order as it was sent, without defaults: create, get",
        "whether a 429 comes before any work: exceed the limit, list",
        "how many rows a page may have: list with a limit of 1000",
    ),
    sources={
        "create, job, list, errors": "https://github.com/lumalabs/lumaai-api openapi.yaml; lumaai 1.21.0 types/",
        "callback": "https://docs.lumalabs.ai/changelog/callbacks-and-credits-balance",
        "failure reasons": "https://docs.lumalabs.ai/docs/errors",
        "failed renders": "https://docs.lumalabs.ai/docs/faq",
        "limits": "https://docs.lumalabs.ai/docs/rate-limits",
    },
)


def _made(body: str) -> Job | None:
    row = json_object(body)
    return None if row.get("detail") or row.get("error") else _job(row)


def _is_refusal(body: str) -> bool:
    """Luma's own form: `{"detail": "what is wrong"}`, or a list of FastAPI's errors, each with its `loc`."""
    refusal = error_object(body)
    detail = refusal.get("detail")
    if isinstance(detail, list):
        told = detail != [] and all(isinstance(each, dict) and each.get("loc") for each in detail)
    else:
        told = isinstance(detail, str) and detail.strip() != ""
    return told and set(refusal) == {"detail"}


READER = answers.Reader(made=_made, is_refusal=_is_refusal)


@dataclass(frozen=True)
class Luma:
    """The API at one base URL, without `/dream-machine/v1`."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def create(self, order: Order) -> Request:
        asked = {**order.params, "model": order.model, "prompt": order.prompt}
        if order.callback_url:
            asked["callback_url"] = order.callback_url
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        return Request("POST", self._at("/video"), {"Content-Type": "application/json"}, body, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        return answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """A body that names another job is not about ours; one that names none may lead to the clip (rule 1)."""
        reply = yield Request("GET", self._at(f"/{in_path(job_id)}"), NOT_CACHED)
        row = json_object(reply.body)
        unnamed = row.get("id") is None and reply.status == 200 and _clip_urls(row) != ()
        job = _job(row | {"id": job_id}, named=False) if unnamed else _job(row)
        if job is None or job.job_id != job_id or not isinstance(row.get("state"), str):
            return _read_error(reply)
        if job.status is JobStatus.FAILED and is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return job

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        """`next_page`: the offset of the next page, and the last row of this one, which the next must show again."""
        cursor = CURSOR.fullmatch(after or "")
        if after and cursor is None:
            return ReadError(None, "not a page of this list")
        offset, last = (int(cursor[1]), cursor[2]) if cursor else (0, None)
        query = urlencode({"limit": PAGE_ROWS, "offset": offset})
        reply = yield Request("GET", f"{self._at('')}?{query}", NOT_CACHED)
        page = object_with_gaps(reply.body)
        rows = page.get("generations")
        if reply.status != 200 or not isinstance(rows, list):
            return _read_error(reply)
        shown = [(job, has_gap(row)) for row in rows if (job := _job(row))]
        last_id = shown[-1][0].job_id if shown else None
        has_more = page.get("has_more")
        if not isinstance(has_more, bool):  # not said: it goes on until a page ends as the one before did
            has_more = bool(rows) and last_id != last
        following = offset + len(rows) - min(OVERLAP_ROWS, len(rows) - 1)
        listed = ListPage(
            tuple(job for job, _ in shown),
            has_more,
            last_id,
            odd_rows=len(rows) - len(shown) + sum(gap for _, gap in shown),
            total=count if isinstance(count := page.get("count"), int) else 0,
            next_page=f"{following}/{last_id}" if has_more and last_id else None,
        )
        return replace(listed, flaw=_flaw(page, reply, offset) or _gap(listed, last))

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "Luma has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        """The token of the callback: an order has no seed."""
        return _token(order.callback_url)

    def _at(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}{GENERATIONS}{path}"


def _token(callback_url: object) -> str | None:
    return callback_url.rsplit("/", 1)[-1] or None if isinstance(callback_url, str) else None


def _job(row: object, *, named: bool = True) -> Job | None:
    """None if it shows no id."""
    job_id = id_of(row.get("id")) if isinstance(row, dict) else None
    if not isinstance(row, dict) or job_id is None:
        return None
    word, error, asked = row.get("state"), row.get("failure_reason"), row.get("request")
    asked = asked if isinstance(asked, dict) else {}
    # Without a prompt a request is hidden, unless it is one of another kind, such as an upscale.
    is_shown = isinstance(asked.get("prompt"), str) or asked.get("generation_type", "video") != "video"
    return Job(
        job_id=job_id,
        status=STATUS_WORDS.get(word, JobStatus.UNKNOWN) if isinstance(word, str) else JobStatus.UNKNOWN,
        prompt=shown_text(asked.get("prompt")),
        model=shown_text(row.get("model") or asked.get("model")),
        created_at=epoch(row.get("created_at")),
        error=error_words(json.dumps({"error": error})) if error else None,
        word=storable(word) if isinstance(word, str) else None,
        named=named,
        described=any(row.get(name) for name in OF_A_JOB),
        kept_back=WITHHELD if isinstance(error, str) and BLACKLISTED.search(error) else None,
        urls=_clip_urls(row),
        marker=_token(asked.get("callback_url")),
        request=asked if is_shown else None,
    )


def _clip_urls(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The clip; `progress_video` shows how it comes about."""
    assets = row.get("assets")
    return clip_urls({"output": assets.get("video")}) if isinstance(assets, dict) else ()


def _flaw(page: Mapping[str, Any], reply: Reply, asked_offset: int) -> str:
    if is_cached(reply.headers):
        return "list_from_a_cache"
    if page.get("offset") not in {None, asked_offset}:
        return "another_page"
    more = sorted(name for name, value in page.items() if value and name not in ENVELOPE)
    return f"list_says_more: {storable(', '.join(more), 100)}" if more else ""


def _gap(page: ListPage, last: str | None) -> str:
    """Why rows may be missing beside this page, if it is not the whole list: offsets count rows in creation order."""
    if last is None and not page.has_more:
        return ""
    if page.has_more and len(page.jobs) < ROWS_MIN:
        return "pages_too_short"
    times = [job.created_at for job in page.jobs if job.created_at is not None]
    if times not in (sorted(times), sorted(times, reverse=True)):
        return "rows_out_of_order"
    return "pages_leave_a_gap" if last is not None and last not in {job.job_id for job in page.jobs} else ""


def _read_error(reply: Reply) -> ReadError:
    words = error_words(reply.body) if reply.status >= 300 else ""
    return ReadError(reply.status, words or f"HTTP {reply.status} without what was asked for")
