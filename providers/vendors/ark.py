"""BytePlus ModelArk and Volcengine Ark, which sell Seedance. Pure: no I/O, no clock.

A job shows no prompt, and a seed only once it has succeeded; since Seedance 2.0 that seed is Ark's own choice. But in
every state it repeats `execution_expires_after`, the seconds that it may take in the queue and in rendering. An order
is free to choose them, so each run gets a number of its own: that is the marker.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_object, error_words, has_gap, json_object, object_with_gaps, storable
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.job_ids import id_of
from providers.json_numbers import epoch, whole
from providers.orders import Answer, ClearNo, Made, Order, Unclear, seed_of
from providers.port import Callback, Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

TASKS = "/contents/generations/tasks"
PAGE_ROWS = 500  # the most that Ark allows: few pages, so few rows can move from one to another meanwhile
# Ark allows 3,600 to 259,200 seconds; its default is 172,800. Ours are never whole minutes, as other people's are.
EXPIRES_MIN, EXPIRES_MAX, MINUTE = 3_601, 86_399, 60
EXPIRES_MINUTES = (EXPIRES_MAX - EXPIRES_MIN) // MINUTE + 1
CURSOR = re.compile(r"(\d{1,9})/(\d{1,9})/(\d{1,9})")  # page number / total on the page before / rows before it
FIRST_PAGE = "1/0/0"
ENVELOPE = {"items", "total", "page_num", "page_size", "object", "request_id"}
# `--dur 12` in a prompt sets the length, which is what we pay for; Ark reads such options as part of the text.
OPTION_IN_TEXT = re.compile(r"(--)(?=\w)")
ENDPOINT = "ep-"  # an inference endpoint, by whose name a model may be ordered; rows then show the model's own name
NOT_CACHED = {"Cache-Control": "no-cache"}
WITHHELD = re.compile(r"Sensitive|RiskDetection|PolicyViolation")
STATUS_WORDS = {
    "queued": JobStatus.QUEUED,
    "running": JobStatus.IN_PROGRESS,
    "succeeded": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.FAILED,
    "expired": JobStatus.FAILED,  # stopped while queued or running: unlike `JobStatus.EXPIRED` it never was done
}
ENDED_BADLY = {JobStatus.FAILED, JobStatus.EXPIRED}
FACTS = Facts(
    name="ark",
    title="BytePlus ModelArk, Volcengine Ark",
    base_url="https://ark.ap-southeast.bytepluses.com/api/v3",
    key_names=("ARK_API_KEY",),
    marker=Marker.ECHOED_FIELD,
    has_list=True,
    shows_running=True,
    newest_first=False,
    start_limit_seconds=EXPIRES_MAX,  # these two together never pass what either of them says, so their sum is high
    render_limit_seconds=EXPIRES_MAX,
    record_seconds=7 * 86_400,
    clip_seconds=86_400,
    callback=Callback.UNSIGNED,
    failed_renders_free=True,
    cancel="DELETE while queued; on an ended job it would delete the record, so it is never sent",
    extend="a `reference_video` in `content` (Seedance 2.x)",
    image_input="`image_url` in `content`: an address or a data URI",
    charge="`usage.completion_tokens`; the price of a token is not in the answer",
    sdk_repeats="byteplus-python-sdk-v2 3.0.63: 3 tries, no key",
    unknown=(
        "whether list rows repeat an `execution_expires_after` other than the default: create with 3601, list",
        "whether Seedance 2.x ignores or refuses a `seed`: create with one, look at the job",
        "in which order the list comes, and how soon it shows a new job: create, list at once",
        "whether a list without a filter shows cancelled and expired jobs: cancel a queued one, list",
        "whether a 429 comes before any work: exceed the limit, list",
        "whether options in a prompt's text (`--dur 12`) overrule the fields: create with both, look at `duration`",
    ),
    sources={
        "create, expiry": "https://docs.byteplus.com/en/docs/ModelArk/1520757",
        "job": "https://docs.byteplus.com/en/docs/ModelArk/1521309",
        "list, 7 days, total": "https://docs.byteplus.com/en/docs/ModelArk/1521675",
        "cancel or delete": "https://docs.byteplus.com/en/docs/ModelArk/1521720",
        "seed: Seedance 1.x only; options in the text": "https://www.volcengine.com/docs/82379/1520757",
        "field names": "byteplus-python-sdk-v2 3.0.63, byteplussdkarkruntime/types/content_generation",
        "failed renders": "https://docs.byteplus.com/en/docs/ModelArk/1099320",
    },
)


@dataclass(frozen=True)
class Ark:
    """Ark in one region; each key belongs to one. The region in China is https://ark.cn-beijing.volces.com/api/v3."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def create(self, order: Order) -> Request:
        """Raises ValueError for the `flex` tier: its jobs are not in the list, so their absence would prove nothing.

        The expiry is always the run's own, whatever `params` say. A seed is sent only if they have one: Ark's pages say
        that a model which does not take it ignores it or refuses the order.
        """
        params = order.params
        if params.get("service_tier", "default") != "default":
            raise ValueError("only the default service tier is listed")
        more = params.pop("content", ())
        text = OPTION_IN_TEXT.sub(r"\1 ", order.prompt)
        body = params | {"model": order.model, "content": [{"type": "text", "text": text}, *more]}
        body |= {"callback_url": order.callback_url} if order.callback_url else {}
        body |= {"execution_expires_after": _expires_after(order.run_id)}
        sent = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        # The SDK sends such an id with each request, for Ark's support; it is no idempotency key.
        headers = {"Content-Type": "application/json", "X-Client-Request-Id": order.run_id}
        return Request("POST", self._at(TASKS), headers, sent, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        return answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        reply = yield Request("GET", self._at(f"{TASKS}/{in_path(job_id)}"), NOT_CACHED)
        row = json_object(reply.body)
        if row.get("id") != job_id or not isinstance(row.get("status"), str):
            return _read_error(reply)
        job = _job_of(row, shows_model=not model.startswith(ENDPOINT))
        if job is not None and job.status in ENDED_BADLY and is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return job or _read_error(reply)

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        """Pages have numbers, so rows repeat when jobs arrive. `total` falls when one goes, and then one may be missed.

        There is no filter by model: Ark's takes names of endpoints only.
        """
        cursor = CURSOR.fullmatch(after or FIRST_PAGE)
        if cursor is None:
            return ReadError(None, "not a page of this list")
        number, total_before, rows_before = map(int, cursor.groups())
        query = urlencode({"page_num": number, "page_size": PAGE_ROWS})
        reply = yield Request("GET", f"{self._at(TASKS)}?{query}", NOT_CACHED)
        page = object_with_gaps(reply.body)
        rows, total = page.get("items"), page.get("total")
        if reply.status != 200 or not isinstance(rows, list) or not isinstance(total, int) or isinstance(total, bool):
            return _read_error(reply)
        shows_model = not any(model.startswith(ENDPOINT) for model in scope.models)
        shown = [(job, has_gap(row)) for row in rows if (job := _job_of(row, shows_model=shows_model))]
        rows_read = rows_before + len(rows)
        has_more = rows_read < total
        flaw = "rows_were_removed" if total < total_before else "empty_page" if has_more and not rows else ""
        return ListPage(
            tuple(job for job, _ in shown),
            has_more,
            shown[-1][0].job_id if shown else None,
            odd_rows=len(rows) - len(shown) + sum(gap for _, gap in shown),
            flaw=_flaw(page, reply) or flaw,
            total=total,
            next_page=f"{number + 1}/{total}/{rows_read}" if has_more else None,
        )

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "ark has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        """One of 81,420 values: another job of the week may have it by chance, if it is another onetake's."""
        return str(_expires_after(order.run_id))

    def _at(self, path: str) -> str:
        return self.base_url.rstrip("/") + path


def _expires_after(run_id: str) -> int:
    minutes, seconds = divmod(seed_of(run_id) % (EXPIRES_MINUTES * (MINUTE - 1)), MINUTE - 1)
    return EXPIRES_MIN + MINUTE * minutes + seconds


def _marker_in(row: Mapping[str, Any]) -> str | None:
    """Only a value that an order of ours can have: any other would read as the marker of another run."""
    expires = row.get("execution_expires_after")
    ours = isinstance(expires, int) and EXPIRES_MIN <= expires <= EXPIRES_MAX and expires % MINUTE != 0
    return str(expires) if ours else None


def _job_of(row: object, *, shows_model: bool) -> Job | None:
    """None if it shows no id. `shows_model`: False where the order names an endpoint, which no row does."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not id_of(row["id"]):
        return None
    word = storable(row["status"]) if isinstance(row.get("status"), str) else None
    error = row["error"] if isinstance(row.get("error"), dict) else {}
    code = storable(error["code"]) if isinstance(error.get("code"), str) else None
    content = row["content"] if isinstance(row.get("content"), dict) else {}
    url, model = content.get("video_url"), row.get("model")
    return Job(
        row["id"],
        STATUS_WORDS.get(word or "", JobStatus.UNKNOWN),
        model=storable(model) if isinstance(model, str) and shows_model else None,
        seconds=max(whole(row.get("duration")) or 0, 0) or None,  # -1: Ark chooses
        created_at=epoch(row.get("created_at")),
        error=error_words(json.dumps({"error": error})) if error else None,
        error_code=code,
        word=word,
        described=any(row.get(name) for name in ("created_at", "model", "content", "execution_expires_after")),
        kept_back=code if code and WITHHELD.search(code) else None,
        urls=(url,) if isinstance(url, str) and url.startswith(("https://", "http://")) else (),
        marker=_marker_in(row),
    )


def _made(body: str) -> Job | None:
    answer = json_object(body)
    return None if answer.get("error") else _job_of(answer, shows_model=True)


def _is_refusal(body: str) -> bool:
    """Ark's own form: `{"error": {"code": ..., "message": ..., "param": ..., "type": ...}}`."""
    error = error_object(body).get("error")
    return isinstance(error, dict) and isinstance(error.get("code"), str) and isinstance(error.get("message"), str)


READER = answers.Reader(made=_made, is_refusal=_is_refusal)


def _flaw(page: Mapping[str, Any], reply: Reply) -> str:
    if is_cached(reply.headers):
        return "list_from_a_cache"
    more = sorted(name for name, value in page.items() if value and name not in ENVELOPE)
    return f"list_says_more: {storable(', '.join(more), 100)}" if more else ""


def _read_error(reply: Reply) -> ReadError:
    words = error_words(reply.body) if reply.status >= 300 else "not what was asked for"
    return ReadError(reply.status, ": ".join(filter(None, (f"HTTP {reply.status}", words))))
