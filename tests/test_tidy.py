"""The repository checks itself. A test's name is the rule; an exemption is written down with its reason."""

import ast
import hashlib
import io
import json
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from evals.recordings import Shelf
from tests.cassette.scrubbing import KEPT_REQUEST_HEADERS, KEPT_RESPONSE_HEADERS

ROOT = Path(__file__).parent.parent
CASSETTES = ROOT / "cassettes"
LINES_MAX, TEST_LINES_MAX = 300, 400
FILES_MAX = 15  # of one folder; recordings and pictures are data
TINY_CLIP_BYTES_MAX, CASSETTE_BYTES_MAX = 2_000, 60_000

MAY_IMPORT = {
    "cli": {"evals", "app", "bot", "web", "simulator", "pipeline", "steps", "providers", "media", "net"},
    "evals": {"app", "simulator", "pipeline", "steps", "providers", "net"},
    "app": {"bot", "web", "simulator", "pipeline", "steps", "providers", "net"},
    "bot": {"pipeline", "steps", "providers", "media", "net"},
    "web": {"pipeline", "steps", "providers", "media", "net"},
    "pipeline": {"steps", "providers", "media", "net"},
    "steps": {"providers", "media", "net"},
    "providers": {"media", "net"},
    "media": {"net"},
    "net": set[str](),
    "simulator": set[str](),
}
FOLDERS = tuple(MAY_IMPORT)
SECRETS = re.compile(
    r"\bsk-(?=[\w-]*\d)[\w-]{16,}"  # OpenAI and its imitators
    r"|\b\d{8,10}:[A-Za-z0-9_-]{30,}"  # a Telegram bot's token
    r"|\beyJ[A-Za-z0-9_-]{20,}"  # a JSON web token, as Supabase's keys are
    r"|\bsb_secret_\w+|\bghp_\w{20,}|\bAKIA[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?i:bearer) (?!REDACTED|ADMIN_TOKEN|test-)[\w.-]{8,}"
)
# Written in pieces, so that this file does not trip over itself.
INDEX_ADDRESSES = re.compile(
    "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", r"index" + r"-url", r"\bartifact" + "ory"))
)
MACHINE_PATHS = re.compile(
    "|".join((r"/home/" + r"\w+/", r"/Us" + r"ers/\w+/", r"/ro" + r"ot/\.", r"/wo" + r"rk/\w+", r"C:\\Us" + "ers"))
)
LEFTOVER = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
EXEMPTION = re.compile(r"#\s*(?:type:\s*ignore|noqa)\S*(?:\s*\[[\w\-, ]+\])?(?:,? ?[A-Z]+\d+)*")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is, or is about to be, in the repository; without git, what looks like one."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=False,
        cwd=ROOT,
        capture_output=True,
    )
    if listing.returncode == 0:
        return tuple(path for name in listing.stdout.decode().split("\0") if name and (path := ROOT / name).is_file())
    hidden = set((ROOT / ".gitignore").read_text().replace("/", "").split()) | {".git"}
    return tuple(path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.relative_to(ROOT).parts))


@cache
def texts() -> dict[Path, str]:
    read = {}
    for path in tracked():
        try:
            read[path] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return read


def sources() -> dict[Path, str]:
    return {path: text for path, text in texts().items() if path.suffix == ".py"}


def imported(text: str) -> Iterator[tuple[int, str]]:
    """Line and module of every import, those inside functions too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "a relative import"


def found(pattern: re.Pattern[str], where: dict[Path, str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path, text in where.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_only_the_folders_they_may_import(folder: str) -> None:
    forbidden = set(FOLDERS) - {folder} - MAY_IMPORT[folder] | {"tests", "benchmarks", "a relative import"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path, text in sources().items()
        if path.relative_to(ROOT).parts[0] == folder
        for line, module in imported(text)
        if module.partition(".")[0] in forbidden
    ]
    assert wrong == []


def test_cassette_tests_import_nothing_of_the_simulator() -> None:
    wrong = [
        f"{path.name}:{line}"
        for path, text in sources().items()
        if path.parent == ROOT / "tests" / "cassette" or path.name == "recordings.py"
        for line, module in imported(text)
        if module.partition(".")[0] == "simulator"
    ]
    assert wrong == []


def test_architecture_page_names_every_folder_and_only_existing_paths() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {name.rstrip("/") for name in re.findall(r"`([a-z_.]+(?:/[\w.*-]+)*/?)`", page) if "/" in name}
    assert len(named) > len(FOLDERS)
    assert [name for name in sorted(named) if not list(ROOT.glob(name)) and not list(ROOT.glob(f"*/{name}"))] == []
    assert {folder for folder in FOLDERS if folder not in named} == set()


def test_every_function_in_the_architecture_walkthrough_is_in_its_file() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    walk = re.findall(r"`([a-z_/0-9]+\.(?:py|sql))` `(\w+)`", page)
    assert len(walk) >= 25
    defined = re.compile(r"(?:def|create function \w+)[ .](\w+)\(")
    assert [step for step in walk if step[1] not in defined.findall((ROOT / step[0]).read_text())] == []


def test_no_file_contains_a_leftover_marker() -> None:
    assert found(LEFTOVER, texts()) == []


def test_every_prompt_file_is_used_by_code() -> None:
    code = "\n".join(text for path, text in sources().items() if path.relative_to(ROOT).parts[0] in FOLDERS)
    orphans = [path.name for path in (ROOT / "prompts").glob("[a-z]*.md") if f'"{path.stem}"' not in code]
    assert orphans == []


def test_every_cassette_belongs_to_a_test() -> None:
    orphans = []
    for path in (CASSETTES / "cassette").rglob("*.yaml"):
        test = (ROOT / "tests" / path.parent.relative_to(CASSETTES)).with_suffix(".py")
        name = path.stem.partition("[")[0]
        if not test.exists() or not re.search(rf"^(async )?def {name}\(", test.read_text(), re.MULTILINE):
            orphans.append(str(path.relative_to(ROOT)))
    assert orphans == []


def test_every_cassette_is_unedited_and_its_origin_is_recorded() -> None:
    note = json.loads((CASSETTES / "recorded.json").read_text())
    there = {f"{path.parent.name}/{path.stem}": path for path in (CASSETTES / "cassette").rglob("*.yaml")}
    assert sorted(note) == sorted(there), "make record"
    edited = [
        name for name, path in there.items() if hashlib.sha256(path.read_bytes()).hexdigest() != note[name]["sha256"]
    ]
    assert edited == [], "edited by hand; record again instead: make record"
    assert all(kept["against"] and kept["at"] for kept in note.values())


def test_every_recorded_prompt_case_is_unedited_and_its_origin_is_recorded() -> None:
    store = Shelf(CASSETTES / "prompts")
    assert store.notes
    assert store.edited() == [], "edited by hand; record again instead: onetake prompts record --stale"
    assert all(note.against and note.at and note.model for note in store.notes.values())


def test_prompt_workbench_imports_nothing_that_can_buy() -> None:
    """By import, in any module it loads itself; the simulator it starts is a server of its own."""
    buying = {
        "providers.transport",
        "steps.generate_video",
        "pipeline.purchase.submission",
        "pipeline.run",
        "pipeline.context",
        "app.context",
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path, text in sources().items()
        if path.is_relative_to(ROOT / "evals")
        for line, module in imported(text)
        if module in buying | {"app.context", "cli.commands.run_worker", "cli.drive_run"}
    ]
    assert wrong == []


def test_recordings_hold_no_secret_and_are_small() -> None:
    recordings = {path: text for path, text in texts().items() if CASSETTES in path.parents}
    assert recordings
    assert found(SECRETS, recordings) == []
    headers = {
        header
        for path in CASSETTES.rglob("*.yaml")
        for header in re.findall(r"^ {6}(\S+):$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert headers <= KEPT_REQUEST_HEADERS | KEPT_RESPONSE_HEADERS | {"string"}
    assert [path.name for path in CASSETTES.rglob("*.yaml") if path.stat().st_size > CASSETTE_BYTES_MAX] == []
    assert (CASSETTES / "tiny.mp4").stat().st_size < TINY_CLIP_BYTES_MAX


def test_no_file_holds_a_secret() -> None:
    exempt = {ROOT / "tests" / "test_tidy.py"}  # holds the patterns
    assert found(SECRETS, {path: text for path, text in texts().items() if path not in exempt}) == []


def test_product_files_have_at_most_300_lines_and_test_files_at_most_400() -> None:
    code = {path: text for path, text in texts().items() if path.suffix in {".py", ".js", ".sql", ".css", ".html"}}
    data = (ROOT / "supabase" / "migrations", ROOT / "tests" / "guarantee" / "protections")
    written = {path: text for path, text in code.items() if not any(map(path.is_relative_to, data))}
    long = []
    for path, text in written.items():
        at_most = TEST_LINES_MAX if path.is_relative_to(ROOT / "tests") else LINES_MAX
        if len(text.splitlines()) > at_most:
            long.append(f"{path.relative_to(ROOT)}: {len(text.splitlines())}")
    assert long == []


def test_no_folder_holds_more_than_fifteen_files() -> None:
    folders = Counter(path.parent.relative_to(ROOT) for path in tracked() if CASSETTES not in path.parents)
    assert {str(folder): n for folder, n in folders.items() if n > FILES_MAX} == {}


def test_every_lint_and_type_exemption_has_a_reason() -> None:
    bare = []
    for path, text in sources().items():
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and (match := EXEMPTION.match(token.string)):
                reason = token.string[match.end() :].strip(" #-:")
                if len(reason) < len("it is"):
                    bare.append(f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}")
    assert bare == []


def test_no_file_names_a_package_index() -> None:
    assert found(INDEX_ADDRESSES, texts()) == []


def test_no_file_contains_a_machine_specific_path() -> None:
    assert found(MACHINE_PATHS, texts()) == []
