"""OpenRouter: many vendors' video models behind one JSON API, each job read by its id; no list. Pure: no I/O, no clock.

Shapes: openrouter 1.3.84 (`video_generation.py`, `components/videogeneration*.py`), openrouter.ai/docs. It is not the
OpenAI Videos protocol, although the paths are alike.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_object, error_words, json_object, storable, without_links
from providers import answers
from providers.job import PROGRESS_DONE, Job, JobStatus, ListPage
from providers.job_ids import id_of
from providers.json_numbers import epoch, number
from providers.openai_videos.job_links import clip_urls
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

NOT_CACHED = {"Cache-Control": "no-cache"}
WORDS_SHOWN_MAX = 200
CALLBACK_SECONDS_MAX = 300  # OpenRouter's own tolerance for a signature's age
TIMESTAMP_DIGITS_MAX = 11
USD_MAX = 1e6  # a cost above it is not one
MICROUSD = 1_000_000
JOB_IN_URL = re.compile(r"/videos/([^/?#]+)/?(?:[?#]|$)")
CONTENT_IN_URL = re.compile(r"/videos/[^/?#]+/content/?(?:[?#]|$)")
STATUS_WORDS = {
    "pending": JobStatus.QUEUED,
    "in_progress": JobStatus.IN_PROGRESS,
    "completed": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.FAILED,
    "expired": JobStatus.EXPIRED,  # it ran longer than a job may; perhaps also: its clip is gone
}
ENDED_BADLY = {JobStatus.FAILED, JobStatus.EXPIRED}
OF_A_JOB = ("generation_id", "usage", "unsigned_urls", "urls", "expires_at")
IN_NO_REFUSAL = ("id", "generation_id", "polling_url", "previous_errors")

FACTS = Facts(
    name="openrouter",
    title="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    key_names=("OPENROUTER_API_KEY",),
    marker=Marker.CALLBACK,
    has_list=False,
    callback=Callback.SIGNED,
    cancel="not in the API",
    extend="`previous_job_id`, by the same model",
    image_input="`frame_images` (first and last frame), `input_references`",
    charge="`usage.cost` of a completed job, in USD; not with a key of one's own at the vendor (`is_byok`)",
    sdk_repeats="openrouter 1.3.84: on 5xx for up to an hour, no key",
    unknown=(
        "how long a job can be read, and its clip fetched: GET /videos/{id} of an old one",
        "whether failed, cancelled and expired jobs are charged: `usage` of one",
        "whether a job whose clip is gone turns `expired`: GET /videos/{id} after `expires_at`",
        "whether a create is tried at a second vendor before it is answered: `openrouter_metadata` of a refusal",
        "whether an Idempotency-Key is honoured: the same paid POST twice",
        "whether GET /generation?id={generation_id} shows a video's `session_id`, which is the run's id: one call",
        "whether POST /analytics/query groups by session, with a management key: GET /analytics/meta",
        "what GET /videos/{id}/content of a failed job says: without 404, 410 or words of failure the run stays open",
        "how often a callback is repeated",
    ),
    sources={
        "base_url, create, status, content": "openrouter 1.3.84 sdkconfiguration.py, video_generation.py",
        "key_names": "openrouter 1.3.84 utils/security.py",
        "statuses, usage, urls": "openrouter 1.3.84 components/videogenerationresponse.py, videogenerationusage.py",
        "refusals": "openrouter 1.3.84 errors/, https://openrouter.ai/docs/api/reference/errors-and-debugging",
        "callback": "https://openrouter.ai/docs/guides/overview/multimodal/video-generation, Webhooks",
        "models": "openrouter 1.3.84 components/videomodel.py",
    },
)


def _made(body: str) -> Job | None:
    """An `id` beside a status, or beside the job's address; alone, or beside an error, it may be the HTTP request's."""
    row = json_object(body)
    named = id_of(row.get("id"))
    if named is None or set(_ids(row)) != {named}:
        return None
    return _job(row, named) if isinstance(row.get("status"), str) or len(_ids(row)) > 1 else None


def _is_refusal(body: str) -> bool:
    """OpenRouter's own form, unless it names a job or comes after a try at another vendor, who may have made one."""
    refusal = error_object(body)
    error, route = refusal.get("error"), refusal.get("openrouter_metadata")
    words = error.get("message") if isinstance(error, dict) else None
    if not isinstance(error, dict) or not isinstance(words, str) or not words.strip():
        return False
    details = error.get("metadata")
    shown = {**details, **refusal} if isinstance(details, dict) else refusal
    attempts = number(route.get("attempt")) if isinstance(route, dict) else None
    return not any(shown.get(name) for name in IN_NO_REFUSAL) and (attempts or 0) <= 1


READER = answers.Reader(made=_made, is_refusal=_is_refusal)


@dataclass(frozen=True)
class OpenRouter:
    """The API at one base URL, which ends in `/api/v1`."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def create(self, order: Order) -> Request:
        """`session_id` is shown only to us, in OpenRouter's own records of the job."""
        asked = {**order.params, "model": order.model, "prompt": order.prompt, "session_id": order.run_id}
        if order.callback_url:
            asked["callback_url"] = order.callback_url
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        headers = {"Idempotency-Key": order.run_id, "Content-Type": "application/json"}
        return Request("POST", self._at("/videos"), headers, body, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        return answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """A body that names another job is not about ours; one that names none counts if a clip is in it (rule 1).

        An error that names the job counts.
        """
        reply = yield Request("GET", self._at(f"/videos/{in_path(job_id)}"), NOT_CACHED)
        row = json_object(reply.body)
        ids = set(_ids(row))
        ours = ids == {job_id} or (not ids and reply.status < 300 and _clip_urls(row) != ())
        if not ours or not isinstance(row.get("status"), str):
            return _read_error(reply)
        job = _job(row, job_id)
        if job.status in ENDED_BADLY and is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return job

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        return ReadError(None, "OpenRouter has no list of jobs")
        yield

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "OpenRouter has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        """The first of the outputs; an order asks for one."""
        return Request("GET", self._at(f"/videos/{in_path(job_id)}/content?index=0"))

    def marker(self, order: Order) -> str | None:
        return None

    def models(self) -> Reading[tuple[Mapping[str, Any], ...] | ReadError]:
        """The table of video models as it stands, for whoever keeps `models.toml`; rows without an id are left out.

        Of a row: `id`, `supported_durations`, `supported_resolutions`, `pricing_skus` (USD as text), ...
        """
        reply = yield Request("GET", self._at("/videos/models"))
        rows = json_object(reply.body).get("data")
        if reply.status != 200 or not isinstance(rows, list):
            return _read_error(reply)
        return tuple(row for row in rows if isinstance(row, dict) and id_of(row.get("id")))

    def _at(self, path: str) -> str:
        return self.base_url.rstrip("/") + path


def verify_callback(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Whether the callback is signed with the workspace's signing secret, not more than five minutes from `now`.

    `x-openrouter-signature: t=<epoch seconds>,v1=<hex of HMAC-SHA256 over "t,body">`. `headers`: names in lower case.
    """
    parts = [each.strip().partition("=") for each in headers.get("x-openrouter-signature", "").split(",")]
    times = [value for name, _, value in parts if name == "t"]
    sent_at = times[0] if len(times) == 1 else ""
    is_time = sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= TIMESTAMP_DIGITS_MAX
    if not secret or not is_time or abs(now - int(sent_at)) > CALLBACK_SECONDS_MAX:
        return False
    right = hmac.digest(secret.encode(), sent_at.encode() + b"," + body, "sha256").hex().encode()
    given = (value.encode(errors="replace") for name, _, value in parts if name == "v1")
    return any(hmac.compare_digest(each, right) for each in given)


def _job(row: Mapping[str, Any], job_id: str) -> Job:
    """`named`: it shows an id, which is this one. An expired job that shows an output or a cost was done (owed)."""
    word, error = row.get("status"), row.get("error")
    status = STATUS_WORDS.get(word, JobStatus.UNKNOWN) if isinstance(word, str) else JobStatus.UNKNOWN
    cost = _cost(row.get("usage"))
    was_done = status is JobStatus.EXPIRED and bool(cost or row.get("unsigned_urls") or row.get("urls"))
    return Job(
        job_id=job_id,
        status=status,
        progress=PROGRESS_DONE if was_done else None,
        expires_at=epoch(row.get("expires_at")),
        error=error_words(json.dumps({"error": error})) if error else (word if word == "cancelled" else None),
        word=storable(word) if isinstance(word, str) else None,
        named=bool(_ids(row)),
        described=_is_described(row),
        urls=_clip_urls(row),
        no_clip=status is JobStatus.FAILED and not (row.get("unsigned_urls") or row.get("urls")),
        cost_microusd=cost,
    )


def _ids(row: Mapping[str, Any]) -> list[str]:
    """All that it calls the job's id: itself, and in its addresses."""
    named, url = id_of(row.get("id")), row.get("polling_url")
    found = JOB_IN_URL.search(url) if isinstance(url, str) else None
    return [*([named] if named else []), *([unquote(found[1])] if found else [])]


def _is_described(row: Mapping[str, Any]) -> bool:
    """It shows what only a job has, beside id, status and error."""
    return bool(row.get("polling_url")) or any(row.get(name) not in (None, "", [], {}) for name in OF_A_JOB)


def _clip_urls(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Signed addresses, and those of others; OpenRouter's own address of a clip wants the key (`content`)."""
    named = clip_urls({"unsigned_urls": row.get("unsigned_urls")})
    return (*clip_urls({"output": row.get("urls")}), *(url for url in named if not CONTENT_IN_URL.search(url)))


def _cost(usage: object) -> int | None:
    """In micro-dollars. With a key of one's own it leaves out what the vendor charges."""
    cost = usage.get("cost") if isinstance(usage, dict) and not usage.get("is_byok") else None
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost <= USD_MAX:
        return None
    return round(Decimal(str(cost)) * MICROUSD)


def _read_error(reply: Reply) -> ReadError:
    if reply.status >= 300:
        said = (f"HTTP {reply.status}", error_words(reply.body))
        return ReadError(reply.status, storable(": ".join(filter(None, said))))
    shown = storable(without_links(reply.body), WORDS_SHOWN_MAX)
    return ReadError(reply.status, f"unexpected answer: {shown}")
