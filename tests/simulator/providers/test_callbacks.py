"""Callbacks of all vendors, played with fal's: once, twice, late, never, with a wrong signature, until answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from providers.vendors.fal import verify_callback
from tests.simulator.conftest import Open
from tests.simulator.providers.conftest import Fal

PATIENCE_SECONDS = 10.0


@dataclass
class Listener:
    """What reached the callback address; it answers with `status`."""

    url: str = ""
    status: int = 204
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def has(self, count: int) -> list[dict[str, Any]]:
        """The bodies, once there are as many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.heard) < count:
                await asyncio.sleep(0.01)
        return [json.loads(body) for _, body in self.heard]


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()

    async def hear(request: web.Request) -> web.Response:
        listener.heard.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=listener.status)

    app = web.Application()
    app.router.add_post("/callbacks/fal/token", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks/fal/token"
        yield listener
    finally:
        await runner.cleanup()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as opened:
        yield opened


async def sent(fal: Fal, count: int) -> list[dict[str, Any]]:
    """The attempts in the books, once there are as many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(attempts := (await fal.sim.books())["callbacks"]) < count:
            await asyncio.sleep(0.01)
    return list(attempts)


async def verified(fal: Fal, listener: Listener) -> bool:
    headers, body = listener.heard[0]
    async with aiohttp.ClientSession() as http, http.get(f"{fal.sim.root}/fal/.well-known/jwks.json") as answer:
        return verify_callback(headers, body, await answer.text(), float(headers["x-fal-webhook-timestamp"]))


async def test_end_of_a_job_is_reported_once_with_its_clip_and_a_signature(fal: Fal, listener: Listener) -> None:
    _, answer = await fal.submit(f"?fal_webhook={listener.url}")
    (body,) = await listener.has(1)
    assert (body["request_id"], body["status"]) == (answer["request_id"], "OK")
    assert body["payload"]["video"]["url"].startswith(f"{fal.sim.root}/_sim/files/{answer['request_id']}")
    assert await verified(fal, listener)
    assert [(each["job_id"], each["status"], each["last"]) for each in await sent(fal, 1)] == [
        (answer["request_id"], 204, True)
    ]


async def test_failed_job_is_reported_with_its_error(fal: Fal, listener: Listener) -> None:
    await fal.submit(f"?fal_webhook={listener.url}", prompt="render-fails")
    (body,) = await listener.has(1)
    assert (body["status"], body["error"]) == ("ERROR", "The video could not be generated.")
    assert body["payload"]["detail"][0]["type"] == "generation_failed"


async def test_running_job_and_job_without_an_address_are_not_reported(slow_fal: Fal, listener: Listener) -> None:
    await slow_fal.submit(f"?fal_webhook={listener.url}")
    await slow_fal.submit()
    await asyncio.sleep(0.1)
    assert listener.heard == []
    await slow_fal.sim.ask("POST", "/_sim/speed", json={"speed": 1e6})
    await listener.has(1)
    assert (await slow_fal.sim.books())["totals"]["callbacks"] == 1


async def test_habits_repeat_delay_withhold_and_forge_callbacks(open_provider: Open, listener: Listener) -> None:
    async with open_provider() as provider:
        fal = Fal(provider)
        await provider.habit(callbacks="never")
        await fal.submit(f"?fal_webhook={listener.url}")
        await asyncio.sleep(0.1)
        assert listener.heard == []
        await provider.habit(callbacks="late", callback_late_seconds=0.0)
        await listener.has(1)
        await provider.habit(callbacks="twice")
        _, answer = await fal.submit(f"?fal_webhook={listener.url}")
        assert [body["request_id"] for body in (await listener.has(3))[1:]] == [answer["request_id"]] * 2
        listener.heard.clear()
        await provider.habit(callbacks="wrong_signature")
        await fal.submit(f"?fal_webhook={listener.url}")
        await listener.has(1)
        assert not await verified(fal, listener)


async def test_unanswered_callback_is_sent_three_times(fal: Fal, listener: Listener) -> None:
    listener.status = 503
    await fal.submit(f"?fal_webhook={listener.url}")
    assert [(each["status"], each["last"]) for each in await sent(fal, 3)] == [
        (503, False),
        (503, False),
        (503, True),
    ]


async def test_address_that_nobody_answers_is_given_up(fal: Fal) -> None:
    await fal.submit("?fal_webhook=http://127.0.0.1:9/nobody")
    assert [each["status"] for each in await sent(fal, 3)] == [None] * 3


async def test_report_owed_at_a_restart_is_sent_once_by_the_next_process(
    open_provider: Open, listener: Listener, tmp_path: Path
) -> None:
    books = tmp_path / "books.jsonl"
    async with open_provider(books_path=books) as provider:
        await provider.habit(callbacks="never")
        await Fal(provider).submit(f"?fal_webhook={listener.url}")
    async with open_provider(books_path=books) as provider:
        await sent(Fal(provider), 1)
    async with open_provider(books_path=books) as provider:
        await asyncio.sleep(0.1)
        assert (await provider.books())["totals"]["callbacks"] == 1
    assert len(listener.heard) == 1


async def test_proxys_repeat_reports_to_the_same_address(fal: Fal, listener: Listener) -> None:
    await fal.sim.trouble("create", "repeated_by_proxy", after=0)
    await fal.submit(f"?fal_webhook={listener.url}")
    bodies = await listener.has(2)
    assert {body["request_id"] for body in bodies} == {job["id"] for job in await fal.sim.truth()}
