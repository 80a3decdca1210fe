"""A provider's module is pure: it imports and answers where sockets, files and clocks raise."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VENDORS = sorted(path.stem for path in (ROOT / "providers" / "vendors").glob("[a-z]*.py"))
# In an interpreter of its own: Python's own imports are done, and from here on the module is watched.
WATCHED = """
import builtins, datetime, importlib, io, os, random, socket, sys, time

def refused(*_, **__):
    raise AssertionError("a pure module asked for the outside world")

name = sys.argv[1]
opened = []
sys.addaudithook(lambda event, args: opened.append((event, args)) if ARMED and event in EVENTS else None)
EVENTS = {"open", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system"}
ARMED = False
importlib.import_module("providers.port")  # what it is built from
importlib.import_module("net.error_text")
for owner, what in ((time, "time"), (time, "monotonic"), (time, "time_ns"), (random, "random"), (os, "urandom")):
    setattr(owner, what, refused)
module = importlib.import_module(f"providers.vendors.{name}")
ARMED = True
from providers.orders import Answer, Order
from providers.port import VideoApi
classes = [each for each in vars(module).values() if isinstance(each, type) and hasattr(each, "create")]
for kind in (each for each in classes if each.__module__ == module.__name__):
    api = kind("https://vendor.example")
    run_id = "6f1d0f0e-6d7f-4c55-8e36-3d2a2f3b1c11"
    order = Order(run_id, "a paper boat", "maker/model", 8, "720x1280", "json", name, {})
    request = api.create(order)
    assert request.pays and request.method == "POST", "the one request that pays"
    assert api.create(order) == request, "the same order is the same request"
    assert "secret-of-the-test" not in repr(request)
    api.authorization("id-of-the-test:secret-of-the-test", 1_790_000_000.0)
    api.marker(order)
    for status, body in ((200, "{}"), (200, "[]"), (202, ""), (400, "{}"), (500, "<html>"), (429, '{"detail": "x"}')):
        api.read_answer(Answer(status, body), refuses_429=False, our_key=order.run_id, prompt=order.prompt)
    first = next(api.job("job-1", "maker/model"))
    assert not first.pays
ARMED = False
outside = [each for each in opened if not str(each[1][0]).endswith((".py", ".pyc"))]
assert outside == [], outside
print("pure")
"""


@pytest.mark.parametrize("name", VENDORS)
def test_vendor_module_needs_no_sockets_files_or_clocks(name: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", WATCHED, name], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (found.returncode, found.stdout.strip()) == (0, "pure"), found.stderr[-2000:]


def test_vendor_modules_have_at_most_250_lines() -> None:
    folder = ROOT / "providers" / "vendors"
    long = {path.name: n for path in folder.glob("*.py") if (n := len(path.read_text().splitlines())) > 250}
    assert long == {}
