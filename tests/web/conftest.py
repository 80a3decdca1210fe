"""One page for each test: `site` is not logged in, `inside` is logged in as Ada."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.ledger.client import LedgerClient, open_ledger_client
from tests.support.fixtures import Simulator
from tests.web.site import Site, open_site


@pytest.fixture
def client(ledger_dsn: str) -> Iterator[LedgerClient]:
    with open_ledger_client(ledger_dsn) as clerk:
        clerk.unlimited()
        yield clerk


@pytest.fixture
async def site(ledger_dsn: str, client: LedgerClient, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(ledger_dsn, simulator, tmp_path) as opened:
        yield opened


@pytest.fixture
async def inside(site: Site) -> Site:
    assert (await site.log_in()).status == 303
    return site
