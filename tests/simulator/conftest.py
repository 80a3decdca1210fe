"""A simulator in this process on a free port, and a plain HTTP client for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from simulator.app import serve
from simulator.settings import INSTANT, Settings
from simulator.state import SimulatorState
from tests.simulator.telegram.harness import TelegramHarness, open_bot_harness

FOX = {"prompt": "a red fox in the rain", "model": "sim-1", "seconds": "8", "size": "720x1280"}
KEY = {"Authorization": "Bearer tests"}


@dataclass(frozen=True)
class Provider:
    """One running simulator. A request is sent once: no client retries silently."""

    root: str
    context: SimulatorState

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        status, body, _ = await self.raw(method, path, **how)
        return status, body

    async def raw(self, method: str, path: str, **how: Any) -> tuple[int, Any, Any]:
        """Status, JSON (else bytes) and headers of an answer."""
        headers = KEY | how.pop("headers", {})
        async with aiohttp.ClientSession() as session:
            # aiohttp repeats a dropped GET; its own test client switches that off in the same way.
            session._retry_connection = False
            url = self.root + path
            async with session.request(method, url, headers=headers, allow_redirects=False, **how) as answer:
                is_json = answer.content_type == "application/json"
                return answer.status, await (answer.json() if is_json else answer.read()), answer.headers

    async def buy(self, **changes: str) -> tuple[int, Any]:
        """POST a JSON order."""
        return await self.ask("POST", "/v1/videos", json=FOX | changes)

    async def trouble(self, target: str, kind: str, **how: object) -> None:
        """Arm a fault."""
        status, answer = await self.ask("POST", "/_sim/faults", json={"target": target, "kind": kind, **how})
        assert status == 200, answer

    async def habit(self, **habits: object) -> None:
        """Set habits: how this server differs from the protocol."""
        status, answer = await self.ask("POST", "/_sim/habits", json=habits)
        assert status == 200, answer

    async def seen(self, video_id: str) -> Any:
        """The job as retrieve shows it."""
        return (await self.ask("GET", f"/v1/videos/{video_id}"))[1]

    async def listed(self, query: str = "") -> Any:
        """The jobs as the list shows them."""
        return (await self.ask("GET", f"/v1/videos{query}"))[1]

    async def truth(self) -> list[Any]:
        """Every job with its true state, oldest first."""
        return list((await self.ask("GET", "/_sim/jobs"))[1]["jobs"])

    async def books(self) -> Any:
        """The provider's own books."""
        return (await self.ask("GET", "/_sim/books"))[1]


Open = Callable[..., AbstractAsyncContextManager[Provider]]


@pytest.fixture
def open_provider() -> Open:
    """Start a simulator with the given settings."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Provider]:
        usual: dict[str, Any] = {"speed": INSTANT, "tiny_clips": True}
        async with serve(settings=Settings(**usual | settings)) as running:
            yield Provider(running.root, running.state)

    return opened


@pytest.fixture
async def provider(open_provider: Open) -> AsyncIterator[Provider]:
    """A simulator with instant renders and tiny clips."""
    async with open_provider() as opened:
        yield opened


@pytest.fixture
async def harness() -> AsyncIterator[TelegramHarness]:
    """A simulated Telegram with one bot and no messages yet."""
    async with open_bot_harness() as opened:
        yield opened
