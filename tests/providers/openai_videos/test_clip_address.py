"""Where a job says that its clip is."""

import json

import pytest

from providers.openai_videos.jobs import clip_urls_in, read_job


@pytest.mark.parametrize(
    ("more", "urls"),
    [
        ({"url": "https://cdn.example/v.mp4?X=1"}, "https://cdn.example/v.mp4?X=1"),
        ({"video_url": "http://cdn.example/v"}, "http://cdn.example/v"),
        ({"output": "https://cdn.example/v"}, "https://cdn.example/v"),
        (
            {"output": ["https://cdn.example/t.jpg?a", "https://cdn.example/v", "https://cdn.example/w", [["x"]]]},
            ("https://cdn.example/v", "https://cdn.example/w", "https://cdn.example/t.jpg?a"),
        ),
        (
            {"output": [f"https://cdn.example/{n}" for n in range(99)]},
            tuple(f"https://cdn.example/{n}" for n in range(6)),
        ),
        ({"url": "https://cdn.example/v", "video_url": "https://cdn.example/v"}, "https://cdn.example/v"),
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
def test_clip_urls_are_read_from_known_job_fields_and_hidden_from_repr(
    more: dict[str, object], urls: str | tuple[str, ...] | None
) -> None:
    job = read_job(json.dumps({"id": "v", "status": "completed", **more}))
    assert job is not None
    assert job.urls == (urls if isinstance(urls, tuple) else (urls,) if urls else ())
    assert "cdn.example" not in repr(job)


URL = "https://cdn.example/v"


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        ({"url": URL, "expires_in": 3600}, (URL,)),
        ({"data": [{"url": URL}]}, (URL,)),
        ({"id": "v", "status": "completed", "video": {"url": URL}}, (URL,)),
        ({"data": {"task_id": "v", "url": URL}}, (URL,)),
        ({"id": "w", "url": URL}, ()),
        ({"data": {"id": "w", "url": URL}}, ()),
        ({"error": "not ready"}, ()),
        ([URL], ()),
    ],
)
def test_json_content_response_can_hold_the_clip_url_unless_it_names_another_job(body: object, urls: object) -> None:
    assert clip_urls_in(json.dumps(body), "v") == urls
