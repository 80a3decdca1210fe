"""When a clip is definitely absent, and when it is only not there yet."""

import pytest

from steps.absence import is_absent

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
def test_only_words_or_statuses_that_mean_it_say_that_a_clip_is_absent(status: int, words: str, absent: bool) -> None:
    assert is_absent(status, words, FAILURE) is absent
