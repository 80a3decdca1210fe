"""Recordings carry weight: change a verdict, id, status, shape or price in one, and its test fails."""

import asyncio
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cassette.conversation import replayed
from tests.support.recordings import ReadableYaml, open_cassette

CASSETTES = Path(__file__).parents[2] / "cassettes" / "cassette"
WEIGHTY = {
    "allowed", "reasons", "category", "language", "refusal",  # verdicts
    "id", "last_id", "status", "model", "code",  # which job, and how it is doing
    "seconds", "size", "prompt_tokens", "completion_tokens", "total_tokens",  # what it costs
}  # fmt: skip
Change = tuple[Path, int, tuple[Any, ...]]


def changes() -> Iterator[Change]:
    """Every weighty place in every recorded answer, and the statuses of the answers themselves.

    But for the status of a look at a job: a body that names the job counts under any status, as vLLM-Omni answers.
    """
    for path in sorted(CASSETTES.rglob("*.yaml")):
        for place, kept in enumerate(ReadableYaml.deserialize(path.read_text())["interactions"]):
            if not _is_look(kept["request"]):
                yield path, place, ()
            body = kept["response"]["body"]["string"]
            if isinstance(body, str):
                yield from ((path, place, way) for way in weighty(json.loads(body)))


def _is_look(request: Any) -> bool:
    return request["method"] == "GET" and re.search(r"/videos/[^/?]+$", request["uri"]) is not None


def weighty(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from weighty(item, (*way, place))
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name == "content" and isinstance(item, str) and item.startswith("{") and item.endswith("}"):
            try:
                yield from weighty(json.loads(item), (*way, name, "JSON"))
            except ValueError:
                continue
        elif name in WEIGHTY and item is not None and not _is_light(name, value):
            yield (*way, name)
        else:
            yield from weighty(item, (*way, name))


def _is_light(name: str, holder: dict[str, Any]) -> bool:
    """Nobody comes back for a completion, and its price goes by the model that was asked."""
    return name in {"id", "model"} and holder.get("object") == "chat.completion"


def changed(value: Any, way: tuple[Any, ...]) -> Any:
    if not way:
        return _other(value)
    if way[0] == "JSON":
        return json.dumps(changed(json.loads(value), way[1:]))
    value[way[0]] = changed(value[way[0]], way[1:])
    return value


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case list():
            return [] if value else ["hate"]
        case "es" | "en":
            return {"es": "en", "en": "es"}[value]
        case "completed" | "failed":
            return {"completed": "failed", "failed": "completed"}[value]
        case "queued" | "in_progress":
            return "failed"
        case "nature":
            return "city"
        case "4":
            return "8"
        case _:
            return f"{value}x"


def _name(change: Change) -> str:
    path, place, way = change
    return f"{path.stem}-{place}-{'.'.join(map(str, way)) or 'http status'}"


@pytest.mark.parametrize("change", list(changes()), ids=_name)
def test_a_changed_fact_in_a_recording_fails_its_test(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, place, way = change
    recording = ReadableYaml.deserialize(path.read_text())
    response = recording["interactions"][place]["response"]
    if way:
        response["body"]["string"] = json.dumps(changed(json.loads(response["body"]["string"]), way))
    else:
        response["status"]["code"] = 500 if response["status"]["code"] == 200 else 200
    copy = tmp_path / path.parent.name / path.name
    copy.parent.mkdir()
    copy.write_text(yaml.dump(recording, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    with pytest.raises((Exception, pytest.fail.Exception)) as failure:
        replay(path, copy, tmp_path, monkeypatch)
    assert not isinstance(failure.value, TypeError | OSError), "the replay itself broke"


@pytest.mark.parametrize("path", sorted(CASSETTES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_an_unchanged_recording_passes_its_test(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay(path, path, tmp_path, monkeypatch)


def replay(path: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test that belongs to `path`, over a copy of its recording, to the last answer."""
    test = getattr(importlib.import_module(f"tests.cassette.{path.parent.name}"), path.stem)
    with open_cassette(copy) as cassette:
        offered = {"talk": replayed(cassette), "vcr": cassette, "tmp_path": tmp_path, "monkeypatch": monkeypatch}
        asyncio.run(test(**{name: offered[name] for name in inspect.signature(test).parameters}))
        assert cassette.all_played
