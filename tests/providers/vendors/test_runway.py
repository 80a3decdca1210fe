"""Runway's requests and answers, by the shapes of its pages and of runwayml 5.24.0."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from providers.job import Job, JobStatus
from providers.orders import SEED, Answer, ClearNo, Fault, Made, Order, Unclear, seed_of
from providers.port import ReadError, Reply, Request, Scope, read_with
from providers.vendors.runway import FACTS, Runway

TASK = "17f20503-6c24-4c16-946b-35dbbce2af2f"
ORDER = Order(
    "run-1", "a cat – at dawn", "gen4.5", 5, "720x1280", "json", "runway", {"ratio": "720:1280", "duration": 5}
)
PENDING: dict[str, Any] = {
    "id": TASK,
    "status": "PENDING",
    "createdAt": "2026-11-30T10:00:00.000Z",
    "estimatedCost": {"credits": 60},
}
RUNNING = PENDING | {"status": "RUNNING", "progress": 0.25}
ENDED = {"id": TASK, "createdAt": "2026-11-30T10:00:00.000Z"}
CLIP = "https://dnznrvs05pmza.cloudfront.net/1.mp4?_jwt=0123456789abcdef"
SUCCEEDED = ENDED | {"status": "SUCCEEDED", "output": [CLIP], "cost": {"credits": 60}}
FAILED = ENDED | {
    "status": "FAILED",
    "failure": "An unexpected error occurred.",
    "failureCode": "INTERNAL.BAD_OUTPUT.CODE01",
    "cost": {"credits": 0},
}
NO_CREDITS = '{"error":"You do not have enough credits to run this task.","docUrl":"https://docs.dev.runwayml.com/api"}'
TOO_LONG = json.dumps(
    {
        "error": "Validation of body failed",
        "issues": [{"code": "too_big", "path": ["promptText"], "message": "Too big: expected <=1000 characters"}],
        "docUrl": "https://docs.dev.runwayml.com/api",
    }
)


def read(answer: Answer, *, refuses_429: bool = False) -> Made | ClearNo | Unclear:
    return Runway().read_answer(answer, refuses_429=refuses_429, our_key="run-1", prompt=ORDER.prompt)


def task_in(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Job | ReadError:
    reply = Reply(status, body if isinstance(body, str) else json.dumps(body), headers or {})
    return read_with(Runway().job(TASK, "gen4.5"), lambda _: reply)


def a_job(body: object, status: int = 200) -> Job:
    job = task_in(body, status)
    assert isinstance(job, Job)
    return job


def test_create_is_one_paid_json_request_with_the_version_of_the_api() -> None:
    assert Runway().create(ORDER) == Request(
        "POST",
        "https://api.dev.runwayml.com/v1/text_to_video",
        {"X-Runway-Version": "2024-11-06", "Content-Type": "application/json"},
        '{"ratio":"720:1280","duration":5,"model":"gen4.5","promptText":"a cat – at dawn"}'.encode(),
        pays=True,
    )


def test_key_is_only_in_the_authorization() -> None:
    assert Runway().authorization("key_1", 0) == {"Authorization": "Bearer key_1"}


def test_order_with_a_picture_goes_to_the_address_for_pictures() -> None:
    request = Runway().create(replace(ORDER, input={"promptImage": "https://p.test/1.png", "seed": SEED}))
    assert request.url == "https://api.dev.runwayml.com/v1/image_to_video"
    assert json.loads(request.body) == {
        "promptImage": "https://p.test/1.png",
        "seed": seed_of("run-1"),
        "model": "gen4.5",
        "promptText": ORDER.prompt,
    }


def test_inputs_of_the_catalogue_replace_neither_model_nor_prompt() -> None:
    body = json.loads(Runway().create(replace(ORDER, input={"model": "veo3.1", "promptText": "a dog"})).body)
    assert (body["model"], body["promptText"]) == ("gen4.5", "a cat – at dawn")


def test_nothing_of_the_run_is_sent_where_runway_has_no_place_for_it() -> None:
    called_back = Runway().create(replace(ORDER, callback_url="https://o.test/callbacks/runway/t"))
    assert called_back == Runway().create(ORDER)


def test_answer_with_an_id_is_made() -> None:
    made = read(Answer(200, json.dumps({"id": TASK, "estimatedCost": {"credits": 60}})))
    assert isinstance(made, Made)
    assert (made.job.job_id, made.job.status, made.job.cost_microusd) == (TASK, JobStatus.UNKNOWN, None)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, NO_CREDITS, "no_credit"),
        (400, TOO_LONG, "bad_request"),
        (400, '{"error":"Validation of body failed","issues":[{"path":["model"]}]}', "bad_request"),
        (401, '{"error":"The API key is not valid."}', "unauthorized"),
        (403, '{"error":"Your account has been suspended."}', "forbidden"),
        (404, '{"error":"Not found"}', "not_found"),
    ],
)
def test_refusals_in_runways_own_form_are_a_clear_no(status: int, body: str, reason: str) -> None:
    answer = read(Answer(status, body))
    assert isinstance(answer, ClearNo)
    assert (answer.reason, answer.may_bill) == (reason, False)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(429, '{"error":"Too many requests"}'), "rate_limited"),
        (Answer(500, '{"error":"Internal error"}'), "http_500"),
        (Answer(502, "<html>Bad Gateway</html>"), "http_502"),
        (Answer(504, '{"error":"Overloaded"}'), "http_504"),
        (Answer(409, '{"error":"The model is in use"}'), "http_409"),
        (Answer(408, '{"error":"Timeout"}'), "http_408"),
        (Answer(307, "", location="/elsewhere"), "http_307"),
        (Answer(200, f'{{"id":"{TASK}'), "unreadable"),
        (Answer(200, "<html>Welcome</html>"), "unreadable"),
        (Answer(200, f'{{"taskId":"{TASK}"}}'), "unreadable"),
        (Answer(200, '{"id":7}'), "unreadable"),
        (Answer(200, f'{{"id":"{TASK}","error":"no"}}'), "unreadable"),
        (Answer(200, f'{{"id":"{TASK}"}}', cached=True), "answer_from_a_cache"),
        (Answer(200, '{"id":"run-1"}'), "echoes_our_key"),
        (Answer(400, "<html>Bad Request</html>"), "refusal_unreadable"),
        (Answer(400, '{"message":"The model is not valid."}'), "refusal_unreadable"),
        (Answer(400, '{"error":{"message":"The model is not valid."}}'), "refusal_unreadable"),
        (Answer(400, '{"error":"Validation of body failed"}'), "refusal_of_nothing"),
        (Answer(400, '{"error":"Validation of body failed","issues":[]}'), "refusal_of_nothing"),
        (Answer(400, '{"error":"Validation of body failed","issues":[{"path":[]}]}'), "refusal_of_nothing"),
        (Answer(400, '{"error":"Validation of result failed","issues":[{"path":["url"]}]}'), "refusal_of_nothing"),
        (Answer(400, TOO_LONG, attempts=1), "gateway_retried"),
        (Answer(400, '{"error":"The upstream request timed out"}'), "refusal_of_a_lost_answer"),
        (Answer(None, "reset", Fault.LOST), "lost"),
    ],
)
def test_everything_else_is_unclear(answer: Answer, reason: str) -> None:
    found = read(answer)
    assert isinstance(found, Unclear)
    assert found.reason == reason


def test_too_many_requests_is_a_clear_no_by_runways_facts() -> None:
    """Its page on errors says that such a request may be sent again."""
    refused = read(Answer(429, '{"error":"Too many requests"}'), refuses_429=FACTS.refuses_429_before_work)
    assert isinstance(refused, ClearNo)
    assert refused.reason == "rate_limited"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (PENDING, JobStatus.QUEUED),
        (PENDING | {"status": "THROTTLED"}, JobStatus.QUEUED),
        (RUNNING, JobStatus.IN_PROGRESS),
        (SUCCEEDED, JobStatus.COMPLETED),
        (FAILED, JobStatus.FAILED),
        (ENDED | {"status": "CANCELLED", "cost": {"credits": 0}}, JobStatus.FAILED),
        (ENDED | {"status": "PAUSED"}, JobStatus.UNKNOWN),
        (ENDED | {"status": "failed"}, JobStatus.UNKNOWN),
    ],
)
def test_status_words(body: dict[str, Any], status: JobStatus) -> None:
    job = a_job(body)
    assert (job.status, job.word, job.named, job.described) == (status, body["status"], True, True)


def test_task_is_asked_for_by_its_escaped_id() -> None:
    assert next(Runway().job("a/b", "gen4.5")) == Request(
        "GET",
        "https://api.dev.runwayml.com/v1/tasks/a%2Fb",
        {"X-Runway-Version": "2024-11-06", "Cache-Control": "no-cache"},
    )


def test_task_shows_its_time_progress_and_clip_and_nothing_of_the_order() -> None:
    assert a_job(RUNNING).progress == 25
    job = a_job(SUCCEEDED)
    assert (job.created_at, job.urls) == (1796032800.0, (CLIP,))
    assert (job.prompt, job.model, job.seconds, job.size, job.marker, job.request) == (None,) * 6


def test_only_web_addresses_are_a_clip() -> None:
    assert a_job(SUCCEEDED | {"output": ["data:video/mp4;base64,AA", 7, None, CLIP, "ftp://x.test/1"]}).urls == (CLIP,)
    assert a_job(SUCCEEDED | {"output": CLIP}).urls == ()


@pytest.mark.parametrize(
    ("body", "microusd"),
    [
        (SUCCEEDED, 600_000),
        (FAILED, 0),
        (FAILED | {"cost": {"credits": 60}}, 600_000),
        (SUCCEEDED | {"cost": {"credits": 12.5}}, 125_000),
        (PENDING, None),
        (RUNNING, None),
        (SUCCEEDED | {"cost": {}}, None),
        (SUCCEEDED | {"cost": 60}, None),
        (SUCCEEDED | {"cost": {"credits": True}}, None),
        (SUCCEEDED | {"cost": {"credits": "60"}}, None),
        (SUCCEEDED | {"cost": {"credits": -1}}, None),
        (SUCCEEDED | {"cost": {"credits": float("nan")}}, None),
        (SUCCEEDED | {"cost": {"credits": float("inf")}}, None),
    ],
)
def test_charge_is_the_final_cost_and_never_the_estimate(body: object, microusd: int | None) -> None:
    assert a_job(body).cost_microusd == microusd


def test_failed_task_says_why() -> None:
    job = a_job(
        FAILED | {"failure": "Moderated. See https://x.test/?k=0123456789abcdef0", "failureCode": "SAFETY.OUTPUT.VIDEO"}
    )
    assert (job.error, job.error_code) == ("Moderated. See https://x.test/?[...]", "SAFETY.OUTPUT.VIDEO")
    assert job.kept_back == "SAFETY.OUTPUT.VIDEO"
    assert job.refuses_content("")


def test_failure_of_another_kind_is_not_for_content() -> None:
    job = a_job(FAILED)
    assert job.kept_back is None
    assert not job.refuses_content(job.error or "")


@pytest.mark.parametrize(
    "body",
    [
        FAILED | {"id": "17f20503-0000-4c16-946b-35dbbce2af2f"},
        {name: value for name, value in FAILED.items() if name != "id"},
        {"id": TASK},
        {"error": "failed", "status": "FAILED"},
        {"data": FAILED},
        [FAILED],
        "<html>failed</html>",
        f'{{"id":"{TASK}","status":"FAILED","status":"RUNNING"}}',
        "",
    ],
)
@pytest.mark.parametrize("status", [200, 404, 500])
def test_body_that_does_not_name_the_task_is_a_failed_read(body: object, status: int) -> None:
    assert isinstance(task_in(body, status), ReadError)


def test_task_in_an_errors_body_counts_if_it_names_the_id() -> None:
    assert a_job(SUCCEEDED, 500).status is JobStatus.COMPLETED


def test_failure_from_a_cache_is_no_look() -> None:
    assert isinstance(task_in(FAILED, headers={"age": "30"}), ReadError)
    assert isinstance(task_in(RUNNING, headers={"age": "30"}), Job)


def test_error_of_a_read_has_runways_words() -> None:
    assert task_in('{"error":"Task not found"}', 404) == ReadError(404, "HTTP 404: Task not found")


def test_no_list_no_look_up_no_marker_and_no_content_behind_the_key() -> None:
    assert read_with(Runway().page(None, Scope()), lambda _: Reply(200, "")) == ReadError(None, "runway has no list")
    assert isinstance(read_with(Runway().find(ORDER), lambda _: Reply(200, "")), ReadError)
    assert Runway().marker(ORDER) is None
    assert Runway().content(TASK) is None


def test_everything_hangs_below_another_base_address() -> None:
    api = Runway("http://127.0.0.1:9/runway/")
    assert api.create(ORDER).url == "http://127.0.0.1:9/runway/v1/text_to_video"
    assert next(api.job(TASK, "gen4.5")).url == f"http://127.0.0.1:9/runway/v1/tasks/{TASK}"
