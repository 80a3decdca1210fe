"""Runway's developer API, which sells its own models and those of others. Pure: no I/O, no clock.

It has no list of tasks and no callback, and a task repeats nothing of its order. So nothing can tell whose a task is:
if the answer to an order is lost, the run stays in doubt until a person looks. What it does show is the charge.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import error_object, error_words, json_object, storable
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.job_ids import id_of
from providers.json_numbers import epoch, number, percent
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import Facts, Marker, ReadError, Reading, Reply, Request, Scope, in_path

VERSION = {"X-Runway-Version": "2024-11-06"}
READ = {**VERSION, "Cache-Control": "no-cache"}
MICROUSD_PER_CREDIT = 10_000
URLS_MAX = 6
WEB = ("https://", "http://")
STATUS_WORDS = {
    "PENDING": JobStatus.QUEUED,
    "THROTTLED": JobStatus.QUEUED,  # it waits for a place under the account's own limit
    "RUNNING": JobStatus.IN_PROGRESS,
    "SUCCEEDED": JobStatus.COMPLETED,
    "FAILED": JobStatus.FAILED,
    "CANCELLED": JobStatus.FAILED,
}
FACTS = Facts(
    name="runway",
    title="Runway",
    base_url="https://api.dev.runwayml.com",
    key_names=("RUNWAYML_API_SECRET",),
    marker=Marker.NONE,
    has_list=False,
    refuses_429_before_work=True,
    cancel="DELETE: free only if Runway saw that the task was not running; of an ended task it deletes the record",
    extend="none; the last frame as `promptImage`",
    image_input="`promptImage` at `/v1/image_to_video`: an address, an upload or a data URI of up to 5 MB",
    charge="`cost.credits` of an ended task, 0.01 USD each; a fully refunded one shows 0",
    sdk_repeats="runwayml 5.24.0: 3 tries, no key",
    unknown=(
        "how long tasks and their clips are kept: read an old task",
        "which failures are charged: read `cost` of a task that failed, for SAFETY and for INTERNAL",
        "whether a bought credit always cost 0.01 USD (contracts, discounts): compare with the invoice",
        "how an unknown or deleted task answers: read a made-up id",
    ),
    sources={
        "create, task, cost, links, cancel": "runwayml 5.24.0, types/text_to_video_create_params.py, types/tasks",
        "0.01 USD per credit": "https://docs.dev.runwayml.com/guides/setup",
        "429 may be sent again": "https://docs.dev.runwayml.com/api-details/errors",
        "failure codes": "https://docs.dev.runwayml.com/errors/task-failures/",
        "limits, THROTTLED": "https://docs.dev.runwayml.com/usage/tiers",
    },
)


@dataclass(frozen=True)
class Runway:
    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def create(self, order: Order) -> Request:
        """There is no place for a callback address or an id of ours."""
        body = order.params | {"model": order.model, "promptText": order.prompt}
        path = "/v1/image_to_video" if "promptImage" in body else "/v1/text_to_video"
        sent = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return Request("POST", self._at(path), {**VERSION, "Content-Type": "application/json"}, sent, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        return answers.read_answer(answer, READER, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        reply = yield Request("GET", self._at(f"/v1/tasks/{in_path(job_id)}"), READ)
        task = json_object(reply.body)
        job = _job_of(task) if task.get("id") == job_id and isinstance(task.get("status"), str) else None
        if job is not None and job.status is JobStatus.FAILED and is_cached(reply.headers):
            return ReadError(reply.status, FROM_A_CACHE)
        return job or _read_error(reply)

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        return ReadError(None, "runway has no list")
        yield

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        return ReadError(None, "runway has no look-up by our own id")
        yield

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        return None

    def _at(self, path: str) -> str:
        return self.base_url.rstrip("/") + path


def _job_of(task: Mapping[str, object]) -> Job | None:
    """None if it shows no id."""
    job_id, word, code, failure = (task.get(name) for name in ("id", "status", "failureCode", "failure"))
    if not isinstance(job_id, str) or not id_of(job_id):
        return None
    word = storable(word) if isinstance(word, str) else None
    code = storable(code) if isinstance(code, str) else None
    output = task.get("output")
    links = output if isinstance(output, list) else []
    return Job(
        job_id,
        STATUS_WORDS.get(word or "", JobStatus.UNKNOWN),
        progress=percent(task.get("progress")),
        created_at=epoch(task.get("createdAt")),
        error=error_words(json.dumps({"error": failure})) if failure else None,
        error_code=code,
        word=word,
        described=any(task.get(name) for name in ("createdAt", "output", "cost", "estimatedCost")),
        kept_back=code if code and "SAFETY" in code else None,
        urls=tuple(link for link in links if isinstance(link, str) and link.startswith(WEB))[:URLS_MAX],
        cost_microusd=_charge(task.get("cost")),
    )


def _charge(cost: object) -> int | None:
    """Of an ended task. An `estimatedCost` is what it may cost at most, and no charge."""
    shown = cost.get("credits") if isinstance(cost, dict) else None
    found = None if isinstance(shown, bool | str) else number(shown)
    return round(found * MICROUSD_PER_CREDIT) if found is not None and 0 <= found < 1e9 else None


def _made(body: str) -> Job | None:
    answer = json_object(body)
    return None if answer.get("error") else _job_of(answer)


def _is_refusal(body: str) -> bool:
    """Runway's own form: `{"error": "what is wrong", "issues": [...], "docUrl": ...}`."""
    error = error_object(body).get("error")
    return isinstance(error, str) and error.strip() != ""


def _names_our_request(body: str) -> bool:
    """Whether it is a refusal of the body that was sent, and names the members that do not fit by their `path`."""
    refusal = error_object(body)
    issues = refusal.get("issues")
    paths = [issue.get("path") for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    named = paths != [] and all(isinstance(path, list) and path and isinstance(path[0], str) for path in paths)
    return named and refusal.get("error") == "Validation of body failed"


READER = answers.Reader(made=_made, is_refusal=_is_refusal, names_our_request=_names_our_request)


def _read_error(reply: Reply) -> ReadError:
    words = error_words(reply.body) if reply.status >= 300 else "not what was asked for"
    return ReadError(reply.status, ": ".join(filter(None, (f"HTTP {reply.status}", words))))
