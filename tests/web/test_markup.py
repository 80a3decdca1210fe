"""The operators' pages in every state, and the chat page: valid HTML, and no complaint of axe-core."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page, Response

from tests.ledger.client import LedgerClient
from tests.support.browser import PATIENCE_MS, expect, installed_browser, open_browser
from tests.support.fixtures import Simulator
from tests.support.markup import axe_complaints, html_complaints, open_vnu, read_axe
from tests.support.npm import Absent
from tests.web.site import TOKEN, Site, in_doubt

pytestmark = [pytest.mark.browser, pytest.mark.node]

IN_CHAT: dict[str, Any] = {"audience": {"kind": "telegram", "chat_id": 42}, "user_id": "tg:42"}
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 390))
FITS = """[...document.querySelector("[aria-invalid]").form.querySelectorAll("label, div, button")]
    .every(one => one.scrollWidth <= one.clientWidth && one.getBoundingClientRect().right <= innerWidth)"""
PAGES = ("", "/runs", "/doubt", "/audit", "/limits", "/prompts")


@dataclass
class Checker:
    """Collects each page's HTML and axe's complaints, in a light desktop and a dark phone view."""

    page: Page
    address: str
    axe: str
    html: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    last: Response | None = None

    def note(self, response: Response) -> None:
        if response.request.is_navigation_request() and not 300 <= response.status < 400:
            self.last = response

    async def open(self, name: str, path: str) -> None:
        await self.page.goto(path if path.startswith("http") else self.address + path)
        await self.keep(name)

    async def keep(self, name: str) -> None:
        """Check the page that is open now."""
        await self.page.wait_for_load_state()
        assert self.last is not None and self.last.url == self.page.url.partition("#")[0]
        self.html[name] = await self.last.text()
        await self.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        for scheme, width in LOOKS:
            await self.page.emulate_media(color_scheme=scheme)
            await self.page.set_viewport_size({"width": width, "height": 900})
            self.found += [
                f"{name}, {scheme}, {width} px: {each}" for each in await axe_complaints(self.page, self.axe)
            ]

    async def log_in(self, token: str) -> None:
        await self.page.get_by_label("Your name").fill("Ada")
        await self.page.get_by_label("Token").fill(token)
        async with self.page.expect_navigation():
            await self.page.get_by_role("button", name="Log in").click()

    async def try_limit(self, name: str, key: str, value: str) -> None:
        await self.page.goto(f"{self.address}/limits")
        await self.page.locator(f"#limit-{key}").fill(value)
        async with self.page.expect_navigation():
            await self.page.locator(f"#limit-{key}").press("Enter")
        await self.keep(name)


@pytest.fixture(scope="module")
def browser_path() -> str:
    return installed_browser("the checks of the pages' HTML (tests/web/test_markup.py)")


@pytest.fixture
async def checker(browser_path: str, site: Site) -> AsyncIterator[Checker]:
    try:
        axe = read_axe()
    except Absent as why:
        pytest.skip(str(why))
    async with open_browser(browser_path) as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        page.set_default_timeout(PATIENCE_MS)
        checker = Checker(page, str(site.client.make_url("/admin")), axe)
        page.on("response", checker.note)
        yield checker


async def test_every_page_is_valid_html_and_has_no_axe_violations(
    checker: Checker, site: Site, simulator: Simulator, client: LedgerClient, tmp_path: Path
) -> None:
    try:
        vnu = open_vnu()
    except Absent as why:
        pytest.skip(str(why))
    await checker.open("login", "")
    await checker.log_in("a-token-that-is-another-one")
    await checker.keep("login_again")
    await checker.log_in(TOKEN)
    for path in PAGES:
        await checker.open(f"empty{path.replace('/', '_')}", path)

    refs = await fill(site, simulator, client)
    for path in (*PAGES, *(f"/runs/{ref}" for ref in refs), "/runs?user_id=tg:7", "/runs?since=yesterday", "/nowhere"):
        await checker.open(f"full{path.replace('/', '_').replace('?', '_')}", path)
    await checker.try_limit("limit_wrong", "cooldown_seconds", "soon")
    await checker.try_limit("limit_far", "budget_day_microusd", "5000")
    assert await checker.page.evaluate(FITS), "the form that asks once more runs over a phone's edge"
    await expect(checker.page.get_by_label("Yes, change it this much")).to_be_visible()
    await checker.try_limit("limit_set", "cooldown_seconds", "11")
    await site.admin_context.operators.resume("web:Ada")
    await checker.open("resumed", "")
    await checker.open("chat", simulator.url.replace("/v1", "/chat"))

    assert checker.found == []
    assert html_complaints(vnu, checker.html, tmp_path) == []


async def fill(site: Site, simulator: Simulator, client: LedgerClient) -> list[str]:
    """Create data for every page; returns the refs of runs whose pages differ."""
    admin_context = site.admin_context
    made = await site.driven(await site.order("a boat", **IN_CHAT))
    rejected = await site.driven(await site.order("a fight with blood everywhere", **IN_CHAT))
    doubtful = await in_doubt(site, simulator, **IN_CHAT)
    settled = await in_doubt(site, simulator, "a lost <kite>")
    await admin_context.operators.settle_not_charged(settled.run_id, "web:Ada", "misread")
    waiting = await site.context.ledger.load(await site.order("a horse"))
    assert waiting is not None
    await site.context.ledger.keep_stray_answer(made.run_id, "another_token", 200, '{"id": "<video_lost>"}')
    simulator.control("POST", "/_sim/jobs", {"prompt": "somebody else's"})
    await site.log_in()
    assert "difference" in await site.submit("/admin/audit")
    await admin_context.operators.invite("tg:7", "web:Ada")
    await admin_context.operators.block("tg:8", "it sent <spam>", "web:Ada")
    await admin_context.operators.set_limit("cooldown_seconds", 60, "web:Ada", "tg:42")
    await admin_context.operators.pause("Back at 18:00.", "web:Ada")
    client.open_breaker(600, "provider")
    group = {"cases": 7, "answered": 7, "pass_rate": 0.857, "pass_rate_before": None}
    evals = {"at": "2026-11-23T10:00:00+00:00", "answered_by": ["the simulator"], "pass_rate": None, "stale": "Old."}
    admin_context.evals.write_text(json.dumps(evals | {"groups": {"harmless": group}}))
    return [row.ref for row in (made, rejected, doubtful, settled, waiting)]
