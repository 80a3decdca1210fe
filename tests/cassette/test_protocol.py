"""Every recorded answer of a video or text endpoint fits the public description; none holds what it should not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.openapi import Check
from tests.support.recordings import ReadableYaml

CASSETTES = Path(__file__).parents[2] / "cassettes"
BYTES_MAX = 60_000
SPARSE = "test_sparse_answers_are_enough_to_come_back_for_the_clip"  # a gateway that answers less, on purpose
PERSONAL = re.compile(
    r"[\w.+-]+@(?!example\.)[\w-]+\.\w{2,}"  # an address
    r"|\+\d{9,}"  # a telephone
    r"|\b(?:\d{1,3}\.){3}\d{1,3}\b(?<!127\.0\.0\.1)"  # a machine
)


def recordings() -> list[Path]:
    return sorted(CASSETTES.rglob("*.yaml"))


def exchanges(path: Path) -> Iterator[tuple[str, str, int, Any]]:
    """Method, path, status, and the JSON of the answer; clips are left out."""
    for kept in ReadableYaml.deserialize(path.read_text(encoding="utf-8"))["interactions"]:
        body = kept["response"]["body"]["string"]
        if isinstance(body, str) and body.startswith("{"):
            where = kept["request"]["uri"].removeprefix("http://127.0.0.1:9/v1").partition("?")[0]
            yield kept["request"]["method"], where, kept["response"]["status"]["code"], json.loads(body)


def schema_of(method: str, where: str, status: int) -> str | None:
    """The schema's name; None for what the description does not speak of (the ledger, a gateway's errors)."""
    if status != 200:
        return None
    if where == "/chat/completions":
        return "CreateChatCompletionResponse"
    if where == "/videos":
        return "VideoResource" if method == "POST" else "VideoListResource"
    return "VideoResource" if re.fullmatch(r"/videos/[^/]+", where) and method == "GET" else None


@pytest.mark.parametrize("path", [path for path in recordings() if path.stem != SPARSE], ids=lambda path: path.stem)
def test_recorded_answer_matches_the_public_schema(path: Path, holds: Check) -> None:
    for method, where, status, answer in exchanges(path):
        if schema := schema_of(method, where, status):
            holds(schema, answer)


def test_sparse_gateway_recording_violates_the_public_schema(holds: Check) -> None:
    [path] = [path for path in recordings() if path.stem == SPARSE]
    with pytest.raises(AssertionError):
        test_recorded_answer_matches_the_public_schema(path, holds)


def test_recordings_include_enough_text_video_and_list_answers() -> None:
    seen = [schema_of(*each[:3]) for path in recordings() for each in exchanges(path)]
    assert seen.count("CreateChatCompletionResponse") >= 80
    assert seen.count("VideoResource") >= 5
    assert seen.count("VideoListResource") >= 2


def test_recordings_hold_nothing_personal_and_nothing_large() -> None:
    found = [
        f"{path.relative_to(CASSETTES)}: {match[0]}"
        for path in recordings()
        for match in PERSONAL.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
    assert [path.name for path in recordings() if path.stat().st_size > BYTES_MAX] == []
    kinds = {path.suffix for path in CASSETTES.rglob("*") if path.is_file()}
    assert kinds == {".yaml", ".json", ".md", ".mp4"}
