"""A refusal that mentions a first copy or a lost answer is not a clear no (rule 2)."""

import json
from typing import Any

import pytest

from providers.openai_videos.protocol import read_answer
from providers.orders import Answer, ClearNo, Unclear

PROMPT = (
    "A clock tower: its hands have timed out, upstream salmon jump, the connection reset by peer. Duplicate request"
)


def reason(body: dict[str, Any], status: int = 400, prompt: str = PROMPT, *, refuses_429: bool = False) -> str:
    meaning = read_answer(Answer(status, json.dumps(body)), refuses_429=refuses_429, prompt=prompt)
    assert isinstance(meaning, ClearNo | Unclear)
    return meaning.reason if isinstance(meaning, Unclear) else f"no:{meaning.reason}"


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize(
    "error",
    [
        {"code": "idempotency_key_reuse"},
        {"code": "IdempotencyKeyReuse", "message": "see our docs"},
        {
            "type": "idempotency_error",
            "message": "Use it with the parameters of its first use only",
        },
        {"message": "Duplicate request"},
        {"message": "Request already in progress"},
        {"message": "A request with this key is still in progress", "code": "idempotency_conflict"},
        {"message": "This request id has already been used."},
        {"message": "A task with the same id already exists", "code": 1102},
        {"message": "Invalid Idempotency-Key: already used"},
    ],
    ids=json.dumps,
)
def test_errors_about_a_reused_idempotency_key_mean_key_used_before(error: dict[str, Any], status: int) -> None:
    assert reason({"error": error}, status) == "key_used_before"


@pytest.mark.parametrize("message", ["Idempotency-Key must be a UUID", "Invalid idempotency key", "key is too long"])
def test_malformed_idempotency_key_error_is_a_clear_refusal(message: str) -> None:
    assert reason({"error": {"message": message}}) == "no:bad_request"


LOST = (
    {"detail": "HTTPSConnectionPool(host='api.x.ai', port=443): Read timed out. (read timeout=30)"},
    {"error": {"message": "Request timeout", "type": "invalid_request_error"}},
    {"error": {"message": "no answer", "type": "ReadTimeout"}},
    {"error": {"message": "no answer", "code": "gateway_timeout"}},
    {"error": {"message": "rpc error: context deadline exceeded"}},
    {"error": {"status": "DEADLINE_EXCEEDED", "message": "no"}},
    {"message": "read tcp 10.0.0.1:443: connection reset by peer"},
    {"message": "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))"},
    {"message": "dial tcp: connect: connection refused"},
    {"msg": "Server disconnected without sending a response."},
    {"error": 'Post "https://api.x.ai/v1/videos": EOF'},
    {"error": {"message": "unexpected_eof"}},
    {"error": {"code": "ECONNRESET", "message": "fetch failed"}},
    {"error": {"message": "socket hang up"}},
    {"error": {"message": "502 Bad Gateway"}},
    {"error": {"message": "upstream error", "type": "upstream_error"}},
    {"errors": [{"title": "Service Unavailable"}]},
    {
        "error": {
            "message": "Provider returned error",
            "metadata": {"raw": '{"error": "Service is temporarily unavailable"}'},
        }
    },
    {"error": {"message": f"the request for '{PROMPT}' timed out"}},
    {"error": {"message": f"upstream error on '{PROMPT}'"}},
    {"error": {"message": "moderation timed out", "code": "moderation_timeout"}},
)


@pytest.mark.parametrize("body", LOST, ids=json.dumps)
@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_refusal_that_mentions_a_lost_answer_is_unclear(body: dict[str, Any], status: int) -> None:
    assert reason(body, status) == "refusal_of_a_lost_answer"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"error": {"message": f"bad size for '{PROMPT}'"}}, "bad_request"),
        ({"error": {"message": f"bad size for '{PROMPT[:60]}...'"}}, "bad_request"),
        ({"error": {"message": f"bad size: {PROMPT.upper()}"}}, "bad_request"),
        (
            {"detail": [{"loc": ["body", "timeout"], "msg": "Extra inputs are not permitted", "input": "timed out"}]},
            "bad_request",
        ),
        ({"error": {"message": "Invalid value for size", "param": "upstream"}}, "bad_request"),
        ({"error": {"message": "model not available in this region"}}, "bad_request"),
        (
            {"error": {"message": "against our content policy", "type": "upstream_error"}},
            "prompt_refused",
        ),
        ({"error": {"message": "Geoffrey is a sensitive content"}}, "prompt_refused"),
    ],
    ids=str,
)
def test_validation_and_content_refusals_are_clear_despite_echoed_words(body: dict[str, Any], wanted: str) -> None:
    assert reason(body) == f"no:{wanted}"


def test_short_prompt_is_ignored_only_where_the_refusal_echoes_it() -> None:
    assert reason({"error": {"message": "bad prompt 'timeout'"}}, prompt="timeout") == "no:bad_request"
    assert reason({"error": {"message": "the gateway read timed out"}}, prompt="a boat") == "refusal_of_a_lost_answer"


def test_upstream_rate_limit_is_a_clear_refusal_but_a_timeout_is_not() -> None:
    limited = {"error": {"message": "the model is rate-limited upstream"}}
    assert reason(limited, 429, refuses_429=True) == "no:rate_limited"
    assert reason({"error": {"message": "timed out"}}, 429, refuses_429=True) == "refusal_of_a_lost_answer"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": {"code": "video_not_found", "message": "Video 'video_4711' not found."}}),
        (400, {"code": "task_not_exist", "message": "task_not_exist"}),
        (400, {"error": {"message": "No such job: 17"}}),
        (400, {"error": "The generation abc doesn't exist"}),
        (422, {"detail": [{"loc": ["response", "created_at"], "msg": "Field required", "type": "missing"}]}),
        (400, {"error": {"message": "Failed to parse provider response: 1 validation error for VideoObject"}}),
        (400, {"error": {"type": "ResponseValidationError", "message": "see our log"}}),
        (400, {"error": {"message": "Unexpected token '<', \"<html>...\" is not valid JSON"}}),
        (400, {"error": {"message": "Expecting value: line 1 column 1 (char 0)"}}),
        (404, {"error": "record not found"}),
        (404, {"detail": "Prediction not found"}),
        (402, {"error": {"message": "Your video was submitted for rendering, but the balance could not be charged"}}),
        (413, {"message": "Response payload size exceeded maximum allowed payload size"}),
        (403, {"code": "42501", "message": "new row violates row-level security policy for table generations"}),
        (400, {"error": {"code": "insert_task_failed", "message": "UNIQUE constraint failed: tasks.id"}}),
        (400, {"detail": "'NoneType' object has no attribute 'id'"}),
        (400, {"detail": "KeyError: 'task_id'"}),
        (400, {"detail": "1 validation error for GenerationOut"}),
        (400, {"error": {"message": "json: cannot unmarshal string into Go struct field"}}),
        (400, {"error": {"message": "1 validation error for CreateVideoResponse: request_id"}}),
        (400, {"error": {"message": "Token expired while waiting for the result"}}),
    ],
    ids=str,
)
def test_refusal_about_a_job_or_a_response_is_unclear(status: int, body: dict[str, Any]) -> None:
    assert reason(body, status) == "refusal_after_the_job"


@pytest.mark.parametrize("status", [400, 403, 404, 422])
@pytest.mark.parametrize(
    "words",
    [
        *("'id'", "list index out of range", "database is locked", "fetch failed", "Premature close", "ReadError('')"),
        *("(sqlite3.OperationalError) database is locked", "result.data is not iterable"),
        *("stream error: stream ID 13; INTERNAL_ERROR; received from peer", "[Errno 28] No space left on device"),
        *("Object of type datetime is not JSON serializable", "not enough values to unpack (expected 2, got 1)"),
        *("Cannot destructure property 'id' of 'result.data' as it is null.", "sql: no rows in result set"),
        *("Data too long for column 'task_id' at row 1", "string indices must be integers, not 'str'"),
        *("READONLY You can't write against a read only replica.", "missing field `task_id` at line 1 column 20"),
        *("服务响应异常，请稍后重试", "Bad Request", "Invalid request"),
    ],
)
def test_refusal_without_a_recognized_reason_is_unclear(words: str, status: int) -> None:
    error = {"message": words, "type": "invalid_request_error", "code": "bad_request"}
    assert reason({"error": error}, status) == "refusal_of_nothing"


def test_database_permission_error_in_a_refusal_is_unclear() -> None:
    assert reason({"code": "42501", "message": "permission denied for table videos"}, 403) == "refusal_after_the_job"


@pytest.mark.parametrize(
    "error",
    [
        {"message": "no", "param": "size"},
        {"message": "Insufficient balance"},
        {"message": "Your account is suspended"},
        {"code": "model_not_found", "message": "渠道不存在"},
        {"code": "insufficient_user_quota", "message": "余额不足"},
        {"message": "Cannot POST /videos"},
        {"message": "The request body is no JSON"},
    ],
    ids=str,
)
def test_refusal_with_a_recognized_reason_is_clear(error: dict[str, Any]) -> None:
    assert reason({"error": error}).startswith("no:")


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (404, {"error": {"message": "The model `video-1` does not exist"}}, "not_found"),
        (404, {"detail": "Not Found"}, "not_found"),
        (400, {"error": {"message": "Invalid value for response_format"}}, "bad_request"),
        (422, {"detail": [{"loc": ["body", "size"], "msg": "not a size"}]}, "bad_request"),
        (400, {"error": {"message": "Unexpected token } in JSON at position 40"}}, "bad_request"),
        (400, {"error": {"message": "This prompt violates our content policy"}}, "prompt_refused"),
        (400, {"error": {"message": "seconds must be one of 4, 8, 12"}}, "bad_request"),
        (401, {"error": {"message": "API key error"}}, "unauthorized"),
        (
            422,
            {"detail": [{"loc": ["body", "seconds"], "msg": "no integer", "type": "type_error.integer"}]},
            "bad_request",
        ),
        (400, {"error": {"message": "1 validation error for CreateVideoRequest: seconds"}}, "bad_request"),
    ],
    ids=str,
)
def test_refusal_about_the_request_is_clear(status: int, body: dict[str, Any], wanted: str) -> None:
    assert reason(body, status) == f"no:{wanted}"


@pytest.mark.parametrize("status", [400, 403, 422])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "This request violates our policies"},
        {"message": "The prompt contains prohibited words"},
        {"code": "invalid_prompt", "message": "Contains blocked terms"},
        {"message": "Potentially unsafe content"},
        {"message": "The prompt names a real person"},
        {"message": "Copyrighted character"},
        {"message": "Prompt not allowed"},
        {"message": "We found nudity in your request"},
        {"message": "Please try a different prompt"},
        {"code": "InputTextSensitiveContentDetected"},
        {"message": "El contenido de la solicitud infringe las normas"},
        {"code": 1301, "message": "\u5185\u5bb9\u8fdd\u89c4"},
        {"message": "Rejected by our safety system. Repeated violations may lead to account suspension."},
        {"code": "content_policy_violation", "message": "Unauthorized use of a real person's likeness."},
        {"code": "moderation_blocked", "message": "Prompt contains blocked words: 'invalid api key'"},
        {"message": "Unauthorized likeness", "innererror": {"code": "content_policy_violation"}},
        {"code": "moderation_blocked", "message": "After three such prompts the account is temporarily suspended"},
        {"code": "content_filter", "message": "The response was filtered due to the prompt triggering our policy."},
    ],
    ids=json.dumps,
)
def test_content_refusals_are_recognized_in_many_wordings(error: dict[str, Any], status: int) -> None:
    assert reason({"error": error}, status) == "no:prompt_refused"


@pytest.mark.parametrize("status", [402, 451])
@pytest.mark.parametrize(
    ("error", "means"),
    [
        ({"code": "content_policy_violation"}, "refused"),
        ({"message": "The prompt was rejected by our safety system"}, "refused"),
        ({"code": "moderation_blocked", "message": "no"}, "refused"),
        ({"message": "Your prompt violates our usage policies"}, "refused"),
        ({"message": "no"}, "as its status"),
        ({"message": "An earlier request was blocked by our safety system"}, "as its status"),
        ({"message": "Content policy violation check is still pending"}, "as its status"),
        ({"message": "Insufficient balance, see our usage policies"}, "as its status"),
        ({"message": "moderation"}, "as its status"),
    ],
    ids=str,
)
def test_status_402_or_451_is_a_content_refusal_only_with_explicit_words(
    error: dict[str, Any], means: str, status: int
) -> None:
    as_its_status = {402: "no:no_credit", 451: "http_451"}[status]
    assert reason({"error": error}, status) == ("no:prompt_refused" if means == "refused" else as_its_status)


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (200, {"error": {"code": "content_policy_violation"}}, "unreadable"),
        (200, {"data": [], "message": "content filtered"}, "unreadable"),
        (500, {"error": {"code": "content_policy_violation"}}, "http_500"),
        (409, {"error": {"code": "content_policy_violation"}}, "http_409"),
        (451, {"error": {"code": "content_policy_violation"}, "job_id": "j_1"}, "refusal_names_a_job"),
        (451, {"error": {"message": "blocked by our safety system; duplicate request"}}, "key_used_before"),
        (451, {"error": {"message": "blocked by our safety system: read timed out"}}, "refusal_of_a_lost_answer"),
        (400, {"error": {"message": "upstream error: potentially unsafe content"}}, "refusal_of_a_lost_answer"),
    ],
    ids=str,
)
def test_content_words_do_not_turn_an_unclear_answer_into_a_refusal(
    status: int, body: dict[str, Any], wanted: str
) -> None:
    assert reason(body, status) == wanted


@pytest.mark.parametrize("status", [400, 403, 422])
@pytest.mark.parametrize(
    "error",
    [
        {"code": "invalid_api_key", "message": "Incorrect API key; see our usage policies"},
        {"status": "INVALID_ARGUMENT", "message": "API key not valid. Read our content policy."},
        {"message": "Your account has been suspended for violating our usage policies"},
        {"type": "authentication_error", "message": "moderation"},
        {"type": "access_terminated", "message": "Your access was terminated due to violation of our policies"},
        {"message": "Your account was flagged for potential violations of our usage policies."},
        {"message": "You must accept the usage policies of this model"},
        {"message": "Your API key has no permission; see the safety guidelines"},
    ],
    ids=json.dumps,
)
def test_key_or_account_refusal_is_recognized_despite_policy_words(error: dict[str, Any], status: int) -> None:
    assert reason({"error": error}, status) == ("no:forbidden" if status == 403 else "no:unauthorized")


def test_content_words_echoed_from_the_prompt_are_ignored() -> None:
    prompt = "A nude marble statue in a museum, sexual violence against all policies"
    assert reason({"error": {"message": f"bad size for '{prompt}'"}}, 400, prompt) == "no:bad_request"
    assert reason({"error": {"message": f"bad size for '{prompt}'"}}, 400, "a boat") == "no:prompt_refused"


@pytest.mark.parametrize(
    ("within", "wanted"),
    [
        ({"metadata": {"job_id": "j_1"}}, "refusal_names_a_job"),
        ({"metadata": {"videos": [{"id": "v_1", "status": "queued"}]}}, "refusal_names_a_job"),
        ({"account": {"id": "acc_1", "status": "suspended"}}, "no:no_credit"),
        ({"models": [{"id": "sim-1", "object": "model"}]}, "no:no_credit"),
    ],
    ids=str,
)
def test_refusal_naming_a_job_at_any_depth_is_unclear(within: dict[str, Any], wanted: str) -> None:
    assert reason({"error": {"message": "Limit reached", **within}}, 402) == wanted
