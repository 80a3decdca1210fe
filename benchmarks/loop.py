"""The contenders of `benchmarks.duplicates`: ways to buy one video, each in its strongest form.

A contender is the memory of one process, created anew when the process is "restarted". `buy` is one arrival of the
request and returns the job ids that its caller got. Only the database repair and onetake keep anything on disk.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from openai import AsyncOpenAI, OpenAIError

from simulator.oldloop import Buy, default_create, run_loop

PROMPT = "a paper boat in the rain"
REQUEST = "tg:1:1:7"  # the same for every arrival
TIMEOUT_SECONDS = 1.0  # instead of the SDK's 600, so that a lost answer does not take all day; nothing else differs
TRIES = 3

Shopper = Callable[[], Awaitable[list[str]]]  # one arrival of the request


@dataclass(frozen=True)
class Stall:
    """Where a contender buys, and the folder that survives its process."""

    url: str
    disk: Path


Opened = Callable[[Stall], AbstractAsyncContextManager[Shopper]]


@dataclass(frozen=True)
class Contender:
    name: str
    about: str
    open: Opened


@asynccontextmanager
async def _sdk(stall: Stall) -> AsyncIterator[Buy]:
    async with AsyncOpenAI(base_url=stall.url, api_key="key", timeout=TIMEOUT_SECONDS) as sdk:
        yield default_create(sdk)


@asynccontextmanager
async def bare(stall: Stall) -> AsyncIterator[Shopper]:
    async with _sdk(stall) as create:
        yield lambda: run_loop(PROMPT, create)


@asynccontextmanager
async def with_cache(stall: Stall) -> AsyncIterator[Shopper]:
    answers: dict[str, str] = {}  # by the tool's arguments
    async with _sdk(stall) as create:

        async def cached(prompt: str) -> str:
            if prompt not in answers:
                answers[prompt] = await create(prompt)
            return answers[prompt]

        yield lambda: run_loop(PROMPT, cached)


@asynccontextmanager
async def with_lock(stall: Stall) -> AsyncIterator[Shopper]:
    lock = asyncio.Lock()  # per user; there is one user
    async with _sdk(stall) as create:

        async def alone() -> list[str]:
            if lock.locked():
                return []  # "please wait for your video"
            async with lock:
                return await run_loop(PROMPT, create)

        yield alone


@asynccontextmanager
async def with_key(stall: Stall) -> AsyncIterator[Shopper]:
    done: dict[str, str] = {}  # by request
    async with _sdk(stall) as create:

        async def once(prompt: str) -> str:
            if REQUEST not in done:
                done[REQUEST] = await create(prompt)
            return done[REQUEST]

        yield lambda: run_loop(PROMPT, once)


@asynccontextmanager
async def with_index(stall: Stall) -> AsyncIterator[Shopper]:
    table = sqlite3.connect(stall.disk / "videos.sqlite", isolation_level=None)
    table.execute("create table if not exists videos (request text unique, job_id text)")
    async with _sdk(stall) as create:

        async def claimed(prompt: str) -> str:
            try:
                table.execute("insert into videos values (?, null)", (REQUEST,))
            except sqlite3.IntegrityError as refused:
                row = table.execute("select job_id from videos").fetchone()
                if row[0] is None:
                    raise OpenAIError("already requested") from refused
                return str(row[0])
            job_id = await create(prompt)
            table.execute("update videos set job_id = ?", (job_id,))
            return job_id

        yield lambda: run_loop(PROMPT, claimed)
    table.close()


@asynccontextmanager
async def plain(stall: Stall) -> AsyncIterator[Shopper]:
    async with _sdk(stall) as create:

        async def once() -> list[str]:
            try:
                return [await create(PROMPT)]
            except OpenAIError:
                return []

        yield once


@asynccontextmanager
async def retrying(stall: Stall) -> AsyncIterator[Shopper]:
    async with _sdk(stall) as create:

        async def stubborn() -> list[str]:
            for _ in range(TRIES):
                try:
                    return [await create(PROMPT)]
                except OpenAIError:
                    await asyncio.sleep(0.05)
            return []

        yield stubborn


CONTENDERS = (
    Contender("old loop", "the free tool loop: the model calls the video tool seven times in one run", bare),
    Contender("+ cache of tool calls", "answers remembered in memory by the tool's arguments", with_cache),
    Contender("+ lock per user", "held in memory for the whole run; a second arrival is turned away", with_lock),
    Contender("+ idempotency key", "answers remembered in memory by the request, whatever the arguments", with_key),
    Contender("+ unique index", "the request's row is inserted before the call; a second one is refused", with_index),
    Contender("SDK default", "one client.videos.create() with the SDK's own retries and redirects", plain),
    Contender("SDK in a retry wrapper", f"the same, up to {TRIES} times until it does not raise", retrying),
)
