"""The operators' page in this process, on a fresh ledger and the simulator, with an HTTP client for a browser."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient, TestServer

from pipeline.clips.storage import at_hand
from pipeline.context import ProviderAccount, RunContext
from pipeline.ledger.dashboard import Dashboard, Filters
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run, State
from pipeline.run import admit, run
from pipeline.settings.resources import EVALS, models_file
from pipeline.worker import open_engine
from providers.catalogue import load_catalogue
from steps.check_limits import Admitted
from tests.support.fixtures import Simulator, open_test_context, order_request, quick_waits
from web.app import make_app
from web.context import WebContext

TOKEN = "a-token-of-sixteen-or-more"
PATIENCE_SECONDS = 60.0


@dataclass
class Clock:
    """Seconds since 1970, set by the test."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Site:
    client: "TestClient[Any, Any]"
    context: RunContext
    admin_context: WebContext
    simulator: Simulator
    clock: Clock

    async def log_in(self, name: str = "Ada", token: str = TOKEN) -> ClientResponse:
        form = {"name": name, "token": token}
        return await self.client.post("/admin/login", data=form, allow_redirects=False)

    async def read(self, path: str, **how: Any) -> str:
        """The text of a page that must exist."""
        answer = await self.client.get(path, **how)
        assert answer.status == 200, (path, answer.status, await answer.text())
        return await answer.text()

    async def csrf(self, path: str = "/admin/limits") -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', await self.read(path))
        assert found, f"{path} has no form"
        return found[1]

    async def submit(self, path: str, **form: str) -> str:
        """Submit one of our forms; returns the message on the next page."""
        answer = await self.client.post(path, data={"csrf": await self.csrf(), **form})
        assert answer.status == 200, (path, answer.status)
        return news(await answer.text())

    async def order(self, prompt: str = "a paper boat in the rain", **changes: Any) -> UUID:
        admitted = await admit(order_request(self.simulator, prompt, **changes), self.context.ledger)
        assert isinstance(admitted, Admitted), admitted
        return admitted.run_id

    async def driven(self, run_id: UUID) -> Run:
        """Process the run until it has ended, is parked, or time is up."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            row = await run(run_id, self.context)
            assert row is not None
            if row.ended or row.parked or row.in_doubt or time.monotonic() > give_up:
                return row
            await asyncio.sleep(0.05)


async def in_doubt(site: Site, simulator: Simulator, prompt: str = "a lost kite", **changes: Any) -> Run:
    """A run whose answer was lost, while the provider's list cannot be read."""
    simulator.trouble("create", "made_then_drop")
    simulator.trouble("list", "status", status=503, always=True)
    row = await site.driven(await site.order(prompt, **changes))
    simulator.control("DELETE", "/_sim/faults")
    assert row.state is State.UNCERTAIN
    return row


async def the_run(site: Site) -> Run:
    (row,) = await site.admin_context.dashboard.runs(Filters(), 10)
    return row


def seen(row: Run) -> dict[str, str]:
    """The hidden fields of the page's form: the state and job of the run as shown."""
    return {"shown_state": row.state.value, "shown_job": row.job_id or ""}


def news(html: str) -> str:
    return unescape(" ".join(re.findall(r'data-testid="news">([^<]*)<', html)))


def shown(html: str, name: str) -> str:
    """The text of the element with this test id, without tags."""
    found = re.search(rf'data-testid="{name}"[^>]*>(.*?)</(?:p|span|strong|td)>', html, re.DOTALL)
    assert found, f"no {name} on the page"
    return unescape(re.sub(r"<[^>]+>", "", found[1])).strip()


@asynccontextmanager
async def open_site(
    dsn: str,
    simulator: Simulator,
    home: Path,
    token: str = TOKEN,
    others: tuple[ProviderAccount, ...] = (),
    **waits: str,
) -> AsyncIterator[Site]:
    """`others`: accounts that are configured besides the one at the simulator."""
    async with AsyncExitStack() as opened:
        context = await opened.enter_async_context(open_test_context(dsn, simulator, home, quick_waits(**waits)))
        engine = await opened.enter_async_context(open_engine(dsn))
        admin_context = WebContext(
            ledger=context.ledger,
            operators=Operators(context.ledger.rpc),
            dashboard=Dashboard(context.ledger.rpc),
            account=replace(context.account, others=others),
            waits=context.waits,
            catalogue=load_catalogue(models_file()),
            enqueue=engine.wake,
            clip_of=partial(at_hand, context=context),
            evals=home / EVALS,
            flood_waits=lambda: 3,
            unreadable_updates=lambda: 2,
        )
        clock = Clock()
        server = TestServer(make_app(admin_context, token, clock))
        client = await opened.enter_async_context(TestClient(server, cookie_jar=CookieJar(unsafe=True)))
        yield Site(client, context, admin_context, simulator, clock)


async def as_written(site: Site, path: str, *headers: bytes, body: bytes | None = None) -> str:
    """The answer to a request sent byte for byte, without a client's normalization."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port)
    first = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1".encode()
    length = b"Content-Length: %d" % len(body or b"")
    writer.write(b"\r\n".join([first, b"Host: onetake.test", b"Connection: close", length, *headers, b"", body or b""]))
    answer = await reader.read()
    writer.close()
    return answer.decode()
