"""The OpenAI Videos protocol as gateways and self-hosted servers speak it today. Pure: no I/O, no clock.

Its inventor switched it off on 2026-09-24. Jobs are parsed in `jobs.py`, lists in `list_page.py`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_words, storable, without_links
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.openai_videos.jobs import read_job
from providers.openai_videos.list_page import read_page
from providers.orders import OPENAI, Answer, ClearNo, Made, Order, Unclear
from providers.port import Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

PAGE_JOBS = 100
WORDS_SHOWN_MAX = 200
LIMIT_REFUSED = {400, 422}
ENDED_BADLY = {JobStatus.FAILED, JobStatus.EXPIRED}
NOT_CACHED = {"Cache-Control": "no-cache"}
# LiteLLM repeats a failed request by itself (measured with 1.108: two further POSTs). This header switches that off.
NO_GATEWAY_RETRIES = {"x-litellm-num-retries": "0"}
READER = answers.Reader(made=read_job)
FACTS = Facts(
    name=OPENAI,
    title="OpenAI Videos protocol",
    base_url="https://api.openai.com/v1",
    key_names=("VIDEO_API_KEY",),
    marker=Marker.ECHOED_REQUEST,
    has_list=True,
    echoes_prompts=True,
    cancel="not in the protocol",
    extend="`/videos/{id}/remix`, where the server has it",
    image_input="`input_reference`",
    sdk_repeats="openai 3.57: 3 tries, no key",
    unknown=("what each server does differs: `onetake check` looks",),
    sources={"protocol": "https://platform.openai.com/docs/api-reference/videos"},
)


def read_answer(answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = "") -> Made | ClearNo | Unclear:
    """What the answer to a create means; see `providers.answers`."""
    return answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)


@dataclass(frozen=True)
class OpenAIVideos:
    """The protocol at one base URL. `extra_headers`: sent with every request, for gateways that need them."""

    base_url: str
    extra_headers: Mapping[str, str] | None = None
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"} | dict(self.extra_headers or {})

    def create(self, order: Order) -> Request:
        headers = {"Idempotency-Key": order.run_id} | NO_GATEWAY_RETRIES
        if order.create_body == "json":
            body = json.dumps(order.fields(), ensure_ascii=False, separators=(",", ":")).encode()
            kind = "application/json"
        else:
            boundary = hashlib.sha256(f"{order.run_id} {order.prompt}".encode()).hexdigest()[:32]
            body, kind = _form(order.fields(), boundary), f"multipart/form-data; boundary={boundary}"
        return Request("POST", self._at("/videos"), headers | {"Content-Type": kind}, body, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        return read_answer(answer, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """A job in an error's body counts if it names the id: vLLM-Omni shows failed jobs so."""
        reply = yield Request("GET", self._at(f"/videos/{in_path(job_id)}"), NOT_CACHED)
        job = read_job(reply.body, job_id)
        if reply.status >= 300:
            shown: Job | ReadError = job if job is not None and job.named else _read_error(reply)
        else:
            shown = job or ReadError(reply.status, _not_ours(reply.body))
        if isinstance(shown, Job) and shown.status in ENDED_BADLY and is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return shown

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        """Newest first. Some servers allow fewer rows per page and refuse the limit."""
        reply = yield self._page(after, {"limit": PAGE_JOBS})
        if reply.status in LIMIT_REFUSED:
            reply = yield self._page(after, {})
        if reply.status >= 300:
            return _read_error(reply)
        if reply.status != 200:  # a part (206), or a list changed by a cache or a proxy (203)
            return ReadError(reply.status, f"HTTP {reply.status} is not a complete list")
        return read_page(reply.body, reply.headers) or ReadError(reply.status, "the answer is not a list of jobs")

    def _page(self, after: str | None, limit: Mapping[str, int]) -> Request:
        query = {"after": after} if after else {}
        return Request("GET", f"{self._at('/videos')}?{urlencode({**query, **limit, 'order': 'desc'})}", NOT_CACHED)

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "the protocol has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        return Request("GET", self._at(f"/videos/{in_path(job_id)}/content"))

    def marker(self, order: Order) -> str | None:
        return None

    def _at(self, path: str) -> str:
        return self.base_url.rstrip("/") + path


def _form(fields: Mapping[str, str], boundary: str) -> bytes:
    """multipart/form-data (RFC 7578), as the openai package writes it."""
    parts = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return "".join((*parts, f"--{boundary}--\r\n")).encode()


def _read_error(reply: Reply) -> ReadError:
    """`HTTP 503: its words`, as far as there are any."""
    return ReadError(reply.status, storable(": ".join(filter(None, (f"HTTP {reply.status}", error_words(reply.body))))))


def _not_ours(body: str) -> str:
    """The detail of a 200 that does not name the job."""
    return f"the answer does not name the job: {storable(without_links(body), WORDS_SHOWN_MAX)}"
