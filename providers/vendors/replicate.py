"""Replicate: official models of many vendors, and a list that repeats each order for an hour. Pure: no I/O, no clock.

An hour after a prediction its input and output are removed; its row stays, without a prompt, and proves little. So a
lost answer must be settled, and a clip fetched, within the hour.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus, urlencode

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_object, error_words, has_gap, json_object, object_with_gaps, storable
from net.standard_webhooks import is_signed
from providers import answers
from providers.job import PROGRESS_DONE, Job, JobStatus, ListPage
from providers.job_ids import id_of
from providers.json_numbers import epoch
from providers.openai_videos.job_links import clip_urls
from providers.openai_videos.job_rows import shown_text
from providers.orders import SEED, Answer, ClearNo, Made, Order, Unclear, seed_of
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

PREDICTIONS = "/predictions"
NOT_CACHED = {"Cache-Control": "no-cache"}
CURSOR_IN_URL = re.compile(r"[?&]cursor=([^&#]+)")
JOB_IN_URL = re.compile(r"/predictions/([^/?#]+)/?(?:[?#]|$)")
STATUS_WORDS = {
    "starting": JobStatus.QUEUED,
    "processing": JobStatus.IN_PROGRESS,
    "succeeded": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "canceled": JobStatus.FAILED,
    "aborted": JobStatus.FAILED,
}
OF_A_JOB = ("created_at", "model", "version", "urls", "input", "source")

FACTS = Facts(
    name="replicate",
    title="Replicate",
    base_url="https://api.replicate.com/v1",
    key_names=("REPLICATE_API_TOKEN",),
    marker=Marker.ECHOED_REQUEST,
    has_list=True,
    echoes_prompts=True,
    render_limit_seconds=30 * 60,
    record_seconds=3600,
    clip_seconds=3600,
    callback=Callback.SIGNED,
    refuses_429_before_work=True,
    cancel="POST /predictions/{id}/cancel: free before it starts, billed once it runs",
    extend="none; the last frame as the model's image input",
    image_input="by the model: an address, or a data URI of up to 256 kB",
    sdk_repeats="replicate 1.0.7: 1 try; 2.0.0b4: 3 tries, no key",
    unknown=(
        "how long a prediction may be `starting`: GET /predictions/{id} at a busy hour",
        "whether the list shows a prediction at once, while it is `starting`: create, list",
        "whether the hour runs from the creation or from the end: GET /predictions/{id} an hour after a long render",
        "whether the list repeats the input as it was sent, without defaults: create, list",
        "whether a failed prediction of an official model is charged: the invoice after one",
        "whether an output's address wants the key: GET of one without it",
    ),
    sources={
        "create, status, list": "replicate 1.0.7 and 2.0.0b4, docstrings of predictions",
        "statuses, 30 minutes, deadlines": "https://replicate.com/docs/topics/predictions/lifecycle",
        "one hour": "https://replicate.com/docs/topics/predictions/data-retention",
        "what is charged": "https://replicate.com/changelog/2025-10-16-prediction-deadlines",
        "429": "https://replicate.com/docs/topics/predictions/rate-limits",
        "refusals": "replicate 1.0.7 exceptions.py, https://github.com/replicate/replicate-javascript/issues/307",
        "callback": "https://replicate.com/docs/topics/webhooks/verify-webhook, replicate 1.0.7 webhook.py",
    },
)


def _made(body: str) -> Job | None:
    row = json_object(body)
    failed_at_once = row.get("error") and not isinstance(row.get("status"), str)
    return None if row.get("detail") or failed_at_once else _job(row)


def _is_refusal(body: str) -> bool:
    """Replicate's own form: `{"title": ..., "detail": ..., "status": 422}`; a 429 has only `detail`."""
    refusal = error_object(body)
    detail, status = refusal.get("detail"), refusal.get("status", 0)
    own = isinstance(detail, str) and detail.strip() != "" and isinstance(status, int)
    return own and not any(refusal.get(name) for name in ("id", "urls", "error"))


READER = answers.Reader(made=_made, is_refusal=_is_refusal)


@dataclass(frozen=True)
class Replicate:
    """The API at one base URL, with or without its `/v1`: the official clients write it without."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def create(self, order: Order) -> Request:
        """Raises ValueError for a model that is not OWNER/NAME.

        No `Cancel-After`: a deadline would drop orders at a busy hour, and charge those that had begun. In return
        absence would prove something only when the list has forgotten what was ordered.
        """
        owner, name = order.model.split("/")
        asked: dict[str, Any] = {"input": {**order.params, "prompt": order.prompt}}
        if order.callback_url:
            asked |= {"webhook": order.callback_url, "webhook_events_filter": ["completed"]}
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        path = f"/models/{in_path(owner)}/{in_path(name)}{PREDICTIONS}"
        return Request("POST", self._at(path), {"Content-Type": "application/json"}, body, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        return answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        reply = yield Request("GET", self._at(f"{PREDICTIONS}/{in_path(job_id)}"), NOT_CACHED)
        row = json_object(reply.body)
        job = _job(row) if isinstance(row.get("status"), str) else None
        if job is None or job.job_id != job_id:
            return _read_error(reply)
        if job.status in {JobStatus.FAILED, JobStatus.EXPIRED} and is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return job

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        """Newest first, a hundred rows. Of the address of the next page only its cursor is used."""
        query = f"?{urlencode({'cursor': after})}" if after else ""
        reply = yield Request("GET", self._at(PREDICTIONS) + query, NOT_CACHED)
        page = object_with_gaps(reply.body)
        rows = page.get("results")
        if reply.status != 200 or not isinstance(rows, list):
            return _read_error(reply)
        shown = [(job, has_gap(row)) for row in rows if (job := _job(row))]
        cursor = _cursor(page)
        return ListPage(
            tuple(job for job, _ in shown),
            has_more=cursor != "",
            last_id=shown[-1][0].job_id if shown else None,
            odd_rows=len(rows) - len(shown) + sum(gap for _, gap in shown),
            flaw=_flaw(page, reply, cursor),
            next_page=cursor or None,
        )

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "Replicate has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        """The run's seed, where the model takes one."""
        return str(seed_of(order.run_id)) if order.input.get("seed") == SEED else None

    def _at(self, path: str) -> str:
        return f"{self.base_url.rstrip('/').removesuffix('/v1')}/v1{path}"


def verify_callback(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Whether a callback is signed with the account's secret, which GET /webhooks/default/secret names as `key`.

    `headers`: names in lower case.
    """
    return is_signed(headers, body, secret, now)


def _job(row: object) -> Job | None:
    """None if it shows no id, or if its own address shows another.

    `completed_at` is the time of any end, so it tells only of a prediction that succeeded that it was done.
    """
    named = id_of(row.get("id")) if isinstance(row, dict) else None
    if not isinstance(row, dict) or named is None or _id_in_address(row) not in {None, named}:
        return None
    word, error, urls = row.get("status"), row.get("error"), _clip_urls(row.get("output"))
    status = STATUS_WORDS.get(word, JobStatus.UNKNOWN) if isinstance(word, str) else JobStatus.UNKNOWN
    done = status is JobStatus.COMPLETED
    gone = done and bool(row.get("data_removed")) and not urls
    asked = _asked(row)
    seed = asked.get("seed")
    stopped = word if word in ("canceled", "aborted") else None  # such a prediction has no error
    return Job(
        job_id=named,
        status=JobStatus.EXPIRED if gone else status,
        progress=PROGRESS_DONE if gone else None,
        prompt=shown_text(asked.get("prompt")),
        model=shown_text(row.get("model")),
        created_at=epoch(row.get("created_at")),
        done_at=epoch(row.get("completed_at")) if done else None,
        error=error_words(json.dumps({"error": error})) if error else stopped,
        word=storable(word) if isinstance(word, str) else None,
        described=any(row.get(name) for name in OF_A_JOB),
        urls=urls,
        marker=str(seed) if isinstance(seed, int) and not isinstance(seed, bool) else None,
        request=asked or None,
    )


def _asked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The order's input; empty once it is removed: what is left of it then would contradict the order."""
    asked = row.get("input")
    is_shown = isinstance(asked, dict) and isinstance(asked.get("prompt"), str) and not row.get("data_removed")
    return asked if is_shown and isinstance(asked, dict) else {}


def _id_in_address(row: Mapping[str, Any]) -> str | None:
    urls = row.get("urls")
    found = JOB_IN_URL.search(str(urls.get("get"))) if isinstance(urls, dict) else None
    return unquote(found[1]) if found else None


def _clip_urls(output: object) -> tuple[str, ...]:
    """An output is an address, a list of them, or an object with `url` or with members named by its model."""
    return clip_urls({"output": list(output.values()) if isinstance(output, dict) else output, "data": output})


def _cursor(page: Mapping[str, Any]) -> str | None:
    """Of the next page; empty at the end of the list, None where that cannot be read."""
    following = page.get("next", 0)
    if following is None or following == "":
        return ""
    found = CURSOR_IN_URL.findall(str(following))
    return unquote_plus(found[0]) if len(found) == 1 else None


def _flaw(page: Mapping[str, Any], reply: Reply, cursor: str | None) -> str:
    if is_cached(reply.headers):
        return "list_from_a_cache"
    more = sorted(name for name, value in page.items() if value and name not in {"next", "previous", "results"})
    if more:
        return f"list_says_more: {storable(', '.join(more), 100)}"
    return "next_page_unreadable" if cursor is None else ""


def _read_error(reply: Reply) -> ReadError:
    words = error_words(reply.body) if reply.status >= 300 else ""
    return ReadError(reply.status, words or f"HTTP {reply.status} without what was asked for")
