"""fal's history, its charges, its signed callbacks."""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from providers.job import Job, JobStatus, ListPage
from providers.order_match import differs, is_marked
from providers.port import ReadError, Reply, Request, Scope, read_with
from providers.vendors.fal import Fal, verify_callback
from tests.providers.vendors.test_fal import CLIP, FAL, ID, MODEL, OTHER, order

SCOPE = Scope((MODEL,), since=1_796_000_000.0)
SENT = "2026-11-30T20:00:00Z"
SENT_AT = 1_796_068_800.0


def row(job_id: str = ID, **changes: Any) -> dict[str, Any]:
    times = {"sent_at": SENT, "started_at": SENT, "ended_at": SENT}
    plain: dict[str, Any] = {"request_id": job_id, "endpoint_id": MODEL, **times}
    plain |= {"status_code": 200, "json_input": {**order().params, "prompt": "a red fox"}}
    return {**plain, "json_output": {"video": {"url": CLIP}}, **changes}


def page_of(
    body: object,
    after: str | None = None,
    scope: Scope = SCOPE,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> tuple[ListPage | ReadError, Request]:
    asked = []

    def reply(request: Request) -> Reply:
        asked.append(request)
        return Reply(status, body if isinstance(body, str) else json.dumps(body), headers or {})

    return read_with(FAL.page(after, scope), reply), asked[0]


def listed(*rows: Any, **more: Any) -> ListPage:
    page, _ = page_of({"items": list(rows), "next_cursor": None, "has_more": False, **more})
    assert isinstance(page, ListPage)
    return page


def job_in(**changes: Any) -> Job:
    (job,) = listed(row(**changes)).jobs
    return job


def test_history_is_asked_for_models_payloads_and_time_on_its_own_host() -> None:
    _, request = page_of({"items": []})
    url = urlsplit(request.url)
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://api.fal.ai/v1/models/requests/by-endpoint"
    assert parse_qsl(url.query) == [
        ("endpoint_id", MODEL),
        ("expand", "payloads"),
        ("limit", "100"),
        ("start", "2026-11-30T00:53:20Z"),
    ]
    assert (request.method, request.pays) == ("GET", False)
    assert next(Fal("http://127.0.0.1:9/fal/").page(None, SCOPE)).url.startswith(
        "http://127.0.0.1:9/fal/api/v1/models/requests/by-endpoint?"
    )


def test_row_shows_the_whole_order_its_seed_and_its_clip() -> None:
    job = job_in()
    assert (job.job_id, job.status, job.model, job.prompt) == (ID, JobStatus.COMPLETED, MODEL, "a red fox")
    assert (job.created_at, job.done_at, job.urls, job.word) == (SENT_AT, SENT_AT, (CLIP,), "200")
    assert job.marker == FAL.marker(order()) and job.named and job.described
    assert is_marked(job, order()) and not differs(job, order())
    assert not is_marked(job, order(run_id="run-2"))


@pytest.mark.parametrize("changed", [{"prompt": "a blue fox"}, {"seed": 1}, {"duration": "4s"}, {"aspect_ratio": None}])
def test_row_of_another_input_is_not_of_our_order(changed: dict[str, Any]) -> None:
    assert differs(job_in(json_input=row()["json_input"] | changed), order())


@pytest.mark.parametrize("hidden", [None, "", [], "a red fox", {}])
def test_row_without_its_input_shows_no_prompt_and_no_marker(hidden: object) -> None:
    job = job_in(json_input=hidden)
    assert (job.prompt, job.marker, job.request, job.described) == (None, None, None, True)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, JobStatus.COMPLETED),
        ({"status_code": 422}, JobStatus.FAILED),
        ({"status_code": 504}, JobStatus.FAILED),
        ({"status_code": 302}, JobStatus.UNKNOWN),
        ({"status_code": None}, JobStatus.UNKNOWN),
        ({"status_code": "200"}, JobStatus.UNKNOWN),
        ({"status_code": None, "ended_at": None}, JobStatus.IN_PROGRESS),
        ({"status_code": None, "ended_at": None, "started_at": None}, JobStatus.QUEUED),
        ({"ended_at": None}, JobStatus.COMPLETED),
    ],
)
def test_row_tells_how_the_request_stands(changes: dict[str, Any], status: JobStatus) -> None:
    assert job_in(**changes).status is status


def test_failed_row_shows_why() -> None:
    wrong = {"detail": [{"loc": ["body"], "msg": "flagged", "type": "content_policy_violation"}]}
    job = job_in(status_code=422, json_output=wrong)
    assert (job.error, job.error_code, job.done_at) == ("flagged", "content_policy_violation", None)


def test_rows_that_cannot_be_read_are_counted_and_hide_no_other() -> None:
    page = listed(row(), None, "row", [], {"endpoint_id": MODEL}, row(request_id="\x00"), row(OTHER))
    assert [job.job_id for job in page.jobs] == [ID, OTHER]
    assert page.odd_rows == 5


def test_row_with_two_members_of_one_name_is_shown_and_counted_as_odd() -> None:
    page, _ = page_of(f'{{"items": [{{"request_id": "{ID}", "json_input": {{"seed": 1, "seed": 2}}}}]}}')
    assert isinstance(page, ListPage) and (len(page.jobs), page.odd_rows, page.jobs[0].marker) == (1, 1, None)


def test_cursor_leads_to_the_next_page_of_the_same_models_and_then_to_the_next_models() -> None:
    scope = Scope(tuple(f"fal-ai/m{number}" for number in range(60)), 0.0)
    first, request = page_of({"items": [row()], "next_cursor": "Mg==", "has_more": True}, None, scope)
    assert isinstance(first, ListPage) and (first.next_page, first.has_more) == ("0:Mg==", True)
    assert request.url.count("endpoint_id=") == 50
    second, request = page_of({"items": [row()], "next_cursor": None, "has_more": False}, "0:Mg==", scope)
    assert "cursor=Mg%3D%3D" in request.url and "m49" in request.url and "m50" not in request.url
    assert isinstance(second, ListPage) and (second.next_page, second.has_more) == ("1", True)
    third, request = page_of({"items": [row()], "has_more": False}, "1", scope)
    assert "cursor" not in request.url and "m50" in request.url
    assert isinstance(third, ListPage) and (third.next_page, third.has_more, third.last_id) == (None, False, ID)


@pytest.mark.parametrize("after", ["7", "x", "-1", ":Mg==", "9:Mg=="])
def test_cursor_of_other_models_is_a_read_error(after: str) -> None:
    assert isinstance(read_with(FAL.page(after, SCOPE), lambda _: Reply(200, "{}")), ReadError)


@pytest.mark.parametrize(
    ("more", "headers", "flaw"),
    [
        ({"has_more": True}, {}, "next_page_unreadable"),
        ({"has_more": False, "next_cursor": "Mg=="}, {}, "next_page_unreadable"),
        ({"has_more": 1}, {}, "next_page_unreadable"),
        ({"partial": True}, {}, "list_says_more: partial"),
        ({"errors": ["shard 2"]}, {}, "list_says_more: errors"),
        ({}, {"age": "30"}, "list_from_a_cache"),
        ({"has_more": None}, {}, ""),
    ],
)
def test_signs_of_missing_rows_are_a_flaw(more: dict[str, Any], headers: dict[str, str], flaw: str) -> None:
    page, _ = page_of({"items": [row()], **more}, headers=headers)
    assert isinstance(page, ListPage) and page.flaw == flaw


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, ""), (200, {"items": {}}), (200, {"error": "x"}), (206, {"items": []}), (403, {"detail": "no"}), (502, "")],
)
def test_page_that_is_no_whole_list_is_a_read_error(status: int, body: object) -> None:
    error, _ = page_of(body, status=status)
    assert isinstance(error, ReadError) and error.status == status


def charged(body: object, status: int = 200) -> int | ReadError | None:
    return read_with(FAL.charge(ID, since=0.0), lambda _: Reply(status, json.dumps(body)))


def test_charge_is_the_sum_of_the_requests_own_events() -> None:
    event = {"request_id": ID, "cost_total": 0.045}
    assert charged({"billing_events": [event]}) == 45_000
    assert charged({"billing_events": [event, {"request_id": ID, "cost_estimate_nano_usd": 5_000_000}]}) == 50_000
    assert charged({"billing_events": [{"request_id": ID, "cost_total": 0}]}) == 0
    assert charged({"billing_events": []}) is None
    assert next(FAL.charge(ID, since=0.0)).url == (
        f"https://api.fal.ai/v1/models/billing-events?request_id={ID}&start=1970-01-01T00%3A00%3A00Z"
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"detail": "needs an admin key"}),
        (200, {"items": []}),
        (200, {"billing_events": [{"request_id": OTHER, "cost_total": 0.045}]}),
        (200, {"billing_events": [{"request_id": ID, "cost_total": -1}]}),
        (200, {"billing_events": [{"request_id": ID}]}),
        (200, {"billing_events": [{"request_id": ID, "cost_total": 1}], "has_more": True}),
    ],
)
def test_charge_that_is_not_certain_is_a_read_error(status: int, body: object) -> None:
    assert isinstance(charged(body, status), ReadError)


KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
BODY = b'{"request_id":"r","status":"OK"}'
NOW = 1_796_068_800.0


def key_set(**changes: Any) -> str:
    public = base64.urlsafe_b64encode(KEY.public_key().public_bytes_raw()).decode().rstrip("=")
    old = {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}
    return json.dumps({"keys": [old, "odd", {"kty": "OKP", "crv": "Ed25519", "x": public, **changes}]})


def headers(**changes: str) -> dict[str, str]:
    sent = {"request-id": "r", "user-id": "u", "timestamp": str(int(NOW))}
    message = "\n".join((*sent.values(), hashlib.sha256(BODY).hexdigest())).encode()
    sent |= {"signature": KEY.sign(message).hex()} | {name.replace("_", "-"): value for name, value in changes.items()}
    return {f"x-fal-webhook-{name}": value for name, value in sent.items()}


def test_callback_that_fal_signed_is_verified() -> None:
    assert verify_callback(headers(), BODY, key_set(), NOW + 299)


@pytest.mark.parametrize(
    ("sent", "body", "keys", "now"),
    [
        (headers(), BODY + b" ", key_set(), NOW),
        (headers(request_id="other"), BODY, key_set(), NOW),
        (headers(user_id="other"), BODY, key_set(), NOW),
        (headers(timestamp=str(int(NOW) + 1)), BODY, key_set(), NOW),
        (headers(timestamp="now"), BODY, key_set(), NOW),
        (headers(signature="zz"), BODY, key_set(), NOW),
        (headers(signature=""), BODY, key_set(), NOW),
        (headers(user_id=""), BODY, key_set(), NOW),
        (headers(), BODY, key_set(), NOW + 301),
        (headers(), BODY, key_set(), NOW - 301),
        (headers(), BODY, key_set(x="AAAA"), NOW),
        (headers(), BODY, key_set(kty="EC"), NOW),
        (headers(), BODY, "{}", NOW),
        (headers(), BODY, "<html>", NOW),
        ({}, BODY, key_set(), NOW),
    ],
)
def test_callback_that_fal_did_not_sign_so_is_not_verified(sent: Any, body: bytes, keys: str, now: float) -> None:
    assert not verify_callback(sent, body, keys, now)
