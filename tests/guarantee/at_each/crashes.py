"""Kill -9 around the purchase at each provider, and four processes at one run. The provider's books judge.

In       a provider, and where the first life ends, or how many lives there are at once
Out      one row per case
Effects  processes that are killed by their own pid; each provider has a simulator of its own
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGSTOP
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.purchase.submission import replay_answers
from pipeline.run import admit, run
from providers.apis import FACTS
from simulator.settings import INSTANT, Settings
from steps.check_limits import Admitted
from tests.guarantee.at_each.answers import HEALS
from tests.guarantee.crash.cases import ended, until_stopped
from tests.guarantee.crash.life import LIFE_SECONDS, Place, Subject, begin, new_subject, tell
from tests.guarantee.crash.trace_points import End
from tests.guarantee.processes.forks import begin_simulator
from tests.guarantee.processes.forks import end as end_process
from tests.support.fixtures import PRICE_MICROUSD, open_test_context

SPREAD_EVERY = 7
AT_ONCE = 4
NEAR = ("ledger.begin_submission", "file.rename answers", "ledger.record_submission")
FROZEN_SECONDS = (0.5, 4.0)  # before and after the submit deadline


@dataclass(frozen=True)
class Case:
    """`kind`: undisturbed, killed, frozen, raced."""

    provider: str
    kind: str
    at: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    provider: str
    case: str
    posts: int
    paid: int
    state: str
    violations: tuple[str, ...]


@contextlib.contextmanager
def place_of(provider: str, dsn: str, folder: Path) -> Iterator[Place]:
    settings = Settings(speed=INSTANT, refund_failed=True, tiny_clips=True)
    pid, sim = begin_simulator(settings, folder / f"{uuid4().hex}.said")
    try:
        yield Place(dsn, replace(sim, provider=provider), live=live)
    finally:
        end_process(pid)


async def live(subject: Subject, place: Place) -> None:
    """Process the request from its beginning, as after every crash, until it has ended or nothing more can be learned.

    Nothing overrules the provider's facts: what its list cannot prove stays in doubt.
    """
    async with open_test_context(place.dsn, place.sim, subject.home, place.waits) as context:
        await replay_answers(context)
        admitted = await admit(replace(subject.request, call_id=uuid4()), context.ledger)
        assert isinstance(admitted, Admitted), admitted
        await tell(subject, await _carried(admitted, context), context)


async def _carried(admitted: Admitted, context: Any) -> Run:
    until = time.monotonic() + LIFE_SECONDS
    while True:
        with contextlib.suppress(LedgerUnavailable):
            row = await run(admitted.run_id, context)
            assert row is not None
            if row.ended or row.parked:
                return row
        assert time.monotonic() < until, "the run never came to rest"
        await asyncio.sleep(0.05)


def cases_of(points: Sequence[str], provider: str) -> list[Case]:
    """Every point around the purchase, and a spread of the others."""
    near = [point for point in points if point.startswith(NEAR) or _pays(point, points)]
    spread = [point for point in points if point not in near][::SPREAD_EVERY]
    frozen = [Case(provider, "frozen", point, s) for point in _posts(points) for s in FROZEN_SECONDS]
    return [*(Case(provider, "killed", point) for point in (*near, *spread)), *frozen, Case(provider, "raced")]


def _posts(points: Sequence[str]) -> list[str]:
    """The points before and after the first request to the provider: the one that pays."""
    first = next(n for n, point in enumerate(points) if point.startswith("ledger.begin_submission.after"))
    return [point for point in points[first:] if point.startswith("http.POST ")][:2]


def _pays(point: str, points: Sequence[str]) -> bool:
    return point in _posts(points)


def play(case: Case, place: Place, folder: Path) -> Row:
    subject = new_subject(place, folder, f"{case.provider} {case.kind} {case.at}")
    wrong: list[str] = []
    match case.kind:
        case "killed":
            ended(begin(subject, place, 1, End(case.at)))
            wrong += _ended_well(ended(begin(subject, place, 2)))
        case "frozen":
            wrong += _frozen(subject, place, case)
        case "raced":
            lives = [begin(subject, place, life) for life in range(1, AT_ONCE + 1)]
            wrong += [words for life in lives for words in _ended_well(ended(life))]
        case _:
            wrong += _ended_well(ended(begin(subject, place, 1)))
    return _judged(case, subject, place, wrong)


def _frozen(subject: Subject, place: Place, case: Case) -> list[str]:
    """The first life stops at its point; a second one takes over; the first wakes up meanwhile, or too late."""
    import os
    from signal import SIGCONT

    first = begin(subject, place, 1, End(case.at, SIGSTOP))
    until_stopped(first)
    second = begin(subject, place, 2)
    time.sleep(case.seconds)
    os.kill(first, SIGCONT)
    return [words for life in (first, second) for words in _ended_well(ended(life))]


def _ended_well(code: int) -> list[str]:
    return [f"a life ended with {code}"] if code else []


def _judged(case: Case, subject: Subject, place: Place, wrong: list[str]) -> Row:
    with psycopg.connect(place.dsn, row_factory=dict_row) as connection:
        row = connection.execute("select * from onetake.runs where request_key = %s", (subject.request.key,)).fetchone()
    mine = [entry for entry in place.sim.books()["creates"] if subject.home.name in (entry["prompt"] or "")]
    paid = sum(entry["job_id"] is not None for entry in mine)
    name = f"{case.kind} {case.at}{f', {case.seconds:g} s' if case.seconds else ''}".strip()
    if row is None:
        return Row(case.provider, name, len(mine), paid, "unknown", (*wrong, "the ledger does not know the run"))
    heals = FACTS[case.provider].marker in HEALS
    pockets = (row["held_microusd"], row["spent_microusd"], row["released_microusd"])
    wanted = {"saved": (0, PRICE_MICROUSD, 0), "failed": (0, 0, PRICE_MICROUSD)}.get(
        row["state"], (PRICE_MICROUSD, 0, 0)
    )
    checks = {
        f"{len(mine)} requests reached the provider": len(mine) <= 1,
        f"{paid} paid calls": paid <= 1,
        f"a clip was paid for, and the run is {row['state']}": not paid
        or row["state"] == "saved"
        or (row["state"] == "uncertain" and not heals),
        f"nothing was made, and the run is {row['state']}": bool(paid) or row["state"] in {"uncertain", "failed"},
        f"failed because of {row['reason']}": row["state"] != "failed" or row["reason"] == "never_sent",
        f"held, spent, released are {pockets}": pockets == wanted,
        "it never came to rest": row["state"] in {"saved", "failed"} or row["parked_at"] is not None,
    }
    wrong += [words for words, holds in checks.items() if not holds]
    if wrong and subject.said():
        wrong.append(subject.said()[-500:])
    return Row(case.provider, name, len(mine), paid, row["state"], tuple(wrong))
