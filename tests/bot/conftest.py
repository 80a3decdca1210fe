from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.harness import BotHarness, open_bot_harness
from tests.support.fixtures import Simulator


@pytest.fixture
async def harness(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[BotHarness]:
    async with open_bot_harness(ledger_dsn, simulator, tmp_path) as harness:
        yield harness
