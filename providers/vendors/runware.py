"""Runware: many vendors' models at one address, and tasks with an id of ours. Pure: no I/O, no clock.

Every request is a POST of an array of tasks; only a `videoInference` task buys. What answers say is read in
`runware_rows.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from net.caching import FROM_A_CACHE, is_cached
from net.error_text import json_object
from providers import answers
from providers.job import Job, JobStatus, ListPage
from providers.orders import Answer, ClearNo, Made, Order, Unclear
from providers.port import Callback, Facts, Marker, ReadError, Reading, Request, Scope
from providers.vendors.runware_rows import CONFLICT, REFUSES, VIDEO, Row, job_in, ours, refusal_codes, state_in, task_in

RESPONSE, DETAILS = "getResponse", "getTaskDetails"
ENDED = {JobStatus.COMPLETED, JobStatus.FAILED}
FACTS = Facts(
    name="runware",
    title="Runware",
    base_url="https://api.runware.ai/v1",
    key_names=("RUNWARE_API_KEY",),
    marker=Marker.OWN_ID,
    has_list=False,
    echoes_prompts=True,
    callback=Callback.UNSIGNED,
    image_input="`inputs.frameImages` of the model: addresses, data URIs, or ids of uploaded pictures",
    charge="`cost` of the result, in USD",
    sdk_repeats="runware-sdk 1.8.0: 4 tries on 408, 429, 5xx, timeouts and lost connections, same taskUUID",
    unknown=(
        "whether getTaskDetails tells an unknown task from a running one: ask for a random UUID and for a running task",
        "whether a refused task keeps its UUID: send an invalid order twice",
        "how long a task can be read, and its clip fetched: getTaskDetails of an old one",
        "whether failed tasks are billed: the balance before and after one",
    ),
    sources={
        "shapes": "runware-sdk 1.8.0 types/task_map.py; https://runware.ai/docs/platform/task-polling, /task-details",
        "errors": "https://runware.ai/docs/platform/errors; codes: runware-sdk 1.8.0; conflict: runware 0.5.24 base.py",
        "callback": "https://runware.ai/docs/platform/webhooks: a secret can only be in the address",
    },
)


@dataclass(frozen=True)
class Runware:
    """The API at one base URL."""

    base_url: str = FACTS.base_url
    facts: Facts = FACTS

    def authorization(self, key: str, now: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def create(self, order: Order) -> Request:
        """Raises ValueError if the input asks for more than one clip."""
        if order.params.get("numberResults", 1) != 1:
            raise ValueError("an order is for one clip")
        task = {"taskType": VIDEO, "taskUUID": order.run_id, "deliveryMethod": "async", "includeCost": True}
        task |= {"model": order.model, "positivePrompt": order.prompt}
        task |= {"webhookURL": order.callback_url} if order.callback_url else {}
        return self._post(order.params | task, pays=True)

    def read_answer(
        self, answer: Answer, *, refuses_429: bool, our_key: str = "", prompt: str = ""
    ) -> Made | ClearNo | Unclear:
        """A conflict over our own id proves that Runware has the task: it was sent once, and something repeated it."""
        rows, errors = ours(json_object(answer.body), our_key)
        if answer.status is not None and any(each.get("code") == CONFLICT for each in errors):
            return Made(Job(our_key, JobStatus.UNKNOWN, marker=our_key))
        job, codes = job_in(rows, our_key) if rows else None, refusal_codes(answer.body, our_key)
        reader = answers.Reader(
            made=lambda _: job,
            in_refusal=lambda _body, _status: job,
            refuses_with=lambda _: 400 if codes and all(map(REFUSES.search, codes)) else None,
            is_refusal=lambda _: bool(codes),
            our_id=True,
        )
        return answers.read_answer(answer, reader, refuses_429=refuses_429, our_key=our_key, prompt=prompt)

    def job(self, job_id: str, model: str) -> Reading[Job | ReadError]:
        """The state, and, where that is missing or a failure, the whole task: its request proves that there is one."""
        return (yield from self._look(job_id)) or ReadError(200, "Runware shows nothing of this task")

    def page(self, after: str | None, scope: Scope) -> Reading[ListPage | ReadError]:
        return ReadError(None, "Runware has no list")
        yield

    def find(self, order: Order) -> Reading[Job | ReadError | None]:
        """None proves nothing: a task that runs may be shown as little as one that does not exist."""
        return (yield from self._look(order.run_id))

    def content(self, job_id: str) -> Request | None:
        return None

    def marker(self, order: Order) -> str | None:
        return order.run_id

    def _look(self, job_id: str) -> Reading[Job | ReadError | None]:
        reply = yield self._post({"taskType": RESPONSE, "taskUUID": job_id})
        state = state_in(reply, job_id)
        if isinstance(state, Job) and (state.running or state.status is JobStatus.COMPLETED):
            return state
        told = yield self._post({"taskType": DETAILS, "taskUUID": job_id})
        task = task_in(told, job_id)
        if isinstance(task, Job) and isinstance(state, Job) and task.status not in ENDED:
            end = {name: getattr(state, name) for name in ("status", "word", "error", "error_code", "kept_back")}
            task = replace(task, **end)
        shown = task if isinstance(task, Job) else state or task
        is_old = is_cached(reply.headers) or is_cached(told.headers)
        failed = is_old and isinstance(shown, Job) and shown.status is JobStatus.FAILED
        return ReadError(reply.status, FROM_A_CACHE) if failed else shown

    def _post(self, task: Row, *, pays: bool = False) -> Request:
        body = json.dumps([task], ensure_ascii=False, separators=(",", ":")).encode()
        return Request("POST", self.base_url.rstrip("/"), {"Content-Type": "application/json"}, body, pays=pays)
