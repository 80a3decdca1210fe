"""The accident that led to this project: one request is one video, however often it arrives."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.guarantee.processes.machine import Machine
from tests.support.fixtures import Simulator


def test_one_request_sent_three_times_raises_total_videos_by_exactly_one(
    simulator: Simulator, tmp_path: Path, ledger_dsn: str
) -> None:
    machine = Machine(tmp_path, simulator, {"DATABASE_URL": ledger_dsn})
    before = machine.total_videos()

    with ThreadPoolExecutor(2) as both:
        at_once = list(both.map(lambda _: machine.create("--key", "one"), range(2)))
    code, later = machine.create()

    assert {code for code, _ in at_once} == {0}
    assert len({result["run_id"] for _, result in at_once}) == 1
    assert (code, later["refused"], later["duplicate_of"]) == (3, "duplicate", at_once[0][1]["ref"])
    assert machine.total_videos() == before + 1
    assert simulator.paid_calls() == 1
