"""What counts as the provider's own no, and what only looks like one (docs/design.md, "Evidence", rules 1, 2)."""

import json
import uuid
from typing import Any

import pytest

from providers.openai_videos.protocol import read_answer
from providers.orders import Answer, ClearNo, Made, Unclear
from tests.providers.openai_videos.test_videos_protocol import CLEAR_NO, packed, reason_of

ERROR = {"message": "no such size", "code": "invalid_size"}
KEY = "0d9c4b1e-7a43-4d0e-9f0b-2f0f4a3b5c6d"
HTML = "<html><head><title>403 Forbidden</title></head><body>cloud shield</body></html>"
NAMES_NO_JOB: tuple[dict[str, Any], ...] = (
    {"error": ERROR},
    {"id": "req_9", "error": ERROR},
    {"request_id": "req_9", "status": "error", "error": ERROR},
    {"id": "req_9", "status": 400, "error": "Bad size"},
    {"id": "req_9", "object": "error", "error": ERROR},
    {"id": "", "task_id": "", "status": "failed", "error": ERROR},
    {"id": "req_9", "errors": [{"id": "e1", "status": "422", "title": "bad size"}]},
    {"error": {"status": "INVALID_ARGUMENT", "message": "bad size"}},
)
# A job, and whether its status says that it exists.
NAMES_A_JOB: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"id": "video_1", "object": "video", "status": "queued"}, True),
    ({"id": "video_1", "status": "in_progress"}, True),
    ({"id": "video_1", "status": "completed", "error": ERROR}, True),
    ({"error": ERROR, "data": {"id": "video_1", "status": "queued"}}, True),
    ({"error": ERROR | {"video_id": "video_1", "status": "queued"}}, True),
    ({"code": "timeout", "message": "late", "data": {"task_id": "video_1", "task_status": "submitted"}}, True),
    ({"id": "video_1", "object": "video", "status": "failed", "error": ERROR}, False),
    ({"id": "video_1", "object": "video", "error": ERROR}, False),
    ({"id": "video_1", "status": "post_processing"}, False),
    ({"id": "video_1", "status": "error", "error": ERROR}, False),
    ({"id": "video_1", "created_at": 1_790_000_000, "error": ERROR}, False),
    ({"task_id": "video_1", "error": ERROR}, False),
    ({"detail": {"id": "video_1", "status": "failed"}}, False),
)


@pytest.mark.parametrize("body", NAMES_NO_JOB, ids=json.dumps)
def test_error_without_a_job_is_a_clear_refusal(body: dict[str, Any]) -> None:
    assert reason_of(Answer(400, json.dumps(body))) == (ClearNo, "bad_request")


@pytest.mark.parametrize("status", [400, 403, 422, 404, 500, 503])
@pytest.mark.parametrize(("body", "exists"), NAMES_A_JOB, ids=str)
def test_refusal_that_names_a_job_is_made_or_unclear(body: dict[str, Any], exists: bool, status: int) -> None:
    wanted = (Made, "video_1") if exists else (Unclear, "refusal_names_a_job")
    assert reason_of(Answer(status, json.dumps(body))) == wanted
    assert reason_of(Answer(status, json.dumps(body)), refuses_429=True) == wanted


@pytest.mark.parametrize("status", [409, 429])
@pytest.mark.parametrize("refuses_429", [True, False])
def test_conflict_or_rate_limit_that_names_a_job_is_unclear(status: int, refuses_429: bool) -> None:
    body = json.dumps({"id": "video_1", "object": "video", "status": "in_progress"})
    assert reason_of(Answer(status, body), refuses_429=refuses_429) == (Unclear, "refusal_names_a_job")


@pytest.mark.parametrize("status", CLEAR_NO)
@pytest.mark.parametrize(
    "body",
    [
        *(HTML, "", " ", "forbidden", "[]", "null", '"no"', "[" * 100_000, '[{"error": "bad size"}, {}]'),
        *("{}", '{"error": null}', '{"error": {}}', '{"error": {"message": ""}}', '{"errors": []}', '{"detail": " "}'),
        *('{"code": 0}', '{"code": "200", "message": "success"}', '{"ok": false}', '{"error": {"mess'),
    ],
)
def test_refusal_without_a_known_error_format_is_unclear(status: int, body: str) -> None:
    assert reason_of(Answer(status, body)) == (Unclear, "refusal_unreadable")


@pytest.mark.parametrize(
    "body",
    [
        *(
            '{"error": "bad size"}',
            '{"error": {"code": "bad_size"}}',
            '{"errors": [{"title": "bad size"}]}',
            '{"detail": "bad size"}',
        ),
        *(
            '{"message": "bad size"}',
            '{"msg": "bad size"}',
            '{"error_message": "bad size"}',
            '{"code": "invalid_size"}',
        ),
        *('[{"error": {"message": "bad size"}}]', '{"Error": {"Message": "bad size"}}', '{"title": "bad size"}'),
        *('{"error_msg": "bad size"}', '{"err_msg": "bad size"}', '{"status_message": "bad size"}'),
        *('{"base_resp": {"status_code": 2013, "status_msg": "bad size"}}', '{"failure_reason": "bad size"}'),
        *('{"description": "bad size"}', '{"ResponseMetadata": {"Error": {"Code": "x", "Message": "bad size"}}}'),
        *('\ufeff{"error": {"message": "bad size"}}', '{"error": null, "detail": [{"msg": "bad size"}]}'),
    ],
)
def test_common_error_formats_are_clear_refusals(body: str) -> None:
    assert reason_of(Answer(422, body)) == (ClearNo, "bad_request")


def test_job_in_a_one_item_error_list_makes_the_refusal_unclear() -> None:
    body = '[{"id": "video_1", "object": "video", "error": {"message": "bad size"}}]'
    assert reason_of(Answer(400, body)) == (Unclear, "refusal_names_a_job")
    body = '[{"error": {"message": "bad size", "metadata": {"job_id": "video_1"}}}]'
    assert reason_of(Answer(400, body)) == (Unclear, "refusal_names_a_job")


def test_html_429_is_unclear_even_where_429_means_refused() -> None:
    assert reason_of(Answer(429, HTML), refuses_429=True) == (Unclear, "refusal_unreadable")
    assert reason_of(Answer(429, HTML), refuses_429=False) == (Unclear, "rate_limited")


@pytest.mark.parametrize(
    "shown",
    [
        *(KEY, KEY.upper(), KEY.replace("-", ""), KEY.replace("-", "").upper(), "{" + KEY + "}", f"urn:uuid:{KEY}"),
        packed(KEY, "sora-2"),
    ],
)
@pytest.mark.parametrize("status", [200, 202, 400, 500])
def test_our_own_key_echoed_as_the_id_is_not_a_job(shown: str, status: int) -> None:
    for name in ("id", "task_id"):
        body = json.dumps({name: shown, "object": "video", "status": "queued"})
        meaning = read_answer(Answer(status, body), refuses_429=False, our_key=KEY)
        assert isinstance(meaning, Unclear) and meaning.reason == "echoes_our_key"


def test_job_id_that_is_another_uuid_is_accepted() -> None:
    body = json.dumps({"id": str(uuid.uuid4()), "status": "queued", "request_id": KEY})
    assert isinstance(read_answer(Answer(200, body), refuses_429=False, our_key=KEY), Made)
