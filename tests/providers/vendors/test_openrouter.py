"""What OpenRouter is asked, and what each of its answers means, row by row."""

import json
from typing import Any

import pytest

from providers.job import Job, JobStatus
from providers.orders import Answer, ClearNo, Fault, Made, Order, Unclear, seed_of
from providers.port import Callback, Marker, ReadError, Reply, Request, Scope, read_with
from providers.vendors.openrouter import FACTS, OpenRouter

API = OpenRouter()
MODEL = "google/veo-3.1"
ID = "gen-vid-1700000000-aBcDeFgHiJkLmNoPqRsT"
OTHER = "gen-vid-1700000001-bBcDeFgHiJkLmNoPqRsT"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
BASE = "https://openrouter.ai/api/v1"
PENDING = {"id": ID, "polling_url": f"/api/v1/videos/{ID}", "status": "pending"}
OWN_CLIP = f"{BASE}/videos/{ID}/content?index=0"
SIGNED_CLIP = "https://media.example/1.mp4?signature=abc"
DONE = PENDING | {"status": "completed", "generation_id": "gen-1", "unsigned_urls": [OWN_CLIP], "usage": {"cost": 0.25}}


def refusal(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata or None}, "user_id": "user_1"}


BAD = refusal(400, "Invalid request parameters")


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "run_id": RUN,
        "prompt": "a paper boat, señor",
        "model": MODEL,
        "seconds": 8,
        "size": "720x1280",
        "create_body": "json",
        "provider": "openrouter",
        "input": {"resolution": "720p", "duration": 8, "aspect_ratio": "9:16"},
    }
    return Order(**fields | changes)


def read(body: object, status: int = 200, **headers: str) -> Job | ReadError:
    """The job that is asked for as `ID`, at the only address that is read for it."""

    def answer(request: Request) -> Reply:
        assert (request.method, request.url, request.pays) == ("GET", f"{BASE}/videos/{ID}", False)
        return Reply(status, body if isinstance(body, str) else json.dumps(body), headers)

    return read_with(API.job(ID, MODEL), answer)


def shown(body: object, status: int = 200) -> Job:
    job = read(body, status)
    assert isinstance(job, Job), job
    return job


def meaning(status: int | None, body: object, *, refuses_429: bool = False, **how: Any) -> tuple[type, str]:
    answer = Answer(status, body if isinstance(body, str) else json.dumps(body), **how)
    meant = API.read_answer(answer, refuses_429=refuses_429, our_key=RUN, prompt=order().prompt)
    return type(meant), meant.job.job_id if isinstance(meant, Made) else meant.reason


def test_create_request_is_exactly_this() -> None:
    body = (
        '{"aspect_ratio":"9:16","duration":8,"model":"google/veo-3.1","prompt":"a paper boat, señor",'
        f'"resolution":"720p","session_id":"{RUN}"}}'
    )
    headers = {"Idempotency-Key": RUN, "Content-Type": "application/json"}
    assert API.create(order()) == Request("POST", f"{BASE}/videos", headers, body.encode(), pays=True)


def test_create_names_the_callback() -> None:
    body = json.loads(API.create(order(callback_url="https://bot.example/callbacks/openrouter/t0ken")).body)
    assert body["callback_url"] == "https://bot.example/callbacks/openrouter/t0ken"


def test_create_body_does_not_depend_on_the_order_of_the_input() -> None:
    swapped = dict(reversed(list(order().input.items())))
    assert API.create(order(input=swapped)) == API.create(order())


def test_no_input_replaces_what_the_run_is_known_by_and_a_seed_is_its_own() -> None:
    wrong = {"prompt": "another", "model": "other", "session_id": "s", "seed": "$seed"}
    assert json.loads(API.create(order(input=wrong)).body) == {
        "model": MODEL,
        "prompt": order().prompt,
        "seed": seed_of(RUN),
        "session_id": RUN,
    }


def test_requests_at_another_base_url_stay_below_it() -> None:
    api = OpenRouter("http://127.0.0.1:1/api/v1/")
    assert api.create(order()).url == "http://127.0.0.1:1/api/v1/videos"
    assert api.content(ID) == Request("GET", f"http://127.0.0.1:1/api/v1/videos/{ID}/content?index=0")


def test_authorization_is_a_bearer_key() -> None:
    assert API.authorization("test-key", 0.0) == {"Authorization": "Bearer test-key"}


@pytest.mark.parametrize(
    ("status", "body", "meant", "word"),
    [
        # made
        (202, PENDING, Made, ID),
        (202, PENDING | {"polling_url": f"{BASE}/videos/{ID}"}, Made, ID),
        (200, {"id": ID, "polling_url": f"/api/v1/videos/{ID}"}, Made, ID),
        (202, PENDING | {"status": "failed", "error": "Content policy violation"}, Made, ID),
        (202, PENDING | {"status": "a new word"}, Made, ID),
        # a 2xx that names no job
        (200, {"id": ID}, Unclear, "unreadable"),  # perhaps that of the HTTP request
        (200, {"id": "req_1", "code": 0, "data": PENDING}, Unclear, "unreadable"),
        (202, {"id": ID, "error": {"code": 502, "message": "Provider returned error"}}, Unclear, "unreadable"),
        (200, refusal(502, "Provider returned error"), Unclear, "unreadable"),
        (200, BAD, Unclear, "unreadable"),
        (202, PENDING | {"id": OTHER}, Unclear, "unreadable"),  # its address names another
        (202, {"polling_url": f"/api/v1/videos/{ID}", "status": "pending"}, Unclear, "unreadable"),
        (202, {"generation_id": "gen-1", "status": "pending"}, Unclear, "unreadable"),
        (202, {"data": PENDING}, Unclear, "unreadable"),
        (202, PENDING | {"id": ".."}, Unclear, "unreadable"),
        (202, json.dumps(PENDING)[:-9], Unclear, "unreadable"),
        (200, "<html>welcome</html>", Unclear, "unreadable"),
        (202, "", Unclear, "unreadable"),
        (202, {"id": RUN, "status": "pending"}, Unclear, "echoes_our_key"),
        # a clear no, in OpenRouter's form
        (400, BAD, ClearNo, "bad_request"),
        (401, refusal(401, "Missing Authentication header"), ClearNo, "unauthorized"),
        (402, refusal(402, "Insufficient credits. Add more using https://openrouter.ai/credits"), ClearNo, "no_credit"),
        (403, refusal(403, "Your input was flagged", reasons=["violence"]), ClearNo, "prompt_refused"),
        (403, refusal(403, "This model is not allowed for your key"), ClearNo, "forbidden"),
        (404, refusal(404, "Model google/veo-9 not found"), ClearNo, "not_found"),
        (413, refusal(413, "Request payload is too large"), ClearNo, "too_large"),
        (422, refusal(422, "duration 7 is not supported by this model"), ClearNo, "bad_request"),
        # the same statuses in another form: who said so?
        (403, {"message": "Forbidden"}, Unclear, "refusal_unreadable"),
        (403, {"error": "Forbidden"}, Unclear, "refusal_unreadable"),
        (400, {"error": {"code": 400}}, Unclear, "refusal_unreadable"),
        (400, {"error": {"code": 400, "message": ""}}, Unclear, "refusal_unreadable"),
        (401, "<html>401</html>", Unclear, "refusal_unreadable"),
        (402, "", Unclear, "refusal_unreadable"),
        (400, json.dumps(BAD)[:-3], Unclear, "refusal_unreadable"),
        # after another vendor was tried, or with a job's id
        (400, refusal(400, "Invalid prompt", previous_errors=[{"code": 504}]), Unclear, "refusal_unreadable"),
        (400, BAD | {"openrouter_metadata": {"attempt": 2}}, Unclear, "refusal_unreadable"),
        (400, BAD | {"openrouter_metadata": {"attempt": 1}}, ClearNo, "bad_request"),
        (400, BAD | {"id": ID}, Unclear, "refusal_unreadable"),
        (400, BAD | {"polling_url": f"/api/v1/videos/{ID}"}, Unclear, "refusal_unreadable"),
        (400, refusal(400, "Invalid prompt", generation_id="gen-1"), Unclear, "refusal_unreadable"),
        (400, BAD | {"id": ID, "status": "failed"}, Unclear, "refusal_names_a_job"),
        (409, BAD | PENDING, Unclear, "refusal_names_a_job"),
        (500, refusal(500, "x") | PENDING, Made, ID),
        # words that tell of work
        (400, refusal(400, "Provider timed out"), Unclear, "refusal_of_a_lost_answer"),
        (400, refusal(400, "Provider returned error", raw="job was submitted"), Unclear, "refusal_after_the_job"),
        (400, refusal(400, "Provider returned error"), Unclear, "refusal_of_nothing"),
        # everything else
        (408, BAD, Unclear, "http_408"),
        (409, BAD, Unclear, "http_409"),
        (429, refusal(429, "Rate limit exceeded"), Unclear, "rate_limited"),
        (499, BAD, Unclear, "http_499"),
        (301, "", Unclear, "http_301"),
        (500, BAD, Unclear, "http_500"),
        (502, BAD, Unclear, "http_502"),
        (503, BAD, Unclear, "http_503"),
        (524, BAD, Unclear, "http_524"),
        (None, "", Unclear, "lost"),
    ],
)
def test_each_answer_is_classified_as_made_refused_or_unclear(
    status: int | None, body: object, meant: type, word: str
) -> None:
    assert meaning(status, body) == (meant, word)


def test_answer_counts_only_if_it_came_whole_from_the_provider_to_the_only_request() -> None:
    assert meaning(None, "refused", fault=Fault.NEVER_CONNECTED) == (ClearNo, "never_connected")
    assert meaning(202, PENDING, fault=Fault.LOST) == (Unclear, "lost")
    assert meaning(202, PENDING, cached=True) == (Unclear, "answer_from_a_cache")
    assert meaning(400, BAD, attempts=1) == (Unclear, "gateway_retried")
    assert meaning(429, refusal(429, "Rate limit exceeded"), refuses_429=True) == (ClearNo, "rate_limited")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", JobStatus.QUEUED),
        ("in_progress", JobStatus.IN_PROGRESS),
        ("completed", JobStatus.COMPLETED),
        ("failed", JobStatus.FAILED),
        ("cancelled", JobStatus.FAILED),
        ("expired", JobStatus.EXPIRED),
        ("finalizing", JobStatus.UNKNOWN),
        ("", JobStatus.UNKNOWN),
    ],
)
def test_each_status_word_is_read(word: str, status: JobStatus) -> None:
    job = shown(PENDING | {"status": word})
    assert (job.job_id, job.status, job.word, job.named, job.described) == (ID, status, word, True, True)


def test_clip_is_behind_the_key_or_at_a_signed_address() -> None:
    assert API.content(ID) == Request("GET", OWN_CLIP)
    assert shown(DONE).urls == ()  # without the key, OpenRouter's own address answers 401
    assert shown(DONE | {"urls": [SIGNED_CLIP]}).urls == (SIGNED_CLIP,)
    elsewhere = "https://storage.example/videos/1.mp4"
    assert shown(DONE | {"unsigned_urls": [OWN_CLIP, elsewhere], "urls": [SIGNED_CLIP]}).urls == (
        SIGNED_CLIP,
        elsewhere,
    )
    assert shown(DONE | {"unsigned_urls": ["data:video/mp4,x", 7], "urls": "x"}).urls == ()


@pytest.mark.parametrize(
    ("usage", "microusd"),
    [
        ({"cost": 0.25, "is_byok": False}, 250_000),
        ({"cost": 1.1}, 1_100_000),
        ({"cost": 0.0000014}, 1),
        ({"cost": 3}, 3_000_000),
        ({"cost": 0}, 0),
        ({"cost": 0.25, "is_byok": True}, None),  # the vendor charges the rest
        ({"cost": None}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "0.25"}, None),
        ({"cost": 1e300}, None),
        ({"cost": float("nan")}, None),
        ({}, None),
        (None, None),
        ("0.25", None),
    ],
)
def test_cost_is_read_in_micro_dollars(usage: object, microusd: int | None) -> None:
    assert shown(DONE | {"usage": usage}).cost_microusd == microusd


@pytest.mark.parametrize(
    ("extra", "error", "of_content"),
    [
        ({"status": "failed", "error": "Provider ran out of memory"}, "Provider ran out of memory", False),
        ({"status": "failed", "error": {"message": "out of memory"}}, "out of memory", False),
        ({"status": "failed", "error": "Content policy violation"}, "Content policy violation", True),
        ({"status": "failed"}, None, False),
        ({"status": "cancelled"}, "cancelled", False),
    ],
)
def test_failed_job_says_why(extra: dict[str, Any], error: str | None, of_content: bool) -> None:
    job = shown(PENDING | extra)
    assert (job.error, job.refuses_content(job.error or "")) == (error, of_content)


def test_expired_job_is_owed_unless_it_never_finished() -> None:
    expired = PENDING | {"status": "expired", "error": "Job exceeded maximum time to live"}
    assert (shown(expired).gave_up, shown(expired).is_gone) == (True, False)
    for done in ({"usage": {"cost": 0.25}}, {"unsigned_urls": [OWN_CLIP]}, {"urls": [SIGNED_CLIP]}):
        assert (shown(expired | done).gave_up, shown(expired | done).is_gone) == (False, True)
    assert shown(PENDING | {"status": "expired"}).is_gone
    assert shown(expired | {"usage": {"cost": 0}}).gave_up


def test_bare_echo_of_the_id_does_not_describe_a_failure() -> None:
    job = shown({"id": ID, "status": "failed", "error": "upstream", "usage": None, "urls": []})
    assert job.named and not job.described


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (PENDING | {"id": OTHER}, 200),
        ({"id": OTHER, "status": "failed", "error": "x"}, 200),
        (DONE | {"id": OTHER, "polling_url": f"/api/v1/videos/{OTHER}", "urls": [SIGNED_CLIP]}, 200),
        ({"polling_url": f"{BASE}/videos/{OTHER}", "status": "failed"}, 200),
        (PENDING | {"polling_url": f"{BASE}/videos/{OTHER}", "status": "failed"}, 200),
        (PENDING | {"id": OTHER, "status": "failed"}, 500),
    ],
)
def test_body_that_names_another_job_is_never_ours(body: object, status: int) -> None:
    assert isinstance(read(body, status), ReadError)


def test_body_that_names_no_job_leads_to_the_clip_and_proves_nothing() -> None:
    job = shown({"status": "completed", "urls": [SIGNED_CLIP]})
    assert (job.named, job.exists, job.urls) == (False, False, (SIGNED_CLIP,))
    assert read('{"status":"failed"}') == ReadError(200, 'unexpected answer: {"status":"failed"}')


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (refusal(404, "Resource not found"), 404, "HTTP 404: Resource not found"),
        ({"status": "completed", "urls": [SIGNED_CLIP]}, 502, "HTTP 502"),
        ("<html>Bad gateway</html>", 502, "HTTP 502"),
        ("", 307, "HTTP 307"),
        ("", 200, "unexpected answer: "),
        (json.dumps(DONE)[:-9], 200, None),
        (refusal(500, "x"), 200, None),
        ({"id": ID, "status": 200}, 200, None),
        ({"data": [DONE]}, 200, None),
    ],
)
def test_read_without_a_readable_job_fails(body: object, status: int, detail: str | None) -> None:
    failed = read(body, status)
    assert isinstance(failed, ReadError) and failed.status == status
    assert detail is None or failed.detail == detail


def test_error_that_names_the_job_counts() -> None:
    assert shown(PENDING | {"status": "failed", "error": "render"}, 500).status is JobStatus.FAILED


@pytest.mark.parametrize("word", ["failed", "expired"])
def test_bad_end_from_a_cache_is_no_look(word: str) -> None:
    ended = PENDING | {"status": word, "error": "x"}
    assert isinstance(read(ended, age="7"), ReadError)
    assert isinstance(read(ended, age="0"), Job)
    assert isinstance(read(PENDING, age="7"), Job)


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_id_that_leads_elsewhere_is_not_asked_for(job_id: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        next(API.job(job_id, MODEL))
    with pytest.raises(ValueError, match="not an id"):
        API.content(job_id)


def test_there_is_no_list_no_lookup_and_no_marker_in_a_job() -> None:
    def never(request: Request) -> Reply:
        raise AssertionError(request)

    assert read_with(API.page(None, Scope()), never) == ReadError(None, "OpenRouter has no list of jobs")
    assert isinstance(read_with(API.find(order()), never), ReadError)
    assert API.marker(order(callback_url="https://bot.example/t0ken")) is None
    assert (FACTS.has_list, FACTS.marker, FACTS.callback) == (False, Marker.CALLBACK, Callback.SIGNED)
    assert (FACTS.replays_by_key, FACTS.refuses_429_before_work) == (False, False)


def test_table_of_models_is_read_as_it_stands() -> None:
    veo = {"id": MODEL, "supported_durations": [4, 8], "pricing_skus": {"per-video-second": "0.50"}}

    def answer(request: Request) -> Reply:
        assert (request.method, request.url, request.pays) == ("GET", f"{BASE}/videos/models", False)
        return Reply(200, json.dumps({"data": [veo, {"name": "no id"}, None]}))

    assert read_with(API.models(), answer) == (veo,)
    assert read_with(API.models(), lambda _: Reply(503, "")) == ReadError(503, "HTTP 503")
    assert isinstance(read_with(API.models(), lambda _: Reply(200, '{"data": {}}')), ReadError)
