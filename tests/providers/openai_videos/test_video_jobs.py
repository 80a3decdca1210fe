"""Which parts of a body describe the job, and which may only echo the requested id (rule 1)."""

import json
from typing import Any

import pytest

from providers.job import JobStatus
from providers.openai_videos.jobs import clip_urls_in, ids_shown, read_job
from steps.generate_video import failure_of

ECHO = {"id": "v", "status": "failed", "error": {"message": "upstream request failed"}}


@pytest.mark.parametrize(
    ("shown", "described"),
    [
        ({}, False),
        ({"object": "video"}, True),
        ({"object": "video.generation"}, True),
        ({"object": "Video"}, True),
        ({"object": "error"}, False),
        ({"object": "videos"}, False),
        ({"object": None, "model": None, "prompt": "", "created_at": None}, False),
        ({"created_at": 1_790_000_000}, True),
        ({"created_at": "2026-11-01T00:00:00Z"}, True),
        ({"model": "sora-2"}, True),
        ({"prompt": "a paper boat"}, True),
        ({"seconds": "8"}, True),
        ({"size": "720x1280"}, True),
        ({"progress": 0}, True),
        ({"completed_at": 1_790_000_000}, True),
        ({"expires_at": 1_790_000_000}, True),
        ({"request_id": "req_9", "trace_id": "t", "message": "x", "code": 0}, False),
    ],
)
def test_failure_counts_only_if_the_body_describes_the_job(shown: dict[str, Any], described: bool) -> None:
    for body in (ECHO | shown, {"code": 0, "data": ECHO | shown}, ECHO | shown | {"status": "expired"}):
        job = read_job(json.dumps(body), "v")
        assert job is not None and job.named
        assert job.described is described
        assert (failure_of(job) is not None) is described


def test_job_fields_in_a_nested_object_do_not_describe_the_job() -> None:
    job = read_job(json.dumps(ECHO | {"request": {"model": "sora-2", "seconds": 8}}), "v")
    assert job is not None and not job.described


@pytest.mark.parametrize(
    ("body", "exists"),
    [
        ({"id": "v", "status": "queued"}, True),
        ({"id": "v", "status": "completed"}, True),
        ({"id": "v", "status": "failed"}, False),
        ({"id": "v", "status": "post_processing"}, False),
        ({"id": "v", "status": "post_processing", "progress": 0}, True),
        ({"id": "v", "object": "video", "status": "failed"}, True),
        ({"object": "video", "status": "queued"}, False),
    ],
)
def test_job_exists_if_described_or_if_its_id_has_a_queued_or_completed_status(
    body: dict[str, Any], exists: bool
) -> None:
    job = read_job(json.dumps(body), "v")
    assert job is not None
    assert job.exists is exists


INNER = {"task_id": "job_1", "task_status": "submitted"}


@pytest.mark.parametrize(
    ("body", "job_id"),
    [
        ({"id": "req-77", "code": 0, "data": INNER}, "job_1"),
        ({"id": "req-77", "data": INNER}, "job_1"),
        ({"id": 1, "jsonrpc": "2.0", "result": {"id": "job_1", "status": "queued"}}, "job_1"),
        ({"id": "job_2", "status": "queued", "data": INNER}, "job_2"),
        ({"id": "job_2", "data": {"task_id": "job_1"}}, "job_2"),
        ({"id": "job_2", "data": {"status": "queued"}}, "job_2"),
        ({"id": 70001, "status": "queued"}, "70001"),
    ],
    ids=json.dumps,
)
def test_job_id_comes_from_the_object_that_has_both_id_and_status(body: dict[str, Any], job_id: str) -> None:
    job = read_job(json.dumps(body))
    assert job is not None and job.job_id == job_id


def test_envelope_request_id_does_not_hide_the_job() -> None:
    for inner in (INNER, {"id": "job_1", "status": "queued"}):
        job = read_job(json.dumps({"id": "req-78", "code": 0, "data": inner}), "job_1")
        assert job is not None and job.named
    assert read_job(json.dumps({"id": "job_2", "data": INNER}), "job_1") is None


def test_ids_shown_returns_every_id_in_an_answer() -> None:
    assert ids_shown(json.dumps({"id": "req-77", "code": 0, "data": INNER})) == {"req-77", "job_1"}
    assert ids_shown(json.dumps({"id": "job_1", "task_id": "job_1"})) == {"job_1"}
    assert ids_shown("<html>") == frozenset()


ROWS = [
    {"id": "other", "status": "completed", "url": "https://example.org/other.mp4"},
    {"id": "v", "status": "in_progress", "url": "https://example.org/v.mp4"},
]


@pytest.mark.parametrize("around", [{"object": "list"}, {"code": 0, "status": "success"}], ids=str)
@pytest.mark.parametrize("name", ["data", "result", "videos"])
def test_only_the_jobs_own_row_counts_when_a_list_is_returned_instead(around: dict[str, Any], name: str) -> None:
    """A gateway that drops the end of a path answers with the list."""
    body = json.dumps(around | {name: ROWS})
    job = read_job(body, "v")
    assert job is not None and (job.status, job.named) == (JobStatus.IN_PROGRESS, True)
    assert read_job(body, "w") is None
    assert clip_urls_in(body, "v") == ("https://example.org/v.mp4",)
    assert clip_urls_in(body, "w") == ()


def test_rows_with_unknown_id_fields_give_no_clip_url() -> None:
    rows = [{"generation_id": n, "url": f"https://example.org/{n}.mp4"} for n in ("a", "b")]
    assert clip_urls_in(json.dumps({"data": rows}), "v") == ()
    files = [{"url": "https://example.org/v.mp4", "size": "720x1280"}]
    assert clip_urls_in(json.dumps({"data": files}), "v") == ("https://example.org/v.mp4",)


def test_envelope_status_is_not_the_jobs_status() -> None:
    def jsend(**job: object) -> str:
        return json.dumps({"status": "success", "data": job})

    made = read_job(jsend(id="v", status="queued"))
    assert made is not None and (made.job_id, made.status) == ("v", JobStatus.QUEUED)
    shown = read_job(jsend(id="v", status="in_progress"), "v")
    assert shown is not None and shown.status is JobStatus.IN_PROGRESS
    assert read_job(jsend(id="other", status="completed", url="https://example.org/o.mp4"), "v") is None


@pytest.mark.parametrize(
    ("shown", "is_gone"),
    [
        ({"status": "expired"}, True),
        ({"status": "expired", "progress": 100, "error": {"code": "video_expired"}}, True),
        ({"status": "expired", "completed_at": 1_790_000_000, "error": {"code": "video_expired"}}, True),
        ({"status": "expired", "progress": 0, "completed_at": 1_790_000_000}, True),
        ({"status": "expired", "error": {"message": "the render took too long"}}, False),
        ({"status": "failed", "progress": 100, "error": "the asset has expired and was deleted"}, True),
        ({"status": "failed", "completed_at": 1_790_000_000, "error": "past its retention"}, True),
        ({"status": "failed", "progress": 100, "error": "out of memory"}, False),
        ({"status": "failed", "progress": 100, "completed_at": 1, "error": "Asset gone (TTL)"}, True),
        ({"status": "failed", "progress": 100, "completed_at": 1, "error": "blocked by moderation"}, False),
        ({"status": "expired", "progress": 1.0, "error": {"code": "gone"}}, True),
        ({"status": "expired", "progress": 1}, True),  # JavaScript's 1.0
        ({"status": "expired", "progress": "1.0"}, True),
        ({"status": "expired", "progress": "100%", "error": {"code": "expired"}}, True),
        ({"status": "expired", "progress": "40 %", "error": {"code": "timeout"}}, False),
        ({"status": "expired", "completed_at": "2026-11-29T10:00:00.123456", "error": {"code": "expired"}}, True),
        ({"status": "failed", "completed_at": "2026-11-29 10:00:00", "error": "deleted after its retention"}, True),
        ({"status": "failed", "progress": 100, "error": "output file removed by the cleanup job"}, True),
        ({"status": "expired", "progress": 0.4, "error": {"code": "timeout"}}, False),
        ({"status": "failed", "progress": 40, "error": "your session expired"}, False),
        ({"status": "completed", "progress": 100}, False),
    ],
    ids=str,
)
def test_job_is_gone_if_its_finished_clip_expired_or_was_deleted(shown: dict[str, Any], is_gone: bool) -> None:
    job = read_job(json.dumps({"id": "v"} | shown))
    assert job is not None and job.is_gone is is_gone


@pytest.mark.parametrize(
    "fields",
    [
        {"next_retry_at": 1_999_999_999},
        {"will_retry": True},
        {"retrying": True},
        {"error": {"code": "worker_oom", "will_retry": True}},
    ],
    ids=str,
)
def test_failed_job_with_retry_fields_has_unknown_status(fields: dict[str, Any]) -> None:
    job = read_job(json.dumps({"id": "v", "status": "failed", "error": {"code": "worker_oom"}} | fields))
    assert job is not None and job.status is JobStatus.UNKNOWN


@pytest.mark.parametrize("fields", [{"will_retry": False}, {"next_retry_at": None}, {"retrying": 0}], ids=str)
def test_failed_job_with_negative_retry_fields_is_failed(fields: dict[str, Any]) -> None:
    job = read_job(json.dumps({"id": "v", "status": "failed", "error": {"code": "worker_oom"}} | fields))
    assert job is not None and job.status is JobStatus.FAILED


@pytest.mark.parametrize("zero", [0, "0", -1, "-1", 0.0])
def test_zero_or_negative_seconds_are_read_as_unknown(zero: object) -> None:
    job = read_job(json.dumps({"id": "v", "status": "queued", "seconds": zero}))
    assert job is not None and job.seconds is None


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        ("2026-11-01T00:00:00Z", 1_793_491_200.0),
        ("2026-11-01T08:00:00+08:00", 1_793_491_200.0),
        ("2026-11-01T00:00:00", None),
        ("1793491200", 1_793_491_200.0),
        ("-5", -5.0),
        ("yester-day", None),
    ],
)
def test_created_at_without_a_time_zone_is_ignored(shown: str, seconds: float | None) -> None:
    job = read_job(json.dumps({"id": "v", "created_at": shown}))
    assert job is not None and job.created_at == seconds


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({"status": "failed", "failure_reason": "blocked by moderation"}, "blocked by moderation"),
        ({"status": "failed", "error": None, "fail_reason": "out of memory"}, "out of memory"),
        ({"status": "failed", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "failed", "error": {"type": "content_policy_violation"}}, "content_policy_violation"),
        ({"task_status": "failed", "task_status_msg": "risk control"}, "risk control"),
        ({"status": "failed", "errors": [{"message": "flagged as nsfw"}]}, "flagged as nsfw"),
        ({"status": "failed", "last_error": {"message": "no memory"}}, "no memory"),
        ({"status": "failed", "base_resp": {"status_code": 1026, "status_msg": "sensitive input"}}, "sensitive input"),
        ({"status": "failed", "base_resp": {"status_code": 0, "status_msg": "success"}}, "the provider gave no reason"),
        ({"status": "rejected"}, "rejected"),
        ({"status": "Content Moderated"}, "Content Moderated"),
        ({"status": "blocked", "error": {"message": "nudity"}}, "nudity"),
        ({"status": "content-filtered", "message": "see our rules"}, "see our rules"),
        ({"status": "failed"}, "the provider gave no reason"),
        ({"status": "completed", "data": [], "rai_media_filtered_reasons": ["violence"]}, "violence"),
        ({"status": "completed", "output": [], "nsfw": True}, "nsfw"),
        ({"status": "completed", "error": {"code": "content_filtered"}}, "content_filtered"),
        ({"status": "completed", "output": None, "finish_reason": "content_filter"}, "content_filter"),
        ({"status": "completed", "url": None, "moderation": {"flagged": True}}, "content flagged: True"),
        ({"status": "completed", "raiMediaFilteredReasons": ["celebrity likeness"]}, "celebrity likeness"),
        ({"status": "completed", "raiMediaFilteredCount": 1}, "filtered count: 1"),
        ({"status": "completed", "result": {"videos": [], "filtered_reason": "Content policy"}}, "Content policy"),
        ({"status": "completed", "url": "", "message": "NSFW"}, "NSFW"),
        ({"status": "completed", "output": "", "error": "NSFW content"}, "NSFW content"),
        ({"status": "completed", "video": None, "blocked": True}, "content blocked: True"),
        ({"status": "completed", "output": [None], "logs": "step 1\nNSFW content detected. Again?"}, "NSFW content"),
        ({"status": "completed", "data": [{"nsfw": True}]}, "content nsfw: True"),
        ({"status": "completed", "output": [], "has_nsfw_concepts": [False, True]}, "nsfw concepts: True"),
        ({"status": "completed", "n": 0, "message": "The clip breaches our policies"}, "breaches our policies"),
        ({"task_status": "succeed", "task_status_msg": "risk control", "task_result": {"videos": []}}, "risk control"),
        ({"status": "completed", "moderation": {"status": "blocked"}}, "moderation status: blocked"),
        ({"status": "completed", "url": "https://example.org/cover.jpg", "filtered": True}, "content filtered: True"),
        ({"status": "completed", "output": [], "warning": "The scan passed. Blocked by safety"}, "Blocked by safety"),
        ({"status": "failed", "moderation": {"flagged": True}}, "content flagged: True"),
        ({"status": "failed", "logs": ["NSFW content detected"]}, "NSFW content detected"),
        ({"status": "failed", "finish_reason": "content_filter"}, "content_filter"),
        ({"status": "refused"}, "refused"),
        ({"status": "failed_safety"}, "failed_safety"),
        ({"status": "policy_violation"}, "policy_violation"),
        ({"status": "content_policy_violation"}, "content_policy_violation"),
        ({"status": "Fail"}, "the provider gave no reason"),
        # a clip may be there, or what is said is not said of content
        ({"status": "completed", "output": [], "nsfw": False}, None),
        ({"status": "completed", "nsfw": True}, None),
        ({"status": "completed", "output": ["https://example.org/v.mp4"], "nsfw": True}, None),
        ({"status": "completed", "data": [], "message": "success"}, None),
        ({"status": "completed", "data": [], "prompt": "nudity", "warning": "slow: nudity"}, None),
        ({"status": "completed", "error": {"code": "thumbnail_failed"}}, None),
        ({"status": "completed", "moderation": {"flagged": False, "categories": {"violence": False}}}, None),
        ({"status": "completed", "output": None, "moderation": {"status": "passed"}}, None),
        ({"status": "completed", "output": None, "message": "Moderation passed"}, None),
        ({"status": "completed", "output": [None], "logs": "loading safety checker\nNo NSFW content detected"}, None),
        ({"status": "completed", "output": None, "filter_nsfw": True, "settings": {"blocked": True}}, None),
        ({"status": "completed", "output": None, "input": {"reason": "nudity"}}, None),
        ({"status": "moderation_pending"}, None),
        ({"status": "reviewing"}, None),
        ({"status": "in_progress", "moderation": {"status": "blocked"}}, None),
    ],
    ids=str,
)
def test_failure_reason_is_read_from_known_fields_only(shown: dict[str, Any], words: str | None) -> None:
    job = read_job(json.dumps({"id": "v", "object": "video"} | shown), "v")
    assert job is not None
    said = failure_of(job)
    assert (said is None) if words is None else (said is not None and words in said)


@pytest.mark.parametrize(
    ("shown", "refuses"),
    [
        ({"error": {"message": "Stopped", "details": [{"info": {"reason": "content_filter"}}]}}, True),
        ({"error": {"message": "Stopped"}, "raiMediaFilteredReasons": ["unknown"]}, True),
        ({"error": {"message": "Stopped"}, "status": "failed_safety"}, True),
        ({"error": {"message": "out of memory"}, "nsfw": True}, False),
        ({"error": {"message": "out of memory"}, "input": {"detail": "nudity"}}, False),
        ({"error": {"message": "out of memory"}, "logs": "safety checker loaded"}, False),
    ],
    ids=str,
)
def test_content_refusal_is_found_deeper_in_a_job_with_a_general_error(shown: dict[str, Any], refuses: bool) -> None:
    job = read_job(json.dumps({"id": "v", "object": "video", "status": "failed"} | shown), "v")
    assert job is not None and job.refuses_content(failure_of(job) or "") is refuses
