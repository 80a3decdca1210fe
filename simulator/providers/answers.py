"""A vendor's correct answers, and the same answers bent by habits and faults. Pure.

In       the vendor's JSON, the job's view, the habits of this answer
Out      responses
"""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulator.faults.arming import Fault
from simulator.faults.bodies import BOM, body_of, with_bom
from simulator.providers.vendor import Vendor, View, view_of
from simulator.settings import Habits
from simulator.state import STATE
from simulator.videos import lies
from simulator.videos.books import Job
from simulator.videos.buying import CreateAnswers
from simulator.videos.errors import json_answer
from simulator.videos.views import aged, root_of


@dataclass(frozen=True, slots=True)
class CreateShapes:
    """A vendor's answers to a create."""

    vendor: Vendor

    def answers(self) -> CreateAnswers:
        """For `buying.buy`."""
        again = None if self.vendor.repeated is None else self._repeated
        return CreateAnswers(self._made, self.vendor.refusal, self._idless, self._named, again)

    def _made(self, request: web.Request, job: Job, habits: Habits) -> web.Response:
        view = view_of(request.app[STATE], root_of(request), job, "create", habits)
        return bent(json_answer(self.vendor.made(view), self.vendor.made_status), view, habits)

    def _repeated(self, request: web.Request, job: Job, habits: Habits) -> web.Response:
        assert self.vendor.repeated is not None
        return self.vendor.repeated(view_of(request.app[STATE], root_of(request), job, "create", habits))

    def _idless(self, answer: web.Response) -> web.Response:
        return json_answer(_changed(read_json(answer), self.vendor.id_names, None), answer.status)

    def _named(self, answer: web.Response, job_id: str) -> web.Response:
        return json_answer(_changed(read_json(answer), self.vendor.id_names, job_id), answer.status)


def bent(answer: web.Response, view: View, habits: Habits) -> web.Response:
    """An answer about one job, as this server's habits change it."""
    if habits.envelope:
        body = read_json(answer)
        inside = body if isinstance(body, dict) else {"data": body}
        wrapped = lies.enveloped({**inside, "id": view.id, "status": view.status}, habits.envelope)
        answer = json_answer(wrapped, answer.status)
    if view.status == "failed" and habits.failed_status:
        answer.set_status(habits.failed_status)
    answer.headers.update(aged(habits) or {})
    return with_bom(answer) if habits.bom else answer


def list_answer(body: dict[str, Any], habits: Habits) -> web.Response:
    """A page of a list, with what this server's habits add around its rows."""
    headers = {**habits.list_headers, **(aged(habits) or {})}
    answer = json_answer({**body, **habits.list_says}, habits.list_status, headers)
    return with_bom(answer) if habits.bom else answer


def misfit(vendor: Vendor, fault: Fault, answer: web.Response, view: View | None) -> web.Response | None:
    """The answer of a fault whose body depends on the vendor's shapes; None for all others."""
    if fault.kind == "not_found":
        return vendor.refusal(404, "Not found.")
    if fault.kind == "echo" and view is not None:
        words = {"message": "upstream request failed", "type": "upstream_error"}
        body = {vendor.id_names[0]: view.id, "status": fault.text("word", "error"), "error": words}
        return json_answer(body, int(fault.number("status", 200)))
    if fault.kind == "job_in_error" and "word" not in fault.params:
        answer.set_status(int(fault.number("status", 422)))
        return answer
    return None


def read_json(answer: web.Response) -> Any:
    """The JSON of an answer that was built as a whole."""
    return json.loads(body_of(answer).removeprefix(BOM))


def _changed(value: Any, names: tuple[str, ...], job_id: str | None) -> Any:
    """The same JSON with another id in the members of these names; None leaves them out."""
    if isinstance(value, list):
        return [_changed(each, names, job_id) for each in value]
    if not isinstance(value, dict):
        return value
    named = {name: job_id for name in names if name in value and job_id is not None}
    return {name: _changed(each, names, job_id) for name, each in value.items() if name not in names} | named
