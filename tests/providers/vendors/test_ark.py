"""Ark's requests and answers, by the shapes of its pages and of byteplus-python-sdk-v2 3.0.63."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from providers.job import Job, JobStatus, ListPage
from providers.orders import SEED, Answer, ClearNo, Fault, Made, Order, Unclear, seed_of
from providers.port import ReadError, Reply, Request, Scope, read_with
from providers.vendors.ark import FACTS, PAGE_ROWS, Ark

MODEL = "dreamina-seedance-2-0-260128"
INPUT = {"resolution": "720p", "ratio": "9:16", "duration": 5}
ORDER = Order("run-1", "a cat – at dawn", MODEL, 5, "720x1280", "json", "ark", INPUT)
EXPIRES = 63_571  # of run-1, for ever: runs in doubt are looked for by it after an upgrade, too
TASKS = f"{FACTS.base_url}/contents/generations/tasks"
OF_THE_ORDER = {"service_tier": "default", "execution_expires_after": EXPIRES, "generate_audio": True, "draft": False}
RUNNING: dict[str, Any] = {"id": "cgt-1", "model": MODEL, "status": "running", "created_at": 1768824776} | OF_THE_ORDER
MADE = {"seed": 41485, "resolution": "720p", "ratio": "9:16", "duration": 5, "framespersecond": 24}
SUCCEEDED = (
    RUNNING
    | MADE
    | {
        "status": "succeeded",
        "content": {"video_url": "https://tos.test/clip.mp4?X-Tos-Signature=s"},
        "usage": {"completion_tokens": 108900, "total_tokens": 108900},
    }
)
FAILED = RUNNING | {"status": "failed", "error": {"code": "InternalServiceError", "message": "try again later"}}
REFUSAL = '{"error":{"code":"%s","message":"%s Request id: 02176","param":"","type":"BadRequest"}}'
SENSITIVE = REFUSAL % (
    "InputTextSensitiveContentDetected",
    "The request failed because the input text may contain sensitive information.",
)


def sent(order: Order) -> dict[str, Any]:
    body = json.loads(Ark().create(order).body)
    assert isinstance(body, dict)
    return body


def read(answer: Answer, prompt: str = "") -> Made | ClearNo | Unclear:
    return Ark().read_answer(answer, refuses_429=False, our_key="run-1", prompt=prompt)


def replied(body: object, status: int, headers: Mapping[str, str] | None) -> Reply:
    return Reply(status, body if isinstance(body, str) else json.dumps(body), headers or {})


def job_in(
    body: object, status: int = 200, *, model: str = MODEL, headers: Mapping[str, str] | None = None
) -> Job | ReadError:
    return read_with(Ark().job("cgt-1", model), lambda _: replied(body, status, headers))


def page_in(
    body: object, status: int = 200, *, after: str | None = None, headers: Mapping[str, str] | None = None
) -> ListPage | ReadError:
    return read_with(Ark().page(after, Scope()), lambda _: replied(body, status, headers))


def a_job(body: object, status: int = 200, *, model: str = MODEL) -> Job:
    job = job_in(body, status, model=model)
    assert isinstance(job, Job)
    return job


def a_page(body: object, *, after: str | None = None, headers: Mapping[str, str] | None = None) -> ListPage:
    page = page_in(body, after=after, headers=headers)
    assert isinstance(page, ListPage)
    return page


def listed(*rows: object, total: int | None = None) -> dict[str, object]:
    return {"total": len(rows) if total is None else total, "items": list(rows)}


def test_create_is_one_paid_json_request_with_the_runs_own_expiry() -> None:
    assert Ark().create(ORDER) == Request(
        "POST",
        TASKS,
        {"Content-Type": "application/json", "X-Client-Request-Id": "run-1"},
        (
            '{"resolution":"720p","ratio":"9:16","duration":5,"model":"dreamina-seedance-2-0-260128",'
            f'"content":[{{"type":"text","text":"a cat – at dawn"}}],"execution_expires_after":{EXPIRES}}}'
        ).encode(),
        pays=True,
    )


def test_key_is_only_in_the_authorization() -> None:
    assert Ark().authorization("ark-key", 0) == {"Authorization": "Bearer ark-key"}


def test_callback_address_and_further_content_are_sent() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://p.test/1.png"}, "role": "first_frame"}
    body = sent(replace(ORDER, callback_url="https://o.test/callbacks/ark/t", input={"content": [picture]}))
    assert body["callback_url"] == "https://o.test/callbacks/ark/t"
    assert body["content"] == [{"type": "text", "text": "a cat – at dawn"}, picture]


def test_seed_is_the_runs_where_the_catalogue_asks_for_one() -> None:
    assert sent(replace(ORDER, input={"seed": SEED}))["seed"] == seed_of("run-1")


@pytest.mark.parametrize("name", ["execution_expires_after", "model", "content"])
def test_inputs_of_the_catalogue_replace_nothing_that_identifies_the_order(name: str) -> None:
    other: object = [] if name == "content" else 172_800
    assert sent(replace(ORDER, input={name: other}))[name] == sent(replace(ORDER, input={}))[name]


def test_options_in_a_prompt_are_sent_as_words() -> None:
    """Ark reads `--dur 12` in the text as the length: the user would choose what we pay."""
    text = sent(replace(ORDER, prompt="a cat --dur 12 --rs 1080p ---seed 1 -- the end"))["content"][0]["text"]
    assert text == "a cat -- dur 12 -- rs 1080p --- seed 1 -- the end"


def test_flex_tier_is_not_ordered_because_the_list_does_not_show_it() -> None:
    with pytest.raises(ValueError, match="tier"):
        Ark().create(replace(ORDER, input={"service_tier": "flex"}))


def test_marker_is_the_expiry_that_the_order_asks_for_and_differs_between_runs() -> None:
    orders = [replace(ORDER, run_id=f"run-{n}") for n in range(300)]
    markers = [Ark().marker(order) for order in orders]
    assert markers == [str(sent(order)["execution_expires_after"]) for order in orders]
    assert len(set(markers)) > 290
    assert all(3600 < int(marker or 0) < 86_400 and int(marker or 0) % 60 for marker in markers)


def test_answer_with_an_id_is_made() -> None:
    assert read(Answer(200, '{"id":"cgt-1"}')) == Made(Job("cgt-1", JobStatus.UNKNOWN))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, REFUSAL % ("InvalidParameter", "The parameter `duration` is not valid."), "bad_request"),
        (400, SENSITIVE, "prompt_refused"),
        (401, REFUSAL % ("AuthenticationError", "The API key in the request is missing or invalid."), "unauthorized"),
        (403, REFUSAL % ("AccountOverdueError", "Your account has an overdue balance."), "no_credit"),
        (404, REFUSAL % ("InvalidEndpointOrModel.NotFound", "The model or endpoint x does not exist."), "not_found"),
    ],
)
def test_refusals_in_arks_own_form_are_a_clear_no(status: int, body: str, reason: str) -> None:
    answer = read(Answer(status, body))
    assert isinstance(answer, ClearNo)
    assert (answer.reason, answer.may_bill) == (reason, False)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(429, REFUSAL % ("ServerOverloaded", "The service is overloaded.")), "rate_limited"),
        (Answer(500, REFUSAL % ("InternalServiceError", "try again")), "http_500"),
        (Answer(502, "<html>Bad Gateway</html>"), "http_502"),
        (Answer(409, REFUSAL % ("Conflict", "The parameter `model` is in use.")), "http_409"),
        (Answer(408, REFUSAL % ("RequestTimeout", "The request timed out.")), "http_408"),
        (Answer(307, "", location="/elsewhere"), "http_307"),
        (Answer(200, '{"id":"cgt-'), "unreadable"),
        (Answer(200, "<html>Welcome</html>"), "unreadable"),
        (Answer(200, '{"task_id":"cgt-1"}'), "unreadable"),
        (Answer(200, '{"id":7}'), "unreadable"),
        (Answer(200, '{"id":"req-1","error":{"code":"X","message":"no"}}'), "unreadable"),
        (Answer(200, '{"id":"cgt-1"}', cached=True), "answer_from_a_cache"),
        (Answer(200, '{"id":"run-1"}'), "echoes_our_key"),
        (Answer(400, "<html>Bad Request</html>"), "refusal_unreadable"),
        (Answer(400, '{"message":"The parameter `duration` is not valid."}'), "refusal_unreadable"),
        (Answer(400, '{"error":"the parameter duration is not valid"}'), "refusal_unreadable"),
        (Answer(400, '{"error":{"message":"The parameter `duration` is not valid."}}'), "refusal_unreadable"),
        (Answer(400, REFUSAL % ("InvalidParameter", "duration is not valid"), attempts=1), "gateway_retried"),
        (Answer(400, REFUSAL % ("InternalError", "The upstream request timed out.")), "refusal_of_a_lost_answer"),
        (Answer(None, "reset", Fault.LOST), "lost"),
    ],
)
def test_everything_else_is_unclear(answer: Answer, reason: str) -> None:
    found = read(answer)
    assert isinstance(found, Unclear)
    assert found.reason == reason


def test_refusal_that_quotes_the_prompt_is_judged_without_it() -> None:
    prompt = "the render was already started and it is running in the background"
    refused = read(Answer(400, REFUSAL % ("InvalidParameter", f"The parameter `text` is not valid: {prompt}.")), prompt)
    assert isinstance(refused, ClearNo)


def test_request_never_sent_is_a_clear_no() -> None:
    assert isinstance(read(Answer(None, "refused", Fault.NEVER_CONNECTED)), ClearNo)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", JobStatus.QUEUED),
        ("running", JobStatus.IN_PROGRESS),
        ("succeeded", JobStatus.COMPLETED),
        ("failed", JobStatus.FAILED),
        ("cancelled", JobStatus.FAILED),
        ("expired", JobStatus.FAILED),
        ("archived", JobStatus.UNKNOWN),
    ],
)
def test_status_words(word: str, status: JobStatus) -> None:
    job = a_job(RUNNING | {"status": word})
    assert (job.status, job.word, job.named, job.described) == (status, word, True, True)
    assert not job.is_gone  # `expired` is a job that never was done, not a clip that is gone


def test_job_is_asked_for_by_its_escaped_id() -> None:
    reading = Ark().job("cgt/1?x", MODEL)
    assert next(reading) == Request("GET", f"{TASKS}/cgt%2F1%3Fx", {"Cache-Control": "no-cache"})


def test_succeeded_job_shows_its_clip_and_what_is_ours() -> None:
    job = a_job(SUCCEEDED)
    assert job.urls == ("https://tos.test/clip.mp4?X-Tos-Signature=s",)
    assert (job.seconds, job.model, job.created_at, job.marker) == (5, MODEL, 1768824776, str(EXPIRES))
    assert (job.prompt, job.request, job.cost_microusd, job.size) == (None, None, None, None)
    chosen_by_ark = a_job(SUCCEEDED | {"duration": -1})
    assert chosen_by_ark.seconds is None


@pytest.mark.parametrize("row", [RUNNING, FAILED, SUCCEEDED, RUNNING | {"status": "queued"}])
def test_every_state_shows_the_marker_of_its_order(row: dict[str, Any]) -> None:
    job = a_job(row)
    assert job.marker == Ark().marker(ORDER)


@pytest.mark.parametrize("expires", [172_800, 3_599, 3_600, 7_200, 7_260, 86_400, 90_001, -1, "5001", 5001.5, None])
def test_expiry_that_no_order_of_ours_can_have_is_no_marker(expires: object) -> None:
    """It would read as the marker of another run, and so rule a job of ours out."""
    job = a_job(RUNNING | {"execution_expires_after": expires})
    assert job.marker is None


def test_failed_job_says_why() -> None:
    code = "OutputVideoSensitiveContentDetected.PolicyViolation"
    job = job_in(
        FAILED | {"error": {"code": code, "message": "related to copyright. See https://x.test/?k=0123456789abcdef0"}}
    )
    assert isinstance(job, Job)
    assert (job.error_code, job.kept_back) == (code, code)
    assert job.error == "related to copyright. See https://x.test/?[...]"
    assert job.refuses_content("")


def test_failure_of_another_kind_is_not_for_content() -> None:
    job = a_job(FAILED)
    assert (job.error, job.kept_back) == ("try again later", None)
    assert not job.refuses_content(job.error or "")


def test_model_is_not_shown_where_an_endpoint_was_ordered() -> None:
    """Rows name the model behind an endpoint: it would contradict the order."""
    job = job_in(RUNNING, model="ep-20260101-abc")
    page = read_with(Ark().page(None, Scope(("ep-20260101-abc",))), lambda _: replied(listed(RUNNING), 200, None))
    assert isinstance(job, Job)
    assert isinstance(page, ListPage)
    assert job.model is page.jobs[0].model is None


@pytest.mark.parametrize(
    "body",
    [
        FAILED | {"id": "cgt-2"},
        {name: value for name, value in FAILED.items() if name != "id"},
        {"id": "cgt-1"},
        {"error": {"code": "NotFound", "message": "failed"}, "status": "failed"},
        {"data": FAILED},
        "<html>failed</html>",
        '{"id":"cgt-1","status":"failed","status":"running"}',
        "",
    ],
)
@pytest.mark.parametrize("status", [200, 404, 500])
def test_body_that_does_not_name_the_job_is_a_failed_read(body: object, status: int) -> None:
    assert isinstance(job_in(body, status), ReadError)


def test_job_in_an_errors_body_counts_if_it_names_the_id() -> None:
    job = a_job(SUCCEEDED, 500)
    assert job.status is JobStatus.COMPLETED


def test_failure_from_a_cache_is_no_look() -> None:
    assert isinstance(job_in(FAILED, headers={"age": "30"}), ReadError)
    assert isinstance(job_in(RUNNING, headers={"age": "30"}), Job)


def test_error_of_a_read_has_arks_words_without_links() -> None:
    shown = job_in(REFUSAL % ("NotFound", "no such task at https://x.test/?k=0123456789abcdef0"), 404)
    assert shown == ReadError(404, "HTTP 404: no such task at https://x.test/?[...] Request id: 02176")


def test_first_page_is_asked_for_with_as_many_rows_as_ark_allows() -> None:
    assert next(Ark().page(None, Scope())) == Request(
        "GET", f"{TASKS}?page_num=1&page_size=500", {"Cache-Control": "no-cache"}
    )


def test_list_shows_jobs_in_all_states() -> None:
    page = a_page(listed(RUNNING, FAILED | {"id": "cgt-2"}, SUCCEEDED | {"id": "cgt-3"}))
    assert [job.job_id for job in page.jobs] == ["cgt-1", "cgt-2", "cgt-3"]
    assert (page.has_more, page.next_page, page.total, page.odd_rows, page.flaw) == (False, None, 3, 0, "")
    assert page.last_id == "cgt-3"


def test_pages_follow_by_number_until_all_rows_are_read() -> None:
    rows = [RUNNING | {"id": f"cgt-{n}"} for n in range(1100)]
    asked: list[str] = []
    after, seen = None, 0
    for _ in range(3):
        asked.append(next(Ark().page(after, Scope())).url.partition("?")[2])
        page = a_page(listed(*rows[seen : seen + PAGE_ROWS], total=1100), after=after)
        assert page.flaw == ""
        seen += len(page.jobs)
        after = page.next_page
    assert asked == [f"page_num={n}&page_size=500" for n in (1, 2, 3)]
    assert (seen, after) == (1100, None)


def test_smaller_pages_than_asked_for_are_followed_to_the_end() -> None:
    page = a_page(listed(RUNNING, total=3))
    assert (page.has_more, page.next_page) == (True, "2/3/1")


@pytest.mark.parametrize(("total", "flaw"), [(149, "rows_were_removed"), (150, ""), (151, "")])
def test_total_that_falls_between_pages_means_that_a_row_may_be_missing(total: int, flaw: str) -> None:
    page = a_page(listed(*[RUNNING] * 49, total=total), after="2/150/100")
    assert page.flaw == flaw


def test_empty_page_before_the_end_is_a_flaw() -> None:
    page = a_page(listed(total=3))
    assert page.flaw == "empty_page"


@pytest.mark.parametrize("row", ["x", 7, None, [], {}, {"status": "running"}, {"id": 7}, {"id": ""}, {"id": ".."}])
def test_rows_that_cannot_be_read_are_counted(row: object) -> None:
    page = a_page(listed(row, RUNNING))
    assert (page.odd_rows, len(page.jobs)) == (1, 1)


def test_row_with_a_part_that_cannot_be_read_is_shown_and_odd() -> None:
    page = a_page('{"total":1,"items":[{"id":"cgt-1","status":"queued","content":{"a":1,"a":2}}]}')
    assert (page.odd_rows, len(page.jobs)) == (1, 1)


def test_unknown_members_of_a_page_are_a_flaw() -> None:
    page = a_page(listed(RUNNING) | {"warning": "some rows are missing", "page_num": 1})
    assert page.flaw == "list_says_more: warning"


def test_cached_page_is_a_flaw() -> None:
    page = a_page(listed(RUNNING), headers={"x-cache": "HIT"})
    assert page.flaw == "list_from_a_cache"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (listed(RUNNING), 206),
        (listed(RUNNING), 500),
        ({"items": [RUNNING]}, 200),
        ({"items": [RUNNING], "total": "1"}, 200),
        ({"items": [RUNNING], "total": True}, 200),
        ({"items": {}, "total": 0}, 200),
        ({"total": 0}, 200),
        ([RUNNING], 200),
        ("<html></html>", 200),
        ('{"total":1,"total":0,"items":[]}', 200),
    ],
)
def test_body_that_is_no_list_is_a_failed_read(body: object, status: int) -> None:
    assert isinstance(page_in(body, status), ReadError)


@pytest.mark.parametrize("after", ["cgt-1", "2", "2/1", "../1/1", "1/0/0/0"])
def test_only_its_own_cursor_leads_to_a_page(after: str) -> None:
    assert isinstance(page_in(listed(RUNNING), after=after), ReadError)


def test_neither_look_up_by_our_id_nor_content_behind_the_key() -> None:
    assert isinstance(read_with(Ark().find(ORDER), lambda _: Reply(200, "")), ReadError)
    assert Ark().content("cgt-1") is None


def test_everything_hangs_below_another_base_address() -> None:
    api = Ark("http://127.0.0.1:9/ark/")
    assert api.create(ORDER).url == "http://127.0.0.1:9/ark/contents/generations/tasks"
    assert next(api.job("cgt-1", MODEL)).url == "http://127.0.0.1:9/ark/contents/generations/tasks/cgt-1"
    assert next(api.page(None, Scope())).url.startswith("http://127.0.0.1:9/ark/contents/generations/tasks?")
