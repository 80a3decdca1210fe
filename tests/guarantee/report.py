"""`make guarantee`: runs every long proof, prints its findings, and writes `docs/guarantees.md`.

In       nothing; `--only PART`, `--seeds N`, `--out FILE`; `--keep FOLDER`: resumes an interrupted run and skips
                  the parts that were proved before
Out      progress, a summary with every violation; exit 1 on any
Effects  each proof runs in its own process; the page is written only by a complete run, or with --out
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.guarantee import pages
from tests.guarantee.at_each import passport

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "guarantees.md"
TEMPLATE = Path(__file__).parent / "guarantees.md.in"
PART_SECONDS_MAX = 7200
RACES = ("races", "two_sessions")
TAIL_LINES = 3
SHOWN_MAX = 20  # so that one broken part does not hide the others


@dataclass(frozen=True)
class Part:
    name: str
    title: str
    module: str
    layout: Callable[[Any], str]
    arguments: tuple[str, ...] = ()

    def command(self) -> str:
        return " ".join(("python -m", self.module, *self.arguments))


@dataclass(frozen=True)
class Found:
    """The report of one part; `report` None: it wrote none. `at`: when it ended, `commit`: the code it tested."""

    part: Part
    report: Any
    violations: tuple[str, ...]
    seconds: float
    at: str = ""
    commit: str = ""


def parts(seeds: int) -> tuple[Part, ...]:
    here = "tests.guarantee"
    return (
        Part("crashes", "Crashes", f"{here}.matrix", pages.crashes),
        Part("answers", "Answers", f"{here}.answers", pages.answers),
        Part("providers", "Each provider", f"{here}.at_each", pages.at_each),
        Part("races", "Races", f"{here}.tested", pages.any_rows, RACES),
        Part("races17", "Races on PostgreSQL 17", f"{here}.tested", pages.any_rows, (*RACES, "--postgres", "17")),
        Part("telegram", "Telegram", f"{here}.chat", pages.telegram),
        Part("seeds", "Seeds", f"{here}.simulation", pages.seeds, ("--seeds", str(seeds))),
        Part("mutants", "Mutants", f"{here}.mutants", pages.mutants),
        Part("duplicates", "The comparison", "benchmarks.duplicates", pages.comparison),
    )


def prove(part: Part, folder: Path) -> Found:
    """Run one part. It must exit 0, write its report, and report no violation."""
    begun, file = time.monotonic(), folder / f"{part.name}.json"
    command = [sys.executable, "-m", part.module, *part.arguments, "--json", str(file)]
    with (folder / f"{part.name}.log").open("w+") as log:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, timeout=PART_SECONDS_MAX, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        log.seek(0)
        tail = log.read().splitlines()[-TAIL_LINES:]
    report = json.loads(file.read_text()) if file.exists() else None
    violations = pages.violations_of(report) if report is not None else ["it wrote no report"]
    if report is not None and not pages.rows_of(report):
        violations.append("its report is empty")
    if code != 0:
        violations.append(f"it ended with {code}; its last words: " + " / ".join(tail))
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    found = Found(part, report, tuple(violations), round(time.monotonic() - begun, 1), at, commit())
    if not violations:
        facts = {"command": part.command(), "seconds": found.seconds, "at": at, "commit": found.commit}
        (folder / f"{part.name}.proved").write_text(json.dumps(facts), encoding="utf-8")
    return found


def proved_before(part: Part, folder: Path) -> Found | None:
    """The result of an earlier run with the same arguments, if it had no violation."""
    file = folder / f"{part.name}.proved"
    facts = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if facts.get("command") != part.command():
        return None
    report = json.loads((folder / f"{part.name}.json").read_text(encoding="utf-8"))
    return Found(part, report, (), facts["seconds"], facts["at"], facts["commit"])


def commit() -> str:
    """The commit of the code, with a + if it was changed since; empty without git."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def summary(found: Sequence[Found]) -> str:
    return pages.table(
        ("proof", "cases", "violations", "seconds", "ended (UTC)", "code"),
        [
            (
                *(each.part.title, len(pages.rows_of(each.report or [])), len(each.violations)),
                *(f"{each.seconds:.0f}", each.at, each.commit),
            )
            for each in found
        ],
    )


def shown(found: Found) -> list[str]:
    more = len(found.violations) - SHOWN_MAX
    return [*found.violations[:SHOWN_MAX], *([f"and {more} more"] if more > 0 else [])]


def section(found: Found) -> str:
    wrong = "".join(f"- **violation**: {words}\n" for words in shown(found)) + "\n" * bool(found.violations)
    body = found.part.layout(found.report) if pages.rows_of(found.report or []) else "No report."
    return f"## {found.part.title}\n\n    {found.part.command()}\n\n{wrong}{body}"


def page(found: Sequence[Found], command: str, at: datetime) -> str:
    values = {
        "@date@": at.strftime("%Y-%m-%d %H:%M UTC"),
        "@machine@": f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores",
        "@command@": command,
        "@summary@": summary(found),
        "@tables@": "\n\n".join(map(section, found)),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        assert name in text, name
        text = text.replace(name, value)
    return text.rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.report", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="this part; may be repeated")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds to play (20)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the reports there, and go on from them")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the page (docs/guarantees.md)")
    options = parser.parse_args(arguments)
    every = parts(options.seeds)
    if unknown := {*options.only} - {part.name for part in every}:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(part.name for part in every)}")
    chosen = [part for part in every if not options.only or part.name in options.only]
    begun, found = time.monotonic(), list[Found]()
    with tempfile.TemporaryDirectory(prefix="onetake-guarantee-") as elsewhere:
        folder = options.keep or Path(elsewhere)
        folder.mkdir(parents=True, exist_ok=True)
        for number, part in enumerate(chosen, 1):
            print(f"[{number}/{len(chosen)}] {part.title}: {part.command()}", flush=True)
            found.append(proved_before(part, folder) or prove(part, folder))
            cases, wrong = len(pages.rows_of(found[-1].report or [])), len(found[-1].violations)
            print(f"      {cases} cases, {wrong} violations, {found[-1].seconds:.0f} s", flush=True)
    for each in found:
        for words in shown(each):
            print(f"VIOLATION, {each.part.title}: {words}")
    out = options.out or (None if options.only else PAGE)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        command = "make guarantee" if options.seeds == 20 and not options.only else " ".join(_own_command(arguments))
        out.write_text(page(found, command, datetime.now(UTC)), encoding="utf-8")
        print(f"written: {out}")
    played = next((each for each in found if each.part.name == "providers"), None)
    if out == PAGE and played is not None:
        page_of_providers = passport.PAGE.read_text(encoding="utf-8")
        passport.PAGE.write_text(passport.written(page_of_providers, played.report), encoding="utf-8")
    violations = sum(len(each.violations) for each in found)
    print(f"{violations} violations in {time.monotonic() - begun:.0f} s")
    return 1 if violations else 0


def _own_command(arguments: Sequence[str] | None) -> list[str]:
    """The command as it was called, without this machine's folder."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--keep" in given:
        del given[given.index("--keep") : given.index("--keep") + 2]
    return ["python -m tests.guarantee.report", *given]


if __name__ == "__main__":
    sys.exit(main())
