"""The operators' page with several accounts: each run in doubt at its own, each one's list in the audit."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.context import RunContext
from pipeline.ledger.records import Run, State
from pipeline.run import admit, run
from steps.check_limits import Admitted
from tests.providers.vendors.ordered import MODEL_OF
from tests.support.fixtures import Simulator, open_test_context, order_request
from tests.web.site import Site, open_site


@dataclass(frozen=True)
class Shops:
    """A page whose operator has accounts at the simulator, at fal and at Runway, which has no list."""

    site: Site
    sims: dict[str, Simulator]
    contexts: dict[str, RunContext]

    async def in_doubt(self, provider: str) -> Run:
        sim, context = self.sims[provider], self.contexts[provider]
        sim.trouble("create", "drop_before")
        asked = order_request(sim, f"a kite at {provider}", user_id=f"cli:{provider}")
        admitted = await admit(asked, context.ledger)
        assert isinstance(admitted, Admitted), admitted
        row = await run(admitted.run_id, context)
        assert row is not None and row.state is State.UNCERTAIN
        return row


@pytest.fixture
async def shops(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Shops]:
    async with AsyncExitStack() as opened:
        sims = {name: replace(simulator, provider=name) for name in ("fal", "runway")}
        contexts = {
            name: await opened.enter_async_context(open_test_context(ledger_dsn, sim, tmp_path))
            for name, sim in sims.items()
        }
        others = tuple(context.account for context in contexts.values())
        site = await opened.enter_async_context(open_site(ledger_dsn, simulator, tmp_path, others=others))
        assert (await site.log_in()).status == 303
        yield Shops(site, sims, contexts)


async def test_jobs_near_a_run_in_doubt_are_those_of_its_own_account(shops: Shops, simulator: Simulator) -> None:
    row = await shops.in_doubt("fal")
    told = {"seconds": 8, "prompt": "a kite of theirs"}
    there = simulator.control("POST", "/_sim/jobs", {"provider": "fal", "model": MODEL_OF["fal"], **told})["id"]
    here = simulator.control("POST", "/_sim/jobs", told)["id"]

    page = await shops.site.read("/admin/doubt")

    assert row.ref in page and there in page
    assert here not in page and "not configured here" not in page


async def test_run_at_a_provider_without_a_list_says_so_and_hides_no_other(shops: Shops) -> None:
    rows = [await shops.in_doubt(name) for name in ("fal", "runway")]
    page = await shops.site.read("/admin/doubt")
    assert all(row.ref in page for row in rows)
    assert "The provider's list proves nothing right now: it does not exist at this provider." in page.replace(
        "&#39;", "'"
    )
    assert "shows no jobs from that time" in page, "at fal"


async def test_audit_reads_the_list_of_each_account(shops: Shops, simulator: Simulator) -> None:
    context = shops.contexts["fal"]
    admitted = await admit(order_request(shops.sims["fal"]), context.ledger)
    assert isinstance(admitted, Admitted)
    saved = await run(admitted.run_id, context)
    assert saved is not None and saved.state is State.SAVED
    told = {"provider": "fal", "model": MODEL_OF["fal"], "seconds": 8, "prompt": saved.improved_prompt}
    second = simulator.control("POST", "/_sim/jobs", {**told, "input": dict(saved.order().params)})["id"]

    said = await shops.site.submit("/admin/audit")

    assert "difference" in said
    page = await shops.site.read("/admin/audit")
    assert second in page and "two paid calls" in page
