"""What Luma is asked, and what each of its answers means, row by row."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from providers.job import Job, JobStatus, ListPage
from providers.order_match import differs, is_marked, is_order_of
from providers.orders import Answer, ClearNo, Fault, Made, Order, Unclear
from providers.port import ReadError, Reply, Request, Scope, read_with
from providers.vendors.luma import Luma

API = Luma()
BASE = "https://api.lumalabs.ai/dream-machine/v1/generations"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
ID, OTHER = "9f6c2a54-0d6b-4d1e-9a52-3f1a7f0e6a01", "1b2c3d4e-0d6b-4d1e-9a52-3f1a7f0e6a02"
CALLBACK = "https://bot.example/callbacks/luma/t0ken"
INPUT = {"aspect_ratio": "9:16", "duration": "5s", "resolution": "720p"}
ASKED = INPUT | {"generation_type": "video", "model": "ray-2", "prompt": "a paper boat, señor", "loop": None}
CLIP = "https://storage.cdn-luma.com/dream_machine/1/video.mp4"
QUEUED: dict[str, Any] = {
    "id": ID,
    "generation_type": "video",
    "state": "queued",
    "failure_reason": None,
    "created_at": "2026-11-30T12:00:00.500Z",
    "assets": None,
    "model": "ray-2",
    "request": ASKED,
}
DONE = QUEUED | {"state": "completed", "assets": {"video": CLIP, "image": "https://x.example/1.jpg"}}
FAILED = QUEUED | {"state": "failed", "failure_reason": "Job error"}
BAD = {"detail": "Prompt is too short, minimum length is 3 characters"}


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "run_id": RUN,
        "prompt": ASKED["prompt"],
        "model": "ray-2",
        "seconds": 5,
        "size": "720x1280",
        "create_body": "json",
        "provider": "luma",
        "input": INPUT,
    }
    return Order(**fields | changes)


def read(body: object, status: int = 200, **headers: str) -> Job | ReadError:
    """The job that is asked for as `ID`, at the only address that is read for it."""

    def answer(request: Request) -> Reply:
        assert (request.method, request.url, request.pays) == ("GET", f"{BASE}/{ID}", False)
        return Reply(status, body if isinstance(body, str) else json.dumps(body), headers)

    return read_with(API.job(ID, "ray-2"), answer)


def shown(body: object, status: int = 200) -> Job:
    job = read(body, status)
    assert isinstance(job, Job), job
    return job


def page(body: object, status: int = 200, after: str | None = None, **headers: str) -> ListPage:
    read_page = read_with(API.page(after, Scope()), lambda _: Reply(status, json.dumps(body), headers))
    assert isinstance(read_page, ListPage), read_page
    return read_page


def listed(*rows: object, **envelope: Any) -> dict[str, Any]:
    return {"has_more": False, "count": len(rows), "limit": 100, "offset": 0, "generations": list(rows)} | envelope


def generation(number: int) -> dict[str, Any]:
    """The one with this number, one second younger than the one before it."""
    at = f"2026-11-30T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return QUEUED | {"id": f"{number:08}-0d6b-4d1e-9a52-3f1a7f0e6a01", "created_at": at}


def meaning(status: int | None, body: object, *, refuses_429: bool = False, **how: Any) -> tuple[type, str]:
    answer = Answer(status, body if isinstance(body, str) else json.dumps(body), **how)
    meant = API.read_answer(answer, refuses_429=refuses_429, our_key=RUN, prompt=order().prompt)
    return type(meant), meant.job.job_id if isinstance(meant, Made) else meant.reason


def test_create_request_is_exactly_this() -> None:
    body = (
        '{"aspect_ratio":"9:16","callback_url":"https://bot.example/callbacks/luma/t0ken","duration":"5s",'
        '"model":"ray-2","prompt":"a paper boat, señor","resolution":"720p"}'
    )
    headers = {"Content-Type": "application/json"}
    expected = Request("POST", f"{BASE}/video", headers, body.encode(), pays=True)
    assert API.create(order(callback_url=CALLBACK)) == expected
    assert Luma("https://api.lumalabs.ai/").create(order(callback_url=CALLBACK)) == expected
    assert API.authorization("test-key", 0.0) == {"Authorization": "Bearer test-key"}


def test_no_input_replaces_the_prompt_or_the_model_and_its_order_does_not_matter() -> None:
    swapped = dict(reversed(list(INPUT.items()))) | {"prompt": "another", "model": "ray-3"}
    assert API.create(order(input=swapped)) == API.create(order())


@pytest.mark.parametrize(
    ("status", "body", "meant", "word"),
    [
        # made
        (201, QUEUED, Made, ID),
        (200, FAILED, Made, ID),
        (201, {"id": ID}, Made, ID),
        (201, QUEUED | {"state": "a new word"}, Made, ID),
        # a 2xx that names no job
        (201, QUEUED | {"id": None}, Unclear, "unreadable"),
        (201, QUEUED | {"id": "."}, Unclear, "unreadable"),
        (200, {"id": ID, "detail": "not now"}, Unclear, "unreadable"),
        (200, {"id": ID, "error": "upstream"}, Unclear, "unreadable"),
        (200, BAD, Unclear, "unreadable"),
        (200, {"generations": [QUEUED]}, Unclear, "unreadable"),
        (201, json.dumps(QUEUED)[:-9], Unclear, "unreadable"),
        (200, "<html>welcome</html>", Unclear, "unreadable"),
        (201, {"id": RUN, "state": "queued"}, Unclear, "echoes_our_key"),
        # a clear no, in Luma's form
        (400, BAD, ClearNo, "bad_request"),
        (400, {"detail": "400: duration is not supported for this model"}, ClearNo, "bad_request"),
        (400, {"detail": "Insufficient credits"}, ClearNo, "no_credit"),
        (400, {"detail": "Advanced prompt moderation failed"}, ClearNo, "prompt_refused"),
        (401, {"detail": "Invalid API key is provided"}, ClearNo, "unauthorized"),
        (402, {"detail": "Insufficient credits"}, ClearNo, "no_credit"),
        (403, {"detail": "Not authenticated"}, ClearNo, "forbidden"),
        (404, {"detail": "Not Found"}, ClearNo, "not_found"),
        (422, {"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}, ClearNo, "bad_request"),
        # the same statuses in another form: who said so?
        (400, {"error": "Prompt is required"}, Unclear, "refusal_unreadable"),
        (400, BAD | {"code": 1}, Unclear, "refusal_unreadable"),
        (400, {"detail": ""}, Unclear, "refusal_unreadable"),
        (422, {"detail": []}, Unclear, "refusal_unreadable"),
        (422, {"detail": ["prompt"]}, Unclear, "refusal_unreadable"),
        (403, "<html>403</html>", Unclear, "refusal_unreadable"),
        (402, "", Unclear, "refusal_unreadable"),
        (400, json.dumps(BAD)[:-3], Unclear, "refusal_unreadable"),
        # with a job, or words that tell of work
        (400, BAD | {"id": ID}, Unclear, "refusal_unreadable"),
        (400, BAD | QUEUED, Made, ID),
        (400, BAD | FAILED, Unclear, "refusal_names_a_job"),
        (409, BAD | DONE, Unclear, "refusal_names_a_job"),
        (422, {"detail": [{"loc": ["response", "id"], "msg": "none"}]}, Unclear, "refusal_after_the_job"),
        (400, {"detail": "generation was created"}, Unclear, "refusal_after_the_job"),
        (400, {"detail": "Request timed out"}, Unclear, "refusal_of_a_lost_answer"),
        (400, {"detail": "'id'"}, Unclear, "refusal_of_nothing"),
        # everything else
        (408, BAD, Unclear, "http_408"),
        (409, BAD, Unclear, "http_409"),
        (429, {"detail": "Too many requests"}, Unclear, "rate_limited"),
        (307, "", Unclear, "http_307"),
        (500, {"detail": "400: concepts are not supported for this model"}, Unclear, "http_500"),
        (502, "<html>bad gateway</html>", Unclear, "http_502"),
        (503, BAD, Unclear, "http_503"),
        (None, "", Unclear, "lost"),
    ],
)
def test_each_answer_is_classified_as_made_refused_or_unclear(
    status: int | None, body: object, meant: type, word: str
) -> None:
    assert meaning(status, body) == (meant, word)


def test_answer_counts_only_if_it_came_whole_from_the_provider_to_the_only_request() -> None:
    assert meaning(None, "refused", fault=Fault.NEVER_CONNECTED) == (ClearNo, "never_connected")
    assert meaning(201, QUEUED, fault=Fault.LOST) == (Unclear, "lost")
    assert meaning(201, QUEUED, cached=True) == (Unclear, "answer_from_a_cache")
    assert meaning(400, BAD, attempts=1) == (Unclear, "gateway_retried")
    assert not API.facts.refuses_429_before_work


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", JobStatus.QUEUED),
        ("dreaming", JobStatus.IN_PROGRESS),
        ("completed", JobStatus.COMPLETED),
        ("failed", JobStatus.FAILED),
        ("upscaling", JobStatus.UNKNOWN),
    ],
)
def test_each_state_is_read(word: str, status: JobStatus) -> None:
    job = shown(QUEUED | {"state": word})
    assert (job.job_id, job.status, job.word, job.named, job.described) == (ID, status, word, True, True)


def test_job_shows_its_order_and_its_clip() -> None:
    job = shown(DONE)
    assert (job.prompt, job.model, job.request, job.urls) == (ASKED["prompt"], "ray-2", ASKED, (CLIP,))
    assert job.created_at == pytest.approx(1796040000.5)
    assert is_order_of(job, order())
    assert not is_order_of(shown(DONE | {"request": ASKED | {"duration": "9s"}}), order())
    assert shown(DONE | {"model": None}).model == "ray-2"
    assert shown(QUEUED | {"assets": {"progress_video": CLIP}}).urls == ()
    assert shown(DONE | {"assets": {"video": "data:video/mp4,x"}}).urls == ()
    assert API.content(ID) is None


def test_token_of_the_callback_marks_its_job() -> None:
    told = order(callback_url=CALLBACK)
    assert (API.marker(told), API.marker(order())) == ("t0ken", None)
    job = shown(QUEUED | {"request": ASKED | {"callback_url": CALLBACK}})
    assert (job.marker, is_marked(job, told)) == ("t0ken", True)
    strange = shown(QUEUED | {"request": ASKED | {"callback_url": CALLBACK.replace("t0ken", "another")}})
    assert not is_marked(strange, told)
    assert not is_order_of(strange, order())
    for nothing in (None, "", "https://bot.example/", 7):
        assert shown(QUEUED | {"request": ASKED | {"callback_url": nothing}}).marker is None


def test_hidden_request_contradicts_nothing_but_another_kind_does() -> None:
    for hidden in (None, {}, {"prompt": None, "duration": None}):
        job = shown(QUEUED | {"request": hidden})
        assert (job.prompt, job.request, differs(job, order())) == (None, None, frozenset())
    assert differs(shown(QUEUED | {"request": {"generation_type": "upscale_video"}}), order())


@pytest.mark.parametrize(
    ("reason", "of_content"),
    [
        ("Contains blacklisted words", True),
        ("Advanced prompt moderation failed", True),
        ("Frame moderation failed", True),
        ("Prompt processing failed", False),
        ("Failed to read user input frames", False),
        ("Job error", False),
        (None, False),
    ],
)
def test_failed_job_says_why(reason: str | None, of_content: bool) -> None:
    job = shown(FAILED | {"failure_reason": reason})
    assert (job.error, job.refuses_content(job.error or "")) == (reason, of_content)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (FAILED | {"id": OTHER}, 200),
        (DONE | {"id": OTHER}, 200),
        (FAILED | {"id": OTHER}, 500),
        (FAILED | {"id": None}, 200),
        ({"state": "failed"}, 200),
        (DONE | {"id": None}, 404),
        (listed(FAILED), 200),
    ],
)
def test_body_that_names_another_job_or_none_is_never_ours(body: object, status: int) -> None:
    assert isinstance(read(body, status), ReadError)


def test_clip_in_a_body_that_names_no_job_proves_nothing() -> None:
    job = shown(DONE | {"id": None})
    assert (job.named, job.exists, job.urls) == (False, False, (CLIP,))


def test_error_that_names_the_job_counts_and_a_bare_echo_describes_nothing() -> None:
    assert shown(FAILED, 500).status is JobStatus.FAILED
    assert not shown({"id": ID, "state": "failed", "failure_reason": "upstream"}).described


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"detail": "Generation not found"}, 404, "Generation not found"),
        ("<html>Bad gateway</html>", 502, "HTTP 502"),
        ("", 200, "HTTP 200 without what was asked for"),
        (json.dumps(DONE)[:-9], 200, "HTTP 200 without what was asked for"),
        ({"id": ID}, 200, "HTTP 200 without what was asked for"),
    ],
)
def test_read_without_a_readable_job_fails(body: object, status: int, detail: str) -> None:
    failed = read(body, status)
    assert isinstance(failed, ReadError) and failed.status == status
    assert failed.detail.startswith(detail)


def test_failure_from_a_cache_is_no_look() -> None:
    assert isinstance(read(FAILED, age="7"), ReadError)
    assert isinstance(read(FAILED, age="0"), Job)
    assert isinstance(read(DONE, age="7"), Job)


def test_id_that_leads_elsewhere_is_not_asked_for() -> None:
    for job_id in ("", ".", ".."):
        with pytest.raises(ValueError, match="not an id"):
            next(API.job(job_id, "ray-2"))


def test_only_page_shows_each_job() -> None:
    read_page = page(listed(QUEUED, DONE | {"id": OTHER}))
    assert [job.job_id for job in read_page.jobs] == [ID, OTHER]
    assert (read_page.has_more, read_page.next_page, read_page.total) == (False, None, 2)
    assert (read_page.odd_rows, read_page.flaw) == (0, "")
    assert not API.facts.newest_first  # nobody says so: a look reads it to its end
    assert page(listed()) == ListPage((), has_more=False, last_id=None)
    assert next(API.page(None, Scope())).url == f"{BASE}?limit=100&offset=0"


Change = Callable[[list[dict[str, Any]]], object]


def walk(
    rows: list[dict[str, Any]], change: Change, *, says_more: bool = True, limit: int = 100
) -> tuple[set[str], str]:
    """The ids of a list whose rows change after its first page was read, and the first flaw."""
    seen, after = set[str](), None
    for _ in range(20):
        request = next(API.page(after, Scope()))
        offset = int(parse_qs(urlsplit(request.url).query)["offset"][0])
        part = rows[offset : offset + limit]
        body = listed(*part, offset=offset, has_more=offset + limit < len(rows), limit=limit)
        read_page = page(body if says_more else body | {"has_more": None}, after=after)
        seen |= {job.job_id for job in read_page.jobs}
        if read_page.flaw or not read_page.has_more:
            return seen, read_page.flaw
        if after is None:
            change(rows)
        after = read_page.next_page
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("says_more", [True, False])
@pytest.mark.parametrize("limit", [100, 7, 2])
@pytest.mark.parametrize("newest_first", [True, False])
def test_list_that_stays_is_read_to_its_end(newest_first: bool, limit: int, says_more: bool) -> None:
    count = 250 if limit == 100 else 15
    rows = [generation(number) for number in range(count)][:: -1 if newest_first else 1]
    assert walk(rows, lambda _: None, says_more=says_more, limit=limit) == ({row["id"] for row in rows}, "")


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (lambda rows: rows.insert(0, generation(900)), ""),
        (lambda rows: rows.__setitem__(slice(0, 0), [generation(n) for n in range(990, 901, -1)]), ""),
        (lambda rows: rows.__delitem__(slice(0, 9)), ""),
        (lambda rows: rows.__delitem__(slice(0, 10)), "pages_leave_a_gap"),
        (lambda rows: rows.__delitem__(99), "pages_leave_a_gap"),
        (lambda rows: rows.__delitem__(slice(50, None)), "pages_leave_a_gap"),
        (lambda rows: rows.insert(150, rows.pop(30)), "rows_out_of_order"),
    ],
)
def test_no_row_is_lost_unnoticed_when_others_come_or_go(change: Change, flaw: str) -> None:
    rows = [generation(number) for number in range(250, 0, -1)]
    stay = {row["id"] for row in rows}
    seen, found = walk(rows, change)
    assert found == flaw
    assert flaw or stay & {row["id"] for row in rows} <= seen


@pytest.mark.parametrize(
    ("changed", "flaw"),
    [
        ({"offset": 100}, "another_page"),
        ({"offset": None, "limit": None, "count": None}, ""),
        ({"warning": "some rows are missing"}, "list_says_more: warning"),
        ({"has_more": True, "generations": []}, "pages_too_short"),
        ({"has_more": True, "generations": [QUEUED]}, "pages_too_short"),
    ],
)
def test_page_that_does_not_fit_is_flawed(changed: dict[str, Any], flaw: str) -> None:
    assert page(listed(QUEUED) | changed).flaw == flaw


def test_row_that_cannot_be_read_is_odd_and_a_cached_page_flawed() -> None:
    assert page(listed(QUEUED), age="9").flaw == "list_from_a_cache"
    for row in ({}, None, "x", QUEUED | {"id": None}):
        read_page = page(listed(QUEUED, row))
        assert (len(read_page.jobs), read_page.odd_rows) == (1, 1)
    doubled = json.dumps(listed(QUEUED)).replace('"duration": "5s"', '"duration": "5s", "duration": "9s"')
    gap = read_with(API.page(None, Scope()), lambda _: Reply(200, doubled))
    assert isinstance(gap, ListPage) and (len(gap.jobs), gap.odd_rows) == (1, 1)


@pytest.mark.parametrize(
    ("body", "status"), [(BAD, 429), (listed(QUEUED), 206), ({"generations": None}, 200), ([], 200), ("", 200)]
)
def test_page_that_is_no_list_is_an_error(body: object, status: int) -> None:
    failed = read_with(API.page(None, Scope()), lambda _: Reply(status, json.dumps(body)))
    assert isinstance(failed, ReadError) and failed.status == status


@pytest.mark.parametrize("after", [ID, "x/1", "-1/x", "12", "/x"])
def test_cursor_of_another_kind_is_no_page(after: str) -> None:
    failed = read_with(API.page(after, Scope()), lambda _: Reply(200, json.dumps(listed(QUEUED))))
    assert failed == ReadError(None, "not a page of this list")
