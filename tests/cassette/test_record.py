"""Recording for money: calls and price are said first, and nothing goes without a typed yes."""

import importlib
import json
import subprocess
import sys
from types import ModuleType

import pytest

from tests import record
from tests.support.recordings import ReadableYaml

SETTINGS = {
    "ONETAKE_IGNORE_ENV_FILE": "1",
    "OPENAI_API_KEY": "test-key",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "VIDEO_MODEL": "sim-1",
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    for name in ("LLM_MODEL", "VIDEO_API_KEY", "VIDEO_BASE_URL", "VIDEO_USD_PER_SECOND"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that recording would have started, one per file of tests."""
    started: list[list[str]] = []

    def start(command: list[str], **_: object) -> int:
        started.append(command)
        return 5  # as pytest says when nothing was chosen: no recording changes

    monkeypatch.setattr(subprocess, "call", start)
    monkeypatch.setattr(record, "_note", lambda *_: None)
    return started


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: typed)


def test_recording_without_a_terminal_shows_the_price_and_calls_nothing(
    programs: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert record.main(["--real"]) == 2
    said = capsys.readouterr()
    assert "2 videos of 4 s, 1280x720, by sim-1 at http://127.0.0.1:9/v1:\n  $0.40 each, $0.80 together" in said.out
    assert "6 conversations with gpt-6-luna" in said.out
    assert "At most $0.90 in all." in said.out
    assert "must be confirmed in a terminal" in said.err
    assert "test-key" not in said.out + said.err
    assert programs == []


@pytest.mark.parametrize("typed", ["", "y", "yes", "0.80", "90"])
def test_typing_anything_but_the_amount_records_nothing(
    typed: str, programs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_terminal(monkeypatch, typed)
    assert record.main(["--real"]) == 1
    assert programs == []


@pytest.mark.parametrize("typed", ["0.90", "$0.90"])
def test_typing_the_amount_records_all_but_the_simulator_only_tests(
    typed: str, programs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_terminal(monkeypatch, typed)
    assert record.main(["--real"]) == 0
    assert len(programs) == 4
    assert all(command[command.index("-m", 3) + 1] == "not simulator_only" for command in programs)


def test_a_model_without_a_listed_price_is_not_recorded(
    programs: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDEO_MODEL", "nobody-knows")
    monkeypatch.setenv("VIDEO_USD_PER_SECOND", "0.5")
    at_a_terminal(monkeypatch, "4.00")
    assert record.main(["--real"]) == 2
    assert "list nobody-knows in models.toml first" in capsys.readouterr().err
    assert programs == []


def test_announced_numbers_of_orders_and_texts_match_the_recordings() -> None:
    """Counted in the recordings of the tests that `--real` chooses."""
    orders, texts, tokens_in = 0, 0, [0]
    for path in record._tests():
        module = importlib.import_module(f"tests.cassette.{path.stem}")
        for cassette in (record.CASSETTES / "cassette" / path.stem).glob("*.yaml"):
            kept = ReadableYaml.deserialize(cassette.read_text())["interactions"]
            posts = [each for each in kept if each["request"]["method"] == "POST"]
            asked = [each for each in posts if each["request"]["uri"].endswith("/chat/completions")]
            answers = [json.loads(each["response"]["body"]["string"]) for each in asked]
            tokens_in.append(sum(answer["usage"]["prompt_tokens"] for answer in answers))
            if not is_simulator_only(module, cassette.stem):
                texts += bool(asked)
                orders += sum(each["response"]["status"]["code"] == 200 for each in posts if each not in asked)
    assert (orders, texts) == (record.REAL_ORDERS, record.REAL_TEXTS)
    assert max(tokens_in) < record.TOKENS_IN_MAX


def is_simulator_only(module: ModuleType, test: str) -> bool:
    marks = module.pytestmark if isinstance(module.pytestmark, list) else [module.pytestmark]
    return any(mark.name == "simulator_only" for mark in [*marks, *getattr(getattr(module, test), "pytestmark", [])])
