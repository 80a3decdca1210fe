"""Virtual environments for the vendors' clients, apart from the project's own: nothing here may buy with them.

In       a file of pins, `name==version` a line; a second version of a package gets an environment of its own
Out      Environment: its Python, what it holds, and what pip could not install, with pip's last words
Effects  builds the folder once for these pins and this Python; pip downloads
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STAMP = ".installed"
WORDS_MAX = 200


@dataclass(frozen=True, order=True)
class Pin:
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Environment:
    folder: Path
    pins: tuple[Pin, ...]
    missing: dict[Pin, str]

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def installed(self) -> list[Pin]:
        return [pin for pin in self.pins if pin not in self.missing]


def read_pins(file: Path) -> tuple[Pin, ...]:
    """Raises ValueError for a line that is no pin."""
    lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    pins = []
    for line in filter(None, lines):
        name, pinned, version = line.partition("==")
        if not (name and pinned and version):
            raise ValueError(f"{file.name}: {line} is no pin; write name==version")
        pins.append(Pin(name, version))
    return tuple(pins)


def together(pins: Sequence[Pin]) -> list[tuple[Pin, ...]]:
    """The pins of each environment: the first version of every package, then the second ones."""
    groups: list[dict[str, Pin]] = []
    for pin in pins:
        group = next((group for group in groups if pin.name not in group), None)
        if group is None:
            groups.append(group := {})
        group[pin.name] = pin
    return [tuple(group.values()) for group in groups]


def build(folder: Path, pins: Sequence[Pin]) -> list[Environment]:
    """One environment per group, in `folder`. Raises CalledProcessError if not even an empty one can be built."""
    return [_built(folder / str(number), group) for number, group in enumerate(together(pins), 1)]


def _built(folder: Path, pins: tuple[Pin, ...]) -> Environment:
    stamp = folder / STAMP
    wanted = hashlib.sha256("\n".join([sys.version, str(folder), *map(str, pins)]).encode()).hexdigest()
    if stamp.exists():
        kept = json.loads(stamp.read_text(encoding="utf-8"))
        if kept["of"] == wanted:
            missing = {pin: kept["missing"][str(pin)] for pin in pins if str(pin) in kept["missing"]}
            return Environment(folder, pins, missing)
    print(f"building {folder.parent.name}/{folder.name}: {', '.join(map(str, pins))}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    environment = Environment(folder, pins, {})
    if _install(environment, pins) is not None:  # one that cannot be installed must not keep the others away
        environment.missing.update({pin: why for pin in pins if (why := _install(environment, [pin])) is not None})
    reasons = {str(pin): why for pin, why in environment.missing.items()}
    stamp.write_text(json.dumps({"of": wanted, "missing": reasons}), encoding="utf-8")
    return environment


def _install(environment: Environment, pins: Sequence[Pin]) -> str | None:
    """None, or why pip could not."""
    options = ["--disable-pip-version-check", "--no-input", "--quiet"]
    done = subprocess.run(
        [environment.python, "-m", "pip", "install", *options, *map(str, pins)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return None
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    return (said[-1] if said else f"pip exited with {done.returncode}")[-WORDS_MAX:]
