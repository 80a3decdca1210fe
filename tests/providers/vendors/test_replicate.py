"""What Replicate is asked, and what each of its answers means, row by row."""

import json
from typing import Any

import pytest

from providers.job import Job, JobStatus, ListPage
from providers.order_match import is_marked, is_order_of
from providers.orders import SEED, Answer, ClearNo, Fault, Made, Order, Unclear, seed_of
from providers.port import ReadError, Reply, Request, Scope, read_with
from providers.vendors.replicate import Replicate, verify_callback

API = Replicate()
BASE = "https://api.replicate.com/v1"
MODEL = "google/veo-3.1-fast"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
ID, OTHER = "gm3qorzdhgbfurvjtvhg6dckhu", "hn4rpsaeihcgvswkuwih7edliv"
INPUT = {"aspect_ratio": "9:16", "duration": 8, "resolution": "720p"}
ASKED = INPUT | {"prompt": "a paper boat, señor"}
CLIP = "https://replicate.delivery/xezq/abc/output.mp4"
CALLBACK = "https://bot.example/callbacks/replicate/t0ken"


def urls(job_id: str) -> dict[str, str]:
    address = f"{BASE}/predictions/{job_id}"
    return {"get": address, "cancel": f"{address}/cancel", "web": f"https://replicate.com/p/{job_id}"}


STARTING: dict[str, Any] = {
    "id": ID,
    "model": MODEL,
    "version": "hidden",
    "input": ASKED,
    "data_removed": False,
    "source": "api",
    "status": "starting",
    "created_at": "2026-11-30T12:00:00.5Z",
    "urls": urls(ID),
}
DONE = STARTING | {"status": "succeeded", "output": CLIP, "completed_at": "2026-11-30T12:01:00Z"}
FAILED = STARTING | {"status": "failed", "error": "out of memory", "completed_at": "2026-11-30T12:01:00Z"}
REMOVED = {"data_removed": True, "input": {}, "output": None}


def refusal(status: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "detail": detail, "status": status} | more


INVALID = refusal(422, "Input validation failed", "- input.duration: Must be one of 4, 6, 8\n")
THROTTLED = {"detail": "Request was throttled. Your rate limit resets in ~30s."}


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "run_id": RUN,
        "prompt": ASKED["prompt"],
        "model": MODEL,
        "seconds": 8,
        "size": "720x1280",
        "create_body": "json",
        "provider": "replicate",
        "input": INPUT,
    }
    return Order(**fields | changes)


def read(body: object, status: int = 200, **headers: str) -> Job | ReadError:
    """The job that is asked for as `ID`, at the only address that is read for it."""

    def answer(request: Request) -> Reply:
        assert (request.method, request.url, request.pays) == ("GET", f"{BASE}/predictions/{ID}", False)
        return Reply(status, body if isinstance(body, str) else json.dumps(body), headers)

    return read_with(API.job(ID, MODEL), answer)


def shown(body: object, status: int = 200) -> Job:
    job = read(body, status)
    assert isinstance(job, Job), job
    return job


def page(body: object, status: int = 200, after: str | None = None, **headers: str) -> ListPage:
    read_page = read_with(API.page(after, Scope()), lambda _: Reply(status, json.dumps(body), headers))
    assert isinstance(read_page, ListPage), read_page
    return read_page


def listed(*rows: object, following: object = None) -> dict[str, Any]:
    return {"next": following, "previous": None, "results": list(rows)}


def meaning(status: int | None, body: object, *, refuses_429: bool = False, **how: Any) -> tuple[type, str]:
    answer = Answer(status, body if isinstance(body, str) else json.dumps(body), **how)
    meant = API.read_answer(answer, refuses_429=refuses_429, our_key=RUN, prompt=order().prompt)
    return type(meant), meant.job.job_id if isinstance(meant, Made) else meant.reason


def test_create_request_is_exactly_this() -> None:
    body = '{"input":{"aspect_ratio":"9:16","duration":8,"prompt":"a paper boat, señor","resolution":"720p"}}'
    headers = {"Content-Type": "application/json"}
    assert API.create(order()) == Request(
        "POST", f"{BASE}/models/google/veo-3.1-fast/predictions", headers, body.encode(), pays=True
    )
    assert API.authorization("test-key", 0.0) == {"Authorization": "Bearer test-key"}


def test_create_asks_for_a_callback_at_the_end_only() -> None:
    body = json.loads(API.create(order(callback_url=CALLBACK)).body)
    assert body == {"input": ASKED, "webhook": CALLBACK, "webhook_events_filter": ["completed"]}


def test_create_does_not_depend_on_the_order_of_the_input_and_no_input_replaces_the_prompt() -> None:
    swapped = dict(reversed(list(INPUT.items()))) | {"prompt": "another"}
    assert API.create(order(input=swapped)) == API.create(order())


@pytest.mark.parametrize("model", ["veo", "a/b/c", "", "/veo", "google/", "../veo", "google/.."])
def test_model_that_leads_elsewhere_is_never_sent(model: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|not an id"):
        API.create(order(model=model))


@pytest.mark.parametrize("base", ["https://api.replicate.com", f"{BASE}/", BASE, "https://api.replicate.com/"])
def test_base_url_is_meant_with_and_without_its_version(base: str) -> None:
    assert Replicate(base).create(order()).url == API.create(order()).url


@pytest.mark.parametrize(
    ("status", "body", "meant", "word"),
    [
        # made
        (201, STARTING, Made, ID),
        (201, FAILED, Made, ID),
        (201, {"id": ID}, Made, ID),
        (201, STARTING | {"status": "a new word"}, Made, ID),
        # a 2xx that names no job, or two
        (201, STARTING | {"urls": urls(OTHER)}, Unclear, "unreadable"),
        (201, STARTING | {"id": None}, Unclear, "unreadable"),
        (201, STARTING | {"id": ".."}, Unclear, "unreadable"),
        (201, {"id": ID, "error": "upstream failed"}, Unclear, "unreadable"),
        (200, {"id": ID, "detail": "not now"}, Unclear, "unreadable"),
        (200, INVALID, Unclear, "unreadable"),
        (200, {"data": STARTING}, Unclear, "unreadable"),
        (201, json.dumps(STARTING)[:-9], Unclear, "unreadable"),
        (200, "<html>welcome</html>", Unclear, "unreadable"),
        (201, "", Unclear, "unreadable"),
        # a clear no, in Replicate's form
        (422, INVALID, ClearNo, "bad_request"),
        (422, refusal(422, "Invalid version or not permitted", "The model does not exist"), ClearNo, "bad_request"),
        (422, refusal(422, "Input validation failed", "- prompt: flagged as sensitive"), ClearNo, "prompt_refused"),
        (401, refusal(401, "Unauthenticated", "You did not pass a valid token"), ClearNo, "unauthorized"),
        (402, refusal(402, "Insufficient credit", "You have insufficient credit"), ClearNo, "no_credit"),
        (403, refusal(403, "Forbidden", "You do not have permission"), ClearNo, "forbidden"),
        (404, refusal(404, "Not found", "The requested resource could not be found."), ClearNo, "not_found"),
        # the same statuses in another form: who said so?
        (422, {"error": "Input validation failed"}, Unclear, "refusal_unreadable"),
        (422, {"detail": [{"loc": ["body", "input"], "msg": "required"}]}, Unclear, "refusal_unreadable"),
        (422, {"detail": " "}, Unclear, "refusal_unreadable"),
        (422, INVALID | {"status": "error"}, Unclear, "refusal_unreadable"),
        (403, "<html>Forbidden</html>", Unclear, "refusal_unreadable"),
        (402, "", Unclear, "refusal_unreadable"),
        (422, json.dumps(INVALID)[:-3], Unclear, "refusal_unreadable"),
        # with a job's id, or words that tell of work
        (422, INVALID | {"id": ID}, Unclear, "refusal_unreadable"),
        (422, INVALID | {"urls": urls(ID)}, Unclear, "refusal_unreadable"),
        (422, FAILED, Unclear, "refusal_names_a_job"),
        (500, {"detail": "x"} | STARTING, Unclear, "refusal_names_a_job"),
        (409, {"detail": "x"} | STARTING, Unclear, "refusal_names_a_job"),
        (400, refusal(400, "Bad request", "prediction was created"), Unclear, "refusal_after_the_job"),
        (400, refusal(400, "Bad request", "The upstream timed out"), Unclear, "refusal_of_a_lost_answer"),
        (400, refusal(400, "Error", "'id'"), Unclear, "refusal_of_nothing"),
        # everything else
        (408, INVALID, Unclear, "http_408"),
        (409, INVALID, Unclear, "http_409"),
        (429, THROTTLED, Unclear, "rate_limited"),
        (301, "", Unclear, "http_301"),
        (500, INVALID, Unclear, "http_500"),
        (502, "<html>bad gateway</html>", Unclear, "http_502"),
        (503, refusal(503, "Service unavailable", "x"), Unclear, "http_503"),
        (None, "", Unclear, "lost"),
    ],
)
def test_each_answer_is_classified_as_made_refused_or_unclear(
    status: int | None, body: object, meant: type, word: str
) -> None:
    assert meaning(status, body) == (meant, word)


def test_answer_counts_only_if_it_came_whole_from_the_provider_to_the_only_request() -> None:
    assert meaning(None, "refused", fault=Fault.NEVER_CONNECTED) == (ClearNo, "never_connected")
    assert meaning(201, STARTING, fault=Fault.LOST) == (Unclear, "lost")
    assert meaning(201, STARTING, cached=True) == (Unclear, "answer_from_a_cache")
    assert meaning(422, INVALID, attempts=1) == (Unclear, "gateway_retried")
    assert meaning(429, THROTTLED, refuses_429=True) == (ClearNo, "rate_limited")
    assert meaning(429, "slow down", refuses_429=True) == (Unclear, "refusal_unreadable")


@pytest.mark.parametrize(
    ("word", "status", "error"),
    [
        ("starting", JobStatus.QUEUED, None),
        ("processing", JobStatus.IN_PROGRESS, None),
        ("succeeded", JobStatus.COMPLETED, None),
        ("failed", JobStatus.FAILED, None),
        ("canceled", JobStatus.FAILED, "canceled"),
        ("aborted", JobStatus.FAILED, "aborted"),
        ("paused", JobStatus.UNKNOWN, None),
    ],
)
def test_each_status_word_is_read(word: str, status: JobStatus, error: str | None) -> None:
    job = shown(STARTING | {"status": word})
    assert (job.job_id, job.status, job.word, job.error) == (ID, status, word, error)
    assert job.named and job.described


def test_job_shows_its_order() -> None:
    job = shown(STARTING)
    assert (job.prompt, job.model, job.request) == (ASKED["prompt"], MODEL, ASKED)
    assert job.created_at == pytest.approx(1796040000.5)
    assert is_order_of(job, order())
    assert not is_order_of(shown(STARTING | {"input": ASKED | {"duration": 4}}), order())


@pytest.mark.parametrize(
    ("output", "links"),
    [
        (CLIP, (CLIP,)),
        ([CLIP], (CLIP,)),
        (["https://replicate.delivery/1.png", CLIP], (CLIP, "https://replicate.delivery/1.png")),
        ({"url": CLIP}, (CLIP,)),
        ({"seed": 7, "video": CLIP}, (CLIP,)),
        ([{"url": CLIP}], (CLIP,)),
        ("data:video/mp4;base64,AAAA", ()),
        ("file:///etc/passwd", ()),
        ({"video": 7}, ()),
        (None, ()),
    ],
)
def test_output_is_an_address_a_list_or_an_object(output: object, links: tuple[str, ...]) -> None:
    job = shown(DONE | {"output": output})
    assert (job.urls, job.status) == (links, JobStatus.COMPLETED)
    assert API.content(ID) is None


def test_succeeded_job_without_its_data_was_done_and_is_gone() -> None:
    job = shown(DONE | REMOVED)
    assert (job.status, job.is_gone, job.gave_up) == (JobStatus.EXPIRED, True, False)
    assert shown(DONE | REMOVED | {"output": CLIP}).status is JobStatus.COMPLETED
    assert shown(DONE | {"output": None}).status is JobStatus.COMPLETED


def test_failed_job_was_never_done_although_it_has_an_end() -> None:
    for body in (FAILED, FAILED | REMOVED):
        job = shown(body)
        assert (job.status, job.was_done, job.is_gone, job.done_at) == (JobStatus.FAILED, False, False, None)


def test_refusal_of_the_content_is_told_from_other_failures() -> None:
    sensitive = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
    job = shown(FAILED | {"error": sensitive})
    assert (job.error, job.refuses_content(job.error or "")) == (sensitive, True)
    assert not shown(FAILED).refuses_content("out of memory")


@pytest.mark.parametrize(
    "forgotten",
    [REMOVED, {"input": {}}, {"input": None}, {"input": {"prompt": None, "duration": None}}, {"data_removed": True}],
)
def test_input_that_was_removed_says_nothing_of_the_order(forgotten: dict[str, Any]) -> None:
    job = shown(DONE | forgotten)
    assert (job.prompt, job.request, job.marker, job.model) == (None, None, None, MODEL)


def test_seed_of_the_run_marks_its_job() -> None:
    seeded = order(input=INPUT | {"seed": SEED})
    assert API.marker(seeded) == str(seed_of(RUN))
    assert API.marker(order()) is None
    assert API.marker(order(input={"seed": 7})) is None
    sent = json.loads(API.create(seeded).body)["input"]
    job = shown(STARTING | {"input": sent})
    assert (job.marker, is_marked(job, seeded)) == (str(seed_of(RUN)), True)
    assert not is_marked(shown(STARTING | {"input": sent | {"seed": 7}}), seeded)
    assert not is_marked(shown(STARTING | {"input": sent | {"duration": 4}}), seeded)
    assert shown(STARTING | {"input": ASKED | {"seed": True}}).marker is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (STARTING | {"id": OTHER}, 200),
        (STARTING | {"id": OTHER, "urls": urls(OTHER)}, 200),
        (FAILED | {"urls": urls(OTHER)}, 200),
        (FAILED | {"id": None}, 200),
        (FAILED | {"id": OTHER}, 500),
        ({"status": "failed", "error": "x"}, 200),
        ({"data": FAILED}, 200),
        ([FAILED], 200),
    ],
)
def test_body_that_names_another_job_or_none_is_never_ours(body: object, status: int) -> None:
    assert isinstance(read(body, status), ReadError)


def test_error_that_names_the_job_counts() -> None:
    assert shown(FAILED, 500).status is JobStatus.FAILED


def test_bare_echo_of_the_id_does_not_describe_a_failure() -> None:
    assert not shown({"id": ID, "status": "failed", "error": "upstream"}).described


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (refusal(404, "Not found", "The requested resource could not be found."), 404, "The requested resource"),
        ("<html>Bad gateway</html>", 502, "HTTP 502"),
        ("", 307, "HTTP 307"),
        ("", 200, "HTTP 200 without what was asked for"),
        (json.dumps(DONE)[:-9], 200, "HTTP 200 without what was asked for"),
    ],
)
def test_read_without_a_readable_job_fails(body: object, status: int, detail: str) -> None:
    failed = read(body, status)
    assert isinstance(failed, ReadError) and failed.status == status
    assert failed.detail.startswith(detail)


def test_bad_end_from_a_cache_is_no_look() -> None:
    for ended in (FAILED, DONE | REMOVED):
        assert isinstance(read(ended, age="7"), ReadError)
        assert isinstance(read(ended, age="0"), Job)
    assert isinstance(read(DONE, age="7"), Job)


def test_id_that_leads_elsewhere_is_not_asked_for() -> None:
    for job_id in ("", ".", ".."):
        with pytest.raises(ValueError, match="not an id"):
            next(API.job(job_id, MODEL))


def test_page_shows_each_job_and_the_cursor_of_the_next_page() -> None:
    following = "https://elsewhere.example/v1/predictions?cursor=cD0yMDI2%2BMTE%3D&limit=5"
    read_page = page(listed(STARTING, DONE | {"id": OTHER, "urls": urls(OTHER)}, following=following))
    assert [job.job_id for job in read_page.jobs] == [ID, OTHER]
    assert (read_page.has_more, read_page.next_page, read_page.last_id) == (True, "cD0yMDI2+MTE=", OTHER)
    assert (read_page.odd_rows, read_page.flaw) == (0, "")
    assert next(API.page("cD0yMDI2+MTE=", Scope())).url == f"{BASE}/predictions?cursor=cD0yMDI2%2BMTE%3D"
    assert next(API.page(None, Scope())).url == f"{BASE}/predictions"


def test_page_without_a_next_one_is_the_last() -> None:
    for following in (None, ""):
        read_page = page(listed(STARTING, following=following))
        assert (read_page.has_more, read_page.next_page, read_page.flaw) == (False, None, "")


@pytest.mark.parametrize("following", ["https://api.replicate.com/v1/predictions", "x?cursor=1&cursor=2", 7, False, {}])
def test_next_page_that_cannot_be_read_is_a_flaw(following: object) -> None:
    read_page = page(listed(STARTING, following=following))
    assert (read_page.has_more, read_page.next_page, read_page.flaw) == (True, None, "next_page_unreadable")
    assert page({"results": [STARTING]}).flaw == "next_page_unreadable"


@pytest.mark.parametrize("row", [{}, None, "x", STARTING | {"id": None}, STARTING | {"urls": urls(OTHER)}])
def test_row_that_names_no_job_or_two_is_odd(row: object) -> None:
    read_page = page(listed(STARTING, row))
    assert (len(read_page.jobs), read_page.odd_rows) == (1, 1)


def test_row_with_a_part_that_cannot_be_read_is_shown_and_odd() -> None:
    body = json.dumps(listed(STARTING)).replace('"duration": 8', '"duration": 8, "duration": 4')
    read_page = read_with(API.page(None, Scope()), lambda _: Reply(200, body))
    assert isinstance(read_page, ListPage) and (len(read_page.jobs), read_page.odd_rows) == (1, 1)


def test_page_that_says_more_or_is_old_is_flawed() -> None:
    assert page(listed(STARTING) | {"warning": "partial"}).flaw == "list_says_more: warning"
    assert page(listed(STARTING), age="9").flaw == "list_from_a_cache"


@pytest.mark.parametrize(
    ("body", "status"), [(THROTTLED, 429), (listed(STARTING), 206), ({"results": None}, 200), ([], 200), ("", 200)]
)
def test_page_that_is_no_list_is_an_error(body: object, status: int) -> None:
    failed = read_with(API.page(None, Scope()), lambda _: Reply(status, json.dumps(body)))
    assert isinstance(failed, ReadError) and failed.status == status


def test_callback_is_signed_with_the_accounts_secret() -> None:
    # Made with replicate 1.0.7's own algorithm, whose `Webhooks.validate` takes it.
    secret, body, at = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", b'{"id":"gm3q"}', 1796040000
    signature = "v1,jIMGS6mwomvZRejcb1UhRUA8ntT9PGdNd0zdDk7S+h4="
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}
    assert verify_callback(headers, body, secret, at)
    assert not verify_callback(headers, body + b"\n", secret, at)
    assert not verify_callback(headers, body, secret, at + 301)
