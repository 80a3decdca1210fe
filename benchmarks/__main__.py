"""`make bench`: measures and prints the figures we promise; exits 1 if one is missed."""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from benchmarks import chat, grown, page, runs, transports
from pipeline.ledger.migrate import install_queue, migrate
from pipeline.postgres.embedded import open_server
from tests.support.fixtures import simulator_process

HELP_SECONDS_MAX = 0.6


def line(name: str, value: float, unit: str, bound: float, *, at_most: bool) -> bool:
    kept = value <= bound if at_most else value >= bound
    print(f"{name:<58}{value:>9.1f} {unit:<8} {'<=' if at_most else '>='} {bound:g}   {'kept' if kept else 'MISSED'}")
    return kept


def help_seconds() -> float:
    """The fastest of five starts of `onetake --help`, each in its own process."""
    command = [str(Path(sys.executable).with_name("onetake")), "--help"]
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return min(times)


def database(uri: str, name: str) -> str:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    dsn = psycopg.conninfo.make_conninfo(uri, dbname=name)
    migrate(dsn)
    install_queue(dsn)
    return dsn


def of_chats() -> list[bool]:
    """The bot, with its own simulators: the figures come from their logs."""
    with tempfile.TemporaryDirectory(prefix="onetake-bench-") as folder, open_server(Path(folder)) as uri:
        with simulator_process("--speed", "instant") as at:
            found = chat.describe(asyncio.run(chat.card_ms(database(uri, "cards"), at, Path(folder))))
        fast = line("(c) 10 updates/s: update to card, median", found["median"], "ms", chat.CARD_MS_MAX, at_most=True)
        print(f"    95 of 100 within {found['p95']:.0f} ms, the slowest {found['worst']:.0f} ms")
        with simulator_process("--render-seconds", "40") as at:
            seen = asyncio.run(chat.manners(database(uri, "manners"), at, Path(folder)))
        second, minute = chat.CALLS_PER_SECOND_MAX, chat.CHAT_CALLS_PER_MINUTE_MAX
        name = f"(d) {seen.renders} renders in flight"
        return [
            fast,
            line(f"{name}: calls in the busiest second", seen.per_second, "calls", second, at_most=True),
            line(f"{name}: in a chat's busiest minute", seen.per_chat_minute, "calls", minute, at_most=True),
            line(f"{name}: refused for flooding", seen.floods, "calls", 0, at_most=True),
        ]


def of_the_page() -> list[bool]:
    """The operators' page, with a hundred thousand runs and a million events."""
    with (
        tempfile.TemporaryDirectory(prefix="onetake-bench-") as folder,
        open_server(Path(folder)) as uri,
        simulator_process("--render-seconds", "600") as at,
    ):
        dsn = database(uri, "grown")
        grown.grow(dsn)
        found = asyncio.run(page.measure(dsn, at, Path(folder)))
    slowest = max(found.page_ms, key=lambda path: found.page_ms[path])
    name = f"(g) the slowest page with {grown.RUNS:,} runs, median"
    print(f"    {', '.join(f'{path} {ms:.0f}' for path, ms in found.page_ms.items())} ms; slowest {slowest}")
    print(f"    the first of a day, which also counts past days: {found.first_ms:.0f} ms")
    if found.read_one_by_one:
        print(f"    queries without an index: {', '.join(found.read_one_by_one)}")
    return [
        line(name, found.page_ms[slowest], "ms", page.PAGE_MS_MAX, at_most=True),
        line("    queries that scan a whole table", len(found.read_one_by_one), "", 0, at_most=True),
        line(
            "(h) live feed, one viewer, ten runs in flight",
            found.feed_percent,
            "% core",
            page.FEED_PERCENT_MAX,
            at_most=True,
        ),
    ]


def main() -> int:
    kept = []
    with (
        tempfile.TemporaryDirectory(prefix="onetake-bench-") as folder,
        open_server(Path(folder)) as uri,
        simulator_process("--speed", "instant") as at,
    ):
        speed = asyncio.run(runs.in_process(database(uri, "instant"), at, Path(folder)))
        kept.append(
            line(
                "(a) ledger + engine, one at a time, median",
                speed.median_ms,
                "ms/run",
                runs.OWN_TIME_MS_MAX,
                at_most=True,
            )
        )
        kept.append(
            line(
                "(a) ledger + engine, 100 at once",
                speed.per_second,
                "runs/s",
                runs.CONCURRENT_PER_SECOND_MIN,
                at_most=False,
            )
        )
        speed, where = asyncio.run(runs.over_http(database(uri, "http"), at, Path(folder)))
        kept.append(
            line(
                "(b) the whole path over HTTP, 100 at once",
                speed.per_second,
                "runs/s",
                runs.HTTP_PER_SECOND_MIN,
                at_most=False,
            )
        )
        print(f"    one at a time {speed.median_ms:.0f} ms/run; own time: {where}")
        creates = at.books()["totals"]
        print(f"    the simulator's books: {creates['creates']} requests, {creates['paid_calls']} paid calls")
        transports.print_transports(uri)
    transports.print_workers()
    kept += of_chats()
    kept += of_the_page()
    kept.append(line("onetake --help", help_seconds(), "s", HELP_SECONDS_MAX, at_most=True))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
