"""Higgsfield: one queue for many vendors' models, each request read by its id; no list. Pure: no I/O, no clock.

Shapes: higgsfield-client 0.2.0 (`http/client.py`), docs.higgsfield.ai. A second POST with the same key would return the
first request; nothing here sends one. The only POST carries the key, so that asking again, where an operator allows it,
is not charged again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_object, error_words, is_error_form, json_object, storable, without_links
from net.standard_webhooks import is_signed
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.job_ids import id_of
from providers.openai_videos.job_links import clip_urls
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

NOT_CACHED = {"Cache-Control": "no-cache"}
WORDS_SHOWN_MAX = 200
REQUEST_IN_URL = re.compile(r"/requests/([^/?#]+)/(?:status|cancel)(?:[?#]|$)")
STATUS_WORDS = {
    "queued": JobStatus.QUEUED,
    "in_progress": JobStatus.IN_PROGRESS,
    "completed": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "nsfw": JobStatus.FAILED,
    "canceled": JobStatus.FAILED,
}
NSFW = "nsfw"

FACTS = Facts(
    name="higgsfield",
    title="Higgsfield",
    base_url="https://api.higgsfield.ai",
    key_names=("HF_KEY",),
    marker=Marker.CALLBACK,
    has_list=False,
    clip_seconds=7 * 24 * 3600,
    callback=Callback.SIGNED,
    replays_by_key=True,
    failed_renders_free=True,
    cancel="POST /requests/{id}/cancel: 202 while it is queued, else 400",
    image_input="`image_url`, `end_image_url` of the model: public addresses, or uploads",
    sdk_repeats="higgsfield-client 0.2.0: 3 tries on 408, 429 and 5xx, no key",
    unknown=(
        "how long a request can be read: GET /requests/{id}/status of an old one",
        "whether every failed request shows its `status_url`, without which a failure is not believed: the same call",
        "whether 423 and 429 come before any work: a paid order beyond the account's limit; both leave it in doubt",
        "whether refusals have another form than `detail`, which leaves it in doubt: an order with a wrong key",
        "what was charged: no answer shows it, only the console",
        "the largest `seed`: older models take 1 to 1000000, less than `$seed`, and refuse more with 422",
        "whether callbacks are signed before the secret was first shown: the headers of one callback",
    ),
    sources={
        "base_url, create, status": "higgsfield-client 0.2.0 http/client.py, @higgsfield/client v2/types.ts",
        "key_names": "higgsfield-client 0.2.0 auth.py: HF_KEY is `id:secret`, or HF_API_KEY with HF_API_SECRET",
        "replays_by_key": "https://docs.higgsfield.ai/docs/concepts/idempotency",
        "refusals": "https://docs.higgsfield.ai/docs/concepts/errors",
        "statuses, cancel": "https://docs.higgsfield.ai/docs/concepts/requests",
        "callback": "https://docs.higgsfield.ai/docs/enterprise/webhook-security, /docs/how-to/webhooks",
        "clip_seconds, failed_renders_free": "https://docs.higgsfield.ai/docs/help/faq",
        "seed": "openapi.json of docs.higgsfield.ai, 2026-07",
    },
)


def _made(body: str) -> Job | None:
    """A `request_id` beside a status of the queue or an address of it; alone it may be the id of the HTTP request."""
    row = json_object(body)
    named = id_of(row.get("request_id"))
    if named is None or set(_ids(row)) != {named}:
        return None
    return _job(row, named) if _status(row) is not JobStatus.UNKNOWN or _is_described(row) else None


def _in_refusal(body: str, _: int) -> Job | None:
    """The request that an error names, at any depth. Only an error that shows all of it says how it stands.

    One about the key names the request that used the key before, perhaps with other contents: that is for a person.
    """
    left: list[object] = [error_object(body)]
    while left:
        value = left.pop(0)
        if isinstance(value, dict):
            if ids := _ids(value):
                whole = len(set(ids)) == 1 and _is_described(value) and "idempoten" not in body.lower()
                return _job(value, ids[0]) if whole else Job(ids[0], JobStatus.UNKNOWN)
            left += value.values()
        elif isinstance(value, list):
            left += value
    return None


def _is_refusal(body: str) -> bool:
    """FastAPI's form, in which Higgsfield refuses; another one may be that of a proxy before it."""
    return bool(error_object(body).get("detail")) and is_error_form(body)


READER = answers.Reader(made=_made, in_refusal=_in_refusal, is_refusal=_is_refusal)


@dataclass(frozen=True)
class Higgsfield:
    """The queue at one base URL. The key is `id:secret`."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Key {key}"}

    def create(self, order: Order) -> Request:
        """Raises ValueError if the model's name is not a path."""
        path = "/".join(map(in_path, order.model.split("/")))
        query = f"?{urlencode({'hf_webhook': order.callback_url})}" if order.callback_url else ""
        asked = {**order.params, "prompt": order.prompt}
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        headers = {"Idempotency-Key": order.run_id, "Content-Type": "application/json"}
        return Request("POST", f"{self._at(f'/{path}')}{query}", headers, body, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        return answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """A body that names another request is not about ours; one that names none counts if a clip is in it (rule 1).

        An error that names the request counts.
        """
        reply = yield Request("GET", self._at(f"/requests/{in_path(job_id)}/status"), NOT_CACHED)
        row = json_object(reply.body)
        ids = set(_ids(row))
        ours = ids == {job_id} or (not ids and reply.status < 300 and _clip_urls(row) != ())
        if not ours or not isinstance(row.get("status"), str):
            return _read_error(reply)
        job = _job(row, job_id)
        if job.status is JobStatus.FAILED and is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return job

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        return ReadError(None, "Higgsfield has no list")
        yield

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "Higgsfield has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        return None

    def _at(self, path: str) -> str:
        return self.base_url.rstrip("/") + path


def verify_callback(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Whether a callback is signed with the account's secret, which the console shows. `headers`: names in lower case.

    Callbacks are signed from the day on which somebody first looked at the secret.
    """
    return is_signed(headers, body, secret, now)


def _job(row: Mapping[str, Any], job_id: str) -> Job:
    """`named`: it shows an id, which is this one."""
    word, status = row.get("status"), _status(row)
    error = row.get("error")
    told = error_words(json.dumps({"error": error})) if error else None
    ended_badly = status is JobStatus.FAILED and word != "failed"
    return Job(
        job_id=job_id,
        status=status,
        error=told or (storable(str(word)) if ended_badly else None),
        error_code=NSFW if word == NSFW else None,
        word=storable(word) if isinstance(word, str) else None,
        named=bool(_ids(row)),
        described=_is_described(row),
        kept_back=NSFW if word == NSFW else None,
        urls=_clip_urls(row),
    )


def _clip_urls(row: Mapping[str, Any]) -> tuple[str, ...]:
    return clip_urls({"video": row.get("video")})


def _status(row: Mapping[str, Any]) -> JobStatus:
    word = row.get("status")
    return STATUS_WORDS.get(word, JobStatus.UNKNOWN) if isinstance(word, str) else JobStatus.UNKNOWN


def _ids(row: Mapping[str, Any]) -> list[str]:
    """All that it calls the request's id: itself, and in its addresses."""
    named = id_of(row.get("request_id"))
    return [*([named] if named else []), *_ids_in_urls(row)]


def _ids_in_urls(row: Mapping[str, Any]) -> list[str]:
    urls = (row.get(name) for name in ("status_url", "cancel_url"))
    found = (REQUEST_IN_URL.search(url) for url in urls if isinstance(url, str))
    return [unquote(each[1]) for each in found if each]


def _is_described(row: Mapping[str, Any]) -> bool:
    """It shows what only a request of the queue has: an address of it, a clip, a verdict on its content."""
    return bool(_ids_in_urls(row) or row.get("video")) or row.get("status") == NSFW


def _read_error(reply: Reply) -> ReadError:
    if reply.status >= 300:
        said = (f"HTTP {reply.status}", error_words(reply.body))
        return ReadError(reply.status, storable(": ".join(filter(None, said))))
    shown = storable(without_links(reply.body), WORDS_SHOWN_MAX)
    return ReadError(reply.status, f"the answer does not name the request: {shown}")
