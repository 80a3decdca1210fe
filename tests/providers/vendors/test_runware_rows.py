"""What Runware shows of a task, by the shapes of runware-sdk 1.8.0 and its pages."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from providers.job import Job, JobStatus
from providers.order_match import is_marked
from providers.orders import Order
from providers.port import Marker, ReadError, Reply, Request, read_with
from providers.vendors.runware import FACTS, Runware

API = Runware()
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
MODEL = "klingai:kling-video@3-standard"
INPUT: dict[str, Any] = {"duration": 5, "width": 720, "height": 1280}
ORDER = Order(RUN, "a boat, señor", MODEL, 5, "720x1280", "json", "runware", INPUT)
CLIP = "https://vm.runware.ai/video/os/a/ws/5/vi/x.mp4"
ACK = {"taskType": "videoInference", "taskUUID": RUN}
PROCESSING = ACK | {"status": "processing", "progress": 40}
SUCCESS = ACK | {"status": "success", "videoUUID": "v-1", "videoURL": CLIP, "cost": 0.42, "seed": 7}
FAILURE = {"code": "timeoutProvider", "status": "error", "message": "The provider did not respond", "taskUUID": RUN}
GONE = FAILURE | {"code": "taskFailedOrNotFound", "message": "Task failed or not found"}
SENT = ACK | INPUT | {"deliveryMethod": "async", "includeCost": True, "model": MODEL, "positivePrompt": "a boat, señor"}
NOTHING: dict[str, Any] = {"data": []}


def details(response: object, *sent: Mapping[str, Any], names: str = RUN) -> dict[str, Any]:
    row = {"taskType": "getTaskDetails", "taskUUID": names, "request": list(sent or [SENT]), "response": response}
    return {"data": [row]}


def replier(state: object, task: object, status: int, headers: Mapping[str, str]) -> Callable[[Request], Reply]:
    """Answers getResponse and getTaskDetails of our task; anything else fails the test."""

    def answer(request: Request) -> Reply:
        assert (request.method, request.url, request.pays) == ("POST", FACTS.base_url, False)
        (asked,) = json.loads(request.body)
        assert set(asked) == {"taskType", "taskUUID"}
        assert asked["taskUUID"] == RUN
        body = {"getResponse": state, "getTaskDetails": task}[asked["taskType"]]
        return Reply(status, body if isinstance(body, str) else json.dumps(body), headers)

    return answer


def read(state: object, task: object = NOTHING, status: int = 200, **headers: str) -> Job | ReadError:
    return read_with(API.job(RUN, MODEL), replier(state, task, status, headers))


def found(state: object, task: object = NOTHING, status: int = 200) -> Job | ReadError | None:
    return read_with(API.find(ORDER), replier(state, task, status, {}))


def a_job(state: object, task: object = NOTHING) -> Job:
    job = read(state, task)
    assert isinstance(job, Job)
    return job


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([PROCESSING], JobStatus.IN_PROGRESS),
        ([ACK | {"status": "pending"}], JobStatus.QUEUED),
        ([SUCCESS], JobStatus.COMPLETED),
        ([ACK], JobStatus.UNKNOWN),
        ([ACK | {"status": "a new word"}], JobStatus.UNKNOWN),
        ([ACK | {"status": 3}], JobStatus.UNKNOWN),
        ([SUCCESS | {"taskUUID": OTHER}, PROCESSING], JobStatus.IN_PROGRESS),
        ([PROCESSING, SUCCESS], JobStatus.COMPLETED),
        ([ACK | {"status": "error", "error": {"code": "x"}}, PROCESSING], JobStatus.IN_PROGRESS),
    ],
)
def test_state_of_our_task(rows: list[object], status: JobStatus) -> None:
    job = a_job({"data": rows})
    assert (job.job_id, job.status, job.marker, job.named) == (RUN, status, RUN, True)


def test_finished_task_shows_its_clip_and_its_cost() -> None:
    job = a_job({"data": [SUCCESS | {"taskUUID": OTHER, "videoURL": "https://other/x.mp4"}, PROCESSING, SUCCESS]})
    assert (job.urls, job.cost_microusd, job.described, job.word) == ((CLIP,), 420_000, True, "success")
    assert a_job({"data": [PROCESSING]}).progress == 40


@pytest.mark.parametrize(
    ("cost", "microusd"),
    [(0.42, 420_000), (0.1 + 0.2, 300_001), (1, 1_000_000), (0.0000001, 1)]
    + [(wrong, None) for wrong in (0, -1, True, "0.42", None, 1e300)],
)
def test_cost_is_rounded_up_to_whole_micro_dollars(cost: object, microusd: int | None) -> None:
    assert a_job({"data": [SUCCESS | {"cost": cost}]}).cost_microusd == microusd


@pytest.mark.parametrize("url", ["", None, 1, "data:video/mp4;base64,AAAA", "/x.mp4"])
def test_only_a_web_address_is_a_clip(url: object) -> None:
    assert a_job({"data": [SUCCESS | {"videoURL": url}]}).urls == ()


def test_failure_counts_in_full_once_the_whole_task_is_shown() -> None:
    job = a_job({"data": [], "errors": [FAILURE]}, details({"data": [ACK]}))
    assert (job.status, job.described, job.error_code) == (JobStatus.FAILED, True, "timeoutProvider")
    assert (job.error, job.prompt, job.model) == ("The provider did not respond", "a boat, señor", MODEL)


def test_failure_that_only_echoes_our_id_describes_no_task() -> None:
    job = a_job({"errors": [FAILURE]})
    assert (job.status, job.described, job.exists) == (JobStatus.FAILED, False, False)


@pytest.mark.parametrize(
    "state",
    [
        {"errors": [FAILURE | {"status": None}]},  # this request's own error may name the task that it asks for
        {"errors": [FAILURE | {"taskType": "getResponse"}]},
        {"errors": [{"code": "invalidApiKey", "message": "Invalid API key", "taskUUID": RUN}]},
        {"errors": [FAILURE | {"taskUUID": OTHER}]},
        {"errors": [FAILURE | {"taskUUID": None}]},
    ],
)
def test_errors_of_the_look_itself_or_of_others_are_failed_reads(state: object) -> None:
    assert isinstance(read(state), ReadError)
    assert a_job(state, details({"data": [ACK]})).status is JobStatus.UNKNOWN


@pytest.mark.parametrize(
    "state",
    [
        {"errors": [GONE]},
        {"data": [ACK | {"status": "error", "error": GONE}]},
        {"errors": [GONE | {"code": "taskExpired"}]},
    ],
)
def test_record_that_is_gone_is_no_failure(state: object) -> None:
    assert a_job(state).status is JobStatus.UNKNOWN
    assert a_job(state, details({"data": [ACK]})).status is JobStatus.UNKNOWN
    assert a_job(state, details({"data": [SUCCESS]})).urls == (CLIP,)
    assert a_job(state, details({"errors": [FAILURE]})).status is JobStatus.FAILED


def test_unknown_word_stays_beside_what_the_details_show() -> None:
    job = a_job({"data": [ACK | {"status": "a new word"}]}, details({"data": [ACK]}))
    assert (job.status, job.word, job.prompt) == (JobStatus.UNKNOWN, "a new word", "a boat, señor")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502])
def test_no_http_error_is_a_failure(status: int) -> None:
    got = read({"errors": [FAILURE]}, {"errors": [FAILURE]}, status)
    assert isinstance(got, ReadError)
    assert got.status == status


def test_task_that_no_longer_has_a_state_is_read_whole() -> None:
    stored = {"data": [{name: value for name, value in SUCCESS.items() if name != "status"}]}
    job = a_job(NOTHING, details(stored))
    assert (job.status, job.urls, job.cost_microusd) == (JobStatus.COMPLETED, (CLIP,), 420_000)
    assert (job.prompt, job.model, job.seconds, job.size) == ("a boat, señor", MODEL, 5, "720x1280")
    assert job.request == SENT
    assert is_marked(job, ORDER)


def test_clip_in_the_stored_answer_outweighs_a_failed_state() -> None:
    assert a_job({"errors": [FAILURE]}, details({"data": [SUCCESS]})).status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ({"errors": [FAILURE]}, JobStatus.FAILED),
        ({"errors": [FAILURE | {"taskUUID": OTHER}]}, JobStatus.UNKNOWN),
        ({"errors": [FAILURE | {"code": "conflictTaskUUID"}]}, JobStatus.UNKNOWN),  # of a copy of our request
        ({"data": [ACK]}, JobStatus.UNKNOWN),
        ({}, JobStatus.UNKNOWN),
        (None, JobStatus.UNKNOWN),
    ],
)
def test_stored_answer_of_our_task(response: object, status: JobStatus) -> None:
    job = a_job(NOTHING, details(response))
    assert (job.status, job.described) == (status, True)


@pytest.mark.parametrize(
    "task",
    [
        details({"data": [SUCCESS]}, names=OTHER),
        details({"data": [SUCCESS]}, SENT | {"taskUUID": OTHER}),
        details({"errors": [FAILURE]}, {"taskType": "getResponse", "taskUUID": RUN}),  # an earlier look of ours
        details({"data": [SUCCESS]}, SENT, SENT),
        "<html>welcome</html>",
    ],
)
def test_details_of_anything_else_are_not_about_our_task(task: object) -> None:
    got = read(NOTHING, task)
    assert isinstance(got, ReadError)


def test_order_that_the_request_contradicts_is_not_marked_as_ours() -> None:
    job = a_job(NOTHING, details({"data": [SUCCESS]}, SENT | {"duration": 10}))
    assert not is_marked(job, ORDER)


def test_failure_from_a_cache_is_a_failed_read() -> None:
    got = read({"errors": [FAILURE]}, details({"errors": [FAILURE]}), age="60")
    assert isinstance(got, ReadError)
    assert "cache" in got.detail


def test_refused_for_its_content() -> None:
    blocked = FAILURE | {"code": "providerContentPolicyViolation", "message": "Blocked by the provider"}
    job = a_job({"errors": [blocked]}, details({"data": [ACK]}))
    assert job.kept_back == "providerContentPolicyViolation"
    assert job.refuses_content(job.error or "")


def test_find_looks_our_own_id_up_and_what_it_cannot_see_is_no_proof() -> None:
    job = found({"data": [PROCESSING]})
    assert isinstance(job, Job)
    assert is_marked(job, ORDER)
    assert found(NOTHING) is None
    assert isinstance(found(NOTHING, status=500), ReadError)
    assert isinstance(found(NOTHING | {"errors": [{"code": "rateLimitExceeded", "message": "slow down"}]}), ReadError)
    assert isinstance(found("", NOTHING), ReadError)
    assert (FACTS.marker, FACTS.lookup_proves_absence) == (Marker.OWN_ID, None)
