"""The operators' page in a real browser, beside the chat whose orders it shows. The books decide."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page

from tests.bot.bot_process import address, bot_process, usual_port_taken
from tests.bot.test_chat_page import from_bot, key, over_the_edge, say, tap_until
from tests.support.browser import PATIENCE_SECONDS, expect, installed_browser, open_browser, open_page, take_picture
from tests.support.fixtures import Simulator

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "a-token-of-sixteen-or-more"
SLOW = 4  # a render of twelve seconds takes three


@dataclass(frozen=True)
class Bot:
    admin: str
    chat: str
    simulator: Simulator
    log: Path


@pytest.fixture(scope="module")
def browser_path() -> str:
    return installed_browser("the operators' page in a browser (tests/web/test_in_browser.py)")


@pytest.fixture(scope="module")
def bot(browser_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    home = tmp_path_factory.mktemp("page")
    log = home / "bot.log"
    with usual_port_taken(), bot_process(home, log, ADMIN_TOKEN=TOKEN, LOOK_SECONDS="600") as process:
        chat, admin = address(process, log), address(process, log, "admin")
        simulator = Simulator(chat.replace("/chat", "/v1"))
        simulator.control("POST", "/_sim/speed", {"speed": SLOW})
        yield Bot(admin, chat, simulator, log)
    assert process.returncode == 0, log.read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(browser_path: str) -> AsyncIterator[Browser]:
    async with open_browser(browser_path) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(bot: Bot, browser: Browser) -> AsyncIterator[Page]:
    """The page, logged in."""
    async with open_page(browser, 1280, 900) as page:
        await page.goto(f"{bot.admin}?")
        await log_in(page)
        yield page
    print(bot.log.read_text())  # pytest shows it with a failure


@pytest_asyncio.fixture(loop_scope="module")
async def chat(bot: Bot, browser: Browser) -> AsyncIterator[Page]:
    async with open_page(browser, 1000, 800) as page:
        yield page


async def log_in(page: Page, token: str = TOKEN) -> None:
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()


async def open_chat(chat: Page, bot: Bot, person: str) -> None:
    await chat.goto(f"{bot.chat}?as={person}")
    await expect(chat.get_by_test_id(f"person-{person}")).to_have_attribute("aria-current", "true")


async def order(chat: Page, bot: Bot, person: str, prompt: str) -> None:
    await open_chat(chat, bot, person)
    create = key(chat, "Create" if person == "ben" else "Crear")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await create.is_visible():  # the bot requires ten seconds between two requests
            await say(chat, f"/create {prompt}")
            with contextlib.suppress(AssertionError):
                await expect(create).to_be_visible(timeout=5_000)
    await tap_until(create, chat.get_by_test_id("toast").last)


def number(page: Page, name: str) -> Locator:
    return page.get_by_test_id(name)


async def test_admin_page_opens_only_after_login_with_the_token(bot: Bot, browser: Browser) -> None:
    async with open_page(browser, 1280, 800) as page:
        await page.goto(f"{bot.admin}/limits")
        await expect(page).to_have_title("Log in · onetake")
        await page.get_by_label("Your name").fill("Ada")
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_label("Token").press("Enter")
        await expect(page.get_by_role("heading", name="Limits and rollout")).to_be_visible()  # as first requested
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_title("Log in · onetake")
        await page.goto(bot.admin)
        await expect(page).to_have_title("Log in · onetake")


async def test_overview_updates_live_while_a_run_progresses(bot: Bot, page: Page, chat: Page) -> None:
    before = bot.simulator.paid_calls()
    await expect(page.get_by_test_id("open")).to_be_visible()
    await order(chat, bot, "ben", "a paper boat sails down a gutter in the rain")

    row = page.get_by_test_id("in-flight").get_by_role("row").nth(1)
    await expect(row).to_contain_text("rendering")
    await expect(number(page, "held-today")).to_have_text("$0.80")
    await expect(from_bot(chat, "Here it is")).to_be_visible()
    await expect(number(page, "paid-calls")).to_have_text(str(before + 1))
    await expect(number(page, "held-today")).to_have_text("$0.00")
    await say(chat, "/create a paper boat sails down a gutter in the rain")
    await expect(from_bot(chat, "It was not ordered again")).to_be_visible()
    await expect(number(page, "blocked")).to_have_text("1")
    await expect(number(page, "saved")).to_have_text("$0.80")
    assert bot.simulator.paid_calls() == before + 1
    assert await over_the_edge(page) == []
    await order(chat, bot, "ana", "un barco de papel bajo la lluvia")
    await expect(row).to_contain_text("rendering")
    await take_picture(page, "admin", whole=True)
    await expect(from_bot(chat, "Aquí está, abajo")).to_be_visible()

    await page.goto(f"{bot.admin}/runs?state=delivered")
    await page.get_by_test_id("runs").get_by_role("link").last.click()
    await expect(page.get_by_test_id("state")).to_have_text("delivered")
    await expect(page.get_by_test_id("spent")).to_have_text("$0.80")
    async with asyncio.timeout(PATIENCE_SECONDS):  # not wait_for_function: the page's policy forbids it to evaluate
        while await page.evaluate("document.querySelector('video').readyState") < 1:
            await asyncio.sleep(0.1)
    assert await page.evaluate("document.querySelector('video').duration") > 1
    await expect(page.get_by_test_id("events")).to_contain_text("deliver")
    assert await over_the_edge(page) == []
    await take_picture(page, "admin-run")


async def test_operator_settles_a_run_in_doubt_in_the_browser(bot: Bot, page: Page, chat: Page) -> None:
    before = bot.simulator.creates()
    bot.simulator.trouble("create", "made_then_drop")
    bot.simulator.trouble("list", "status", status=503, always=True)  # so that it is not settled automatically
    try:
        await order(chat, bot, "ana", "una cometa roja sobre el mar")
        await expect(page.get_by_test_id("doubts")).to_contain_text("1 in doubt")
    finally:
        bot.simulator.control("DELETE", "/_sim/faults")
    await page.get_by_role("link", name="Look into it").click()
    case = page.get_by_test_id("doubt")
    await expect(case).to_contain_text("no run")
    assert await over_the_edge(page) == []
    await take_picture(page, "admin-doubt")
    job = await case.locator("td code").first.inner_text()
    await case.get_by_role("link", name="this job").click()
    await expect(page.get_by_label("The provider's job id")).to_have_value(job)
    await page.get_by_label("How you know").first.fill("it is in their console")
    await page.get_by_label(re.compile("records show this job")).check()
    assert await over_the_edge(page) == []
    await page.get_by_role("button", name="Found it").click()
    await expect(page.get_by_test_id("news")).to_contain_text(f"is job {job}. Its price ($0.80) counts")
    await expect(page.get_by_test_id("events")).to_contain_text("by: web:Ada")
    await expect(from_bot(chat, "Aquí está, abajo")).to_be_visible()
    assert bot.simulator.creates() == before + 1


async def test_pause_reason_is_shown_in_the_chat_and_orders_can_be_resumed(bot: Bot, page: Page, chat: Page) -> None:
    await page.goto(f"{bot.admin}/limits")
    await page.get_by_label("Reason, shown to users").fill("Back at 18:00, we count.")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_test_id("news")).to_contain_text("Paused. Users see this reason: Back at 18:00, we count.")

    try:
        await open_chat(chat, bot, "ben")
        await say(chat, "/create a kite over the sea")
        await expect(from_bot(chat, "Back at 18:00, we count.")).to_be_visible()
    finally:  # the next test must be able to order
        await page.get_by_role("button", name="Resume orders").click()
    await expect(page.get_by_test_id("news")).to_contain_text("Orders are accepted again")
    await expect(page.get_by_test_id("changes").get_by_role("row").nth(1)).to_contain_text("web:Ada")


async def test_limit_change_is_applied_and_listed_in_the_history(bot: Bot, page: Page) -> None:
    await page.goto(f"{bot.admin}/limits")
    budget = page.get_by_label("budget_day_microusd")
    await expect(budget).to_have_value("10.00")
    await budget.fill("12.50")
    await budget.press("Enter")
    await expect(page.get_by_test_id("news")).to_have_text("budget_day_microusd: changed from $10.00 to $12.50.")
    await expect(page.get_by_test_id("changes").get_by_role("row").nth(1)).to_contain_text("$12.50")
    assert await over_the_edge(page) == []
    await page.goto(bot.admin)
    await expect(page.get_by_text("of $12.50")).to_be_visible()


async def test_audit_now_button_shows_whether_the_day_is_clean(bot: Bot, page: Page) -> None:
    await page.goto(f"{bot.admin}/audit")
    await page.get_by_role("button", name="Audit now").click()
    await expect(page.get_by_test_id("news")).to_contain_text(re.compile("Clean|difference"))
    await expect(page.get_by_test_id("clean")).to_have_text("Yes")


async def test_every_page_fits_a_phone_screen_in_dark_mode(bot: Bot, browser: Browser) -> None:
    async with open_page(browser, 390, 844, phone=True, scale=2) as phone:
        await phone.emulate_media(color_scheme="dark")
        await phone.goto(bot.admin)
        await log_in(phone)
        elsewhen = {"prompt": "somebody else's", "created_at_offset": 3600}  # far from the other tests' orders
        bot.simulator.control("POST", "/_sim/jobs", elsewhen)
        await phone.goto(f"{bot.admin}/audit")
        await phone.get_by_role("button", name="Audit now").click()
        await expect(phone.get_by_test_id("differences")).to_contain_text("A job without a run")
        for name in ("", "/runs", "/doubt", "/audit", "/limits", "/prompts"):
            await phone.goto(f"{bot.admin}{name}")
            await expect(phone.get_by_role("heading", level=1)).to_be_visible()
            wide = await phone.evaluate("document.documentElement.scrollWidth")
            assert wide <= 391, f"{name} runs over the edge of a phone: {wide}"
            if not name:
                await asyncio.sleep(0.3)
                await take_picture(phone, "admin-phone")
        await phone.goto(f"{bot.admin}/audit")
        await phone.get_by_label("Explanation").fill("a colleague's test")
        await phone.get_by_role("button", name="Explain").click()
        await expect(phone.get_by_test_id("news")).to_contain_text("Explained: 1 difference")
        await expect(phone.get_by_test_id("no-differences")).to_be_visible()
