"""A real process is killed in the middle of a run; another finishes the run. The books decide."""

from pathlib import Path

import pytest

from tests.guarantee.processes.machine import Machine, until
from tests.support.fixtures import SOON_OVER, Simulator


@pytest.mark.parametrize(
    ("where", "target", "kind", "how"),
    [
        ("submitting", "create", "slow_headers", {"seconds": 3}),
        ("rendering", "retrieve", "slow_headers", {"seconds": 3}),
        ("saving", "content", "slow_headers", {"seconds": 3}),
    ],
)
def test_run_of_a_killed_process_ends_saved_after_one_paid_call(
    where: str, target: str, kind: str, how: dict[str, object], simulator: Simulator, tmp_path: Path, ledger_dsn: str
) -> None:
    simulator.trouble(target, kind, **how)
    with Machine(tmp_path, simulator, SOON_OVER | {"DATABASE_URL": ledger_dsn}) as machine:
        machine.start("create", "a paper boat", "--key", "k", "--json")
        until(lambda: simulator.control("GET", "/_sim/faults")["met"].get(f"{target}:{kind}", 0) == 1)

    code, result = machine.create("--key", "k")

    assert (code, result["state"]) == (0, "saved"), where
    assert Path(result["file"]).read_bytes()[4:8] == b"ftyp"
    assert simulator.paid_calls() == 1
    assert simulator.creates() == 1
    assert machine.total_videos() == 1


def test_killed_process_does_not_block_the_next_one(simulator: Simulator, tmp_path: Path) -> None:
    simulator.trouble("chat", "slow_headers", seconds=3)
    with Machine(tmp_path, simulator) as machine:
        machine.start("create", "a paper boat", "--key", "k", "--json")
        until(lambda: simulator.books()["chat_calls"] == 1)

    code, result = machine.create("--key", "k")

    assert (code, result["state"]) == (0, "saved")
    assert simulator.creates() == 1
