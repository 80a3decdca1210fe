"""Checks the promise of docs/design.md from outside, once nothing changes any more.

In       the simulator's books, the committed rows, the files, the notifications, the run ids promised to users
Out      one sentence per violation
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from providers.job_ids import canonical_id
from tests.guarantee.fuzz.crew import Place
from tests.guarantee.fuzz.plan import Ask
from tests.ledger.client import BOOKS

Row = dict[str, Any]
ENDED = {"saved", "delivered", "rejected", "canceled", "failed"}
# Reasons that come from the provider itself: the run's clip cannot be had.
PROVED_BY_PROVIDER = {"render_failed", "expired"}
TEXT = """
    select ref from onetake.runs r where text_microusd is distinct from
        (select coalesce(sum(cost_microusd), 0) from onetake.events e where e.run_id = r.run_id)
"""


@dataclass(frozen=True)
class Seen:
    """Everything that can be observed of one seed."""

    runs: Mapping[str, Row]
    creates: list[Row]
    jobs: Mapping[str, Row]
    told: Mapping[str, set[str]]
    late: int  # adoptions after `failed`: only these may exceed a budget


def check(place: Place, promised: Mapping[str, str]) -> list[str]:
    """`promised`: request key -> run id, as the ledger answered when it accepted the request."""
    with psycopg.connect(place.dsn, row_factory=dict_row, autocommit=True) as eyes:
        seen = _look(place, eyes)
        wrong = [f"the books do not add up: {row}" for row in eyes.execute(BOOKS.encode()).fetchall()]
        wrong += [f"run {row['ref']}: its text calls do not add up" for row in eyes.execute(TEXT).fetchall()]
        wrong += _budgets(eyes, place, seen)
        if wrong or list(_ends(seen)):
            jobs = eyes.execute("select * from queue.procrastinate_jobs").fetchall()
            (place.folder / "queue").write_text("\n".join(map(str, jobs)))
    return [
        *wrong,
        *_promises(seen, promised),
        *_purchases(seen),
        *_paid_jobs(seen),
        *_ends(seen),
        *_one_take_each(seen, place),
        *_clips(seen),
        *_words(seen),
    ]


def _look(place: Place, eyes: psycopg.Connection[Row]) -> Seen:
    rows = eyes.execute("select * from onetake.runs").fetchall()
    late = eyes.execute("select count(*) as n from onetake.events where outcome = 'adopted_late'").fetchone()
    assert late is not None
    return Seen(
        runs={str(row["run_id"]): row for row in rows},
        creates=place.sim.books()["creates"],
        jobs={job["id"]: job for job in place.sim.control("GET", "/_sim/jobs")["jobs"]},
        told={path.name: set(path.read_text().split()) for path in place.told.iterdir()},
        late=int(late["n"]),
    )


def _budgets(eyes: psycopg.Connection[Row], place: Place, seen: Seen) -> Iterator[str]:
    text = sum(row["text_microusd"] for row in seen.runs.values())
    price = max((row["price_microusd"] for row in seen.runs.values()), default=0)
    most = place.plan.limits["budget_day_microusd"] + seen.late * price
    for row in eyes.execute("select * from onetake.budgets").fetchall():
        taken = row["held_microusd"] + row["spent_microusd"] - text
        if len(row["period"]) == len("2026-11-23") and taken > most:
            yield f"budget {row['period']}: {taken} held and spent, more than {most}"


def _promises(seen: Seen, promised: Mapping[str, str]) -> Iterator[str]:
    by_key = {row["request_key"]: run_id for run_id, row in seen.runs.items()}
    for key, run_id in promised.items():
        if by_key.get(key) != run_id:
            yield f"request {key} was accepted as run {run_id}, and the ledger has it as {by_key.get(key)}"


def _purchases(seen: Seen) -> Iterator[str]:
    for key, times in Counter(create["key"] for create in seen.creates).items():
        row = seen.runs.get(key or "")
        if row is None or row["submitting_at"] is None:
            yield f"a create request with the key {key}, which is no run that passed the fence"
        elif times > 1:
            yield f"run {row['ref']}: {times} create requests reached the provider"


def _paid_jobs(seen: Seen) -> Iterator[str]:
    """Every paid job has an owner, or a run with the same order is in doubt with its money held."""
    owners = {canonical_id(row["job_id"]): row for row in seen.runs.values() if row["job_id"]}
    for job_id, row in owners.items():
        if job_id not in seen.jobs:
            yield f"run {row['ref']} owns {job_id}, which the provider never made"
    nobodys: list[Row] = []
    for create in seen.creates:
        owner = owners.get(create["job_id"])
        if create["job_id"] and owner is None and not _has_its_copy(seen, create):
            nobodys.append(create)
        elif owner is not None and owner["state"] == "failed":
            fate = seen.jobs[create["job_id"]]["fate"]
            if owner["reason"] not in PROVED_BY_PROVIDER or (owner["reason"] == "render_failed") != (fate == "fails"):
                yield f"run {owner['ref']} failed ({owner['reason']}), and its paid job {create['job_id']} {fate}"
    doubts = Counter(
        row["improved_prompt"]
        for row in seen.runs.values()
        if (row["state"] in {"submitting", "uncertain"} and row["held_microusd"])
        # A proof took the run's job, but it keeps the clip: same prompt, paid for by the job that has no owner now.
        or (row["state"] in {"saved", "delivered"} and row["job_id"] is None)
    )
    for prompt, count in Counter(create["prompt"] for create in nobodys).items():
        if count > doubts[prompt]:
            makers = [_named(seen, create) for create in nobodys if create["prompt"] == prompt]
            yield f"{count} paid jobs are nobody's, and {doubts[prompt]} runs in doubt could own them: {makers}"


def _has_its_copy(seen: Seen, create: Row) -> bool:
    """Whether a proxy repeated the order and its run owns the second job, of the same prompt: the audit shows both."""
    row = seen.runs.get(create["key"])
    own = seen.jobs.get(row["job_id"]) if row is not None and row["job_id"] else None
    return create["outcome_sent"] == "repeated_by_proxy" and own is not None and own["owner"] == "proxy"


def _named(seen: Seen, create: Row) -> str:
    row = seen.runs.get(create["key"])
    if row is None:
        return str(create["key"])
    sent = datetime.fromtimestamp(create["at"]).astimezone()
    return f"{row['ref']} {row['state']} {row['reason']} sent {sent - row['submitting_at']} after the fence"


def _ends(seen: Seen) -> Iterator[str]:
    for run_id, row in seen.runs.items():
        if row["state"] in ENDED:
            heard = seen.told.get(run_id, set())
            if not heard & ({"saved", "delivered"} if row["state"] == "delivered" else {row["state"]}):
                yield (
                    f"run {row['ref']} is {row['state']} ({row['reason']}), and its user heard only {sorted(heard)}; "
                    f"told_state {row['told_state']}, next look {row['next_look_at']}"
                )
        elif row["parked_at"] is None:
            yield f"run {row['ref']} is {row['state']}, neither ended nor parked (next look {row['next_look_at']})"
        elif not row["held_microusd"]:
            yield f"run {row['ref']} is parked, and its money is not held"


def _one_take_each(seen: Seen, place: Place) -> Iterator[str]:
    """No user has two unfinished runs of one prompt without having asked for another take."""
    again = {ask.key for _, ask in place.plan.actions if isinstance(ask, Ask) and ask.again}
    rows = sorted(seen.runs.values(), key=lambda row: row["reserved_at"])
    for number, first in enumerate(rows):
        over = [first[f"{state}_at"] for state in ("saved", "rejected", "canceled", "failed")]
        ended_at = min((at for at in over if at), default=None)
        for second in rows[number + 1 :]:
            same = all(first[what] == second[what] for what in ("user_id", "prompt_hash"))
            unfinished = ended_at is None or ended_at > second["reserved_at"]
            if same and unfinished and second["request_key"] not in again:
                yield f"runs {first['ref']} and {second['ref']} are the same wish of one user at the same time"


def _clips(seen: Seen) -> Iterator[str]:
    """The simulator writes a job's id into its clip: check that the file is whole and from the run's own job."""
    for row in seen.runs.values():
        if row["state"] not in {"saved", "delivered"}:
            continue
        path = Path(row["file"])
        # If killed between commit and renaming, it keeps its temporary name until the next round of `maintenance`.
        left = [path, *path.parent.glob(f".{row['run_id']}.*.clip")]
        content = next((each.read_bytes() for each in left if each.exists()), b"")
        if (len(content), hashlib.sha256(content).hexdigest()) != (row["file_bytes"], row["file_sha256"]):
            there = sorted(each.name for each in path.parent.glob(f"*{row['run_id']}*"))
            yield f"run {row['ref']}: the saved clip is not what the row says; of {row['file_bytes']} bytes, in {there}"
        elif row["job_id"] and canonical_id(row["job_id"]).encode() not in content:
            yield f"run {row['ref']}: the saved clip is another job's"


def _words(seen: Seen) -> Iterator[str]:
    """Check from outside that each user has the clip of their own prompt, and that nobody is told "not charged" while
    the books hold their job.
    """
    owned = {canonical_id(row["job_id"]) for row in seen.runs.values() if row["job_id"]}
    for row in seen.runs.values():
        job = seen.jobs.get(canonical_id(row["job_id"])) if row["job_id"] else None
        if row["state"] in {"saved", "delivered"} and job and job["prompt"] != row["improved_prompt"]:
            yield f"run {row['ref']} asked for {row['improved_prompt']!r} and has the clip of {job['prompt']!r}"
    for create in seen.creates:
        failed = seen.runs.get(create["key"] or "")
        if failed is None or create["job_id"] is None or create["job_id"] in owned:
            continue
        if failed["state"] == "failed" and failed["released_microusd"]:
            yield (
                f"run {failed['ref']} failed ({failed['reason']}), nothing was charged for it, and the provider made "
                f"{create['job_id']} for its request"
            )
