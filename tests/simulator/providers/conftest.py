"""A client of fal's double, for the core that all doubles share."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.simulator.conftest import Open, Provider

MODEL = "fal-ai/veo3.1/fast"
APP = "fal-ai/veo3.1"
FOX = {"prompt": "a red fox in the rain", "duration": "8s", "aspect_ratio": "9:16", "resolution": "720p", "seed": 7}
KEY = {"Authorization": "Key tests"}
HISTORY = "/fal/api/v1/models/requests/by-endpoint"


@dataclass(frozen=True)
class Fal:
    """fal's double, asked with its own kind of key."""

    sim: Provider

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        return await self.sim.ask(method, f"/fal{path}", headers=KEY | how.pop("headers", {}), **how)

    async def submit(self, query: str = "", headers: dict[str, str] | None = None, **changes: Any) -> tuple[int, Any]:
        return await self.ask("POST", f"/{MODEL}{query}", json=FOX | changes, headers=headers or {})

    async def job(self, request_id: str, part: str = "/status") -> tuple[int, Any]:
        return await self.ask("GET", f"/{APP}/requests/{request_id}{part}")

    async def history(self, query: str = "") -> Any:
        path = f"/api/v1/models/requests/by-endpoint?endpoint_id={MODEL}&expand=payloads{query}"
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def totals(self) -> Any:
        return (await self.sim.books())["totals"]["by_provider"]["fal"]


@pytest.fixture
async def fal(provider: Provider) -> Fal:
    """fal with instant renders."""
    return Fal(provider)


@pytest.fixture
async def slow_fal(open_provider: Open) -> AsyncIterator[Fal]:
    """fal with renders of a minute."""
    async with open_provider(speed=1, render_seconds=60) as provider:
        yield Fal(provider)
