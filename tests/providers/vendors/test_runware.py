"""What Runware is asked, and what each of its answers means, by the shapes of runware-sdk 1.8.0 and its pages."""

import json
from dataclasses import replace
from typing import Any

import pytest

from providers.job import Job, JobStatus
from providers.orders import SEED, Answer, ClearNo, Fault, Made, Order, Unclear, seed_of
from providers.port import ReadError, Reply, Request, Scope, read_with
from providers.vendors.runware import Runware

API = Runware()
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
MODEL = "klingai:kling-video@3-standard"
INPUT: dict[str, Any] = {"duration": 5, "width": 720, "height": 1280}
CLIP = "https://vm.runware.ai/video/os/a/ws/5/vi/x.mp4"
ACK = {"taskType": "videoInference", "taskUUID": RUN}
SUCCESS = ACK | {"status": "success", "videoUUID": "v-1", "videoURL": CLIP, "cost": 0.42, "seed": 7}
SENT = ACK | INPUT | {"deliveryMethod": "async", "includeCost": True, "model": MODEL, "positivePrompt": "a boat, señor"}
NOTHING: dict[str, Any] = {"data": []}
ORDER = Order(RUN, "a boat, señor", MODEL, 5, "720x1280", "json", "runware", INPUT)


def error(code: str, message: str = "Invalid value for 'duration'", **more: Any) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message, "taskUUID": RUN} | more]}


def meaning(status: int | None, body: object, *, refuses_429: bool = False, key: str = RUN, **how: Any) -> Any:
    answer = Answer(status, body if isinstance(body, str) else json.dumps(body), **how)
    return API.read_answer(answer, refuses_429=refuses_429, our_key=key, prompt=ORDER.prompt)


def test_create_is_exactly_this_request() -> None:
    assert API.create(ORDER) == Request(
        "POST",
        "https://api.runware.ai/v1",
        {"Content-Type": "application/json"},
        (
            '[{"duration":5,"width":720,"height":1280,"taskType":"videoInference",'
            f'"taskUUID":"{RUN}","deliveryMethod":"async","includeCost":true,'
            f'"model":"{MODEL}","positivePrompt":"a boat, señor"}}]'
        ).encode(),
        pays=True,
    )


def test_callback_and_seed_are_sent_and_another_base_url_is_used_as_it_is() -> None:
    request = Runware("http://127.0.0.1:1/v1/").create(
        replace(ORDER, callback_url="https://bot.example/callbacks/runware/t0ken", input={"seed": SEED})
    )
    (task,) = json.loads(request.body)
    assert (request.url, task["webhookURL"]) == (
        "http://127.0.0.1:1/v1",
        "https://bot.example/callbacks/runware/t0ken",
    )
    assert task["seed"] == seed_of(RUN)


@pytest.mark.parametrize("name", ["taskType", "taskUUID", "deliveryMethod", "model", "positivePrompt", "includeCost"])
def test_no_input_of_the_catalogue_replaces_what_makes_the_order_ours(name: str) -> None:
    assert json.loads(API.create(replace(ORDER, input=INPUT | {name: "other"})).body) == [SENT]


def test_an_order_never_asks_for_two_clips() -> None:
    with pytest.raises(ValueError, match="one clip"):
        API.create(replace(ORDER, input={"numberResults": 2}))


def test_key_is_only_in_the_authorization() -> None:
    assert API.authorization("rw-key", 0.0) == {"Authorization": "Bearer rw-key"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"data": [ACK]}),
        (200, {"data": [{"taskUUID": RUN}]}),
        (202, {"data": [ACK | {"taskUUID": RUN.upper()}]}),
        (200, {"data": [ACK], "errors": [{"code": "invalidModel", "message": "no", "taskUUID": OTHER}]}),
        (200, {"data": [ACK], **error("invalidDuration")}),  # taken, whatever became of it
        (200, {"data": [ACK | {"taskUUID": OTHER}, ACK]}),
        # the task was taken before: something on the way sent our one request twice
        (400, {"data": [], **error("conflictTaskUUID", "already used by another task")}),
        (200, error("conflictTaskUUID", "")),
        (500, error("conflictTaskUUID")),
    ],
)
def test_answers_that_prove_that_our_task_was_taken(status: int, body: object) -> None:
    assert meaning(status, body) == Made(Job(RUN, JobStatus.UNKNOWN))


def test_result_in_the_first_answer_is_made_and_done() -> None:
    made = meaning(200, {"data": [SUCCESS]})
    assert (made.job.status, made.job.urls, made.job.marker) == (JobStatus.COMPLETED, (CLIP,), RUN)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, error("unsupportedDuration", "no"), "bad_request"),
        (400, error("invalidModel", "Invalid model", parameter="model", taskType="videoInference"), "bad_request"),
        (401, {"errors": [{"code": "invalidApiKey", "message": "Invalid API key."}]}, "unauthorized"),
        (402, {"errors": [{"code": "insufficientCredits", "message": "Top up"}]}, "no_credit"),
        (403, {"errors": [{"code": "permissionDenied", "message": "The key may not do this"}]}, "forbidden"),
        (404, error("modelNotFound", "The model was not found"), "not_found"),
        (400, error("contentPolicyViolation", "The prompt violates our content policy"), "prompt_refused"),
        (200, error("unsupportedDuration", "no"), "bad_request"),
        (200, {"data": [], **error("insufficientCredits", "Insufficient credits")}, "no_credit"),
        (200, {"errors": [{"code": "invalidApiKey", "message": "Invalid API key."}]}, "unauthorized"),
        (200, error("promptBlocked", "The prompt was blocked"), "prompt_refused"),
    ],
)
def test_refusals_in_runwares_own_form_are_a_clear_no(status: int, body: object, reason: str) -> None:
    meant = meaning(status, body)
    assert (type(meant), meant.reason, meant.may_bill) == (ClearNo, reason, False)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        # about another task, or a conflict over one
        (400, error("unsupportedDuration", taskUUID=OTHER), "refusal_unreadable"),
        (400, error("conflictTaskUUID", taskUUID=OTHER), "refusal_unreadable"),
        (400, error("conflictTaskUUID", taskUUID=None), "refusal_unreadable"),
        (200, error("conflictTaskUUID", taskUUID=OTHER), "unreadable"),
        (200, error("invalidModel", taskUUID=OTHER), "unreadable"),
        (200, {"data": [ACK | {"taskUUID": OTHER}]}, "unreadable"),
        (200, {"data": [ACK | {"taskType": "authentication"}]}, "unreadable"),
        # after work, or no word on it
        (400, error("timeoutProvider"), "refusal_unreadable"),
        (400, error("providerContentPolicyViolation"), "refusal_unreadable"),
        (400, error("inferenceError"), "refusal_unreadable"),
        (401, error("providerUnauthorized"), "refusal_unreadable"),
        (400, {"errors": [*error("invalidModel")["errors"], *error("taskFailed")["errors"]]}, "refusal_unreadable"),
        (200, error("timeoutProvider"), "unreadable"),
        (200, error("internalServerError"), "unreadable"),
        (200, error("rateLimitExceeded"), "unreadable"),
        (200, error("aNewWord"), "unreadable"),
        (400, error("invalidModel", "the job was already submitted"), "key_used_before"),
        # another form: who said so?
        (400, {"errors": [{"message": "Invalid value for 'duration'"}]}, "refusal_unreadable"),
        (400, {"errors": ["Invalid value for 'duration'"]}, "refusal_unreadable"),
        (400, {"error": {"code": "invalidModel", "message": "Invalid model"}}, "refusal_unreadable"),
        (403, "<html>403 Forbidden</html>", "refusal_unreadable"),
        (401, "", "refusal_unreadable"),
        # an error that shows our task as taken
        (400, {"data": [ACK], **error("invalidModel")}, "refusal_names_a_job"),
        # the status leaves it open
        (408, error("invalidModel"), "http_408"),
        (409, error("invalidModel"), "http_409"),
        (429, error("rateLimitExceeded", "slow down"), "rate_limited"),
        (500, error("invalidModel"), "http_500"),
        (502, "<html>Bad Gateway</html>", "http_502"),
        (307, "", "http_307"),
        (200, NOTHING, "unreadable"),
        (200, "", "unreadable"),
        (200, json.dumps({"data": [ACK]})[:-9], "unreadable"),
        (200, "<html>welcome</html>", "unreadable"),
        (200, {"data": ACK}, "unreadable"),
        (200, [ACK], "unreadable"),
    ],
)
def test_everything_else_leaves_the_order_in_doubt(status: int, body: object, reason: str) -> None:
    meant = meaning(status, body)
    assert (type(meant), meant.reason) == (Unclear, reason)


def test_a_429_is_a_clear_no_only_where_the_catalogue_says_so() -> None:
    meant = meaning(429, error("rateLimitExceeded", "slow down"), refuses_429=True)
    assert (type(meant), meant.reason) == (ClearNo, "rate_limited")


@pytest.mark.parametrize(
    ("how", "kind", "reason"),
    [
        ({"fault": Fault.NEVER_SENT}, ClearNo, "never_sent"),
        ({"fault": Fault.NEVER_CONNECTED}, ClearNo, "never_connected"),
        ({"fault": Fault.LOST}, Unclear, "lost"),
    ],
)
def test_faults_are_read_as_everywhere(how: dict[str, Any], kind: type, reason: str) -> None:
    meant = meaning(None, json.dumps(error("conflictTaskUUID")), **how)
    assert (type(meant), meant.reason) == (kind, reason)


def test_gateway_that_retried_and_a_cache_are_not_believed() -> None:
    assert meaning(400, error("invalidModel"), attempts=1).reason == "gateway_retried"
    assert meaning(200, {"data": [ACK]}, cached=True).reason == "answer_from_a_cache"


def test_without_our_key_no_task_in_an_answer_is_ours() -> None:
    """A kept answer without its run proves nothing."""
    assert meaning(200, {"data": [ACK]}, key="").reason == "unreadable"
    assert meaning(400, error("conflictTaskUUID", taskUUID=""), key="").reason == "refusal_unreadable"


def test_no_look_can_buy() -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Reply:
        asked.append(request)
        return Reply(200, json.dumps(NOTHING))

    assert isinstance(read_with(API.job(RUN, MODEL), answer), ReadError)
    assert read_with(API.find(ORDER), answer) is None
    assert [each.pays for each in asked] == [False] * 4
    assert not any(b"videoInference" in each.body for each in asked)


def test_there_is_no_list_and_no_content_behind_the_key() -> None:
    page = read_with(API.page(None, Scope()), lambda _: Reply(200, "{}"))
    assert page == ReadError(None, "Runware has no list")
    assert API.content(RUN) is None
    assert API.marker(ORDER) == RUN
