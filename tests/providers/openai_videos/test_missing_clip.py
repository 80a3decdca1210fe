"""When a clip is definitely absent, and when it is just not there yet."""

import pytest

from providers.openai_videos.missing_clip import is_about_reading, is_absent, will_be_repeated

FAILURE = "CUDA out of memory"


@pytest.mark.parametrize(
    ("status", "words", "absent"),
    [
        (404, "", True),
        (410, "", True),
        (404, "Video not found", True),
        (404, "Video is not ready yet: it is failed.", True),
        (404, "An error occurred while processing your request", True),
        (404, "video_processing_failed", True),
        (422, "Video generation failed", True),
        (422, "CUDA out of memory", True),
        (400, "The content has expired", True),
        (409, "job was cancelled", True),
        (422, "no video content", True),
        (409, "", False),
        (400, "", False),
        (422, "Unprocessable Entity", False),
        (404, "video_not_ready", False),
        (404, "no video content yet", False),
        (404, "is in_progress", False),
        (410, "status: processing", False),
        (404, "it failed and is queued for a retry", False),
        (404, "attempt 1 failed, retrying", False),
        (404, "the video is not yet available", False),
        (404, "generation has not completed", False),
    ],
)
def test_clip_is_absent_only_for_definite_statuses_or_messages(status: int, words: str, absent: bool) -> None:
    assert is_absent(status, words, FAILURE) is absent


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("Worker died (attempt 1 of 3); the job was requeued and will be retried", True),
        ("re-queued after a crash", True),
        ("retrying on another node", True),
        ("will retry in 30 s", True),
        ("任务失败，正在自动重试", True),
        ("Instance preempted (attempt 1/3), resuming on another node", True),
        ("Something went wrong, please try again", False),
        ("failed after 3 retries", False),
    ],
)
def test_failure_message_that_announces_a_retry_is_recognized(words: str, again: bool) -> None:
    assert will_be_repeated(words) is again


@pytest.mark.parametrize(
    ("words", "of_reading"),
    [
        ("Video not found", True),
        ("job does not exist", True),
        ("upstream connect error", True),
        ("Read timed out. (read timeout=30)", True),
        ("403 Forbidden", True),
        *((words, True) for words in ("i/o timeout", "EOF", "fetch failed", "Premature close")),
        *(
            (words, True)
            for words in ("context deadline exceeded", "查询任务失败：上游超时", "任务查询失败，请稍后重试")
        ),
        ("превышено время ожидания шлюза", True),
        ("generation timed out", False),
        ("the prompt has forbidden words", False),
        ("CUDA out of memory", False),
        ("the prompt was refused", False),
    ],
)
def test_lookup_errors_are_distinguished_from_render_failures(words: str, of_reading: bool) -> None:
    assert is_about_reading(words) is of_reading
