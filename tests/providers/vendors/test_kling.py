"""What Kling is asked, and what each of its answers means, by the shapes of its pages."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from providers.job import Job, JobStatus, ListPage
from providers.order_match import is_marked
from providers.orders import Answer, ClearNo, Fault, Made, Order, Unclear
from providers.port import Marker, ReadError, Reply, Request, Scope, read_with
from providers.vendors.kling import FACTS, PAGE_ROWS, Kling

API = Kling()
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
TASK = "867283741759111202"
TASKS = "https://api-singapore.klingai.com/v1/videos/text2video"
INPUT: dict[str, Any] = {"duration": "5", "mode": "std", "aspect_ratio": "9:16"}
ORDER = Order(RUN, "a boat, señor", "kling-v3", 5, "720x1280", "json", "kling", INPUT)
CLIP = "https://cdn.klingai.com/bs2/clip.mp4?sign=s"
SUBMITTED: dict[str, Any] = {
    "task_id": TASK,
    "task_status": "submitted",
    "task_info": {"external_task_id": RUN},
    "created_at": 1774805076166,
    "updated_at": 1774805076166,
}
PROCESSING = SUBMITTED | {"task_status": "processing"}
VIDEO = {"id": "v-1", "url": CLIP, "watermark_url": "https://cdn.klingai.com/marked.mp4", "duration": "5.041"}
SUCCEED = SUBMITTED | {"task_status": "succeed", "task_result": {"videos": [VIDEO]}, "final_unit_deduction": "2"}
FAILED = SUBMITTED | {"task_status": "failed", "task_status_msg": "Failure to pass the risk control system"}
FOREIGN = SUBMITTED | {"task_info": {"external_task_id": OTHER}}


def fine(data: object, **more: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data} | more


def no(code: object, message: object, **more: Any) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "r-1"} | more


def text(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def meaning(status: int | None, body: object, *, refuses_429: bool = False, key: str = RUN, **how: Any) -> Any:
    answer = Answer(status, text(body), **how)
    return API.read_answer(answer, refuses_429=refuses_429, our_key=key, prompt=ORDER.prompt)


def read(body: object, status: int = 200, **headers: str) -> Job | ReadError:
    def answer(request: Request) -> Reply:
        assert request == Request("GET", f"{TASKS}/{TASK}", {"Cache-Control": "no-cache"})
        return Reply(status, text(body), headers)

    return read_with(API.job(TASK, "kling-v3"), answer)


def found(body: object, status: int = 200) -> Job | ReadError | None:
    def answer(request: Request) -> Reply:
        assert request == Request("GET", f"{TASKS}/{RUN}", {"Cache-Control": "no-cache"})
        return Reply(status, text(body))

    return read_with(API.find(ORDER), answer)


def listed(body: object, status: int = 200, *, after: str | None = None, **headers: str) -> ListPage | ReadError:
    def answer(request: Request) -> Reply:
        assert (request.method, request.pays) == ("GET", False)
        assert request.url == f"{TASKS}?pageNum={after or 1}&pageSize=500"
        return Reply(status, text(body), headers)

    return read_with(API.page(after, Scope()), answer)


def a_page(body: object, **how: Any) -> ListPage:
    page = listed(body, **how)
    assert isinstance(page, ListPage)
    return page


def test_create_is_exactly_this_request() -> None:
    assert API.create(ORDER) == Request(
        "POST",
        TASKS,
        {"Content-Type": "application/json"},
        (
            '{"duration":"5","mode":"std","aspect_ratio":"9:16","model_name":"kling-v3",'
            f'"prompt":"a boat, señor","external_task_id":"{RUN}"}}'
        ).encode(),
        pays=True,
    )


def test_callback_is_sent_and_another_base_url_is_used_as_it_is() -> None:
    request = Kling("http://127.0.0.1:1/kling/").create(
        replace(ORDER, callback_url="https://bot.example/c/kling/t0ken")
    )
    assert request.url == "http://127.0.0.1:1/kling/v1/videos/text2video"
    assert json.loads(request.body)["callback_url"] == "https://bot.example/c/kling/t0ken"


@pytest.mark.parametrize("name", ["model_name", "prompt", "external_task_id"])
def test_no_input_of_the_catalogue_replaces_what_makes_the_order_ours(name: str) -> None:
    assert json.loads(API.create(replace(ORDER, input=INPUT | {name: "other"})).body) == json.loads(
        API.create(ORDER).body
    )


@pytest.mark.parametrize("name", ["image", "image_tail"])
def test_picture_that_this_address_would_ignore_is_not_ordered(name: str) -> None:
    with pytest.raises(ValueError, match="picture"):
        API.create(replace(ORDER, input=INPUT | {name: "https://p.test/1.png"}))


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_pair_of_keys_signs_a_token_that_is_valid_for_half_an_hour() -> None:
    kind, _, token = API.authorization("access-1:secret:2", 1_800_000_000.9)["Authorization"].partition(" ")
    head, claims, signature = token.split(".")
    assert kind == "Bearer"
    assert decoded(head) == {"alg": "HS256", "typ": "JWT"}
    assert decoded(claims) == {"iss": "access-1", "exp": 1_800_001_800, "nbf": 1_799_999_995}
    right = hmac.new(b"secret:2", f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == right
    assert "=" not in token


def test_plain_key_is_sent_as_it_is_and_half_a_pair_is_not_sent() -> None:
    assert API.authorization("test-plain", 0.0) == {"Authorization": "Bearer test-plain"}
    for half in ("access:", ":secret"):
        with pytest.raises(ValueError, match="half"):
            API.authorization(half, 0.0)


def test_answer_with_a_task_of_ours_is_made() -> None:
    made = meaning(200, fine(SUBMITTED))
    assert made == Made(Job(TASK, JobStatus.QUEUED, created_at=1774805076.166))
    assert (made.job.marker, made.job.described) == (RUN, True)
    assert meaning(200, fine({"task_id": TASK})) == Made(Job(TASK, JobStatus.UNKNOWN))
    assert isinstance(meaning(200, fine(FAILED)), Made)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, no(1002, "Authorization is invalid"), "unauthorized"),
        (429, no(1100, "Account exception"), "forbidden"),
        (429, no(1101, "Account in arrears"), "no_credit"),
        (429, no(1102, "Account balance not enough"), "no_credit"),
        (403, no(1103, "No access to the requested model"), "forbidden"),
        (400, no(1201, "invalid value of `duration`", data=None), "bad_request"),
        (404, no(1203, "model kling-v9 does not exist"), "not_found"),
        (400, no(1301, "The prompt violates our content policy"), "prompt_refused"),
        (429, no(1304, "IP address is not allowed to access"), "forbidden"),
        # the same with HTTP 200
        (200, no(1002, "Authorization is invalid"), "unauthorized"),
        (200, no(1102, "Account balance not enough"), "no_credit"),
        (200, no(1201, "invalid value of `duration`", data={}), "bad_request"),
        (200, no(1301, "Failure to pass the risk control system"), "prompt_refused"),
    ],
)
def test_refusals_in_klings_own_form_are_a_clear_no(status: int, body: object, reason: str) -> None:
    meant = meaning(status, body)
    assert (type(meant), meant.reason, meant.may_bill) == (ClearNo, reason, False)
    assert meant.detail == json.loads(text(body))["message"]


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("code", [1302, 1303])
def test_limits_are_a_clear_no_only_where_the_catalogue_says_so(status: int, code: int) -> None:
    body = no(code, "parallel task over resource pack limit")
    assert isinstance(meaning(status, body), Unclear)
    meant = meaning(status, body, refuses_429=True)
    assert (type(meant), meant.reason) == (ClearNo, "rate_limited")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        # another run's task, or one beside an error
        (200, fine(FOREIGN), "unreadable"),
        (200, no(1201, "invalid value of `duration`", data=SUBMITTED), "unreadable"),
        (400, no(1201, "invalid value of `duration`", data=SUBMITTED), "refusal_names_a_job"),
        (500, no(5000, "internal error", data=SUBMITTED), "refusal_names_a_job"),
        (200, no(False, "SUCCEED", data=SUBMITTED), "unreadable"),
        (200, fine({"task_id": RUN}), "echoes_our_key"),
        # our id had been seen: a second copy of the one request
        (400, no(1201, "external_task_id must be unique"), "refusal_unreadable"),
        (200, no(1201, "The External Task ID is a duplicate"), "unreadable"),
        (400, no(1201, "the task already exists"), "key_used_before"),
        # Kling's server, an unknown code, or no code
        (200, no(5000, "server internal error"), "unreadable"),
        (400, no(5002, "server internal timeout"), "refusal_unreadable"),
        (500, no(1201, "invalid value of `duration`"), "http_500"),
        (503, no(5001, "server temporarily unavailable"), "http_503"),
        (504, no(5002, "server internal timeout"), "http_504"),
        (400, no(1399, "invalid value of `duration`"), "refusal_unreadable"),
        (400, no("1201", "invalid value of `duration`"), "refusal_unreadable"),
        (400, no(0, "invalid value of `duration`"), "refusal_unreadable"),
        (400, no(1201, None), "refusal_unreadable"),
        (401, {"error": {"message": "Invalid API key"}}, "refusal_unreadable"),
        (403, "<html>403 Forbidden</html>", "refusal_unreadable"),
        (429, "<html>Too many requests</html>", "rate_limited"),
        # the rest
        (200, fine(None), "unreadable"),
        (200, fine([SUBMITTED]), "unreadable"),
        (200, fine({"task_id": ""}), "unreadable"),
        (200, {"data": SUBMITTED}, "unreadable"),
        (200, SUBMITTED, "unreadable"),
        (200, "", "unreadable"),
        (200, "<html>welcome</html>", "unreadable"),
        (200, json.dumps(fine(SUBMITTED))[:-9], "unreadable"),
        (307, "", "http_307"),
        (408, no(1201, "invalid value of `duration`"), "http_408"),
        (409, no(1201, "invalid value of `duration`"), "http_409"),
        (502, "<html>Bad Gateway</html>", "http_502"),
    ],
)
def test_everything_else_leaves_the_order_in_doubt(status: int, body: object, reason: str) -> None:
    meant = meaning(status, body)
    assert (type(meant), meant.reason) == (Unclear, reason)


def test_proxys_429_is_never_a_clear_no() -> None:
    assert meaning(429, "<html>Too many requests</html>", refuses_429=True).reason == "refusal_unreadable"
    assert meaning(429, {"message": "Too many requests"}, refuses_429=True).reason == "refusal_unreadable"


def test_faults_gateways_and_caches_are_read_as_everywhere() -> None:
    assert isinstance(meaning(None, "", fault=Fault.NEVER_SENT), ClearNo)
    assert isinstance(meaning(None, "", fault=Fault.LOST), Unclear)
    assert meaning(400, no(1201, "invalid value of `duration`"), attempts=1).reason == "gateway_retried"
    assert meaning(200, fine(SUBMITTED), cached=True).reason == "answer_from_a_cache"
    assert meaning(200, fine(SUBMITTED), key="").reason == "unreadable"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (SUBMITTED, JobStatus.QUEUED),
        (PROCESSING, JobStatus.IN_PROGRESS),
        (SUCCEED, JobStatus.COMPLETED),
        (FAILED, JobStatus.FAILED),
        (SUBMITTED | {"task_status": "a new word"}, JobStatus.UNKNOWN),
        (SUBMITTED | {"task_status": 3}, JobStatus.UNKNOWN),
        ({"task_id": TASK}, JobStatus.UNKNOWN),
        (SUBMITTED | {"task_id": int(TASK)}, JobStatus.QUEUED),
    ],
)
def test_status_of_a_task(data: object, status: JobStatus) -> None:
    job = read(fine(data))
    assert isinstance(job, Job)
    assert (job.job_id, job.status, job.named) == (TASK, status, True)


def test_finished_task_shows_its_clip_without_the_mark_and_its_length() -> None:
    job = read(fine(SUCCEED))
    assert isinstance(job, Job)
    assert (job.urls, job.seconds, job.marker, job.described) == ((CLIP,), 5, RUN, True)
    assert is_marked(job, ORDER)


@pytest.mark.parametrize("result", [None, [], {}, {"videos": None}, {"videos": [None, {"url": 1}]}])
def test_finished_task_without_a_readable_clip_has_none(result: object) -> None:
    job = read(fine(SUCCEED | {"task_result": result}))
    assert isinstance(job, Job)
    assert (job.status, job.urls) == (JobStatus.COMPLETED, ())


def test_failed_task_says_why() -> None:
    job = read(fine(FAILED))
    assert isinstance(job, Job)
    assert (job.error, job.described) == ("Failure to pass the risk control system", True)
    assert job.refuses_content(job.error or "")
    running = read(fine(PROCESSING | {"task_status_msg": "in the queue"}))
    assert isinstance(running, Job)
    assert running.error is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, fine(FAILED | {"task_id": "1"})),  # another task's
        (200, fine({"task_status": "failed"})),
        (200, no(5000, "failed", data=FAILED)),
        (200, fine([FAILED])),
        (404, no(1203, "task not found")),
        (401, no(1004, "Authorization has expired")),
        (500, no(5000, "server internal error")),
        (502, "<html>Bad Gateway</html>"),
        (200, ""),
    ],
)
def test_answers_that_do_not_name_the_task_are_failed_reads(status: int, body: object) -> None:
    got = read(body, status)
    assert isinstance(got, ReadError)
    assert got.status == status


def test_failure_from_a_cache_is_a_failed_read() -> None:
    assert isinstance(read(fine(FAILED), age="60"), ReadError)
    assert isinstance(read(fine(PROCESSING), age="60"), Job)


def test_find_looks_our_own_id_up_and_no_answer_proves_that_there_is_no_task() -> None:
    job = found(fine(PROCESSING))
    assert isinstance(job, Job)
    assert (job.job_id, is_marked(job, ORDER)) == (TASK, True)
    for body in (fine(FOREIGN), fine({"task_id": RUN}), fine(None), no(1203, "task not found"), ""):
        assert isinstance(found(body), ReadError)
    assert isinstance(found(no(1203, "task not found"), 404), ReadError)
    assert (FACTS.marker, FACTS.lookup_proves_absence) == (Marker.OWN_ID, None)


def test_list_shows_each_tasks_own_id_and_goes_on_until_a_page_is_empty() -> None:
    page = a_page(fine([SUBMITTED, FOREIGN | {"task_id": "2"}]))
    assert [(job.job_id, job.marker) for job in page.jobs] == [(TASK, RUN), ("2", OTHER)]
    assert (page.has_more, page.next_page, page.odd_rows, page.flaw, page.full) == (None, "2", 0, "", False)
    last = a_page(fine([]), after="2")
    assert (last.jobs, last.has_more, last.next_page) == ((), None, None)
    assert a_page(fine([SUBMITTED | {"task_id": str(n + 1)} for n in range(PAGE_ROWS)])).full


@pytest.mark.parametrize("row", [None, "x", {}, {"task_id": None}, {"task_id": ""}, {"id": "1"}, [SUBMITTED]])
def test_row_that_cannot_be_read_counts(row: object) -> None:
    page = a_page(fine([SUBMITTED, row]))
    assert (len(page.jobs), page.odd_rows) == (1, 1)


@pytest.mark.parametrize(
    ("row", "shown"), [('{"task_id":"1","task_id":"2"}', 1), ('{"task_id":"1","task_info":{"a":1,"a":2}}', 2)]
)
def test_row_with_a_doubled_member_is_odd_and_hides_no_other(row: str, shown: int) -> None:
    page = a_page(f'{{"code":0,"message":"SUCCEED","data":[{row},{json.dumps(SUBMITTED)}]}}')
    assert (len(page.jobs), page.odd_rows) == (shown, 1)


@pytest.mark.parametrize(
    ("more", "headers"),
    [({"partial": True}, {}), ({"message": "some tasks are missing"}, {}), ({}, {"age": "5"})],
)
def test_signs_of_missing_rows_are_a_flaw(more: dict[str, Any], headers: dict[str, str]) -> None:
    assert a_page(fine([SUBMITTED], **more), **headers).flaw != ""


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, no(5000, "server internal error", data=[])),
        (200, fine(None)),
        (200, fine({"task_list": []})),
        (206, fine([SUBMITTED])),
        (500, fine([])),
        (200, "<html>"),
    ],
)
def test_list_that_cannot_be_read_is_an_error(status: int, body: object) -> None:
    assert isinstance(listed(body, status), ReadError)


@pytest.mark.parametrize("after", ["0", "-1", "1.5", "job-1", "²", "12345"])
def test_only_a_page_number_leads_on(after: str) -> None:
    got = read_with(API.page(after, Scope()), lambda _: pytest.fail("nothing is asked"))
    assert got == ReadError(None, "not a page of this list")


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_id_that_leads_to_another_path_is_refused(job_id: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        next(API.job(job_id, "kling-v3"))


def test_marker_is_the_id_that_the_order_gives_and_clips_are_public() -> None:
    assert API.marker(ORDER) == json.loads(API.create(ORDER).body)["external_task_id"]
    assert API.content(TASK) is None
