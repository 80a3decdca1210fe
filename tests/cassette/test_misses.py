"""A request that was not recorded, and a recording that nobody asked for, say so in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from vcr import request as vcr_request

from tests.cassette.misses import explain_miss
from tests.cassette.scrubbing import REPLAY_URL, read_body, scrub_request, scrub_response
from tests.support.recordings import ReadableYaml, open_cassette

CASSETTES = Path(__file__).parents[2] / "cassettes" / "cassette"
BOAT = CASSETTES / "test_validate_prompt" / "test_a_harmless_prompt_is_approved_and_improved.yaml"
ORDER = CASSETTES / "test_provider" / "test_a_multipart_order_is_rendered_and_its_clip_arrives_whole.yaml"
JSON_ORDER = CASSETTES / "test_provider" / "test_a_json_order_carries_the_same_fields.yaml"
Request: Any = vcr_request.Request  # ships without types
AGAIN = "record again: make record"


def chat(change: tuple[str, str]) -> Any:
    """The recorded question with some words changed."""
    kept = ReadableYaml.deserialize(BOAT.read_text())["interactions"][0]["request"]
    assert change[0] in kept["body"]
    return Request("POST", kept["uri"], kept["body"].replace(*change).encode(), {"content-type": "application/json"})


def test_a_changed_template_is_named_with_its_section_and_the_first_difference() -> None:
    with open_cassette(BOAT) as cassette:
        said = explain_miss(cassette, chat(("You check and improve prompts", "You judge prompts")))
    assert "the system message of prompts/validate_prompt.md changed" in said
    assert "recorded 'You check" in said
    assert "now 'You judge" in said
    assert said.startswith("cassettes/cassette/test_validate_prompt/test_a_harmless")
    assert said.endswith(AGAIN)
    assert "\n" not in said


def test_a_changed_answer_model_is_named() -> None:
    with open_cassette(BOAT) as cassette:
        assert "the answer model Verdict changed" in explain_miss(cassette, chat(("safe_rewrite", "milder_version")))


def test_a_changed_setting_is_named() -> None:
    with open_cassette(BOAT) as cassette:
        said = explain_miss(cassette, chat(('"gpt-6-luna"', '"gpt-7"')))
    assert "the field `model` changed: recorded 'gpt-6-luna', now 'gpt-7'" in said


def order(seconds: str, boundary: str = "abc") -> Any:
    kept = ReadableYaml.deserialize(ORDER.read_text())["interactions"][0]["request"]
    body = kept["body"].replace("boundary", boundary).replace("\n4", f"\n{seconds}")
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return Request("POST", f"{REPLAY_URL}/videos", body.encode(), headers)


def test_order_matches_with_another_boundary_but_not_with_another_length() -> None:
    with open_cassette(ORDER) as cassette:
        assert cassette.can_play_response_for(order("4", boundary="5a2f"))
        assert not cassette.can_play_response_for(order("8"))
        assert "the field `seconds` changed: recorded '4', now '8'" in explain_miss(cassette, order("8"))


def test_miss_for_an_unrecorded_url_lists_the_recorded_calls() -> None:
    with open_cassette(JSON_ORDER) as cassette:
        said = explain_miss(cassette, Request("GET", f"{REPLAY_URL}/models", None, {}))
    assert "no answer for GET /v1/models: it holds GET /v1/videos/" in said
    assert said.endswith(AGAIN)


RUN_THREE = """
import httpx2, pytest
pytestmark = pytest.mark.vcr
URL = "http://127.0.0.1:9/v1/videos/"

def test_the_product_swallows_the_miss():
    try: httpx2.get(URL + "other")
    except Exception: pass

def test_half_of_it_is_played():
    httpx2.get(URL + "one")

def test_all_of_it_is_played():
    httpx2.get(URL + "one"); httpx2.get(URL + "two")
"""


def test_a_swallowed_miss_and_a_half_played_cassette_fail_their_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest('pytest_plugins = ["tests.support.recordings"]')
    path = pytester.makepyfile(test_three=RUN_THREE)
    folder = path.parent / "cassettes" / "test_three"
    folder.mkdir(parents=True)
    for name in ("the_product_swallows_the_miss", "half_of_it_is_played", "all_of_it_is_played"):
        (folder / f"test_{name}.yaml").write_text(recording_of("one", "two"))
    monkeypatch.setenv("PYTHONPATH", str(CASSETTES.parents[1]))
    result = pytester.runpytest_subprocess("-q", "-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*swallows_the_miss.yaml has no answer for GET /v1/videos/other: it holds *two. *make record",
            "*half_of_it_is_played.yaml was only partly played: *GET /v1/videos/two. *make record",
        ]
    )


def recording_of(*names: str) -> str:
    answer = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": "{}"}}
    asked: list[dict[str, Any]] = [
        {"method": "GET", "uri": f"{REPLAY_URL}/videos/{name}", "body": None, "headers": {}} for name in names
    ]
    return ReadableYaml.serialize(
        {"version": 1, "interactions": [{"request": request, "response": answer} for request in asked]}
    )


def test_scrubbing_removes_headers_boundaries_tokens_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONETAKE_RECORD_VIDEO_URL", "http://127.0.0.1:41234/v1")
    headers = {
        "Cookie": "a=b",
        "OpenAI-Organization": "org-1",
        "Content-Type": "multipart/form-data; boundary=f00d",
    }
    body = b'--f00d\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na boat\r\n--f00d--'
    kept = scrub_request(Request("POST", "http://127.0.0.1:41234/v1/videos", body, headers))
    assert kept.uri == f"{REPLAY_URL}/videos"
    assert list(kept.headers) == ["content-type"]
    assert b"f00d" not in kept.body
    assert read_body(kept) == {"prompt": "a boat"}
    bot = scrub_request(Request("POST", "https://telegram.test/bot12345:AA-bb_cc/sendVideo", None, {}))
    assert bot.uri == "https://telegram.test/bot0:TOKEN/sendVideo"


def test_scrubbing_replaces_clips_with_a_tiny_one_and_redacts_keys_in_answers() -> None:
    clip = scrub_response(answer(b"\0\0\0\x20ftypisom" + bytes(100_000), "video/mp4"))
    assert len(clip["body"]["string"]) < 2_000
    assert clip["headers"]["content-length"] == [str(len(clip["body"]["string"]))]
    secret = "sk-" + "proj-" + "a1" * 20
    words = scrub_response(answer(json.dumps({"error": f"Incorrect key {secret}"}).encode(), "application/json"))
    assert json.loads(words["body"]["string"]) == {"error": "Incorrect key REDACTED"}
    assert "set-cookie" not in words["headers"]


def answer(body: bytes, content_type: str) -> dict[str, Any]:
    headers = {"Content-Type": [content_type], "Set-Cookie": ["session=1"], "X-Request-Id": ["req_1"]}
    return {"status": {"code": 200, "message": "OK"}, "headers": headers, "body": {"string": body}}
