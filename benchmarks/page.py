"""The operators' page with a large ledger: how long each page takes, whether its queries use their indexes,
and what the live feed costs the bot's process."""

import asyncio
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient

from benchmarks.runs import engine_at
from pipeline.ledger.records import State
from tests.support.fixtures import Simulator
from tests.web.site import Site, open_site
from web.feed import FEED

PAGE_MS_MAX = 100.0
FEED_PERCENT_MAX = 3.0
ASKED = 30
IN_FLIGHT = 10
WATCHED_SECONDS = 30.0
QUICK_PLAN_ROWS = 20_000  # more rows of `runs` or `events` scanned sequentially: the query missed an index
# The pages' queries; filters that match few rows.
QUESTIONS = {
    "the overview": "public.page_overview(30)",
    "the metrics": "public.page_metrics()",
    "a month's outcomes by prompt version": "public.template_impact(30)",
    "the newest runs": "public.page_runs('{}', 50)",
    "runs in a state": """public.page_runs('{"state": "failed"}', 50)""",
    "runs in doubt": """public.page_runs('{"state": "doubt"}', 50)""",
    "runs of a user": """public.page_runs('{"user_id": "tg:17"}', 50)""",
    "runs of a model": """public.page_runs('{"model": "sim-pro"}', 50)""",
    "runs of a prompt version": """public.page_runs('{"template": "0000"}', 50)""",
    "one run by its ref": "public.find_run('AAAAAA')",
    "a run's events": "public.run_events((select run_id from onetake.runs limit 1))",
    "a day's runs for the audit": "public.audit_view('http://127.0.0.1:1/v1', 'abc', now() - interval '1 day')",
    "the users": "public.list_users(100)",
}
READ_ONE_BY_ONE = """
select sum(seq_tup_read) from pg_stat_xact_user_tables where schemaname = 'onetake' and relname in ('runs', 'events')
"""
VIEWER = """
import sys, urllib.request
answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Cookie": sys.argv[2]}))
while answer.readline():
    pass
"""


@dataclass(frozen=True)
class Found:
    """Milliseconds, the median per page; `first_ms`: the first overview, which counts all past days."""

    page_ms: dict[str, float]
    first_ms: float
    read_one_by_one: tuple[str, ...]
    feed_percent: float


async def measure(dsn: str, sim: Simulator, home: Path) -> Found:
    async with open_site(dsn, sim, home, POLL_SECONDS="5", LOOK_SECONDS="10", ATTEND_SECONDS="20") as site:
        await site.log_in()
        first = await _ms(site, "/admin")
        slow = await asyncio.to_thread(plans, dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            ref = connection.execute("select ref from onetake.runs order by reserved_at desc limit 1").fetchone()
        assert ref is not None
        paths = ["", "/runs", "/runs?state=failed", "/runs?user_id=tg:17", f"/runs/{ref[0]}"]
        paths += ["/doubt", "/audit", "/limits", "/prompts"]
        asked = {f"/admin{path}": f"/admin{path}" for path in paths} | {"/metrics": "/metrics"}
        pages = {name: statistics.median([await _ms(site, path) for _ in range(ASKED)]) for name, path in asked.items()}
        feed = await feed_percent(site, dsn)
    return Found(pages, first, slow, feed)


async def _ms(site: Site, path: str) -> float:
    begun = time.perf_counter()
    await site.read(path)
    return 1000 * (time.perf_counter() - begun)


def plans(dsn: str) -> tuple[str, ...]:
    """The queries that scan a large table sequentially, by the server's statistics, also within functions."""
    slow = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set max_parallel_workers_per_gather = 0")  # only this process's scans are counted
        for name, question in QUESTIONS.items():
            with connection.transaction():
                before = _read_one_by_one(connection)
                connection.execute(f"select {question}".encode()).fetchall()
                if _read_one_by_one(connection) - before > QUICK_PLAN_ROWS:
                    slow.append(name)
    return tuple(slow)


def _read_one_by_one(connection: "psycopg.Connection[Any]") -> int:
    row = connection.execute(READ_ONE_BY_ONE).fetchone()
    assert row is not None
    return int(row[0])


async def feed_percent(site: Site, dsn: str) -> float:
    """Percent of one core in this process, with a viewer (a separate process) minus without; ten renders in flight."""
    for key in ("budget_day_microusd", "budget_month_microusd"):
        await site.admin_context.operators.set_limit(key, 10**12, "bench")
    async with engine_at(dsn, site.context) as (engine, _):
        run_ids = [await site.order(f"boat {number}", user_id=f"cli:bench-{number}") for number in range(IN_FLIGHT)]
        for run_id in run_ids:
            await engine.enqueue(run_id)
        await _all_render(site, run_ids)
        without = await _burnt()
        cookie = next(c.value for c in _jar(site.client) if c.key == "onetake_session")
        url = str(site.client.make_url("/admin/feed"))
        viewer = await asyncio.create_subprocess_exec(sys.executable, "-c", VIEWER, url, f"onetake_session={cookie}")
        await asyncio.sleep(2)
        seen = await _burnt()
        app = site.client.app
        assert app is not None, "the site serves"
        assert app[FEED].viewers == 1, "nobody looks"
        assert viewer.returncode is None, "the viewer has gone"
        viewer.terminate()
        await viewer.wait()
        await _all_render(site, run_ids)
    return 100 * (seen - without) / WATCHED_SECONDS


def _jar(client: "TestClient[Any, Any]") -> CookieJar:
    jar = client.session.cookie_jar
    assert isinstance(jar, CookieJar)
    return jar


async def _all_render(site: Site, run_ids: list[UUID]) -> None:
    give_up = time.monotonic() + 30
    while True:
        runs = [await site.context.ledger.load(run_id) for run_id in run_ids]
        if all(run is not None and run.state is State.RENDERING for run in runs):
            return
        assert time.monotonic() < give_up, "ten runs are not in flight"
        await asyncio.sleep(0.5)


async def _burnt() -> float:
    """Seconds of CPU used in WATCHED_SECONDS."""
    begun = time.process_time()
    await asyncio.sleep(WATCHED_SECONDS)
    return time.process_time() - begun
