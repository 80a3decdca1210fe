"""The installed browser, driven by Playwright: found, opened, screenshots taken. Playwright's own are not used."""

import io
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, Expect, Page, async_playwright

PATIENCE_SECONDS = 120  # a busy machine is not a bug
PATIENCE_MS = PATIENCE_SECONDS * 1000
PICTURE_BYTES_MAX = 250_000
PICTURES = Path(__file__).parents[2] / "docs" / "images"
NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
# No GPU, and no requests except the page's own.
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

expect = Expect()
expect.set_options(timeout=PATIENCE_MS)


def installed_browser(what: str) -> str:
    """The browser's path. Without one, the tests of `what` are skipped; under CI, which skips nothing, they fail."""
    for path in filter(None, map(shutil.which, NAMES)):
        if _answers(path):
            return path
    missing = f"left out: {what} needs chromium (apt-get install chromium) or Google Chrome"
    if os.environ.get("CI"):
        pytest.fail(f"{missing}; with CI set nothing may be left out", pytrace=False)
    pytest.skip(missing)


def _answers(path: str) -> bool:
    """Run the program to be sure: Ubuntu's chromium-browser, without snap, only prints what to install."""
    return (
        subprocess.run([path, "--version"], check=False, capture_output=True, timeout=PATIENCE_SECONDS).returncode == 0
    )


@asynccontextmanager
async def open_browser(path: str) -> AsyncIterator[Browser]:
    """Headless, with a fresh profile that is deleted when it closes."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=QUIET,
            chromium_sandbox=os.geteuid() != 0,  # it refuses to run sandboxed as root
            timeout=PATIENCE_MS,
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(
    browser: Browser, width: int, height: int, *, phone: bool = False, scale: float = 1
) -> AsyncIterator[Page]:
    """A window with its own cookies. Any error of the page's scripts fails the test."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        is_mobile=phone,
        has_touch=phone,
        device_scale_factor=scale,
        locale="en-US",
        timezone_id="UTC",
        color_scheme="light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    try:
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        yield page
    finally:
        await context.close()
    assert complaints == []


async def take_picture(page: Page, name: str, *, whole: bool = False) -> None:
    """For the README, and only on request: an ordinary run changes no file of the repository.

    `whole`: the full page, not only the window.

    ONETAKE_SCREENSHOTS=1 .venv/bin/python -m pytest tests/bot/test_chat_page.py tests/web/test_in_browser.py \
        -n0 -p no:randomly
    """
    if os.environ.get("ONETAKE_SCREENSHOTS") != "1":
        return
    await page.mouse.move(0, 0)
    await expect(page.get_by_test_id("toast")).to_have_count(0)
    drawn = Image.open(io.BytesIO(await page.screenshot(full_page=whole))).convert("RGB")
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    assert path.stat().st_size < PICTURE_BYTES_MAX
