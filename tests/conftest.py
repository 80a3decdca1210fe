"""For every test: no network beyond this machine, and cassettes in `cassettes/`, which mirrors `tests/`."""

import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.fixtures", "tests.support.recordings", "tests.support.openapi"]

TESTS = Path(__file__).parent
CASSETTES = TESTS.parent / "cassettes"
# Tests with their own processes, kills, installations and random worlds: only `make test-all` runs them.
LONG = frozenset(
    {
        "bot/test_over_http.py",
        "cli/commands/test_bot_process.py",
        "cli/commands/test_demo.py",
        "cli/commands/test_processes.py",
        "evals/test_edit_and_record.py",
        "evals/test_readme.py",
        "evals/test_workbench.py",
        "guarantee/scenes/test_lying_answers.py",
        "guarantee/scenes/test_lying_lists.py",
        "guarantee/short/test_answers.py",
        "guarantee/short/test_crash_points.py",
        "guarantee/short/test_kill9.py",
        "guarantee/short/test_machines.py",
        "guarantee/short/test_races.py",
        "guarantee/short/test_simulation.py",
        "guarantee/short/test_telegram.py",
        "ledger/schema/test_durable.py",
        "ledger/test_any_order.py",
        "pipeline/postgres/test_embedded.py",
        "test_packaging.py",
    }
)
if not os.environ.get("CI"):  # hypothesis' own profile for CI has no deadline either: a busy machine is not a bug
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
THIS_MACHINE = [r"127\.0\.0\.1$", r"::1$", r"/"]  # the last: Unix sockets


def pytest_configure(config: pytest.Config) -> None:
    """Give this run its own temporary folders, and a working Ctrl-C when the suite runs in the background.

    Every new pytest session closes the usual parent folder to other users; the embedded server, which runs as
    another user, would then lose access to its data.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # set by a shell's `&`; our child processes inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="onetake-tests-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before they are selected, and after they were shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Mark the long tests and run them first, so that no process is left alone with one at the end."""
    for item in items:
        if item.get_closest_marker("block_network") is None:
            item.add_marker(pytest.mark.block_network(allowed_hosts=THIS_MACHINE))
        if item.path.relative_to(TESTS).as_posix() in LONG:
            item.add_marker(pytest.mark.long)
    yield
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="module")
def vcr_cassette_dir(request: pytest.FixtureRequest) -> str:
    return str(CASSETTES / request.path.relative_to(TESTS).with_suffix(""))
