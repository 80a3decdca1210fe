"""Cassettes in pytest: what is recorded and scrubbed, and how a miss or an unused answer is reported.

A miss is noticed in the cassette, not by the exception it raises: the openai SDK turns that into
APIConnectionError, and the product turns that into a value. A test passes only if it requested every recorded
answer.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml
from vcr import config as vcr_config_module

from tests.cassette.misses import explain_leftover, explain_miss
from tests.cassette.scrubbing import MATCHERS, scrub_request, scrub_response

pytest_plugins = ["pytester"]

SECRET_HEADERS = ("authorization", "api-key", "apikey", "cookie", "openai-organization", "openai-project")
Recorder: Any = vcr_config_module.VCR  # has no types
MISSES = pytest.StashKey[list[str]]()

CONFIG: dict[str, Any] = {
    "match_on": ["method", "path_below_base", "query", "normal_body"],
    "filter_headers": [(header, "REDACTED") for header in SECRET_HEADERS],
    "before_record_request": scrub_request,
    "before_record_response": scrub_response,
    "decode_compressed_response": True,
}


class ReadableYaml:
    """Writes text unescaped, so that reviewers see words."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        return yaml.dump(cassette, Dumper=_Dumper, allow_unicode=True, width=1000, sort_keys=False)

    @staticmethod
    def deserialize(text: str) -> Any:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "simulator_only: cannot be recorded against a real provider.")


def pytest_recording_configure(vcr: Any) -> None:
    teach(vcr)


def teach(recorder: Any) -> None:
    """Register matchers and the file format, with pytest-recording's recorder or a test's own."""
    recorder.register_serializer("yaml", ReadableYaml)
    for matcher in MATCHERS:
        recorder.register_matcher(matcher.__name__, matcher)


def open_cassette(path: Path) -> Any:
    """A context that replays a cassette outside of pytest-recording."""
    recorder: Any = Recorder(record_mode="none")
    teach(recorder)
    return recorder.use_cassette(str(path), **CONFIG)


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    return CONFIG


@pytest.fixture(autouse=True)
def _watch_for_misses(vcr: Any, request: pytest.FixtureRequest) -> None:
    """Record every request that the cassette cannot answer."""
    misses = request.node.stash[MISSES] = []
    if vcr is None or not vcr.write_protected:
        return
    ask = vcr.can_play_response_for

    def asked(wanted: Any) -> bool:
        known = bool(ask(wanted))
        if not known and vcr.filter_request(wanted) is not None:
            misses.append(explain_miss(vcr, wanted))
        return known

    vcr.can_play_response_for = asked


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when != "call" or report.skipped:
        return report
    wrong = item.stash.get(MISSES, [])[:1] or ([] if report.failed else _leftovers(item))
    if wrong:
        report.outcome = "failed"
        report.longrepr = wrong[0]
    return report


def _leftovers(item: pytest.Item) -> list[str]:
    cassette = getattr(item, "funcargs", {}).get("vcr")
    if cassette is None or not cassette.write_protected or cassette.all_played:
        return []
    return [explain_leftover(cassette)]
