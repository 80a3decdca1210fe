"""Record the cassettes again: `python -m tests.record [--real] [-k WORDS] [FILE...]`, or `make record [REAL=1]`.

Against the simulator it costs nothing; each test file gets its own simulator. With `--real`, the
conversations that need no faults on demand are recorded at the endpoints in the settings (OPENAI_*, VIDEO_*). It
prints the calls and their maximum price, and continues only when that amount is typed at a terminal.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from evals.recordings import interactions_in, usage
from pipeline.postgres.embedded import open_server
from pipeline.settings.config import Settings, load_settings
from pipeline.settings.resources import models_file, prompts_folder
from pipeline.settings.setting_checks import ConfigError
from providers.catalogue import CatalogueError, choose_model, load_catalogue, price_microusd, text_cost_microusd
from steps.contracts import CONTRACTS
from steps.text_model.templates import load_template
from tests.cassette.conversation import NOTE, TEST_KEY, listed, shape_of
from tests.support.npm import Absent
from tests.support.project import open_project, project_database

ROOT = Path(__file__).parent.parent
CASSETTES = NOTE.parent
LEDGER_TESTS = ROOT / "tests" / "cassette" / "test_ledger_over_rest.py"
# For one conversation of two questions: more than the longest one needed, with room for a reasoning model.
TOKENS_IN_MAX, TOKENS_OUT_MAX = 10_000, 30_000
TALKS = re.compile(r"^from tests\.cassette\.conversation import .*\bTalk\b", re.MULTILINE)
SIMULATOR = ["--port", "0", "--render-seconds", "1.2", "--tiny-clips", "--api-key", TEST_KEY]
REAL_TEXTS, REAL_ORDERS = 6, 2  # what --real records: see `_plan`; a wrong key and reads are free

Where = Mapping[str, str]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.record", description=__doc__)
    parser.add_argument("--real", action="store_true", help="at the endpoints in the settings; costs money, asks first")
    parser.add_argument("-k", default="", metavar="WORDS", help="only tests whose names match, as pytest's -k")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="only these files of tests")
    options = parser.parse_args(arguments)
    if options.real:
        return _record_real(options.k)
    chosen = [path for path in _tests() if not options.files or path in {file.resolve() for file in options.files}]
    codes = [_record_simulated(path, options.k) for path in chosen]
    return max([*codes, 0 if options.files else _record_project(options.k)])


def _record_project(words: str) -> int:
    """The ledger's conversation, with a real PostgREST on its own database; skipped without npm."""
    with ExitStack() as opened:
        try:
            server = opened.enter_context(open_server(Path(opened.enter_context(TemporaryDirectory()))))
            project = opened.enter_context(open_project(opened.enter_context(project_database(server))))
        except Absent as why:
            print(f"{LEDGER_TESTS.relative_to(ROOT)} was not recorded: {why}", file=sys.stderr)
            return 0
        where = {"ONETAKE_RECORD_LEDGER_URL": project.url, "ONETAKE_RECORD_LEDGER_KEY": project.service_key}
        return _record(LEDGER_TESTS, where, words, "", "PostgREST 12.0.2 on PostgreSQL 18, our migrations in it")


def _tests() -> list[Path]:
    tests = (ROOT / "tests" / "cassette").glob("test_*.py")
    return sorted(path for path in tests if TALKS.search(path.read_text()))


def _record_simulated(tests: Path, words: str) -> int:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    with _simulator() as url:
        where = _where(url, TEST_KEY, "gpt-6-luna", url, TEST_KEY, "sim-1")
        return _record(tests, where, words, "", f"the simulator of onetake {version}")


def _record_real(words: str) -> int:
    settings = load_settings()
    try:
        where, cost_usd = _plan(settings)
    except (ConfigError, CatalogueError) as error:
        print(error, file=sys.stderr)
        return 2
    if not sys.stdin.isatty():
        print(
            "A recording that costs money must be confirmed in a terminal; nothing was called.",
            file=sys.stderr,
        )
        return 2
    if input(f"Type {cost_usd} to continue: ").strip().lstrip("$") != cost_usd:
        print("Nothing was called.")
        return 1
    hosts = sorted({urlsplit(where[f"ONETAKE_RECORD_{part}_URL"]).hostname or "?" for part in ("TEXT", "VIDEO")})
    return max(_record(path, where, words, "not simulator_only", " and ".join(hosts)) for path in _tests())


def _plan(settings: Settings) -> tuple[Where, str]:
    """Where the calls go, and their maximum price; prints both."""
    catalogue = load_catalogue(models_file())
    video = settings.video
    model = choose_model(
        catalogue, video.model, video.base_url, settings.video_usd_per_second, datetime.now(UTC).date()
    )
    key = settings.openai_api_key
    if key is None:
        raise ConfigError("OPENAI_API_KEY: missing; set the key of the text model")
    if listed(model.name) is None:
        raise CatalogueError(f"VIDEO_MODEL: list {model.name} in models.toml first: recorded prices are checked by it")
    seconds, size = shape_of(model)
    one_order = price_microusd(model, seconds, size)
    one_text = text_cost_microusd(catalogue, settings.llm_model, TOKENS_IN_MAX, TOKENS_OUT_MAX)
    cents = -(-(REAL_ORDERS * one_order + REAL_TEXTS * one_text) // 10_000)  # rounded up
    most = f"{cents // 100}.{cents % 100:02}"
    print(f"{REAL_ORDERS} videos of {seconds} s, {size}, by {model.name} at {video.base_url}:")
    print(f"  ${one_order / 1e6:.2f} each, ${REAL_ORDERS * one_order / 1e6:.2f} together")
    print(f"{REAL_TEXTS} conversations with {settings.llm_model} at {settings.openai_base_url},")
    print(f"up to {TOKENS_IN_MAX} tokens in and {TOKENS_OUT_MAX} out each:")
    print(f"  ${one_text / 1e6:.4f} each at most, ${REAL_TEXTS * one_text / 1e6:.4f} together")
    print(f"At most ${most} in all.")
    return _where(
        settings.openai_base_url,
        key.get_secret_value(),
        settings.llm_model,
        video.base_url,
        video.api_key,
        model.name,
    ), most


def _where(text_url: str, text_key: str, text_model: str, video_url: str, video_key: str, video_model: str) -> Where:
    names = ("TEXT_URL", "TEXT_KEY", "TEXT_MODEL", "VIDEO_URL", "VIDEO_KEY", "VIDEO_MODEL")
    values = (text_url, text_key, text_model, video_url, video_key, video_model)
    return {f"ONETAKE_RECORD_{name}": value for name, value in zip(names, values, strict=True)}


def _record(tests: Path, where: Where, words: str, marks: str, against: str) -> int:
    folder = CASSETTES / tests.relative_to(ROOT / "tests").with_suffix("")
    before = {path: path.read_bytes() for path in folder.glob("*.yaml")}
    written_before = {path: path.stat().st_mtime_ns for path in before}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--record-mode=rewrite"]
    choice = [*(["-k", words] if words else []), *(["-m", marks] if marks else [])]
    code = subprocess.call([*command, *choice, str(tests)], cwd=ROOT, env=os.environ | where)
    if code not in {0, 5}:  # 5: pytest selected no test here
        _put_back(folder, before)
        print(f"{tests.relative_to(ROOT)} failed; its recordings are as they were before.", file=sys.stderr)
        return code
    _note(
        {path for path in folder.glob("*.yaml") if written_before.get(path) != path.stat().st_mtime_ns},
        against,
        where,
    )
    return 0


def _put_back(folder: Path, before: Mapping[Path, bytes]) -> None:
    for path in set(folder.glob("*.yaml")) - set(before):
        path.unlink()
    for path, recording in before.items():
        path.write_bytes(recording)


def _note(fresh: set[Path], against: str, where: Where) -> None:
    """Note for each recording the endpoint, the time, the models, and a hash that reveals edits by hand."""
    note = json.loads(NOTE.read_text()) if NOTE.exists() else {}
    for path in fresh:
        note[f"{path.parent.name}/{path.stem}"] = {
            "against": against,
            "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "text_model": where.get("ONETAKE_RECORD_TEXT_MODEL"),
            "video_model": where.get("ONETAKE_RECORD_VIDEO_MODEL"),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            **_asked(path),
        }
    there = {f"{path.parent.name}/{path.stem}" for path in (CASSETTES / "cassette").rglob("*.yaml")}
    kept = {name: note[name] for name in sorted(note) if name in there}
    NOTE.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def _asked(path: Path) -> dict[str, object]:
    """What an edit of a prompt makes stale: the prompt versions in the recording, and what its calls cost."""
    kept = [
        each
        for each in interactions_in(path.read_text(encoding="utf-8"))
        if each["request"]["uri"].endswith("/chat/completions")
    ]
    outputs = {json.loads(each["request"]["body"])["response_format"]["json_schema"]["name"] for each in kept}
    versions: dict[str, str] = {}
    for contract in CONTRACTS.values():
        if contract.output.__name__ in outputs:
            versions |= load_template(prompts_folder() / f"{contract.id}.md").versions
    return {"versions": versions, "asks": len(kept), "tokens": usage(kept)} if versions else {}


@contextmanager
def _simulator() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *SIMULATOR], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http\S+", process.stdout.readline())
        assert found, "the simulator did not start"
        yield found[0]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
