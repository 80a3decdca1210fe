"""Three workers on one database, each behind a line of its own: killed, cut off, frozen, joined, the server restarted.

Whatever happens, every run ends saved after one purchase, and what a lost worker had in hand is in other hands within
15 seconds. ONETAKE_LONG=1 (`make machines`) cuts the line for a minute and plays more runs.
"""

import os
import time
from collections import Counter
from pathlib import Path

from tests.guarantee.fleet import TAKEOVER_SECONDS, Fleet, open_fleet, seconds_until
from tests.guarantee.processes import until

LONG = os.environ.get("ONETAKE_LONG") == "1"
RUNS = 30 if LONG else 12
CUT_SECONDS = 60.0 if LONG else 12.0
END_SECONDS = 90.0


def in_the_hands_of(fleet: Fleet, seat: int) -> set[str]:
    return {run for run, holder in fleet.in_hand().items() if holder == seat}


def busy_seat(fleet: Fleet) -> int:
    """Who has most runs in hand, once all are in mid-render: an order lost on its way has tests of its own."""

    def rendering() -> Counter[int]:
        states = fleet.states()
        if not set(states.values()) <= {"rendering", "saved"}:
            return Counter()
        return Counter(seat for run, seat in fleet.in_hand().items() if states[run] == "rendering")

    until(lambda: rendering().total() >= 3, 30)
    return rendering().most_common(1)[0][0]


def nothing_is_bought_for(fleet: Fleet, seconds: float) -> None:
    began, before = time.monotonic(), fleet.sim.creates()
    while time.monotonic() - began < seconds:
        assert fleet.sim.creates() == before, "it began a submission, and nobody let it through"
        time.sleep(0.2)


def test_a_killed_workers_runs_are_taken_over_and_one_that_joins_shares_the_load(tmp_path: Path) -> None:
    with open_fleet(tmp_path, 3, render_seconds=12) as fleet:
        fleet.order(RUNS)
        seat = busy_seat(fleet)
        worker = fleet.workers[sorted(fleet.seats()).index(seat)]
        lost, hands = in_the_hands_of(fleet, seat), fleet.in_hand()
        worker.kill()
        took = seconds_until(lambda: fleet.taken_over(lost, hands), TAKEOVER_SECONDS)
        print(f"killed: {len(lost)} runs taken over after {took:.1f} s")
        fleet.hire()
        newest = max(fleet.seats())
        fleet.order(RUNS)
        until(lambda: in_the_hands_of(fleet, newest), 30)
        until(fleet.all_saved, END_SECONDS)
        fleet.check_books()


def test_a_worker_cut_off_from_the_database_begins_nothing_and_comes_back(tmp_path: Path) -> None:
    with open_fleet(tmp_path, 3, render_seconds=12) as fleet:
        fleet.order(RUNS)
        seat = busy_seat(fleet)
        worker = fleet.workers[sorted(fleet.seats()).index(seat)]
        lost, hands = in_the_hands_of(fleet, seat), fleet.in_hand()
        worker.line.whole.clear()
        took = seconds_until(lambda: fleet.taken_over(lost, hands), TAKEOVER_SECONDS)
        print(f"cut off: {len(lost)} runs taken over after {took:.1f} s")
        until(lambda: seat not in fleet.seats(), CUT_SECONDS)
        others = [each for each in fleet.workers if each is not worker]
        for each in others:  # only the one that is cut off is left: what is ordered now stays where it is
            each.freeze()
        fleet.order(3)
        nothing_is_bought_for(fleet, CUT_SECONDS)
        for each in others:
            each.thaw()
        worker.line.whole.set()
        until(lambda: len(fleet.seats()) == 3, 60)
        fleet.order(RUNS)
        until(fleet.all_saved, END_SECONDS)
        fleet.check_books()


def test_a_frozen_worker_and_a_server_that_starts_again_cost_no_second_purchase(tmp_path: Path) -> None:
    with open_fleet(tmp_path, 3, render_seconds=12) as fleet:
        fleet.order(RUNS)
        seat = busy_seat(fleet)
        worker = fleet.workers[sorted(fleet.seats()).index(seat)]
        lost, hands = in_the_hands_of(fleet, seat), fleet.in_hand()
        worker.freeze()
        took = seconds_until(lambda: fleet.taken_over(lost, hands), TAKEOVER_SECONDS)
        print(f"frozen: {len(lost)} runs taken over after {took:.1f} s")
        fleet.order(RUNS)
        worker.thaw()
        fleet.restart_server()
        fleet.order(RUNS)  # a worker that was given up for dead finds out when it wants its next run
        until(lambda: len(fleet.seats()) == 3, 60)
        until(fleet.all_saved, END_SECONDS)
        fleet.check_books()
