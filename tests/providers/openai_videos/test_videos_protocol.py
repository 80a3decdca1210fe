"""What each answer of the provider means, row by row."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.job import Job, JobStatus
from providers.job_ids import same_job
from providers.openai_videos.jobs import read_job
from providers.openai_videos.list_page import read_page
from providers.openai_videos.protocol import read_answer
from providers.orders import Answer, ClearNo, Fault, Made, Order, Unclear

ORDER = Order("run-1", "a paper boat", "sora-2", 8, "720x1280", "multipart")
ERROR = json.dumps({"error": {"message": "no such size", "code": "nope"}})
MODERATION = json.dumps({"error": {"message": "blocked by our moderation system", "code": "moderation_blocked"}})
CLEAR_NO = {
    400: "bad_request",
    401: "unauthorized",
    402: "no_credit",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    415: "bad_request",
    422: "bad_request",
}


def reason_of(answer: Answer, *, refuses_429: bool = False) -> tuple[type, str]:
    meaning = read_answer(answer, refuses_429=refuses_429)
    return type(meaning), meaning.job.job_id if isinstance(meaning, Made) else meaning.reason


@pytest.mark.parametrize(
    ("answer", "meaning", "word"),
    [
        # made: 2xx with an id
        (Answer(200, '{"id": "video_1", "status": "queued"}'), Made, "video_1"),
        (Answer(201, '{"id": "video_1"}'), Made, "video_1"),
        (Answer(202, '{"id": "v/1==", "object": "video", "error": null}'), Made, "v/1=="),
        (Answer(200, '{"id": "v1", "status": "failed", "error": {"message": "x"}}'), Made, "v1"),
        (Answer(200, '{"id": "v1", "progress": 1' + "0" * 400 + "}"), Made, "v1"),  # larger than any float
        # a 2xx that cannot be read
        (Answer(200, ""), Unclear, "unreadable"),
        (Answer(204, ""), Unclear, "unreadable"),
        (Answer(200, "{}"), Unclear, "unreadable"),
        (Answer(200, "[]"), Unclear, "unreadable"),
        (Answer(200, '"video_1"'), Unclear, "unreadable"),
        (Answer(200, '{"id": "video_1", "sta'), Unclear, "unreadable"),
        (Answer(200, '{"id": ""}'), Unclear, "unreadable"),
        (Answer(200, '{"id": "  "}'), Unclear, "unreadable"),
        (Answer(200, '{"id": ".."}'), Unclear, "unreadable"),
        (Answer(200, '{"id": "."}'), Unclear, "unreadable"),
        (Answer(200, '{"id": null}'), Unclear, "unreadable"),
        (Answer(200, '{"id": 17}'), Made, "17"),
        (Answer(200, '{"id": 0}'), Unclear, "unreadable"),
        (Answer(200, '{"id": true}'), Unclear, "unreadable"),
        (Answer(200, '{"id": 1.5}'), Unclear, "unreadable"),
        (Answer(200, '{"id": "v\\u0000"}'), Unclear, "unreadable"),
        (Answer(200, '{"id": "v\\ud800"}'), Unclear, "unreadable"),
        (Answer(200, json.dumps({"id": "v" * 501})), Unclear, "unreadable"),
        (Answer(200, ERROR), Unclear, "unreadable"),
        (Answer(200, '{"id": "req_9", "error": {"message": "overloaded"}}'), Unclear, "unreadable"),
        (Answer(200, "<html>welcome to this hotel's network</html>"), Unclear, "unreadable"),
        (Answer(200, "[" * 200_000), Unclear, "unreadable"),
        # a clear no
        *[(Answer(status, ERROR), ClearNo, word) for status, word in CLEAR_NO.items()],
        *[(Answer(status, ""), Unclear, "refusal_unreadable") for status in CLEAR_NO],
        (Answer(400, MODERATION), ClearNo, "prompt_refused"),
        (Answer(400, '{"error": {"code": "content_policy_violation"}}'), ClearNo, "prompt_refused"),
        # the connection was never made, or nothing was sent
        (Answer(None, "refused", Fault.NEVER_CONNECTED), ClearNo, "never_connected"),
        (Answer(None, "too late", Fault.NEVER_SENT), ClearNo, "never_sent"),
        # everything else
        (Answer(None, "reset", Fault.LOST), Unclear, "lost"),
        (Answer(None, ""), Unclear, "lost"),
        (Answer(200, '{"id": "video_1"}', Fault.LOST), Unclear, "lost"),
        (Answer(400, ERROR, Fault.LOST), Unclear, "lost"),
        (Answer(429, ERROR), Unclear, "rate_limited"),
        (Answer(408, ERROR), Unclear, "http_408"),
        (Answer(409, ERROR), Unclear, "http_409"),
        (Answer(405, ERROR), Unclear, "http_405"),
        (Answer(410, ERROR), Unclear, "http_410"),
        (Answer(307, ""), Unclear, "http_307"),
        (Answer(500, '{"id": "video_1"}'), Unclear, "http_500"),
        (Answer(502, ""), Unclear, "http_502"),
        (Answer(503, MODERATION), Unclear, "http_503"),
        (Answer(504, ""), Unclear, "http_504"),
    ],
)
def test_each_answer_is_classified_as_made_refused_or_unclear(answer: Answer, meaning: type, word: str) -> None:
    assert reason_of(answer) == (meaning, word)


def test_error_body_is_a_clear_refusal_only_for_listed_statuses() -> None:
    body = '{"id": "video_1", "error": {"message": "bad size"}, "progress": null}'
    for status in range(100, 600):
        meaning, word = reason_of(Answer(status, body))
        if 200 <= status < 300:
            assert (meaning, word) == (Unclear, "unreadable")
        elif status in CLEAR_NO:
            assert (meaning, word) == (ClearNo, CLEAR_NO[status])
        else:
            assert meaning is Unclear, status


def test_429_is_a_clear_refusal_only_if_the_provider_refuses_before_work() -> None:
    assert reason_of(Answer(429, ERROR), refuses_429=True) == (ClearNo, "rate_limited")
    assert reason_of(Answer(429, ERROR), refuses_429=False) == (Unclear, "rate_limited")
    assert reason_of(Answer(500, ERROR), refuses_429=True) == (Unclear, "http_500")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (ERROR, "no such size"),
        ('{"error": "bad size"}', "bad size"),
        ('{"error": {"code": "size_unknown"}}', "size_unknown"),
        ('{"detail": [{"loc": ["body", "size"]}]}', '[{"loc": ["body", "size"]}]'),
        ('{"message": "bad size"}', "bad size"),
        ('{"error": {"message": "size nul \\u0000 and half \\ud83d"}}', "size nul  and half "),
        ('{"errors": [{"title": "bad size"}]}', '[{"title": "bad size"}]'),
        ('{"error": null, "msg": "bad size"}', "bad size"),
        ('{"error_message": "bad size"}', "bad size"),
        ('{"error": {}, "code": "invalid_size"}', "invalid_size"),
        (json.dumps({"error": "size " + "x" * 1000}), "size " + "x" * 295),
    ],
)
def test_refusal_detail_keeps_the_providers_message(body: str, words: str) -> None:
    meaning = read_answer(Answer(400, body), refuses_429=False)
    assert isinstance(meaning, ClearNo)
    assert meaning.detail == words


@given(
    status=st.integers(100, 599) | st.none(),
    body=st.text() | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps),
)
def test_any_answer_can_be_read_and_its_detail_stored(status: int | None, body: str) -> None:
    meaning = read_answer(Answer(status, body), refuses_429=False)
    if not isinstance(meaning, Made):
        assert "\0" not in meaning.detail
        meaning.detail.encode()


@given(
    st.dictionaries(
        st.sampled_from(["status", "progress", "seconds", "size", "created_at", "error"]),
        st.text() | st.floats() | st.booleans() | st.none() | st.integers(),
    )
)
def test_job_is_readable_whatever_its_other_fields_hold(fields: dict[str, Any]) -> None:
    fields = {"status": "queued"} | fields | {"id": "v"}
    if isinstance(fields["status"], str):
        assert read_job(json.dumps(fields)) is not None


def test_answer_round_trips_through_json() -> None:
    for answer in (Answer(200, '{"id": "ñ"}'), Answer(None, "x", Fault.NEVER_CONNECTED)):
        assert Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer


def test_request_hash_covers_prompt_model_seconds_and_size_only() -> None:
    assert ORDER.request_hash() == replace(ORDER, run_id="run-2").request_hash()
    changed = [
        replace(ORDER, prompt="another"),
        replace(ORDER, model="m"),
        replace(ORDER, seconds=4),
        replace(ORDER, size="1280x720"),
    ]
    assert len({o.request_hash() for o in [ORDER, *changed]}) == 5
    assert ORDER.fields()["seconds"] == "8"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", JobStatus.QUEUED),
        ("pending", JobStatus.QUEUED),
        ("submitted", JobStatus.QUEUED),
        ("in_progress", JobStatus.IN_PROGRESS),
        ("Processing", JobStatus.IN_PROGRESS),
        ("running", JobStatus.IN_PROGRESS),
        ("completed", JobStatus.COMPLETED),
        ("SUCCESS", JobStatus.COMPLETED),
        ("succeeded", JobStatus.COMPLETED),
        ("done", JobStatus.COMPLETED),
        ("failed", JobStatus.FAILED),
        ("error", JobStatus.FAILED),
        ("cancelled", JobStatus.FAILED),
        ("canceled", JobStatus.FAILED),
        ("expired", JobStatus.EXPIRED),
        ("warming_up", JobStatus.UNKNOWN),
        ("", JobStatus.UNKNOWN),
    ],
)
def test_job_status_synonyms_are_mapped(word: str, status: JobStatus) -> None:
    job = read_job(json.dumps({"id": "v", "status": word}))
    assert job is not None
    assert job.status is status


def test_unreadable_job_fields_are_read_as_missing() -> None:
    job = read_job('{"id": "v", "seconds": "5s", "progress": "NaN", "created_at": "2026-11-01T00:00:00", "size": null}')
    assert job == Job("v", JobStatus.UNKNOWN)


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        ({"seconds": 8}, {"seconds": 8}),
        ({"seconds": "8"}, {"seconds": 8}),
        ({"seconds": 8.0}, {"seconds": 8}),
        ({"seconds": "8.0"}, {"seconds": 8}),
        ({"seconds": True}, {"seconds": 1}),
        ({"seconds": [8]}, {}),
        ({"seconds": 1e12}, {}),
        ({"progress": 99.6}, {"progress": 100}),
        ({"progress": "40"}, {"progress": 40}),
        ({"progress": {"percent": 40}}, {}),
        ({"created_at": "1790000000"}, {"created_at": 1.79e9}),
        ({"created_at": 1790000000.5}, {"created_at": 1790000000.5}),
        ({"created_at": None}, {}),
        ({"created_at": 10**400}, {}),
        ({"expires_at": "Infinity"}, {}),
        ({"error": "out of credit"}, {"error": "out of credit"}),
        ({"error": {"message": "no", "code": 7}}, {"error": "no"}),
        ({"error": {"code": "moderation"}}, {"error": "moderation", "error_code": "moderation"}),
        ({"error": ["no"]}, {"error": '["no"]'}),
        ({"error": {}}, {}),
        ({"error": False}, {}),
        ({"prompt": ["a"], "model": 7, "size": 720}, {}),
        ({"prompt": "", "model": "", "size": ""}, {}),
    ],
)
def test_job_fields_are_read_from_odd_types_where_possible(shown: dict[str, Any], read: dict[str, Any]) -> None:
    body = json.dumps({"id": "v", "status": "in_progress"} | shown)
    assert read_job(body) == replace(Job("v", JobStatus.IN_PROGRESS), **read)


def test_full_failed_job_is_read_with_the_providers_error() -> None:
    body = {
        "id": "v",
        "status": "failed",
        "progress": 40.0,
        "prompt": "p",
        "model": "m",
        "seconds": "8",
        "size": "720x1280",
        "created_at": 1_790_000_000,
        "expires_at": 1_790_003_600,
        "error": {"code": "moderation", "message": "the frame was refused"},
    }
    assert read_job(json.dumps(body)) == Job(
        "v",
        JobStatus.FAILED,
        40,
        "p",
        "m",
        8,
        "720x1280",
        1.79e9,
        1.7900036e9,
        "the frame was refused",
        "moderation",
    )


@pytest.mark.parametrize("unit", [1, 1e3, 1e6, 1e9])
def test_created_at_in_ms_us_or_ns_is_normalized_to_seconds(unit: float) -> None:
    job = read_job(json.dumps({"id": "v", "created_at": 1_790_000_000 * unit}))
    assert job is not None
    assert job.created_at == pytest.approx(1.79e9)


def packed(video_id: str, model: str) -> str:
    text = f"litellm:custom_llm_provider:openai;model_id:{model};video_id:{video_id}"
    return "video_" + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        # the job itself, also in the usual envelopes and words
        ('{"id": "video_1", "status": "failed"}', JobStatus.FAILED, True),
        ('{"task_id": "video_1", "task_status": "succeed"}', JobStatus.COMPLETED, True),
        ('{"code": 0, "data": {"task_id": "video_1", "status": "FAILURE"}}', JobStatus.FAILED, True),
        ('{"data": {"id": "video_1", "status": " Completed "}}', JobStatus.COMPLETED, True),
        ('\ufeff{"id": "video_1", "status": "ready"}', JobStatus.COMPLETED, True),
        ('{"id": "video_1", "status": 2}', JobStatus.UNKNOWN, True),
        ('{"id": "video_1", "video_id": "upstream_7", "status": "failed"}', JobStatus.FAILED, True),
        ('{"id": null, "video_id": "video_1", "status": "failed"}', JobStatus.FAILED, True),
        ('{"task_id": "video_1", "video_id": "upstream_7", "status": "completed"}', JobStatus.COMPLETED, False),
        # no id: it may lead to the clip, and ends nothing
        ('{"status": "completed"}', JobStatus.COMPLETED, False),
        ('{"status": "error", "message": "upstream busy"}', JobStatus.FAILED, False),
        ('{"task_status": "succeed"}', JobStatus.COMPLETED, False),
        ('{"code": 0, "data": {"status": "failed"}}', JobStatus.FAILED, False),
    ],
)
def test_job_counts_as_named_only_if_the_body_contains_its_id(body: str, status: JobStatus, named: bool) -> None:
    seen = read_job(body, "video_1")
    assert seen is not None
    assert (seen.job_id, seen.status, seen.named) == ("video_1", status, named)


@pytest.mark.parametrize(
    "body",
    [
        '{"id": "another", "status": "completed"}',
        '{"id": "another", "video_id": "video_1", "status": "failed"}',
        '{"id": 17, "video_id": "video_1", "status": "failed"}',
        '{"video_id": "another", "status": "failed"}',
        '{"id": "another", "data": {"id": "video_1", "status": "failed"}}',
        '{"error": {"message": "try later"}}',
        '{"error": {"message": "try later"}, "status": "failed"}',
        '{"code": 500, "data": {"id": "video_1", "status": "failed"}}',
        "{}",
        "<html>busy</html>",
        "[]",
    ],
)
def test_body_with_another_job_or_an_error_is_not_read_as_the_job(body: str) -> None:
    assert read_job(body, "video_1") is None


def test_litellm_ids_with_the_same_inner_id_are_the_same_job() -> None:
    one, other = packed("video_1", "a"), packed("video_1", "b")
    assert one != other and same_job(one, other) and same_job("video_1", one)
    assert not same_job(one, packed("video_2", "a"))
    seen = read_job(json.dumps({"id": other, "status": "failed"}), one)
    assert seen is not None and (seen.job_id, seen.named) == (one, True)
    foreign = {"id": packed("video_2", "a"), "video_id": "video_1", "status": "failed"}
    assert read_job(json.dumps(foreign), one) is None


@pytest.mark.parametrize(
    ("row", "odd"),
    [({"status": "queued"}, 1), ({"id": 12345}, 0), ({"id": False}, 1), (7, 1), (None, 1), ("x", 1), ({"id": "b"}, 0)],
)
def test_odd_row_does_not_hide_other_rows(row: object, odd: int) -> None:
    page = read_page(json.dumps({"data": [{"id": "a"}, row]}))
    assert page is not None
    assert (page.jobs[0].job_id, len(page.jobs), page.odd_rows) == ("a", 2 - odd, odd)


def test_body_without_a_list_gives_no_page() -> None:
    assert read_page('{"data": null}') is None
    assert read_page("[]") is None


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, '{"error": {"code": "InputTextSensitiveContentDetected"}}', "prompt_refused"),
        (422, '{"detail": [{"type": "content_policy_violation", "msg": "no"}]}', "prompt_refused"),
        (403, '{"error": {"message": "Content violates our moderation rules"}}', "prompt_refused"),
        (401, '{"error": {"message": "moderation is for paying customers"}}', "unauthorized"),
        (403, '{"error": {"message": "this key may not"}}', "forbidden"),
    ],
)
def test_prompt_refusals_are_distinguished_from_key_refusals(status: int, body: str, reason: str) -> None:
    assert reason_of(Answer(status, body)) == (ClearNo, reason)


def test_refusal_after_gateway_retries_is_unclear() -> None:
    assert reason_of(Answer(400, ERROR, attempts=1)) == (Unclear, "gateway_retried")
    assert reason_of(Answer(200, '{"id": "video_1"}', attempts=2)) == (Made, "video_1")


@pytest.mark.parametrize(
    ("fields", "gave_up"),
    [
        ({"progress": 40}, True),
        ({"error": {"message": "timed out"}}, True),
        ({"progress": 100}, False),
        ({}, False),
    ],
)
def test_expired_job_counts_as_given_up_only_if_unfinished(fields: dict[str, Any], gave_up: bool) -> None:
    job = read_job(json.dumps({"id": "v", "status": "expired"} | fields))
    assert job is not None and job.gave_up is gave_up


def test_list_page_provides_the_last_id_for_the_next_page() -> None:
    page = read_page('{"data": [{"id": "a"}, {"id": "b"}], "has_more": true}')
    assert page is not None
    assert ([job.job_id for job in page.jobs], page.has_more, page.last_id) == (["a", "b"], True, "b")
    empty = read_page('{"data": []}')
    assert empty is not None
    assert (empty.has_more, empty.last_id) == (None, None)
