"""`make sdks`: what each official client does with one create whose answer is lost after the job was made.

In       `sdks.txt`, the clients; one script in `clients/` for each, which makes one create with the client's defaults
Out      a table: creates that reached the provider; the last row is onetake's own transport. `--write`: also into
         `docs/providers.md`
Effects  builds `.venv-sdks/` once (pip downloads); all requests stay on 127.0.0.1. Exits 1 if onetake sent more
         than one, or if a client that is installed sent nothing
"""

import argparse
import asyncio
import platform
import sys
import tempfile
import time
import tomllib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sdks.environments import Environment, Pin, build, read_pins
from benchmarks.sdks.server import Counter, Trouble, losing
from benchmarks.sdks.table import Cell, Row, page_with, table
from providers.orders import Order
from providers.transport import open_provider

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "providers.md"
PINS = Path(__file__).with_name("sdks.txt")
CLIENTS = Path(__file__).parent / "clients"
ENVIRONMENTS = ROOT / ".venv-sdks"
PATIENCE_SECONDS = 250  # two of fal-client's own timeouts of 120 s fit in, three of the 60 s that others have
STARTING_AT_ONCE = 4  # importing a client takes one core for seconds; waiting for it to give up takes nothing
START_SECONDS_MAX = 120
ENDING_SECONDS = 0.2

SCRIPTS = {
    "byteplus-python-sdk-v2": "byteplus",
    "dashscope": "dashscope",
    "fal-client": "fal",
    "google-genai": "google_genai",
    "higgsfield-client": "higgsfield",
    "lumaai": "luma",
    "openai": "openai",
    "openrouter": "openrouter",
    "replicate": "replicate",
    "runware": "runware",
    "runwayml": "runway",
    "together": "together",
    "wavespeed": "wavespeed",
    "xai-sdk": "xai",
}
GRPC = {"xai-sdk"}
ENDLESS = {"openrouter"}  # repeats for up to an hour
ORDER = Order("2f0c8f0e-3b0a-4d52-9d0c-6f0f1f6f3c11", "A lighthouse", "sim-1", 8, "720x1280", "multipart")


class Bench:
    """Runs clients, a few starting at the same time."""

    def __init__(self, patience: float, home: Path) -> None:
        self._patience = patience
        self._home = home
        self._starting = asyncio.Semaphore(STARTING_AT_ONCE)

    async def client(self, environment: Environment, pin: Pin, trouble: Trouble) -> Cell:
        async with losing(trouble) as counter:
            url = counter.grpc_url if pin.name in GRPC else counter.url
            script = CLIENTS / f"{SCRIPTS[pin.name]}.py"
            async with self._starting:
                process = await asyncio.create_subprocess_exec(
                    environment.python, "-I", str(script), url,
                    stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
                    env={"PATH": "/usr/bin:/bin", "HOME": str(self._home)},  # no key, no proxy, no settings of anybody
                )  # fmt: skip
                said = asyncio.ensure_future(process.communicate())
                begun = asyncio.ensure_future(counter.first.wait())
                await asyncio.wait((said, begun), timeout=START_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
                begun.cancel()
            await asyncio.wait((said,), timeout=self._patience)
            ended = process.returncode is not None
            if not ended:
                process.kill()
            words = (await said)[1].decode(errors="replace").strip().splitlines()
            return Cell(len(counter.creates), counter.jobs, ended, words[-1] if words else "")

    async def onetake(self, trouble: Trouble) -> Cell:
        """The transport that sends every paid request, as a worker uses it."""
        async with losing(trouble) as counter:
            ended = await self._posted(counter)
            await asyncio.sleep(ENDING_SECONDS)  # a second request would be under way by now
            return Cell(len(counter.creates), counter.jobs, ended)

    async def _posted(self, counter: Counter) -> bool:
        async with open_provider(counter.url, "test-key") as provider:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await provider.post(ORDER, lambda: None)
                    return True
        return False


async def measure(environments: Sequence[Environment], patience: float) -> list[Row]:
    """The longest waits first, so that they overlap with everything else."""
    with tempfile.TemporaryDirectory(prefix="onetake-sdks-") as home:
        bench = Bench(patience, Path(home))
        creates = [(environment, pin) for environment in environments for pin in environment.installed()]
        order = sorted(((trouble, *create) for trouble in Trouble for create in creates), key=_may_end_soon)
        tasks: dict[tuple[Pin | None, Trouble], asyncio.Task[Cell]] = {}
        for trouble in Trouble:
            tasks[None, trouble] = asyncio.create_task(bench.onetake(trouble))
        for trouble, environment, pin in order:
            tasks[pin, trouble] = asyncio.create_task(bench.client(environment, pin, trouble))
        await asyncio.gather(*tasks.values())
    rows = [
        Row(pin.name, pin.version, {trouble: tasks[pin, trouble].result() for trouble in Trouble}) for _, pin in creates
    ]
    rows += [
        Row(pin.name, pin.version, {}, f"not installed: {why}")
        for environment in environments
        for pin, why in environment.missing.items()
    ]
    own = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows.sort(key=lambda row: (row.client, row.version))
    return [*rows, Row(own["name"], own["version"], {trouble: tasks[None, trouble].result() for trouble in Trouble})]


def _may_end_soon(create: tuple[Trouble, Environment, Pin]) -> bool:
    trouble, _, pin = create
    return trouble is not Trouble.SILENCE and pin.name not in ENDLESS


def violations(rows: Sequence[Row]) -> list[str]:
    """onetake sends once, and a client that sent nothing was not measured but misused."""
    own = rows[-1]
    wrong = [f"{own.client}, {trouble}: {cell}" for trouble, cell in own.cells.items() if str(cell) != "1"]
    return wrong + [
        f"{row.client} {row.version}, {trouble}: nothing arrived; {cell.said}"
        for row in rows
        for trouble, cell in row.cells.items()
        if cell.creates == 0
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/providers.md")
    parser.add_argument("--seconds", type=float, default=PATIENCE_SECONDS, help="how long to wait for a client")
    options = parser.parse_args(arguments)
    environments = build(ENVIRONMENTS, read_pins(PINS))
    begun = time.monotonic()
    rows = asyncio.run(measure(environments, options.seconds))
    when = f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {platform.system()}."
    shown = table(rows, when, options.seconds)
    print(f"{shown}\n\n{time.monotonic() - begun:.0f} s")
    wrong = violations(rows)
    for violation in wrong:
        print(f"VIOLATION: {violation}")
    if options.write and not wrong:
        PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), shown), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
