"""Records stale cases again: at the simulator, or at the configured endpoint once the price is accepted.

In       a survey
Out      recordings and notes; `python -m tests.record` makes those of `tests/`
Effects  chat completions; files in `cassettes/`
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import typer

from app.exits import Exit, Stop
from evals.asking import Endpoint, ask_case
from evals.recordings import Tape, interactions_in
from evals.staleness import Entry, State, Survey, calls_words, cost_of, fingerprint, survey, usd_words
from evals.workbench import Bench
from steps.text_model.brand import BRAND_FILE, banned_in

AT_ONCE = 8
FAILED_MAX = 5  # failed tests to show
LOOK = "git add -N cassettes && git diff cassettes"  # includes new files
SIMULATED_AS = "gpt-6-luna"  # the simulator accepts any model; prices are this one's


def record(bench: Bench, *, stale: bool, live: bool) -> Exit:
    """Print the plan and its price, record, and print the result."""
    found = survey(bench)
    wanted = found.stale if stale else tuple(each for each in found.entries if each.state is not State.RENAMED)
    tests = {each.name.split("/")[0] for each in found.stale_tests}
    if not wanted and not found.renamed and not found.unused and not tests:
        typer.echo(f"Nothing is stale: all {len(found.entries)} cases match their recordings.")
        return Exit.DONE
    _say_price(found, wanted, live, sum(each.calls for each in found.stale_tests))
    with_answers, failed = asyncio.run(_record_all(found, wanted, live))
    _tidy(found)
    found.store.save_notes()
    _say_done(found, with_answers, failed)
    code = _record_tests(found, bench, tests) if tests else 0
    return Exit.ENDED_OTHERWISE if failed or code else Exit.DONE


def _say_price(found: Survey, wanted: Sequence[Entry], live: bool, of_tests: int) -> None:
    """`of_tests`: calls for the recordings of `tests/`, which the simulator always answers."""
    asked = sum(entry.calls for entry in wanted)
    if not live:
        if not asked + of_tests:
            return
        price = usd_words(cost_of([*wanted, *found.stale_tests], found.catalogue))
        parts = f", {asked} for cases and {of_tests} for tests/" if asked and of_tests else ""
        calls = f"{calls_words(asked + of_tests)} to the simulator{parts}"
        typer.echo(f"{calls}: nothing to pay ({price} at {SIMULATED_AS}).")
        real = [entry for entry in wanted if entry.old and not found.store.notes[entry.old].simulated]
        if real:
            typer.echo(
                f"{len(real)} of them replace a real model's answers with the simulator's; "
                "to ask the model again: onetake prompts record --live"
            )
        return
    if of_tests:
        typer.echo(f"{calls_words(of_tests)} for tests/ to the simulator: nothing to pay.")
    if not wanted:
        return
    calls, price = calls_words(asked), usd_words(cost_of(wanted, found.catalogue))
    cents = -(-cost_of(wanted, found.catalogue) * 2 // 10_000)  # each may be asked twice
    most = f"{cents // 100}.{cents % 100:02}"
    typer.echo(f"{calls} to {_settings().base_url}, {price}, at most ${most}.")
    if not sys.stdin.isatty():
        raise Stop("recording at a real endpoint must be confirmed in a terminal; nothing was called")
    if input(f"Type {most} to continue: ").strip().lstrip("$") != most:
        raise Stop("not confirmed; nothing was called", Exit.ENDED_OTHERWISE)


async def _record_all(found: Survey, wanted: Sequence[Entry], live: bool) -> tuple[int, list[str]]:
    if not wanted:
        return 0, []
    gate = asyncio.Semaphore(AT_ONCE)
    failed: list[str] = []
    async with open_endpoint(live) as where:

        async def one(entry: Entry) -> None:
            async with gate:
                if why := await _record_one(found, entry, where):
                    failed.append(f"{entry.case.name}: {why}")

        await asyncio.gather(*map(one, wanted))
    return len(wanted) - len(failed), failed


async def _record_one(found: Survey, entry: Entry, where: Endpoint) -> str | None:
    """Record one case. Returns why that failed, or None."""
    template, tape = found.templates[entry.case.template], Tape(recording=True)
    answer = await ask_case(template, entry.case.input, tape, where)
    if not tape.kept or any(each["response"]["status"]["code"] != 200 for each in tape.kept):
        return answer.error or "no answer"
    note = {
        "against": where.name,
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "model": where.model,
        "versions": template.versions,
        "request": fingerprint(template, entry.case.input),
        "ms": answer.ms,
    }
    found.store.write(entry.key, tape.kept, note)
    if entry.old and entry.old != entry.key:
        found.store.remove(entry.old)
    return None


def _tidy(found: Survey) -> None:
    """Rename recordings whose question is unchanged, and delete those that no case uses."""
    for entry in found.renamed:
        assert entry.old is not None
        kept = found.store.read(entry.old)
        assert kept is not None
        note = asdict(found.store.notes[entry.old]) | {"versions": found.templates[entry.case.template].versions}
        del note["sha256"]
        found.store.write(entry.key, kept, note)
        found.store.remove(entry.old)
    for key in found.unused:
        found.store.remove(key)


def _say_done(found: Survey, recorded: int, failed: Sequence[str]) -> None:
    said = [f"{recorded} recorded"]
    said += [f"{len(found.renamed)} renamed, as their questions are unchanged"] if found.renamed else []
    said += [f"{len(found.unused)} removed, as no case uses them"] if found.unused else []
    typer.echo(f"{'; '.join(said)}. Look at them: {LOOK}")
    for words in failed:
        typer.echo(f"not recorded: {words}", err=True)


def _record_tests(found: Survey, bench: Bench, names: set[str]) -> int:
    """Record again those of `tests/` that the edit affects, file by file, against the simulator."""
    files = [f"tests/cassette/{name}.py" for name in sorted(names)]
    typer.echo(f"recording {', '.join(files)} against the simulator")
    clean = {name: value for name, value in os.environ.items() if name in {"HOME", "PATH", "TMPDIR", "LANG", "TERM"}}
    command = [sys.executable, "-m", "tests.record", *files]
    done = subprocess.run(  # noqa: S603  # our own program
        command,
        cwd=bench.root,
        env=clean | {"ONETAKE_IGNORE_ENV_FILE": "1", "PYTHONPATH": str(bench.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        typer.echo(_why_tests_failed(found, bench, files, done.stdout + done.stderr), err=True)
    return done.returncode


def _why_tests_failed(found: Survey, bench: Bench, files: Sequence[str], printed: str) -> str:
    """A few lines of pytest's output, with the most likely reason."""
    words = "With these prompts the simulator's answers are not what the tests expect"
    kept = "the recordings of tests/ are unchanged, and nothing was paid"
    lines = [f"not recorded: {', '.join(files)}. {words}; {kept}."]
    lines += [f"  {line}" for line in printed.splitlines() if line.startswith(("FAILED", "ERROR"))][:FAILED_MAX]
    words_banned = {word for template in found.templates.values() for word in template.brand.banned_words}
    asked = " ".join(
        json.loads(each["request"]["body"])["messages"][-1]["content"]
        for file in files
        for path in (bench.root / "cassettes" / "cassette" / Path(file).stem).glob("*.yaml")
        for each in interactions_in(path.read_text(encoding="utf-8"))
        if each["request"]["uri"].endswith("/chat/completions")
    )
    if banned := banned_in(asked, sorted(words_banned)):
        remedy = "ban another word, or change the word in tests/cassette/conversation.py"
        lines.append(f"  {BRAND_FILE} bans {', '.join(banned)}, which these tests use: {remedy}")
    lines.append(f"  for the full output: {Path(sys.executable).name} -m tests.record {' '.join(files)}")
    return "\n".join(lines)


@asynccontextmanager
async def open_endpoint(live: bool) -> AsyncIterator[Endpoint]:
    """The simulator in this process, or the configured text model."""
    if live:
        yield _settings()
        return
    from simulator.app import serve

    async with serve() as running:
        yield Endpoint(running.base_url, "test-key", SIMULATED_AS, "the simulator")


def _settings() -> Endpoint:
    from pipeline.settings.config import OPENAI_URL, load_settings

    settings = load_settings()
    local = settings.openai_base_url != OPENAI_URL and settings.openai_api_key is None
    if local:  # a local server needs no key
        return Endpoint(settings.openai_base_url, "none", settings.llm_model, _host(settings.openai_base_url))
    text = settings.text
    return Endpoint(text.base_url, text.api_key, text.model, _host(text.base_url), text.timeout_seconds)


def _host(url: str) -> str:
    return urlsplit(url).hostname or "?"
