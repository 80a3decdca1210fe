"""fal's queue, and its history of requests, which repeats each order's input. Pure: no input, no output, no clock.

The queue answers for one request; the history is on another host. The result of a request does not name it: only its
status, read just before, says whose it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from net.caching import FROM_A_CACHE, is_cached
from net.ed25519_signature import is_signed_by_one_of
from net.error_text import error_object, has_gap, is_error_form, json_object, object_with_gaps, storable
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.openai_videos.job_rows import shown_text
from providers.orders import SEED, Answer, ClearNo, Made, Order, Unclear
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path
from providers.vendors.fal_rows import charge_in, ids_in, job_of, listed_job, read_error, why, with_result

API_URL = "https://api.fal.ai/v1"  # the history's host
START_LIMIT_SECONDS = 3600
LIST_ROWS, LIST_MODELS = 100, 50
NAMESPACES = {"workflows", "comfy"}  # before the owner, in the names of some models
NOT_CACHED = {"Cache-Control": "no-cache"}
CREATE_HEADERS = {
    "Content-Type": "application/json",
    "X-Fal-No-Retry": "1",  # else the queue itself tries up to ten times
    "x-app-fal-disable-fallback": "1",  # else it may buy another model, at another price
    "X-Fal-Request-Timeout": str(START_LIMIT_SECONDS),
}
PAGE_NAMES = {"items", "next_cursor", "has_more"}

FACTS = Facts(
    name="fal",
    title="fal",
    base_url="https://queue.fal.run",
    key_names=("FAL_KEY",),
    marker=Marker.ECHOED_REQUEST,
    has_list=True,
    echoes_prompts=True,
    newest_first=False,
    per_model=True,
    start_limit_seconds=START_LIMIT_SECONDS,
    record_seconds=30 * 86_400,
    callback=Callback.SIGNED,
    refusal_may_bill=frozenset({422}),
    cancel="PUT .../requests/{id}/cancel: only before it starts",
    extend="none; the last frame as the model's image input",
    image_input="by the model: an address, or a data URI",
    charge="GET https://api.fal.ai/v1/models/billing-events?request_id=...; needs a key with billing rights",
    sdk_repeats="fal-client 1.0.3: 10 tries, no key",
    unknown=(
        "whether the history shows requests that wait or run: GET by-endpoint during a render",
        "how late the history shows a request that has ended: the same, after it",
        "how long a render may take: no limit is documented",
        "whether the status of a failed request always has `error`, and the result's HTTP status then: one wrong input",
        "whether the history repeats the input as it was sent: create, GET by-endpoint",
        "whether `start` means the time of sending or of the end: GET by-endpoint with a time between them",
        "what a request that did not start in time looks like: create with X-Fal-Request-Timeout: 1",
        "what an unknown id answers: GET .../requests/{another uuid}/status",
        "whether a failed render is charged: GET billing-events after a 422",
        "how long a clip is kept: the account's media settings",
    ),
    sources={
        "create, status, result": "fal-client 1.0.3 client.py, https://fal.ai/docs/api-reference/inference-api",
        "start_limit_seconds, fallbacks": "https://fal.ai/docs/documentation/model-apis/common-parameters",
        "retries": "https://fal.ai/docs/documentation/serverless/reliability/retries",
        "history": "https://fal.ai/docs/platform-apis/v1/models/requests/by-endpoint",
        "record_seconds": "https://fal.ai/docs/documentation/model-apis/common-parameters (X-Fal-Store-IO)",
        "refusals": "https://docs.fal.ai/documentation/model-apis/request-errors, https://docs.fal.ai/errors",
        "refusal_may_bill": "https://wavespeed.ai/blog/ai-api-pricing/fal-ai-billing-failed-requests-unexpected-charges",
        "charge": "https://fal.ai/docs/platform-apis/v1/models/billing-events",
        "callback": "https://fal.ai/docs/documentation/model-apis/inference/webhooks",
    },
)


def _made(body: str) -> Job | None:
    """A `request_id` beside what only a request of the queue has; alone it may be the id of the HTTP request."""
    row = json_object(body)
    job = None if is_error_form(body) else job_of(row)
    return job if job and (job.described or row.get("gateway_request_id")) else None


def _in_refusal(body: str, _: int) -> Job | None:
    row = error_object(body)
    return job_of(row) or next((Job(each, JobStatus.UNKNOWN) for each in ids_in(row)), None)


def _is_refusal(body: str) -> bool:
    """`detail`: words, or a list of what is wrong; fal's own errors add an `error_type`."""
    return bool(error_object(body).get("detail")) and is_error_form(body)


READER = answers.Reader(made=_made, in_refusal=_in_refusal, is_refusal=_is_refusal, may_bill=FACTS.refusal_may_bill)


@dataclass(frozen=True)
class Fal:
    """The queue at one base URL; behind any but fal's own, the history is below `/api`."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Key {key}"}

    def create(self, order: Order) -> Request:
        """Raises ValueError if the model's name is not a path."""
        path = "/".join(map(in_path, order.model.split("/")))
        query = f"?{urlencode({'fal_webhook': order.callback_url})}" if order.callback_url else ""
        asked = {**order.params, "prompt": order.prompt}
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        return Request("POST", f"{self._root}/{path}{query}", CREATE_HEADERS, body, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        read = answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)
        words = why(error_object(answer.body))[0] if isinstance(read, ClearNo) else ""
        return replace(read, detail=words) if isinstance(read, ClearNo) and words else read

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """Its status, and once that is COMPLETED, its result. Their addresses are built here: our key goes there."""
        address = f"{self._root}/{_app_of(model)}/requests/{in_path(job_id)}"
        reply = yield Request("GET", f"{address}/status", NOT_CACHED)
        row = json_object(reply.body)
        if reply.status >= 300 or not isinstance(row.get("status"), str):
            return read_error(reply)
        named = ids_in(row)
        if set(named) - {job_id}:  # rule 1
            return ReadError(reply.status, "the answer names another request")
        job = job_of({**row, "request_id": job_id})
        if job is None or job.status is not JobStatus.COMPLETED:
            return replace(job, named=bool(named)) if job else read_error(reply)
        if is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return with_result(replace(job, named=bool(named)), (yield Request("GET", address, NOT_CACHED)))

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        """The last to end first. The history is asked for fifty models at once; `after` says which fifty, and where."""
        if not scope.models:
            return ReadError(None, "fal lists the requests of models, and none is named")
        models = [scope.models[at : at + LIST_MODELS] for at in range(0, len(scope.models), LIST_MODELS)]
        number, _, cursor = (after or "0").partition(":")
        turn = int(number) if number.isdecimal() and int(number) < len(models) else None
        if turn is None:
            return ReadError(None, "this page is of other models")
        query: dict[str, Any] = {"endpoint_id": models[turn], "expand": "payloads", "limit": LIST_ROWS}
        query |= {"start": _date(scope.since)} if scope.since is not None else {}
        query |= {"cursor": cursor} if cursor else {}
        reply = yield self._history("requests/by-endpoint", query)
        page = object_with_gaps(reply.body)
        rows = page.get("items")
        if reply.status != 200 or not isinstance(rows, list):
            return read_error(reply)
        shown = [(job, has_gap(row)) for row in rows if (job := listed_job(row))]
        cursor, more = shown_text(page.get("next_cursor")) or "", page.get("has_more")
        following = f"{turn}:{cursor}" if cursor else f"{turn + 1}" if turn + 1 < len(models) else None
        return ListPage(
            tuple(job for job, _ in shown),
            has_more=following is not None,
            last_id=shown[-1][0].job_id if shown else None,
            odd_rows=len(rows) - len(shown) + sum(gap for _, gap in shown),
            flaw=_flaw(page, reply) or ("next_page_unreadable" if more not in (None, bool(cursor)) else ""),
            next_page=following,
        )

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "fal has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        """The run's seed, where the model takes one; another seed is not the run's alone."""
        return str(order.params["seed"]) if order.input.get("seed") == SEED else None

    def charge(self, job_id: str, since: float | None = None) -> Reading[int | ReadError | None]:
        """What fal charged for a request so far, in micro-dollars; None: it shows no charge. Needs a key for billing.

        `since`: epoch seconds before its end; fal shows only the last day without it, and ninety days at most.
        """
        start = {"start": _date(since)} if since is not None else {}
        reply = yield self._history("billing-events", {"request_id": job_id, **start})
        page = json_object(reply.body)
        rows = page.get("billing_events")
        if reply.status != 200 or not isinstance(rows, list):
            return read_error(reply)
        charges = [charge_in(row, job_id) for row in rows]
        known = [each for each in charges if each is not None]
        if len(known) < len(rows) or page.get("has_more") or page.get("next_cursor"):
            return ReadError(reply.status, "not all of these charges are known to be of this request")
        return sum(known) if known else None

    @property
    def _root(self) -> str:
        return self.base_url.rstrip("/")

    def _history(self, path: str, query: Mapping[str, Any]) -> Request:
        api = API_URL if self._root == FACTS.base_url else f"{self._root}/api/v1"
        return Request("GET", f"{api}/models/{path}?{urlencode(query, doseq=True)}", NOT_CACHED)


def verify_callback(headers: Mapping[str, str], body: bytes, key_set: str, now: float) -> bool:
    """Whether fal signed this callback, at most five minutes from `now`. `headers`: names in lower case.

    `key_set`: the body of GET https://rest.fal.ai/.well-known/jwks.json, which may be kept for a day.
    """
    signed = [headers.get(f"x-fal-webhook-{name}", "") for name in ("request-id", "user-id", "timestamp")]
    return all(signed) and is_signed_by_one_of(
        json_object(key_set).get("keys"), headers.get("x-fal-webhook-signature", ""), signed, body, now
    )


def _app_of(model: str) -> str:
    """Owner and app: what follows them in a model's name is no part of a request's address. Raises ValueError."""
    parts = model.split("/")
    kept = parts[: 3 if parts[0] in NAMESPACES else 2]
    return "/".join(map(in_path, kept))


def _flaw(page: Mapping[str, Any], reply: Reply) -> str:
    if is_cached(reply.headers):
        return "list_from_a_cache"
    more = sorted(name for name, value in page.items() if value and name not in PAGE_NAMES)
    return f"list_says_more: {storable(', '.join(more), 100)}" if more else ""


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
