"""The demo: a simulated provider, an embedded database and a worker, each its own process; three requests.

Two commands with one key at the same moment, then a new request with the same prompt. What was paid is read
from the provider's own books, what was asked and blocked from the ledger; if they disagree, the demo fails.
At the end the accident itself, live: the old loop at a simulated provider of its own, one request.
"""

import asyncio
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.desks import Desk, open_ledger
from cli.display import watching
from cli.exits import Exit, Stop
from cli.progress import Estimate
from pipeline.amounts import usd
from pipeline.config import load_settings
from pipeline.operators import Stats
from pipeline.records import Run

PROMPT = "a paper boat sailing down a rainy street at dusk"
USER = "demo"
RENDER_SECONDS = 8.0  # long enough to be watched; nobody watches a pipe
RENDER_SECONDS_UNWATCHED = 2.0
LOOK_SECONDS = 0.2
START_SECONDS_MAX = 30.0
DEMO_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 10.0
# Of the surroundings, only what a process needs to run: no key, no provider, no database.
KEPT_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TERM",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "USER",
    "LOGNAME",
)


@dataclass(frozen=True)
class Books:
    """The provider's: how many create requests made a job, and what they cost."""

    paid_calls: int
    charged_microusd: int


async def tell() -> Exit:
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="onetake-demo-"))
    console.print(Text("onetake demo: one prompt, asked for three times", "bold"))
    console.print(Text(f'prompt: "{PROMPT}"'))
    console.print()
    try:
        async with asyncio.timeout(DEMO_SECONDS_MAX), _stage(folder, console) as (desk, root, environment):
            answers, run = await _three_requests(desk, environment, console)
            books, stats = await _books(root), await desk.operators.stats()
    except TimeoutError:
        raise Stop(
            f"the demo did not end within {DEMO_SECONDS_MAX:.0f} s; its data are in {folder}",
            Exit.ENDED_OTHERWISE,
        ) from None
    _say_answers(answers, console)
    _say_summary(run, books, stats, folder, console)
    old_loop = await _old_loop(folder)
    console.print()
    console.print(Text(comparison(old_loop, books), "bold"), soft_wrap=True)
    problems = disagreements(books, stats, Path(run.file) if run.file else None)
    for problem in problems:
        console.print(Text(f"FAILED: {problem}", "bold red"))
    return Exit.ENDED_OTHERWISE if problems else Exit.DONE


@asynccontextmanager
async def _stage(folder: Path, console: Console) -> AsyncIterator[tuple[Desk, str, dict[str, str]]]:
    """Provider, database and worker, running; put away in the opposite order."""
    async with AsyncExitStack() as opened:
        root = await opened.enter_async_context(_simulator(folder, _render_seconds(console)))
        console.print(Text.assemble(("provider   ", "dim"), f"simulated, {root}, with books of its own"))
        environment = surroundings(os.environ, folder, root)
        settings = load_settings(environment, env_file=None)
        desk = await opened.enter_async_context(open_ledger(settings))
        console.print(Text.assemble(("database   ", "dim"), "PostgreSQL, embedded"))
        await opened.enter_async_context(_worker(folder, environment))
        console.print(Text.assemble(("worker     ", "dim"), "in a process of its own"))
        console.print()
        yield desk, root, environment


def surroundings(outer: Mapping[str, str], folder: Path, root: str) -> dict[str, str]:
    """The environment of every process of the demo. Whatever is configured outside does not reach them."""
    return {name: outer[name] for name in KEPT_VARIABLES if name in outer} | {
        "ONETAKE_IGNORE_ENV_FILE": "1",
        "ONETAKE_HOME": str(folder),
        "OPENAI_API_KEY": "demo",
        "OPENAI_BASE_URL": f"{root}/v1",
        "VIDEO_MODEL": "sim-1",
        "POLL_SECONDS": "0.5",
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "100",
    }


@asynccontextmanager
async def _simulator(folder: Path, render_seconds: float) -> AsyncIterator[str]:
    port_file = folder / "simulator.port"
    command = ["--port-file", str(port_file), "--books", str(folder / "books.jsonl"), "--until-stdin-closes"]
    command += ["--render-seconds", str(render_seconds), "--clips", str(folder / "clips")]
    async with _process("simulator", command, dict(os.environ), folder) as process:
        for _ in range(int(START_SECONDS_MAX / LOOK_SECONDS)):
            if port_file.exists():
                break
            if process.returncode is not None:
                raise Stop(f"the simulator did not start; see {folder}/simulator.log", Exit.ENDED_OTHERWISE)
            await asyncio.sleep(LOOK_SECONDS)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"


@asynccontextmanager
async def _worker(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[None]:
    async with _process("cli", ["worker"], environment, folder):
        yield


@asynccontextmanager
async def _process(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of our own programs, its output in a log; told to stop on the way out."""
    with (folder / f"{module}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()


@dataclass(frozen=True)
class Heard:
    """What one `onetake create` said, and its exit code."""

    who: str
    code: int
    answer: Mapping[str, object]


def _render_seconds(console: Console) -> float:
    return RENDER_SECONDS if console.is_terminal else RENDER_SECONDS_UNWATCHED


async def _three_requests(desk: Desk, environment: Mapping[str, str], console: Console) -> tuple[list[Heard], Run]:
    """Two at the same moment under one key; the third once their run is in the ledger."""
    twins = [asyncio.create_task(_create(f"request {n}, key demo", ["--key", "demo"], environment)) for n in (1, 2)]
    run = await _first_run(desk, twins)
    third = asyncio.create_task(_create("request 3, a new one", [], environment))
    estimate = Estimate(_render_seconds(console), "the simulator's pace")
    everybody = asyncio.gather(*twins, third)
    with watching(console) as show:
        while not everybody.done():
            run = await desk.find(run.ref)
            show(run, estimate)
            await asyncio.wait([everybody], timeout=LOOK_SECONDS)
        run = await desk.find(run.ref)
        show(run, estimate)
    return list(await everybody), run


async def _first_run(desk: Desk, twins: Sequence["asyncio.Task[Heard]"]) -> Run:
    while True:
        if runs := await desk.operators.runs(1):
            return runs[0]
        if all(twin.done() for twin in twins):
            heard = twins[0].result()
            raise Stop(f"{heard.who} was not accepted: {heard.answer.get('error')}", Exit.ENDED_OTHERWISE)
        await asyncio.sleep(LOOK_SECONDS)


async def _create(who: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Heard:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "create", PROMPT, "--user", USER, "--json", *arguments),
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, problems = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    last = out.decode().strip().splitlines()[-1:]
    said = problems.decode().strip().splitlines()
    answer = json.loads(last[0]) if last else {"error": said[-1] if said else "it said nothing"}
    return Heard(who, process.returncode or 0, answer)


async def _books(root: str) -> Books:
    def read() -> Books:
        with urllib.request.urlopen(f"{root}/_sim/books?entries=0", timeout=5) as answer:  # noqa: S310 - our own
            totals = json.load(answer)["totals"]
        return Books(totals["paid_calls"], totals["charged_microusd"])

    return await asyncio.to_thread(read)


async def _old_loop(folder: Path) -> Books:
    """The same prompt, asked for once, in the loop that onetake replaced; its provider's books."""
    own = folder / "old-loop"
    own.mkdir()
    async with _simulator(own, RENDER_SECONDS_UNWATCHED) as root:
        command = [f"{root}/v1", PROMPT]
        async with _process("simulator.oldloop", command, surroundings(os.environ, own, root), own) as loop:
            try:
                await asyncio.wait_for(loop.wait(), START_SECONDS_MAX)
            except TimeoutError:
                raise Stop(f"the old loop did not end; see {own}", Exit.ENDED_OTHERWISE) from None
        if loop.returncode:
            raise Stop(f"the old loop did not run; see {own}/simulator.oldloop.log", Exit.ENDED_OTHERWISE)
        return await _books(root)


def comparison(old_loop: Books, onetake: Books) -> str:
    return (
        f"old loop: {old_loop.paid_calls} paid calls, {usd(old_loop.charged_microusd)};"
        f" onetake: {onetake.paid_calls}, {usd(onetake.charged_microusd)}"
    )


def disagreements(books: Books, stats: Stats, file: Path | None) -> list[str]:
    """What is wrong between the provider's books and the ledger; empty if all is well."""
    problems = []
    if books.paid_calls != 1:
        problems.append(f"the provider's books show {books.paid_calls} paid calls instead of one")
    if books.paid_calls != stats.paid_calls:
        problems.append(f"the ledger says {stats.paid_calls} paid calls, the provider's books {books.paid_calls}")
    if books.charged_microusd != stats.spent_microusd:
        problems.append(
            f"the ledger says {usd(stats.spent_microusd)}, the provider charged {usd(books.charged_microusd)}"
        )
    if stats.total_videos != 1 or stats.held_microusd:
        problems.append(f"{stats.total_videos} videos, {usd(stats.held_microusd)} still held; one and $0.00 expected")
    if file is None or not file.is_file():
        problems.append("there is no video file")
    return problems


def heard_words(heard: Heard) -> str:
    answer = heard.answer
    match heard.code:
        case Exit.DONE:
            return f'run {answer["ref"]}: "{answer["title"]}"'
        case Exit.REFUSED if answer.get("duplicate_of"):
            return f"not bought again: it is run {answer['duplicate_of']}"
    return f"exit {heard.code}: {answer.get('error')}"


def _say_answers(answers: Sequence[Heard], console: Console) -> None:
    console.print()
    for heard in answers:
        console.print(Text.assemble((f"{heard.who:<21}", "dim"), heard_words(heard)))
    console.print()


def _say_summary(run: Run, books: Books, stats: Stats, folder: Path, console: Console) -> None:
    per_second = usd(run.price_microusd // run.seconds)
    rows = [
        ("requests", str(stats.requests)),
        ("paid calls", str(books.paid_calls)),
        ("charged", f"{usd(books.charged_microusd)} ({run.seconds} s at {per_second}/s)"),
        ("duplicates blocked", str(stats.duplicates_blocked)),
        ("money saved", usd(stats.money_saved_microusd)),
        ("file", run.file or "none"),
        ("data kept in", str(folder)),
    ]
    for name, words in rows:
        console.print(Text.assemble((f"{name}: ", "bold"), words), soft_wrap=True)
