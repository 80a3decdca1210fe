"""The bot as a person meets it: `onetake bot` without a token, its chat page in a real browser.

Everything runs: the bot, its database, the engine, the simulator, the page's own scripts. The books are the judge.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page

from tests.bot.bot_process import address, bot_process, usual_port_taken
from tests.support.browser import PATIENCE_SECONDS, expect, installed_browser, open_browser, open_page, take_picture
from tests.support.fixtures import Simulator
from tests.support.markup import axe_complaints, read_axe
from tests.support.npm import Absent

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

RETRY_MS = 3_000
SPEED = 4  # a render of twelve seconds takes three
OVER_THE_EDGE = """width => {
    const shown = one => one.checkVisibility() && !one.closest(".skip, .unseen");
    const outside = one => {
        const { left, right } = one.getBoundingClientRect();
        return left < -1 || right > width + 1;
    };
    const clipped = one => {
        const { overflowX, textOverflow } = getComputedStyle(one);
        return overflowX === "hidden" && textOverflow !== "ellipsis" && one.scrollWidth > one.clientWidth + 1;
    };
    return [...document.querySelectorAll("body, body *")]
        .filter(one => shown(one) && (outside(one) || clipped(one)))
        .map(one => `${one.tagName} ${one.dataset.testid ?? one.id} ${one.className}`);
}"""


@dataclass(frozen=True)
class Chat:
    """A bot that runs, and where one talks to it."""

    address: str
    log: Path


@pytest.fixture(scope="module")
def browser_path() -> str:
    return installed_browser("the chat page in a browser (tests/bot/test_chat_page.py)")


@pytest.fixture(scope="module")
def chat(browser_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """`onetake bot` with nothing set; started only if there is a browser to look at it."""
    home = tmp_path_factory.mktemp("chat")
    log = home / "bot.log"
    with usual_port_taken(), bot_process(home, log) as process:
        page = address(process, log)
        Simulator(page.replace("/chat", "/v1")).control("POST", "/_sim/speed", {"speed": SPEED})
        yield Chat(page, log)
    assert process.returncode == 0, log.read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(browser_path: str) -> AsyncIterator[Browser]:
    async with open_browser(browser_path) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def desktop(chat: Chat, browser: Browser) -> AsyncIterator[Page]:
    async with open_page(browser, 1280, 800) as page:
        yield page
    print(chat.log.read_text())  # pytest shows it beside a failure


@pytest_asyncio.fixture(loop_scope="module")
async def phone(chat: Chat, browser: Browser) -> AsyncIterator[Page]:
    async with open_page(browser, 390, 844, phone=True, scale=2) as page:
        yield page
    print(chat.log.read_text())


async def say(page: Page, text: str) -> None:
    await page.get_by_test_id("composer").fill(text)
    await page.get_by_test_id("send").click()


def key(page: Page, words: str) -> Locator:
    """The button of this name under a message, the newest if there are several."""
    return page.get_by_test_id("button").filter(has_text=words).last


def from_bot(page: Page, words: str) -> Locator:
    return page.locator('[data-testid="message"][data-from="bot"]').filter(has_text=words).last


async def tap_until(button: Locator, appears: Locator) -> None:
    """Taps as people do, again if nothing comes of it: the bot may ask for ten seconds between two requests."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await button.click()
            try:
                await expect(appears).to_be_visible(timeout=RETRY_MS)
            except AssertionError:
                for box in await button.page.locator("dialog[open]").all():  # "please wait", to be read and closed
                    await box.get_by_role("button").click()
                continue
            return


async def test_double_tap_on_create_buys_one_video_and_again_makes_a_new_draft(chat: Chat, desktop: Page) -> None:
    await desktop.goto(f"{chat.address}?as=ana")
    await expect(desktop.get_by_test_id("person-ana")).to_have_attribute("aria-current", "true")

    await say(desktop, "/create un barco de papel bajo la lluvia")
    card = from_bot(desktop, "No se cobra nada hasta que toques «Crear»")
    await expect(card).to_contain_text("8 s, vertical (720x1280): US$0.80.")
    await key(desktop, "Horizontal").click()
    await expect(card).to_contain_text("8 s, horizontal (1280x720): US$0.80.")
    await expect(desktop.get_by_test_id("books-paid-calls")).to_have_text("0")
    taps: list[str] = []
    desktop.on("request", lambda sent: taps.append(sent.url) if sent.url.endswith("/taps") else None)
    await key(desktop, "Crear").dblclick()
    await expect(desktop.get_by_test_id("toast").last).to_have_text("Confirmado. Tocar otra vez no lo pide dos veces.")

    film = desktop.get_by_test_id("video")
    await expect(film).to_have_attribute("data-state", "ready")
    await expect(from_bot(desktop, "Aquí está, abajo")).to_be_visible()
    await expect(desktop.get_by_test_id("books-paid-calls")).to_have_text("1")
    await expect(desktop.get_by_test_id("books-charged")).to_have_text("$0.80")
    assert len(taps) == 2
    await plays(film)
    asked = desktop.get_by_test_id("message").first
    await asked.evaluate("asked => { asked.parentElement.scrollTop = asked.offsetTop - 12 }")
    await take_picture(desktop, "chat")

    await tap_until(key(desktop, "Otra vez"), key(desktop, "Crear"))
    await expect(card).to_contain_text("Un barco de papel")
    await expect(desktop.get_by_test_id("books-paid-calls")).to_have_text("1")


async def plays(film: Locator) -> None:
    """Clicked, the film goes on in time; then it is stopped again."""
    await film.evaluate("film => { film.muted = true }")
    await film.click()
    await expect(film).to_have_attribute("data-state", "plays")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await film.evaluate(
            "film => new Promise(seen => { film.ontimeupdate = () => film.currentTime > 0.5 && seen() })"
        )
    await film.evaluate("film => film.pause()")
    await expect(film).to_have_attribute("data-state", "paused")


async def test_rejected_prompt_is_replaced_by_the_offered_rewrite_and_then_edited(chat: Chat, desktop: Page) -> None:
    await desktop.goto(f"{chat.address}?as=ana")
    await desktop.get_by_test_id("person-ben").click()
    await expect(desktop.locator("#chat-about")).to_contain_text("you are Ben (en)")

    await say(desktop, "/create a knight drops guns into a lake at dawn")
    refusal = from_bot(desktop, "This prompt was turned down.")
    await expect(refusal).to_contain_text("it centres on weapons")
    await expect(refusal).to_contain_text("a knight drops a paper lantern into a lake")

    await tap_until(key(desktop, "Use this"), key(desktop, "Create"))
    card = from_bot(desktop, "Nothing is charged until you tap Create")
    await expect(card).to_contain_text("A knight drops a paper lantern")
    await expect(card).to_contain_text("$0.80")

    answering = desktop.get_by_test_id("context")
    await key(desktop, "Edit").click()
    await expect(answering).to_contain_text("reply to this message with what the video should show instead")
    await say(desktop, "a knight drops a tin boat into a lake at dusk")
    await expect(from_bot(desktop, "Replaced by your new prompt. Nothing was charged.")).to_be_visible()
    await expect(from_bot(desktop, "Nothing is charged until you tap Create")).to_contain_text("tin boat")
    await expect(answering).to_be_hidden()
    await key(desktop, "Edit").click()  # this time of a run that Ben's own message asked for
    await expect(answering).to_contain_text("reply to this message with what the video should show instead")


async def test_chat_page_fits_a_phone_screen_without_overflow(chat: Chat, phone: Page) -> None:
    await phone.goto(f"{chat.address}?as=ben")
    await expect(phone.locator("#chat-about")).to_contain_text("you are Ben")  # before, a tap finds nobody who listens
    await phone.locator("#open-list").tap()
    await phone.get_by_test_id("add-person-name").fill("Chloe")
    await phone.get_by_test_id("add-person-submit").tap()
    await expect(phone.locator("#chat-about")).to_contain_text("you are Chloe (en)")

    await phone.get_by_test_id("composer").fill("/create a lighthouse keeper waves at a whale")
    await phone.get_by_test_id("send").tap()
    await expect(key(phone, "Create")).to_be_in_viewport()
    assert await over_the_edge(phone) == []
    await take_picture(phone, "chat-phone")

    await phone.locator("#open-books").tap()
    await expect(phone.get_by_test_id("books-charged")).to_be_in_viewport()
    assert await over_the_edge(phone) == []
    await phone.locator('[data-close="books"]').tap()

    await key(phone, "Cancel").tap()
    await expect(from_bot(phone, "A lighthouse keeper waves")).to_contain_text("charged")
    await expect(key(phone, "Create")).to_have_count(0)


@pytest.mark.node
async def test_axe_finds_nothing_on_a_chat_in_use(chat: Chat, desktop: Page) -> None:
    try:
        axe = read_axe()
    except Absent as why:
        pytest.skip(str(why))
    await desktop.goto(f"{chat.address}?as=ana")
    await desktop.get_by_test_id("add-person-name").fill("Axel")
    await desktop.get_by_test_id("add-person-submit").click()
    await expect(desktop.locator("#chat-about")).to_contain_text("you are Axel (en)")
    await say(desktop, "/create a snail crosses a piano")
    # Nothing is bought: the books are the whole module's, and another test counts in them.
    await expect(from_bot(desktop, "Here's the video I'll make")).to_be_visible()
    await desktop.get_by_test_id("composer").fill("/")
    await expect(desktop.locator("#commands")).to_be_visible()
    found = await axe_complaints(desktop, axe)
    await desktop.emulate_media(color_scheme="dark")
    await desktop.get_by_test_id("composer").fill("")
    assert found + await axe_complaints(desktop, axe) == []


async def over_the_edge(page: Page) -> list[str]:
    """What reaches beyond the window, or is cut off by its own frame without an ellipsis."""
    assert page.viewport_size is not None
    found: list[str] = await page.evaluate(OVER_THE_EDGE, page.viewport_size["width"])
    return found
