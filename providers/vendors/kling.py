"""Kling's own API: tasks are found by the id that we gave them, and listed with it. Pure: no I/O, no clock.

Every answer is `{"code", "message", "request_id", "data"}`, and a `code` other than 0 is an error, whatever the HTTP
status. Only `text2video` is ordered: each kind of task has an address and a list of its own.
"""

import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_object, error_words, has_gap, json_object, object_with_gaps, storable
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.job_ids import id_of
from providers.json_numbers import epoch, whole
from providers.openai_videos.job_links import clip_urls
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

TASKS = "/v1/videos/text2video"
PAGE_ROWS = 500  # the most that Kling allows, of 1,000 pages
PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
TOKEN_SECONDS, CLOCK_SKEW_SECONDS = 1800, 5  # as in Kling's own example
NOT_CACHED = {"Cache-Control": "no-cache"}
ENVELOPE = {"code", "message", "request_id", "data"}
FINE = {"", "succeed", "success", "ok"}
STATUS_WORDS = {
    "submitted": JobStatus.QUEUED,
    "processing": JobStatus.IN_PROGRESS,
    "succeed": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
}
# Kling's codes of refusals, each with the HTTP status that says the same. Kling sends 429 for all about the account.
REFUSALS = {
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004), 401),
    **dict.fromkeys((1101, 1102), 402),  # in arrears; no units left
    **dict.fromkeys((1100, 1103, 1304), 403),  # the account; the model; the IP address
    **dict.fromkeys((1200, 1201, 1300, 1301), 400),  # the input; the content
    **dict.fromkeys((1202, 1203), 404),
    **dict.fromkeys((1302, 1303), 429),  # too fast; too many tasks at a time
}
FACTS = Facts(
    name="kling",
    title="Kling AI",
    base_url="https://api-singapore.klingai.com",
    key_names=("KLING_ACCESS_KEY", "KLING_SECRET_KEY"),
    marker=Marker.OWN_ID,
    has_list=True,
    newest_first=False,
    clip_seconds=30 * 86_400,
    callback=Callback.UNSIGNED,
    refuses_429_before_work=True,
    extend="`/v1/videos/video-extend` by the clip's id, for models up to v1.6",
    image_input="`image` at `/v1/videos/image2video`: an address, or base64 without a prefix; not ordered here",
    charge="`final_unit_deduction` in units of the resource pack; no amount of money",
    unknown=(
        "what an unknown `external_task_id` answers, so no answer to a look-up reads as absent: ask for a random one",
        "what a repeated `external_task_id` answers, so an error that names it leaves us in doubt: send one twice",
        "in which order the list comes, how soon it shows a new task, and for how long: create, list at once",
        "whether failed tasks are billed: `final_unit_deduction` of one",
    ),
    sources={
        "shapes, page size, 30 days": "https://app.klingai.com/global/dev/document-api/apiReference/model/textToVideo",
        "host, token, codes": "https://app.klingai.com/global/dev/document-api/apiReference/commonInfo",
        "1303 refuses the submission": "https://app.klingai.com/global/dev/document-api/apiReference/rateLimits",
        "callback": "https://app.klingai.com/global/dev/document-api/apiReference/callbackProtocol",
        "plain keys": "https://github.com/vercel/ai/releases/tag/@ai-sdk%2Fklingai@4.0.16",
    },
)


@dataclass(frozen=True)
class Kling:
    """The API at one base URL. The key is a plain one, or an access key and a secret key with a colon between."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        """A pair of keys signs a token for each request (RFC 7519, HS256). Raises ValueError for half a pair."""
        access, colon, secret = key.partition(":")
        if not colon:
            return {"Authorization": f"Bearer {key}"}
        if not access or not secret:
            raise ValueError("half a pair of keys")
        claims = {"iss": access, "exp": int(now) + TOKEN_SECONDS, "nbf": int(now) - CLOCK_SKEW_SECONDS}
        signed = f"{_base64(_json({'alg': 'HS256', 'typ': 'JWT'}))}.{_base64(_json(claims))}"
        return {"Authorization": f"Bearer {signed}.{_base64(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"}

    def create(self, order: Order) -> Request:
        """Raises ValueError for a picture, which this address would leave out of the video."""
        if "image" in order.params or "image_tail" in order.params:
            raise ValueError("text2video takes no picture")
        body = order.params | {"model_name": order.model, "prompt": order.prompt, "external_task_id": order.run_id}
        body |= {"callback_url": order.callback_url} if order.callback_url else {}
        return Request("POST", self._at(""), {"Content-Type": "application/json"}, _json(body), pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        """A task counts as made only with code 0, and if it does not show another run's id."""
        job, code = _job(error_object(answer.body).get("data")), _refusal(answer.body)
        ours = job if job and job.marker in {None, our_key} and _is_fine(json_object(answer.body)) else None
        reader = answers.Reader(
            made=lambda _: ours,
            in_refusal=lambda _body, _status: replace(job, status=JobStatus.UNKNOWN) if job else None,
            refuses_with=lambda _: REFUSALS.get(code),
            is_refusal=lambda _: code != 0,
        )
        if code and answer.status == 429:  # by the others Kling says what it means; a 408 or 409 may be a proxy's
            answer = replace(answer, status=REFUSALS[code])
        return answers.read_answer(answer, reader, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        reply = yield Request("GET", self._at(f"/{in_path(job_id)}"), NOT_CACHED)
        job = _shown(reply)
        return job if isinstance(job, ReadError) or job.job_id == job_id else _another(reply)

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        """Pages have numbers, and nothing says which is the last, so they are read until one is empty.

        A shorter page is no end: Kling may allow fewer rows for a page than it says.
        """
        number = after or "1"
        if not PAGE_NUMBER.fullmatch(number):
            return ReadError(None, "not a page of this list")
        query = urlencode({"pageNum": number, "pageSize": PAGE_ROWS})
        reply = yield Request("GET", f"{self._at('')}?{query}", NOT_CACHED)
        page = object_with_gaps(reply.body)
        rows = page.get("data")
        if reply.status != 200 or not _is_fine(page) or not isinstance(rows, list):
            return _read_error(reply)
        shown = [(job, has_gap(row)) for row in rows if (job := _job(row))]
        return ListPage(
            tuple(job for job, _ in shown),
            None,
            shown[-1][0].job_id if shown else None,
            odd_rows=len(rows) - len(shown) + sum(gap for _, gap in shown),
            flaw=_flaw(page, reply),
            full=len(rows) >= PAGE_ROWS,
            next_page=str(int(number) + 1) if rows else None,
        )

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        """Never None: how an unknown id is answered is not known."""
        reply = yield Request("GET", self._at(f"/{in_path(order.run_id)}"), NOT_CACHED)
        job = _shown(reply)
        return job if isinstance(job, ReadError) or job.marker == order.run_id else _another(reply)

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        return order.run_id

    def _at(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}{TASKS}{path}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _is_fine(answer: Mapping[str, Any]) -> bool:
    return answer.get("code") == 0 and not isinstance(answer["code"], bool)


def _refusal(body: str) -> int:
    """The code of a refusal in Kling's own form; 0 if it is none, or may be about a task that was made."""
    answer = error_object(body)
    code, message, data = answer.get("code"), answer.get("message"), answer.get("data")
    if not isinstance(code, int) or code not in REFUSALS or not isinstance(message, str) or _job(data):
        return 0
    return 0 if "external" in message.lower() else code  # it knows our `external_task_id`: this is a second copy


def _job(row: object) -> Job | None:
    """None if it shows no id."""
    if not isinstance(row, dict) or (job_id := id_of(row.get("task_id"))) is None:
        return None
    word, said = row.get("task_status"), row.get("task_status_msg")
    status = STATUS_WORDS.get(word, JobStatus.UNKNOWN) if isinstance(word, str) else JobStatus.UNKNOWN
    info = row["task_info"] if isinstance(row.get("task_info"), dict) else {}
    result = row["task_result"] if isinstance(row.get("task_result"), dict) else {}
    videos = result["videos"] if isinstance(result.get("videos"), list) else []
    clips = [each for each in videos if isinstance(each, dict)]
    own_id = info.get("external_task_id")
    return Job(
        job_id,
        status,
        seconds=max(whole(clips[0].get("duration")) or 0, 0) or None if clips else None,
        created_at=epoch(row.get("created_at")),
        error=error_words(json.dumps({"error": said})) if said and status is JobStatus.FAILED else None,
        word=storable(word) if isinstance(word, str) else None,
        described=any(row.get(name) for name in ("created_at", "task_info", "task_result")),
        urls=tuple(url for each in clips for url in clip_urls({"url": each.get("url")})),
        marker=storable(own_id) if isinstance(own_id, str) and own_id else None,
    )


def _shown(reply: Reply) -> Job | ReadError:
    answer = json_object(reply.body)
    job = _job(answer.get("data")) if _is_fine(answer) else None
    if job and job.status is JobStatus.FAILED and is_cached(reply.headers):
        return ReadError(reply.status, FROM_A_CACHE)
    return job or _read_error(reply)


def _flaw(page: Mapping[str, Any], reply: Reply) -> str:
    if is_cached(reply.headers):
        return "list_from_a_cache"
    more = sorted(name for name, value in page.items() if value and name not in ENVELOPE)
    if str(page.get("message", "")).lower() not in FINE:
        more.append("message")
    return f"list_says_more: {storable(', '.join(more), 100)}" if more else ""


def _another(reply: Reply) -> ReadError:
    return ReadError(reply.status, "the answer is about another task")


def _read_error(reply: Reply) -> ReadError:
    return ReadError(reply.status, error_words(reply.body) or f"HTTP {reply.status} without what was asked for")
