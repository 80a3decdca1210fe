"""`make mutants`: removes each protection, one at a time, and shows which test notices.

In       the table in `tests.guarantee.protections.every`; `--only NAME`, `--json FILE`
Out      a table mutant -> test; exit 1 if a mutant survives, or if its tests fail without it
Effects  works on copies of the tree in a temporary folder; this checkout is only read
"""

import argparse
import compileall
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import Queue

from tests.guarantee.protections.every import MUTANTS
from tests.guarantee.protections.mutant import Mutant
from tests.schema import squash
from tests.support import warm
from tests.support.fixtures import STANDING_SERVER, fast_folder, migrated_server

ROOT = Path(__file__).parent.parent.parent
MAKE_DATABASES = ("supabase/", "pipeline/ledger/migrate.py", "pipeline/postgres/")  # with a server of their own
COPIES = 5  # a test whose protection is missing mostly waits
TESTS_SECONDS_MAX = 300
ALL_TESTS_SECONDS_MAX = 1800  # once, without any mutant
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
PROBE = "import pathlib, pipeline, tests; print(pathlib.Path(pipeline.__file__).parent.parent)"


@dataclass(frozen=True)
class Copy:
    """A copy of the tree, and the address of a migrated database server."""

    tree: Path
    server: str


@dataclass(frozen=True)
class Verdict:
    name: str
    removes: str
    file: str
    caught_by: str | None  # None: it survived
    seconds: float


def copy_tree(into: Path) -> None:
    """Copy the files that are, or are about to be, in the repository; the interpreter is shared."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listing.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    (into / ".venv").symlink_to(Path(sys.prefix))


def _environment(copy: Path) -> dict[str, str]:
    # No new bytecode: a file changed twice within a second would count as unchanged. What `prepare` made has a hash.
    return os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def pytest(
    copy: Path, tests: Sequence[str], *more: str, server: str | None = None, seconds: float = TESTS_SECONDS_MAX
) -> tuple[int, str]:
    """Its exit code and what it said. `server`: the address of a migrated database server to use."""
    loaded = "ignore::pytest.PytestAssertRewriteWarning"  # the process has the libraries loaded already
    options = ("-x", "-q", "-p", "no:randomly", "-W", loaded, "--tb=line", "-rfE", *more)
    environment = _environment(copy) | ({} if server is None else {STANDING_SERVER: server})
    program = warm.start("pytest", *options, *tests, env=environment, cwd=copy)
    try:
        said = program.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        program.kill()
        return 1, f"FAILED {tests[0]} (still waiting after {seconds} s)"
    return program.wait(), "".join(said)


def prepare(copy: Path) -> None:
    copy_tree(copy)
    compileall.compile_dir(copy, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    probe = [sys.executable, "-c", PROBE]
    where = subprocess.run(probe, cwd=copy, env=_environment(copy), capture_output=True, text=True, check=True).stdout
    assert Path(where.strip()) == copy, f"the copy at {copy} would test the code at {where}"


def check_list(mutants: Sequence[Mutant]) -> list[str]:
    """Errors in the table itself; empty if every edit fits exactly one place and every test exists."""
    wrong = []
    for mutant in mutants:
        times = (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if times != 1:
            wrong.append(f"{mutant.name}: its text occurs {times} times in {mutant.file}, not once")
        wrong += [f"{mutant.name}: there is no {test}" for test in mutant.tests if not _is_there(test)]
    if len({mutant.name for mutant in mutants}) != len(mutants):
        wrong.append("two mutants have one name")
    return wrong


def _is_there(test: str) -> bool:
    file, _, name = test.partition("::")
    defined = f"def {name.partition('[')[0]}(" if name else ""
    return (ROOT / file).is_file() and defined in (ROOT / file).read_text(encoding="utf-8")


def try_mutant(mutant: Mutant, copy: Copy) -> Verdict:
    begun = time.monotonic()
    path = copy.tree / mutant.file
    whole = path.read_text(encoding="utf-8")
    assert whole.count(mutant.old) == 1, f"{mutant.name} does not fit the copy"
    path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
    if mutant.file.startswith("supabase/schemas/"):
        squash(copy.tree)
    own_server = mutant.file.startswith(MAKE_DATABASES)
    try:
        code, out = pytest(copy.tree, mutant.tests, server=None if own_server else copy.server)
    finally:
        path.write_text(whole, encoding="utf-8")
        if mutant.file.startswith("supabase/schemas/"):
            squash(copy.tree)
    caught = FAILED.search(out) if code == 1 else None
    if code not in {0, 1}:
        raise RuntimeError(f"{mutant.name}: pytest ended with {code}\n{out}")
    return Verdict(
        mutant.name, mutant.removes, mutant.file, caught[1] if caught else None, round(time.monotonic() - begun, 1)
    )


def say(verdict: Verdict) -> None:
    caught = verdict.caught_by.split("/", 1)[-1] if verdict.caught_by else "SURVIVED"
    print(f"{verdict.name:<18} {verdict.seconds:>5.1f} s  {caught}", flush=True)


def hunt(mutants: Sequence[Mutant]) -> tuple[list[Verdict], list[str]]:
    """Every mutant's verdict, and the tests that fail without any mutant."""
    with tempfile.TemporaryDirectory(prefix="onetake-mutants-") as folder, ExitStack() as servers:
        os.chmod(folder, 0o755)  # noqa: PTH101 - the embedded server runs as another user
        copies: Queue[Copy] = Queue()
        for number in range(min(COPIES, len(mutants))):
            copy = Path(folder).resolve() / f"copy{number}"
            copy.mkdir()
            prepare(copy)
            data = servers.enter_context(fast_folder(Path(folder) / f"server{number}"))
            copies.put(Copy(copy, servers.enter_context(migrated_server(data))))
        every_test = sorted({test for mutant in mutants for test in mutant.tests})
        unspoiled = copies.get()
        code, out = pytest(unspoiled.tree, every_test, "-n", "4", "--dist", "loadfile", seconds=ALL_TESTS_SECONDS_MAX)
        copies.put(unspoiled)
        if code != 0:
            return [], [f"without any mutant: {found}" for found in FAILED.findall(out)] or [out[-2000:]]

        def hunted(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                verdict = try_mutant(mutant, copy)
            finally:
                copies.put(copy)
            say(verdict)
            return verdict

        with ThreadPoolExecutor(COPIES) as hunters:
            return list(hunters.map(hunted, mutants)), []


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this mutant; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts there")
    options = parser.parse_args(arguments)
    mutants = [mutant for mutant in MUTANTS if not options.only or mutant.name in options.only]
    if not mutants or {*options.only} - {mutant.name for mutant in mutants}:
        parser.error(f"known: {', '.join(mutant.name for mutant in MUTANTS)}")
    begun = time.monotonic()
    violations, verdicts = check_list(mutants), list[Verdict]()
    if not violations:
        verdicts, violations = hunt(mutants)
    violations += [f"{verdict.name} survived: {verdict.removes}" for verdict in verdicts if verdict.caught_by is None]
    seconds = round(time.monotonic() - begun, 1)
    caught = sum(verdict.caught_by is not None for verdict in verdicts)
    print(f"{caught} of {len(mutants)} mutants caught in {seconds:.0f} s")
    for violation in violations:
        print(f"VIOLATION: {violation}")
    if options.json:
        report = {"mutants": [asdict(v) for v in verdicts], "violations": violations, "seconds": seconds}
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
