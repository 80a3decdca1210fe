"""Checks that pages are valid HTML and accessible: the Nu HTML checker and axe-core, both from npm.

In       HTML as served, by name; a page in a browser
Out      one line per complaint
Raises   Absent, with the reason, where java, npm or the package is missing
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.support.npm import Absent, fetched

VNU, VNU_VERSION = "vnu-jar", "26.9.27"
AXE, AXE_VERSION = "axe-core", "4.14.1"
VNU_SECONDS_MAX = 300.0  # allows for a busy machine
# In a page read from a file, its own scripts are of another origin.
NOT_AS_SERVED = "Resource violates Content Security Policy.*"
AXE_RUN = "() => axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations)"


def open_vnu() -> tuple[str, Path]:
    """The java program and the jar. Raises Absent."""
    java = shutil.which("java")
    if java is None:
        raise Absent("the Nu HTML checker needs java (Debian: apt-get install default-jre-headless)")
    return java, fetched(VNU, VNU_VERSION, "build/dist/vnu.jar")


def read_axe() -> str:
    """The source of axe-core. Raises Absent."""
    return fetched(AXE, AXE_VERSION, "axe.min.js").read_text(encoding="utf-8")


def html_complaints(vnu: tuple[str, Path], pages: dict[str, str], folder: Path) -> list[str]:
    """Check all pages in one run: starting java takes longer than checking."""
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    java, jar = vnu
    done = subprocess.run(
        [
            java,
            "-jar",
            jar,
            "--format",
            "json",
            "--exit-zero-always",
            "--filterpattern",
            NOT_AS_SERVED,
            *sorted(folder.glob("*.html")),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=VNU_SECONDS_MAX,
    )
    return [_line(found) for found in json.loads(done.stderr)["messages"]]


def _line(found: dict[str, Any]) -> str:
    place = f"{Path(found.get('url', '?')).name}:{found.get('lastLine', '?')}"
    return f"{place}: {found['message']} {found.get('extract', '')!r}"


async def axe_complaints(page: Page, axe: str) -> list[str]:
    """Evaluated by the browser itself, because the pages' policy blocks foreign scripts."""
    await page.evaluate(axe)
    found: list[dict[str, Any]] = await page.evaluate(AXE_RUN)
    return [
        f"{page.url}: {rule['impact']} {rule['id']}: {rule['help']}: {node['html'][:160]} ({node['failureSummary']})"
        for rule in found
        for node in rule["nodes"]
    ]
