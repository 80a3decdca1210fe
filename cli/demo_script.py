"""The demo: the real bot, a simulated Telegram and provider, and an embedded database, each in its own process.

Sends one `/create`, taps its button twice, redelivers the same update as after a lost confirmation, and sends the same
request as a new message. Payments are read from the provider's own books, requests and blocked duplicates from the
ledger; if the two disagree, the demo fails. Finally runs the old loop, live, with one request at its own provider.
"""

import asyncio
import json
import os
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from app.exits import Exit, Stop
from app.ledger_session import LedgerSession, open_ledger
from app.programs import START_SECONDS_MAX, program, simulator
from cli.output.transcript import Transcript
from pipeline.formatting import usd
from pipeline.ledger.operators import Stats
from pipeline.ledger.records import Run, State
from pipeline.settings.config import load_settings

PROMPT = "a paper boat sailing down a rainy street at dusk"
NAME = "Ana"
RENDER_SECONDS = 8.0  # long enough to watch, on a terminal
RENDER_SECONDS_UNWATCHED = 2.0
LOOK_SECONDS = 0.2
REQUESTS = 3  # the message, its redelivery, and the new message
DEMO_SECONDS_MAX = 90.0
# Inherited from the environment: only what a process needs to run, no key, provider or database.
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
class SimulatorCounts:
    """From the provider's books: how many create requests made a job, and what they cost."""

    paid_calls: int
    charged_microusd: int


async def tell() -> Exit:
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="onetake-demo-"))
    console.print(Text("onetake demo: one request in a chat, sent and tapped repeatedly", "bold"))
    try:
        async with asyncio.timeout(DEMO_SECONDS_MAX), _stage(folder, console) as (session, chat):
            run = await _play(chat, session)
            books, stats = await _books(chat.root), await session.operators.stats()
    except TimeoutError:
        raise Stop(
            f"the demo did not end within {DEMO_SECONDS_MAX:.0f} s; its data is in {folder}",
            Exit.ENDED_OTHERWISE,
        ) from None
    _say_summary(run, books, stats, folder, console)
    old_loop = await _old_loop(folder)
    console.print()
    console.print(Text(comparison(old_loop, books), "bold"), soft_wrap=True)
    problems = disagreements(books, stats, Path(run.file) if run.file else None)
    for problem in problems:
        console.print(Text(f"FAILED: {problem}", "bold red"))
    return Exit.ENDED_OTHERWISE if problems else Exit.DONE


class Chat:
    """One person's chat with the bot, through the simulator's control endpoints; prints it to the terminal live."""

    def __init__(self, root: str, person: int, console: Console) -> None:
        self.root = root
        self._person = person
        self._console = console
        self._transcript = Transcript()
        self._views: list[Mapping[str, Any]] = []

    async def say(self, text: str) -> Mapping[str, Any]:
        message = {"chat_id": self._person, "from": self._person, "text": text}
        sent: Mapping[str, Any] = await ask(self.root, "messages", message)
        return sent

    async def tap(self, message_id: int, button: str) -> None:
        tapped = {"chat_id": self._person, "from": self._person, "message_id": message_id, "button": button}
        await ask(self.root, "taps", tapped)

    async def redeliver(self, update_id: int) -> None:
        await ask(self.root, "redeliver", {"update_id": update_id})

    def note(self, words: str) -> None:
        self._console.print(Text(f"         ({words})", "yellow"), soft_wrap=True)

    async def look(self) -> None:
        self._views = (await ask(self.root, f"chats/{self._person}"))["messages"]
        for line in self._transcript.news(self._views):
            self._console.print(line, soft_wrap=True)

    async def until(self, words: str) -> Mapping[str, Any]:
        """Waits for a message of the bot with these words in its text or on a button."""
        while True:
            await self.look()
            for view in self._views:
                labels = [button["text"] for row in view.get("keyboard") or [] for button in row]
                if view["from"]["is_bot"] and words in "\n".join(
                    [view.get("text") or view.get("caption") or "", *labels]
                ):
                    return view
            await asyncio.sleep(LOOK_SECONDS)


async def _play(chat: Chat, session: LedgerSession) -> Run:
    sent = await chat.say(f"/create {PROMPT}")
    card = await chat.until("Create")
    chat.note("taps Create twice, as impatient people do")
    await asyncio.gather(*(chat.tap(card["message_id"], "Create") for _ in range(2)))
    await chat.until("Rendering")
    chat.note("Telegram delivers the first message again, as after a lost confirmation")
    await chat.redeliver(sent["update_id"])
    chat.note("and the same request arrives as a new message")
    await chat.say(f"/create {PROMPT}")
    await chat.until("It was not ordered again")
    await chat.until("Here it is")
    return await _told(session)


async def _told(session: LedgerSession) -> Run:
    """Waits until the ledger has counted all requests, the redelivered one included; returns the run."""
    stats = await session.operators.stats()
    while stats.requests < REQUESTS:
        await asyncio.sleep(LOOK_SECONDS)
        stats = await session.operators.stats()
    [run] = await session.operators.runs(1)
    assert run.state is State.DELIVERED, f"the card said so, the ledger says {run.state}"
    return run


@asynccontextmanager
async def _stage(folder: Path, console: Console) -> AsyncIterator[tuple[LedgerSession, Chat]]:
    """Starts the simulator, the database and the bot; stops them in reverse order."""
    async with AsyncExitStack() as opened:
        options = ["--render-seconds", str(_render_seconds(console))]
        root = await opened.enter_async_context(simulator(folder, options))
        console.print(Text.assemble(("outside    ", "dim"), f"simulated: Telegram and the provider, {root}"))
        environment = surroundings(os.environ, folder, root)
        settings = load_settings(environment, env_file=None)
        session = await opened.enter_async_context(open_ledger(settings))
        console.print(Text.assemble(("database   ", "dim"), "PostgreSQL, embedded"))
        await opened.enter_async_context(program("cli", ["bot"], environment, folder / "bot.log"))
        console.print(Text.assemble(("bot        ", "dim"), "the real one, in its own process"))
        console.print()
        person = await ask(root, "people", {"name": NAME, "language_code": "en"})
        yield session, Chat(root, person["id"], console)


def surroundings(outer: Mapping[str, str], folder: Path, root: str) -> dict[str, str]:
    """The environment of every process of the demo, without any setting of the user's own."""
    return {name: outer[name] for name in KEPT_VARIABLES if name in outer} | {
        "ONETAKE_IGNORE_ENV_FILE": "1",
        "ONETAKE_HOME": str(folder),
        "OPENAI_API_KEY": "demo",
        "OPENAI_BASE_URL": f"{root}/v1",
        "VIDEO_MODEL": "sim-1",
        "TELEGRAM_BOT_TOKEN": "1000001:demo",
        "TELEGRAM_API_BASE": root,
        "POLL_SECONDS": "0.5",
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "100",
    }


def _render_seconds(console: Console) -> float:
    return RENDER_SECONDS if console.is_terminal else RENDER_SECONDS_UNWATCHED


async def ask(root: str, what: str, body: Mapping[str, object] | None = None) -> Any:
    """A control call to the simulator's Telegram."""

    def call() -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own
            f"{root}/_sim/telegram/{what}", data=None if body is None else json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
            return json.load(answer)

    return await asyncio.to_thread(call)


async def _books(root: str) -> SimulatorCounts:
    def read() -> SimulatorCounts:
        with urllib.request.urlopen(f"{root}/_sim/books?entries=0", timeout=5) as answer:  # noqa: S310 - our own
            totals = json.load(answer)["totals"]
        return SimulatorCounts(totals["paid_calls"], totals["charged_microusd"])

    return await asyncio.to_thread(read)


async def _old_loop(folder: Path) -> SimulatorCounts:
    """Requests the same prompt once through the loop that onetake replaced; returns its provider's counts."""
    own = folder / "old-loop"
    own.mkdir()
    async with simulator(own, ["--render-seconds", str(RENDER_SECONDS_UNWATCHED)]) as root:
        command = [f"{root}/v1", PROMPT]
        log = own / "old-loop.log"
        async with program("simulator.oldloop", command, surroundings(os.environ, own, root), log) as loop:
            try:
                await asyncio.wait_for(loop.wait(), START_SECONDS_MAX)
            except TimeoutError:
                raise Stop(f"the old loop did not finish; see {own}", Exit.ENDED_OTHERWISE) from None
        if loop.returncode:
            raise Stop(f"the old loop failed; see {log}", Exit.ENDED_OTHERWISE)
        return await _books(root)


def comparison(old_loop: SimulatorCounts, onetake: SimulatorCounts) -> str:
    return (
        f"old loop: {old_loop.paid_calls} paid calls, {usd(old_loop.charged_microusd)};"
        f" onetake: {onetake.paid_calls}, {usd(onetake.charged_microusd)}"
    )


def disagreements(books: SimulatorCounts, stats: Stats, file: Path | None) -> list[str]:
    """What is wrong with the outcome: the provider's books, the ledger, or the file. Empty if all is well."""
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


def _say_summary(run: Run, books: SimulatorCounts, stats: Stats, folder: Path, console: Console) -> None:
    per_second = usd(run.price_microusd // run.seconds)
    console.print()
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
