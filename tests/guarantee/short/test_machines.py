"""Three workers on one database, each behind its own relay: killed, cut off, frozen, added, the server restarted.

In every case each run ends saved after one purchase, and a lost worker's runs go to others: within 15 seconds,
which ONETAKE_LONG=1 (`make machines`) measures, with a cut of a minute and more runs.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.guarantee.processes.fleet import Fleet, Worker, open_fleet, seconds_until
from tests.guarantee.processes.machine import until

LONG = os.environ.get("ONETAKE_LONG") == "1"
RUNS = 30 if LONG else 12
CUT_SECONDS = 60.0 if LONG else 12.0
TAKEOVER_SECONDS = 15.0 if LONG else 60.0  # 15 s are promised; beside other tests the machine may be slow
END_SECONDS = 240.0


def in_the_hands_of(fleet: Fleet, worker_id: int) -> set[str]:
    return {run for run, holder in fleet.in_hand().items() if holder == worker_id}


@dataclass(frozen=True)
class Victim:
    """A worker with runs in progress. `hands`: which worker had which run before anything happened."""

    fleet: Fleet
    worker: Worker
    hands: dict[str, int]

    def is_followed(self, how: str) -> None:
        """Wait until other workers have taken over its runs."""
        lost = {run for run, holder in self.hands.items() if holder == self.worker.worker_id}
        took = seconds_until(lambda: self.fleet.taken_over(lost, self.hands), TAKEOVER_SECONDS)
        print(f"{how}: {len(lost)} runs taken over after {took:.1f} s")


def busiest(fleet: Fleet) -> Victim:
    """The worker with the most runs, once all are rendering: orders lost on the way have their own tests."""

    known = {worker.worker_id: worker for worker in fleet.workers}

    def rendering() -> Counter[int]:
        states = fleet.states()
        if not set(states.values()) <= {"rendering", "saved"}:
            return Counter()
        return Counter(
            worker_id for run, worker_id in fleet.in_hand().items() if states[run] == "rendering" and worker_id in known
        )

    until(lambda: rendering().total() >= 3, 90)
    return Victim(fleet, known[rendering().most_common(1)[0][0]], fleet.in_hand())


def nothing_is_bought_for(fleet: Fleet, seconds: float) -> None:
    began, before = time.monotonic(), fleet.sim.creates()
    while time.monotonic() - began < seconds:
        assert fleet.sim.creates() == before, "it began a submission, and nobody let it through"
        time.sleep(0.2)


def test_runs_of_a_killed_worker_are_taken_over_and_a_new_worker_gets_runs(tmp_path: Path) -> None:
    with open_fleet(tmp_path, 3, render_seconds=12) as fleet:
        fleet.order(RUNS)
        victim = busiest(fleet)
        victim.worker.kill()
        victim.is_followed("killed")
        newest = fleet.hire().worker_id
        fleet.order(RUNS)
        until(lambda: in_the_hands_of(fleet, newest), 90)
        until(fleet.all_saved, END_SECONDS)
        fleet.check_books()


def test_worker_cut_off_from_the_database_buys_nothing_and_reconnects(tmp_path: Path) -> None:
    with open_fleet(tmp_path, 3, render_seconds=12) as fleet:
        fleet.order(RUNS)
        victim = busiest(fleet)
        victim.worker.line.whole.clear()
        victim.is_followed("cut off")
        until(lambda: victim.worker.worker_id not in fleet.seats(), 60)
        others = [each for each in fleet.workers if each is not victim.worker]
        for each in others:  # only the worker that is cut off is left: new orders stay where they are
            each.freeze()
        fleet.order(3)
        nothing_is_bought_for(fleet, CUT_SECONDS)
        for each in others:
            each.thaw()
        victim.worker.line.whole.set()
        until(lambda: len(fleet.seats()) == 3, 120)
        fleet.order(RUNS)
        until(fleet.all_saved, END_SECONDS)
        fleet.check_books()


def test_frozen_worker_and_database_restart_cause_no_second_purchase(tmp_path: Path) -> None:
    with open_fleet(tmp_path, 3, render_seconds=12) as fleet:
        fleet.order(RUNS)
        victim = busiest(fleet)
        victim.worker.freeze()
        victim.is_followed("frozen")
        fleet.order(RUNS)
        victim.worker.thaw()
        fleet.restart_server()
        until(lambda: len(fleet.seats()) == 3, 120)
        fleet.order(RUNS)
        until(fleet.all_saved, END_SECONDS)
        fleet.check_books()
