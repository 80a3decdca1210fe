"""Where a job says that its clip is."""

import json

import pytest

from steps.video_jobs import read_job


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({"url": "https://cdn.example/v.mp4?X=1"}, "https://cdn.example/v.mp4?X=1"),
        ({"video_url": "http://cdn.example/v"}, "http://cdn.example/v"),
        ({"output": "https://cdn.example/v"}, "https://cdn.example/v"),
        ({"output": ["https://cdn.example/v", "https://cdn.example/w"]}, "https://cdn.example/v"),
        ({"video": {"url": "https://cdn.example/v"}}, "https://cdn.example/v"),
        ({"data": [{"url": "https://cdn.example/v"}]}, "https://cdn.example/v"),
        ({"result": {"url": "https://cdn.example/v"}}, "https://cdn.example/v"),
        ({"result": {"video_url": "https://cdn.example/v"}}, "https://cdn.example/v"),
        ({"content": {"video_url": "https://cdn.example/v"}}, "https://cdn.example/v"),
        ({"unsigned_urls": ["https://cdn.example/v"]}, "https://cdn.example/v"),
        ({"url": "data:video/mp4;base64,AAAA", "video": {"url": "HTTPS://cdn.example/v"}}, "HTTPS://cdn.example/v"),
        ({"url": "/v1/videos/v/content"}, None),
        ({"url": "https://cdn.example/" + "x" * 9000}, None),
        ({"url": "https://cdn.example/a b"}, None),
        ({"url": "https://cdn.example/\n"}, None),
        ({"url": 7, "output": [], "video": None, "data": [[]], "result": "none", "unsigned_urls": [None]}, None),
    ],
)
def test_a_job_may_say_where_its_clip_is(more: dict[str, object], url: str | None) -> None:
    job = read_job(json.dumps({"id": "v", "status": "completed", **more}))
    assert job is not None
    assert job.url == url
    assert "cdn.example" not in repr(job)
