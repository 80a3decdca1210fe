"""The command as a process of its own: how fast it starts, what a signal does, who goes on."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guarantee.processes.machine import Machine, until
from tests.support.fixtures import ROOT, Simulator, simulator_process

HELP_SECONDS_MAX = 0.6


@pytest.fixture
def slow_simulator() -> Iterator[Simulator]:
    with simulator_process("--render-seconds", "6") as process:
        yield process


@pytest.fixture
def machine(ledger_dsn: str, slow_simulator: Simulator, tmp_path: Path) -> Iterator[Machine]:
    settings = {"DATABASE_URL": ledger_dsn, "RENDER_DEADLINE_SECONDS": "60"}
    with Machine(tmp_path, slow_simulator, settings) as machine:
        yield machine


def test_help_takes_less_than_its_time_limit() -> None:
    took = []
    for _ in range(3):
        before = _children_seconds()
        subprocess.run([sys.executable, "-m", "cli", "--help"], cwd=ROOT, check=True, capture_output=True)
        took.append(_children_seconds() - before)

    assert min(took) < HELP_SECONDS_MAX


def _children_seconds() -> float:
    """Processor time of the children that have ended: a busy machine does not lengthen it as it does the clock's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_imports_nothing_heavy() -> None:
    heavy = "('openai', 'pydantic', 'psycopg', 'aiohttp')"
    script = f"import sys, cli.main; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[]"


def test_run_interrupted_by_ctrl_c_is_finished_by_a_worker_that_stops_gracefully(machine: Machine) -> None:
    create = machine.start("create", "a red kite", "--key", "k", "--json")
    until(lambda: machine.sim.paid_calls() == 1)
    create.send_signal(signal.SIGINT)
    out, err = create.communicate(timeout=60)
    ref = re.findall(r'"ref": "(\w{6})"', out)[0]

    assert create.returncode == 130
    assert f"Run {ref} continues when `onetake worker`" in " ".join(err.split())
    assert "$0.80 is set aside until" in " ".join(err.split())
    assert "Traceback" not in err

    other, _ = machine.start("create", "another kite", "--json").communicate(timeout=60)
    assert f"Run {ref} of this user was ordered already" in other
    assert "onetake cancel" not in other and "or a worker is running" in other

    worker = machine.start("worker")
    assert worker.stderr is not None
    for line in worker.stderr:
        if f"{ref} save_video: saved" in line:
            break
    worker.send_signal(signal.SIGTERM)
    said, problems = worker.communicate(timeout=60)
    assert worker.returncode == 0, problems
    assert "worker ready" in said
    assert "worker stopped" in said
    assert machine.total_videos() == 1
    assert machine.sim.paid_calls() == 1


def test_sigterm_ends_a_create_cleanly(machine: Machine) -> None:
    create = machine.start("create", "a red kite", "--key", "k")
    until(lambda: machine.sim.paid_calls() == 1)
    create.send_signal(signal.SIGTERM)
    _, err = create.communicate(timeout=60)

    assert (create.returncode, "Traceback" in err) == (143, False)
    assert machine.sim.paid_calls() == 1


def test_simulator_prints_its_url_and_exits_cleanly_on_sigterm(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "simulate", "--port", "0", "--speed", "instant"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    assert re.match(r"simulator listening on http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0
