"""Runs every vendor's file: its walk at the simulator, then its create beside ours at a server that records both.

In       `tests/conformance/*.py` and `litellm/*.py`, or the names given
Out      a table, and what was wrong; exit 1 then
Effects  builds `.venv-conformance/` once (pip downloads); all requests stay on 127.0.0.1
"""

import argparse
import asyncio
import importlib
import json
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.sdks.environments import build, read_pins
from benchmarks.sdks.server import Create, Trouble, losing
from providers.orders import Order
from providers.port import VideoApi
from providers.transport import open_provider
from simulator.app import serve
from simulator.settings import Settings
from tests.conformance.runner.comparing import Difference, Listed, compare, complaints, read_listed

ROOT = Path(__file__).parent.parent.parent.parent
FILES = ROOT / "tests" / "conformance"
DRIVE = Path(__file__).with_name("drive.py")
ENVIRONMENTS = ROOT / ".venv-conformance"
SPEED = 20  # a render takes two seconds: long enough to be seen running
AT_ONCE = 2  # clients take seconds of a core to start
WALK_SECONDS_MAX = 180
CREATE_SECONDS_MAX = 60
REPEATS_SECONDS = 1.0  # after its first create a client only repeats
RUN_ID = "2f0c8f0e-3b0a-4d52-9d0c-6f0f1f6f3c11"


class Wrong(Exception):
    """A file that cannot be run, or a walk that failed; the message is for people."""


@dataclass
class Finding:
    """What was found out about one file. `walk`: what was done, or None. `differences`: None if not compared."""

    name: str
    walk: list[str] | None = None
    differences: int | None = None
    wrong: list[str] = field(default_factory=list)


class Bench:
    """The environment of the clients, and the differences that have a reason."""

    def __init__(self, python: str, listed: Sequence[Listed], folder: Path) -> None:
        self._python = python
        self._listed = listed
        self._folder = folder
        self._places = asyncio.Semaphore(AT_ONCE)

    async def examine(self, file: Path) -> Finding:
        async with self._places:
            return await self._examined(file)

    async def _examined(self, file: Path) -> Finding:
        finding = Finding(str(file.relative_to(FILES).with_suffix("")))
        try:
            said = await self._drive(file, CREATE_SECONDS_MAX, "constants")
        except Wrong as error:
            finding.wrong.append(str(error))
            return finding
        try:
            finding.walk = await self._walk(file, said["KEY"])
        except Wrong as error:
            finding.wrong.append(str(error))
        if said["has_create"] and (api := module_of(file.stem)) is not None:
            try:
                found = await self._differences(file, api, said)
            except Wrong as error:
                finding.wrong.append(str(error))
            else:
                finding.differences = len(found)
                finding.wrong += complaints(finding.name, found, self._listed)
        return finding

    async def _walk(self, file: Path, key: str) -> list[str]:
        settings = Settings(speed=SPEED, tiny_clips=True, api_keys=frozenset({key}))
        async with serve(settings=settings) as running:
            did = await self._drive(file, WALK_SECONDS_MAX, "walk", f"{running.root}/{file.stem}")
        return [str(step) for step in did]

    async def _differences(self, file: Path, api: type[VideoApi], said: dict[str, Any]) -> list[Difference]:
        """Of an order with a callback, and of one without."""
        found: list[Difference] = []
        for callback_url in (None, f"https://bot.example/callbacks/{file.stem}/token"):
            params = {name: value for name, value in said["INPUT"].items() if name != "prompt"}
            fields = {"run_id": RUN_ID, "model": said["MODEL"], "prompt": said["INPUT"]["prompt"], "params": params}
            theirs = await self._sent_by_client(file, fields | {"callback_url": callback_url})
            order = Order(
                RUN_ID, fields["prompt"], said["MODEL"], 8, "720x1280", "json", file.stem, params, callback_url
            )
            found += compare(await sent_by_us(api, said["KEY"], order), theirs)
        return list(dict.fromkeys(found))

    async def _sent_by_client(self, file: Path, fields: dict[str, Any]) -> Create:
        async with losing(Trouble.HTTP_500) as counter:
            base_url = f"{counter.url}/{file.stem}"
            driven = asyncio.ensure_future(
                self._drive(file, CREATE_SECONDS_MAX, "create", base_url, json.dumps(fields))
            )
            first = asyncio.ensure_future(counter.first.wait())
            await asyncio.wait((driven, first), return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            if not counter.creates:
                raise Wrong(f"its create sent nothing: {driven.exception()}")
            await asyncio.wait((driven,), timeout=REPEATS_SECONDS)
            driven.cancel()
            with suppress(asyncio.CancelledError, Wrong):
                await driven
            return counter.creates[0]

    async def _drive(self, file: Path, seconds: float, *arguments: str) -> Any:
        """What the file's function returns. Raises Wrong with the client's last words."""
        handle, name = tempfile.mkstemp(dir=self._folder)
        os.close(handle)
        process = await asyncio.create_subprocess_exec(
            self._python, "-I", str(DRIVE), str(file), name, *arguments,
            stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder)},  # no key, no proxy, no settings of anybody
        )  # fmt: skip
        try:
            async with asyncio.timeout(seconds):
                _, err = await process.communicate()
        except TimeoutError as error:
            raise Wrong(f"{arguments[0]} did not end within {seconds} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise Wrong(f"{arguments[0]}: {' '.join(err.decode(errors='replace').strip().splitlines()[-1:])}")
        return json.loads(Path(name).read_text(encoding="utf-8"))


def module_of(vendor: str) -> type[VideoApi] | None:
    """The class of `providers/vendors/<vendor>.py`; None if there is no such module."""
    if not (ROOT / "providers" / "vendors" / f"{vendor}.py").exists():
        return None
    module = importlib.import_module(f"providers.vendors.{vendor}")
    (api,) = (
        each
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__ and hasattr(each, "read_answer")
    )
    return api


async def sent_by_us(api: type[VideoApi], key: str, order: Order) -> Create:
    async with losing(Trouble.HTTP_500) as counter:
        base_url = f"{counter.url}/{order.provider}"
        async with open_provider(base_url, key, api=api(base_url)) as provider:  # type: ignore[call-arg] # they all take one
            await provider.post(order, lambda: None)
        (create,) = counter.creates
        return create


def chosen(names: Sequence[str]) -> list[Path]:
    """The files to run. Raises Wrong for a name without a file."""
    files = [*FILES.glob("[a-z]*.py"), *(FILES / "litellm").glob("[a-z]*.py")]
    if unknown := set(names) - {path.stem for path in files}:
        raise Wrong(f"no such file: {', '.join(sorted(unknown))}")
    return sorted(path for path in files if not names or path.stem in names)


def show(findings: Sequence[Finding], *, steps: bool) -> None:
    print(f"{'client of':<24}{'walk':<12}{'differences':<14}")
    for finding in findings:
        walked = "failed" if finding.walk is None else f"{len(finding.walk)} steps"
        compared = "not compared" if finding.differences is None else str(finding.differences)
        print(f"{finding.name:<24}{walked:<12}{compared:<14}{'' if finding.wrong else 'ok'}")
        for step in (finding.walk or []) if steps else []:
            print(f"    {step}")
        for wrong in finding.wrong:
            print(f"    WRONG {wrong}")


async def examine_all(files: Sequence[Path], python: str, listed: Sequence[Listed]) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="onetake-conformance-") as folder:
        bench = Bench(python, listed, Path(folder))
        return await asyncio.gather(*(bench.examine(file) for file in files))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("vendors", nargs="*", help="only these")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what each walk did")
    options = parser.parse_args(arguments)
    listed = read_listed((FILES / "differences.toml").read_text(encoding="utf-8"))
    files = chosen(options.vendors)
    (environment,) = build(ENVIRONMENTS, read_pins(FILES / "requirements.txt"))
    for pin, why in environment.missing.items():
        print(f"MISSING {pin}: {why}", file=sys.stderr)
    findings = asyncio.run(examine_all(files, environment.python, listed))
    show(findings, steps=options.verbose)
    return 1 if environment.missing or any(finding.wrong for finding in findings) else 0
