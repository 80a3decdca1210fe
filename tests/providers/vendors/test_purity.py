"""Providers' modules decide and have no effects: no socket, file, clock or chance, at import or when they are used."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from providers import openai_videos, refusals, vendors
from tests.support.fixtures import ROOT

PURE = ("port", "orders", "job", "job_ids", "json_numbers", "answers", "apis", "callbacks", "order_match")
ROOMS = (vendors, openai_videos, refusals)
MODULES = [
    *(f"providers.{name}" for name in (*PURE, "shown_request")),
    *(f"{room.__name__}.{each.name}" for room in ROOMS for each in pkgutil.iter_modules(room.__path__)),
]
IMPURE = {
    "the time at import": ("import time\nSTARTED = time.time()", "time.time"),
    "a clock at import": ("from time import monotonic\nSTARTED = monotonic()", "time.monotonic"),
    "the date at import": ("from datetime import datetime\nSTARTED = datetime.now()", "datetime.now"),
    "a day at import": ("from datetime import date\nDAY = date.today()", "date.today"),
    "chance at import": ("import random\nNUMBER = random.random()", "random.random"),
    "an id at import": ("from uuid import uuid4\nID = uuid4()", "uuid.uuid4"),
    "a file at import": ("TEXT = open(__file__).read()", "open"),
    "a file by its path": ("from pathlib import Path\nTEXT = Path(__file__).read_text()", "open"),
    "a file by its number": ("import os\nos.close(os.open(__file__, os.O_RDONLY))", "open"),
    "a folder": ("import os\nNAMES = os.listdir('.')", "os.listdir"),
    "a socket": ("import socket\nsocket.socket()", "socket.__new__"),
    "a name's address": ("import socket\nsocket.getaddrinfo('o.test', 80)", "socket.getaddrinfo"),
    "a program": ("import subprocess\nsubprocess.Popen(['true'])", "subprocess.Popen"),
    "an error that is held back": ("import time\ntry:\n    time.time()\nexcept Exception:\n    pass", "time.time"),
}
API = """
import {module}
from dataclasses import dataclass
from providers.vendors.luma import Luma

@dataclass(frozen=True)
class Own(Luma):
    def {method}:
        {effect}
        return super().{call}
"""
IN_USE = {
    "create": API.format(module="time", method="create(self, order)", effect="time.time()", call="create(order)"),
    "marker": API.format(module="random", method="marker(self, order)", effect="random.random()", call="marker(order)"),
    "read_answer": API.format(
        module="os",
        method="read_answer(self, answer, **more)",
        effect="open(os.devnull)",
        call="read_answer(answer, **more)",
    ),
    "job": API.format(
        module="time", method="job(self, job_id, model)", effect="time.monotonic()", call="job(job_id, model)"
    ),
}


def tried(*names: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """In an interpreter of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(path), str(ROOT))), "PYTHONDONTWRITEBYTECODE": "1"}
    command = (sys.executable, "-m", "tests.providers.purity", *names)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_every_module_of_the_providers_is_pure() -> None:
    assert len(MODULES) > 30
    done = tried(*MODULES)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_module_of_the_providers_loads_what_could_have_an_effect() -> None:
    script = f"import sys, importlib\nfor name in {MODULES}: importlib.import_module(name)\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run((sys.executable, "-c", script), env=environment, capture_output=True, text=True, check=True)
    assert {"socket", "ssl", "asyncio", "httpx2", "aiohttp", "subprocess", "random"} & set(done.stdout.split()) == set()


@pytest.mark.parametrize(("text", "effect"), IMPURE.values(), ids=IMPURE)
def test_module_with_an_effect_at_import_is_found(text: str, effect: str, tmp_path: Path) -> None:
    (tmp_path / "impure_module.py").write_text(text)
    done = tried("impure_module", path=tmp_path)
    assert done.returncode == 1 and f"impure_module: {effect}" in done.stderr, done.stderr


@pytest.mark.parametrize("method", IN_USE)
def test_api_with_an_effect_in_use_is_found(method: str, tmp_path: Path) -> None:
    (tmp_path / "impure_module.py").write_text(IN_USE[method])
    done = tried("impure_module", path=tmp_path)
    assert done.returncode == 1 and "impure_module: " in done.stderr, done.stderr


def test_pure_module_is_not_accused(tmp_path: Path) -> None:
    (tmp_path / "pure_module.py").write_text("import json, time, datetime, random, socket\nVALUE = json.loads('[1]')")
    done = tried("pure_module", path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
