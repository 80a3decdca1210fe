"""What Higgsfield is asked, and what each of its answers means, row by row."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from providers.job import Job, JobStatus
from providers.orders import Answer, ClearNo, Fault, Made, Order, Unclear, seed_of
from providers.port import Callback, Marker, ReadError, Reply, Request, Scope, read_with
from providers.vendors.higgsfield import FACTS, Higgsfield, verify_callback

API = Higgsfield()
MODEL = "bytedance/seedance-2.5/text-to-video"
ID = "d7e6c0f3-6699-4f6c-bb45-2ad7fd9158ff"
OTHER = "9417a243-e457-4075-895b-b68f3cda5303"
RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
BASE = "https://api.higgsfield.ai"
URLS = {"status_url": f"{BASE}/requests/{ID}/status", "cancel_url": f"{BASE}/requests/{ID}/cancel"}
QUEUED = {"status": "queued", "request_id": ID, **URLS}
CLIP = "https://cdn.example/clips/1.mp4?signature=abc"
DETAIL = {"detail": "Invalid value of `duration`"}


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "run_id": RUN,
        "prompt": "a paper boat, señor",
        "model": MODEL,
        "seconds": 5,
        "size": "720x1280",
        "create_body": "json",
        "provider": "higgsfield",
        "input": {"resolution": "720p", "duration": 5, "aspect_ratio": "9:16"},
    }
    return Order(**fields | changes)


def read(body: object, status: int = 200, **headers: str) -> Job | ReadError:
    """The job that is asked for as `ID`, at the only address that is read for it."""

    def answer(request: Request) -> Reply:
        assert (request.method, request.url, request.pays) == ("GET", f"{BASE}/requests/{ID}/status", False)
        return Reply(status, body if isinstance(body, str) else json.dumps(body), headers)

    return read_with(API.job(ID, MODEL), answer)


def meaning(status: int | None, body: object, *, refuses_429: bool = False, **how: Any) -> tuple[type, str]:
    answer = Answer(status, body if isinstance(body, str) else json.dumps(body), **how)
    meant = API.read_answer(answer, refuses_429=refuses_429, our_key=RUN, prompt=order().prompt)
    return type(meant), meant.job.job_id if isinstance(meant, Made) else meant.reason


def test_create_request_is_exactly_this() -> None:
    assert API.create(order()) == Request(
        "POST",
        f"{BASE}/bytedance/seedance-2.5/text-to-video",
        {"Idempotency-Key": RUN, "Content-Type": "application/json"},
        '{"aspect_ratio":"9:16","duration":5,"prompt":"a paper boat, señor","resolution":"720p"}'.encode(),
        pays=True,
    )


def test_create_names_the_callback_in_the_query() -> None:
    request = API.create(order(callback_url="https://bot.example/callbacks/higgsfield/t0ken?a=b&c"))
    hook = "https%3A%2F%2Fbot.example%2Fcallbacks%2Fhiggsfield%2Ft0ken%3Fa%3Db%26c"
    assert request.url == f"{BASE}/{MODEL}?hf_webhook={hook}"


def test_create_body_does_not_depend_on_the_order_of_the_input() -> None:
    swapped = dict(reversed(list(order().input.items())))
    assert API.create(order(input=swapped)) == API.create(order())


def test_no_input_replaces_the_prompt_and_a_seed_is_the_runs_own() -> None:
    body = json.loads(API.create(order(input={"prompt": "another", "seed": "$seed"})).body)
    assert body == {"prompt": order().prompt, "seed": seed_of(RUN)}


def test_create_at_another_base_url_stays_below_it() -> None:
    assert Higgsfield("http://127.0.0.1:1/hf/").create(order()).url == f"http://127.0.0.1:1/hf/{MODEL}"


@pytest.mark.parametrize("model", ["", "/x", "a//b", "../requests", "a/../b", "."])
def test_model_that_is_no_path_is_never_sent(model: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        API.create(order(model=model))


def test_model_cannot_reach_the_query() -> None:
    assert API.create(order(model="a/b?hf_webhook=x#y")).url == f"{BASE}/a/b%3Fhf_webhook%3Dx%23y"


def test_authorization_is_the_pair_of_id_and_secret() -> None:
    assert API.authorization("id-1:secret-2", 0.0) == {"Authorization": "Key id-1:secret-2"}


@pytest.mark.parametrize(
    ("status", "body", "meant", "word"),
    [
        # made: a request id beside a status of the queue, or an address of it
        (200, QUEUED, Made, ID),
        (202, {"request_id": ID, "status": "in_progress"}, Made, ID),
        (200, {"request_id": ID, **URLS}, Made, ID),
        (200, {"request_id": ID, "status": "failed", "error": "x"}, Made, ID),
        (200, QUEUED | {"status": "a new word"}, Made, ID),
        # a 2xx that names no request of the queue
        (200, {"request_id": ID}, Unclear, "unreadable"),  # perhaps that of the HTTP request
        (200, {"request_id": ID, "message": "ok"}, Unclear, "unreadable"),
        (200, {"request_id": ID, "status": 200}, Unclear, "unreadable"),
        (200, QUEUED | {"request_id": OTHER}, Unclear, "unreadable"),  # its addresses name another
        (200, {"id": ID, "status": "queued"}, Unclear, "unreadable"),
        (200, {"status": "queued"}, Unclear, "unreadable"),
        (200, {"request_id": "..", "status": "queued"}, Unclear, "unreadable"),
        (200, DETAIL, Unclear, "unreadable"),
        (200, "", Unclear, "unreadable"),
        (204, "", Unclear, "unreadable"),
        (200, json.dumps(QUEUED)[:-9], Unclear, "unreadable"),
        (200, "<html>welcome</html>", Unclear, "unreadable"),
        (200, {"data": QUEUED}, Unclear, "unreadable"),
        (200, QUEUED | {"request_id": RUN, "status_url": "", "cancel_url": ""}, Unclear, "echoes_our_key"),
        # a clear no, in FastAPI's form
        (400, DETAIL, ClearNo, "bad_request"),
        (400, {"detail": "Concurrent requests limit reached"}, ClearNo, "bad_request"),
        (401, {"detail": "Invalid credentials"}, ClearNo, "unauthorized"),
        (403, {"detail": "Not enough credits"}, ClearNo, "no_credit"),
        (404, {"detail": "model_not_found"}, ClearNo, "not_found"),
        (413, {"detail": "Request body is too large"}, ClearNo, "too_large"),
        (415, {"detail": "Unsupported media type"}, ClearNo, "bad_request"),
        (422, {"detail": [{"loc": ["body", "duration"], "msg": "too long"}]}, ClearNo, "bad_request"),
        (400, {"detail": "The prompt was rejected by content moderation"}, ClearNo, "prompt_refused"),
        # the same statuses in another form: who said so?
        (400, {"message": "Invalid value of `duration`"}, Unclear, "refusal_unreadable"),
        (403, {"message": "Forbidden"}, Unclear, "refusal_unreadable"),
        (403, "<html>403 Forbidden</html>", Unclear, "refusal_unreadable"),
        (401, "", Unclear, "refusal_unreadable"),
        (404, {"detail": None}, Unclear, "refusal_unreadable"),
        (422, json.dumps(DETAIL)[:-3], Unclear, "refusal_unreadable"),
        # a used key proves that a first copy of this request came there
        (422, {"detail": "Idempotency key was used with different parameters"}, Unclear, "key_used_before"),
        # an error that names a request
        (422, {"detail": "bad", "request_id": OTHER}, Unclear, "refusal_names_a_job"),
        (422, {"detail": {"message": "bad", "request_id": OTHER}}, Unclear, "refusal_names_a_job"),
        (422, {"detail": [{"msg": "bad", "status_url": URLS["status_url"]}]}, Unclear, "refusal_names_a_job"),
        (422, {"detail": "bad"} | QUEUED | {"request_id": OTHER}, Unclear, "refusal_names_a_job"),
        (422, {"detail": "Idempotency key mismatch"} | QUEUED, Unclear, "refusal_names_a_job"),
        (429, {"detail": "too many requests"} | QUEUED, Unclear, "refusal_names_a_job"),
        (500, {"detail": "x"} | QUEUED | {"status": "failed"}, Unclear, "refusal_names_a_job"),
        (500, {"detail": "x"} | QUEUED, Made, ID),
        # everything else
        (408, DETAIL, Unclear, "http_408"),
        (409, DETAIL, Unclear, "http_409"),
        (423, {"detail": "Model is temporarily blocked"}, Unclear, "http_423"),
        (429, DETAIL, Unclear, "rate_limited"),
        (307, "", Unclear, "http_307"),
        (500, DETAIL, Unclear, "http_500"),
        (502, "", Unclear, "http_502"),
        (503, {"detail": "Model is temporarily blocked"}, Unclear, "http_503"),
        (None, "", Unclear, "lost"),
    ],
)
def test_each_answer_is_classified_as_made_refused_or_unclear(
    status: int | None, body: object, meant: type, word: str
) -> None:
    assert meaning(status, body) == (meant, word)


def test_answer_counts_only_if_it_came_whole_from_the_provider_to_the_only_request() -> None:
    assert meaning(None, "refused", fault=Fault.NEVER_CONNECTED) == (ClearNo, "never_connected")
    assert meaning(200, QUEUED, fault=Fault.LOST) == (Unclear, "lost")
    assert meaning(200, QUEUED, cached=True) == (Unclear, "answer_from_a_cache")
    assert meaning(400, DETAIL, attempts=1) == (Unclear, "gateway_retried")
    assert meaning(429, {"detail": "Account limit reached"}, refuses_429=True) == (ClearNo, "rate_limited")


def test_no_refusal_is_taken_for_billed() -> None:
    refused = API.read_answer(Answer(400, json.dumps(DETAIL)), refuses_429=False)
    assert isinstance(refused, ClearNo) and not refused.may_bill


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", JobStatus.QUEUED),
        ("in_progress", JobStatus.IN_PROGRESS),
        ("completed", JobStatus.COMPLETED),
        ("failed", JobStatus.FAILED),
        ("nsfw", JobStatus.FAILED),
        ("canceled", JobStatus.FAILED),
        ("post_processing", JobStatus.UNKNOWN),
        ("", JobStatus.UNKNOWN),
    ],
)
def test_each_status_word_is_read(word: str, status: JobStatus) -> None:
    job = read(QUEUED | {"status": word})
    assert isinstance(job, Job)
    assert (job.job_id, job.status, job.word, job.named, job.described) == (ID, status, word, True, True)


def test_completed_request_leads_to_its_clip() -> None:
    job = read(QUEUED | {"status": "completed", "video": {"url": CLIP}})
    assert isinstance(job, Job) and job.urls == (CLIP,)
    assert API.content(ID) is None


def test_only_web_addresses_of_the_video_are_clips() -> None:
    job = read(QUEUED | {"status": "completed", "video": {"url": "data:video/mp4,x"}, "images": [{"url": CLIP}]})
    assert isinstance(job, Job) and job.urls == ()


@pytest.mark.parametrize(
    ("shown", "error", "of_content"),
    [
        ({"status": "failed", "error": "Render node ran out of memory"}, "Render node ran out of memory", False),
        ({"status": "failed", "error": {"message": "out of memory"}}, "out of memory", False),
        ({"status": "failed"}, None, False),
        ({"status": "canceled"}, "canceled", False),
        ({"status": "nsfw"}, "nsfw", True),
        ({"status": "nsfw", "error": "Output was withheld"}, "Output was withheld", True),
    ],
)
def test_failed_request_says_why(shown: dict[str, Any], error: str | None, of_content: bool) -> None:
    job = read(QUEUED | shown)
    assert isinstance(job, Job)
    assert (job.error, job.refuses_content(job.error or "")) == (error, of_content)


def test_bare_echo_of_the_id_does_not_describe_a_failure() -> None:
    bare = read({"status": "failed", "request_id": ID, "error": "upstream"})
    withheld = read({"status": "nsfw", "request_id": ID})
    assert isinstance(bare, Job) and bare.named and not bare.described
    assert isinstance(withheld, Job) and withheld.named and withheld.described


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (QUEUED | {"request_id": OTHER}, 200),
        ({"status": "failed", "request_id": OTHER, "error": "x"}, 200),
        ({"status": "nsfw", "request_id": OTHER}, 200),
        ({"status": "completed", "request_id": OTHER, "video": {"url": CLIP}}, 200),
        ({"status": "failed", "status_url": f"{BASE}/requests/{OTHER}/status"}, 200),
        (QUEUED | {"cancel_url": f"{BASE}/requests/{OTHER}/cancel", "status": "failed"}, 200),
        (QUEUED | {"request_id": OTHER, "status": "failed"}, 500),
    ],
)
def test_body_that_names_another_request_is_never_ours(body: object, status: int) -> None:
    assert isinstance(read(body, status), ReadError)


def test_body_that_names_no_request_leads_to_the_clip_and_proves_nothing() -> None:
    job = read({"status": "completed", "video": {"url": CLIP}})
    assert isinstance(job, Job) and (job.named, job.exists, job.urls) == (False, False, (CLIP,))
    nothing = read('{"status":"failed"}')
    assert nothing == ReadError(200, 'the answer does not name the request: {"status":"failed"}')


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"detail": "Request not found"}, 404, "HTTP 404: Request not found"),
        ({"status": "completed", "video": {"url": CLIP}}, 502, "HTTP 502"),
        ("<html>Bad gateway</html>", 502, "HTTP 502"),
        ("", 307, "HTTP 307"),
        ("", 200, "the answer does not name the request: "),
        (json.dumps(QUEUED)[:-9], 200, None),
        ({"detail": "x"}, 200, None),
        ({"status": 200, "request_id": ID}, 200, None),
        (f'{{"request_id": "{ID}", "status": "queued", "status": "failed"}}', 200, None),
    ],
)
def test_read_without_a_readable_request_fails(body: object, status: int, detail: str | None) -> None:
    failed = read(body, status)
    assert isinstance(failed, ReadError) and failed.status == status
    assert detail is None or failed.detail == detail


def test_error_that_names_the_request_counts() -> None:
    job = read(QUEUED | {"status": "failed", "error": "render"}, 500)
    assert isinstance(job, Job) and job.named and job.described and job.status is JobStatus.FAILED


def test_failure_from_a_cache_is_no_look() -> None:
    failed = QUEUED | {"status": "failed"}
    assert isinstance(read(failed, age="7"), ReadError)
    assert isinstance(read(failed, age="0"), Job)
    assert isinstance(read(QUEUED, age="7"), Job)


def test_details_of_failed_reads_carry_no_links_secrets() -> None:
    failed = read({"detail": f"see {CLIP}"}, 404)
    assert isinstance(failed, ReadError) and "signature=abc" not in failed.detail


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_id_that_leads_elsewhere_is_not_asked_for(job_id: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        next(API.job(job_id, MODEL))


def test_there_is_no_list_no_lookup_and_no_marker_in_a_job() -> None:
    def never(request: Request) -> Reply:
        raise AssertionError(request)

    assert read_with(API.page(None, Scope()), never) == ReadError(None, "Higgsfield has no list")
    assert isinstance(read_with(API.find(order()), never), ReadError)
    assert API.marker(order(callback_url="https://bot.example/t0ken")) is None
    assert (FACTS.has_list, FACTS.marker, FACTS.callback) == (False, Marker.CALLBACK, Callback.SIGNED)
    assert (FACTS.replays_by_key, FACTS.refuses_429_before_work) == (True, False)


KEY = b"a key of thirty-two bytes, or so"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = 1_700_000_000.0
BODY = json.dumps({"status": "nsfw", "request_id": ID}).encode()


def signature(body: bytes = BODY, sent_at: str = "1700000000", key: bytes = KEY) -> str:
    signed = f"evt_1.{sent_at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def verified(body: bytes = BODY, secret: str = SECRET, now: float = NOW, **changes: str) -> bool:
    headers = {"webhook-id": "evt_1", "webhook-timestamp": "1700000000", "webhook-signature": signature()}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return verify_callback(headers, body, secret, now)


def test_signed_callback_is_verified_for_five_minutes() -> None:
    assert verified()
    assert verified(now=NOW + 300) and verified(now=NOW - 300)
    assert not verified(now=NOW + 301) and not verified(now=NOW - 301)


def test_one_of_several_signatures_is_enough() -> None:
    assert verified(webhook_signature=f"v1,b2xk {signature()}")


@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY + b" "},
        {"secret": "whsec_" + base64.b64encode(b"another").decode()},
        {"secret": ""},
        {"secret": "whsec_"},
        {"secret": "whsec_not base64"},
        {"webhook_id": "evt_2"},
        {"webhook_id": ""},
        {"webhook_timestamp": "1700000001"},
        {"webhook_timestamp": ""},
        {"webhook_timestamp": "-1700000000"},
        {"webhook_timestamp": "1700000000.0"},
        {"webhook_timestamp": "٠" * 10},
        {"webhook_timestamp": "9" * 5000},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,"},
        {"webhook_signature": signature().removeprefix("v1,")},
        {"webhook_signature": signature().replace("v1,", "v1a,")},
        {"webhook_signature": "v1,\udcff"},
        {"webhook_id": "\udcff"},
        {"secret": "whsec_", "webhook_signature": signature(key=b"")},
    ],
)
def test_any_other_callback_is_not_verified(changes: dict[str, Any]) -> None:
    assert not verified(**changes)
