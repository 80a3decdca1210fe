from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.stage import Stage, open_stage
from tests.fixtures import Simulator


@pytest.fixture
async def stage(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(ledger_dsn, simulator, tmp_path) as stage:
        yield stage
