"""What the house's papers say agrees with the code: settings, dependencies, the lock, the wheel."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.settings.config import Settings

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
RUN_LOCK = (ROOT / "requirements-run.lock").read_text(encoding="utf-8")
NOT_SHIPPED = {"tests", "benchmarks"}
# Scripts for the vendors' clients, each with its pins: they run in environments of their own.
ELSEWHERE = ("benchmarks/sdks/clients", "tests/conformance", "tests/conformance/litellm")


def packages() -> set[str]:
    """The folders of code at the top of the repository."""
    return {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")}


def requirements(*extras: str) -> dict[str, Requirement]:
    declared = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        declared += PROJECT["project"]["optional-dependencies"][extra]
    return {canonicalize_name((found := Requirement(text)).name): found for text in declared}


def declared(*extras: str) -> set[str]:
    """Their names; `psycopg[pool]` declares psycopg-pool as well."""
    found = requirements(*extras)
    return set(found) | {f"{name}-{extra}" for name, wanted in found.items() for extra in wanted.extras}


def locked() -> dict[str, list[str]]:
    """Versions by name; several where they depend on the Python."""
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE):
        pins.setdefault(canonicalize_name(name), []).append(version)
    return pins


def imported(folders: set[str]) -> set[str]:
    """The distributions whose modules these folders import, inside functions too."""
    modules: set[str] = set()
    apart = [ROOT / folder for folder in ELSEWHERE]
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        if path.parent in apart:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add((node.module or "").partition(".")[0])
    foreign = modules - sys.stdlib_module_names - packages()
    owners = packages_distributions()
    return {canonicalize_name(owner) for module in foreign for owner in owners.get(module, [module])}


def test_imports_of_the_product_are_declared() -> None:
    assert imported(packages() - NOT_SHIPPED) - declared("sim") == set()


def test_only_the_simulator_imports_the_dependencies_of_the_sim_extra() -> None:
    of_the_simulator = set(requirements("sim")) - set(requirements())
    assert imported(packages() - NOT_SHIPPED - {"simulator"}) & of_the_simulator == set()


def test_imports_of_tests_and_benchmarks_are_declared() -> None:
    assert imported(packages() & NOT_SHIPPED) - declared("sim", "dev") == set()


def test_the_wheel_carries_every_package() -> None:
    driven = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packages() - NOT_SHIPPED == driven


def test_the_lock_satisfies_every_declared_requirement() -> None:
    pins = locked()
    unmet = [
        f"{wanted}: locked {pins.get(name)}"
        for name, wanted in requirements("sim", "install", "dev").items()
        if name not in pins or not all(version in wanted.specifier for version in pins[name])
    ]
    assert unmet == [], "make lock"


def test_run_lock_is_a_subset_of_the_full_lock_without_dev_packages() -> None:
    pins, entries = set(re.split(r"\n(?=\S)", LOCK.strip())), re.split(r"\n(?=\S)", RUN_LOCK.strip())
    assert [entry for entry in entries if entry not in pins] == [], "make lock"
    named = {canonicalize_name(entry.partition("==")[0]) for entry in entries}
    assert requirements("sim", "install").keys() <= named
    assert not named & (requirements("dev").keys() - requirements("sim", "install").keys() - {"packaging"})


def test_the_lock_contains_only_pins_with_hashes() -> None:
    for entry in re.split(r"\n(?=\S)", LOCK.strip()):
        head, *rest = (line.removesuffix("\\").strip() for line in entry.splitlines())
        assert re.fullmatch(r"[\w.-]+==\S+( ; .+)?", head), head
        assert rest, f"{head} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in rest), head


def test_env_example_lists_every_setting_commented_out() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    named = [found[1] for line in lines if (found := re.match(r"#([A-Z_]+)=", line))]
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


def test_env_example_shows_the_real_defaults() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    shown = {name.lower(): value for name, value in re.findall(r"^#([A-Z_]+)=(.+)$", text, re.MULTILINE)}
    for name, value in shown.items():
        field = Settings.model_fields[name]
        default = None if field.default_factory else field.default
        assert default is None or (str(default).lower() if isinstance(default, bool) else str(default)) == value, name


def test_every_ignored_lint_rule_has_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    rules = text[text.index("\nignore = [") : text.index("[tool.ruff.lint.mccabe]")]
    quoting = [line for line in rules.splitlines() if re.search(r'"[A-Z]+\d*"', line)]
    assert quoting
    assert [line for line in quoting if not re.search(r"#\s*\S.{10,}", line)] == []
