"""Judges a run only from outside: the simulator's books, the database's tables, the files, the notifications."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.guarantee.crash.life import Place, Subject
from tests.support.fixtures import PRICE_MICROUSD

ASKED, ANSWERED = "ledger.begin_submission.before", "http.POST /videos.after"


@dataclass(frozen=True)
class Facts:
    """The outcome of one run."""

    creates: int
    paid: int
    state: str
    reason: str | None
    told: int
    wrong: tuple[str, ...]


def judge(subject: Subject, place: Place, lives: int, *, woken: bool = False) -> Facts:
    """Check one finished run against the promise in docs/design.md. `woken`: its process was frozen and resumed."""
    row = _row(subject, place)
    if row is None:
        return Facts(0, 0, "unknown", None, 0, ("the ledger does not know the run",))
    mine = [entry for entry in place.sim.books()["creates"] if entry["key"] == str(row["run_id"])]
    paid = sum(entry["job_id"] is not None for entry in mine)
    told = subject.told.read_text().splitlines() if subject.told.exists() else []
    seen = [subject.points(life) for life in range(1, lives + 1)]
    wrong = [
        *_bought_once(len(mine), paid),
        *_end_is_named(row, paid, ends_unbought(seen, woken=woken)),
        *_money(row, paid),
        *_clip(row),
    ]
    if row["state"] not in told:
        wrong.append(f"its user was never told that it is {row['state']}")
    return Facts(len(mine), paid, row["state"], row["reason"], len(told), tuple(wrong))


def budget_differences(dsn: str) -> list[str]:
    """Compare every day's and month's budget with the sum over its runs and the text calls' events."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            """
            with booked as (
                select period, sum(held) as held, sum(spent) as spent from (
                    select day::text as period, held_microusd as held, spent_microusd + text_microusd as spent
                        from onetake.runs
                    union all
                    select month, held_microusd, spent_microusd + text_microusd from onetake.runs
                ) as each group by period
            )
            select period, b.held_microusd, b.spent_microusd, coalesce(r.held, 0), coalesce(r.spent, 0)
                from onetake.budgets b full join booked r using (period)
                where (b.held_microusd, b.spent_microusd) is distinct from (coalesce(r.held, 0), coalesce(r.spent, 0))
            """
        ).fetchall()
        text = connection.execute(
            """
            select r.ref from onetake.runs r where text_microusd is distinct from
                (select coalesce(sum(cost_microusd), 0) from onetake.events e where e.run_id = r.run_id)
            """
        ).fetchall()
    return [f"budget {p}: held {bh}, spent {bs}; its runs: {rh}, {rs}" for p, bh, bs, rh, rs in rows] + [
        f"run {ref}: its text calls do not add up" for (ref,) in text
    ]


def _row(subject: Subject, place: Place) -> dict[str, Any] | None:
    with psycopg.connect(place.dsn, row_factory=dict_row) as connection:
        return connection.execute(
            "select * from onetake.runs where request_key = %s", (subject.request.key,)
        ).fetchone()


def ends_unbought(seen: Sequence[Sequence[str]], *, woken: bool) -> set[str]:
    """The reasons for which a run may end unbought: only if some life may have won the fence and got no answer.

    `seen`: the points that each of its lives reached.
    """
    if woken:  # unless somebody else settled the run, this process itself finds that the deadline has passed
        return {"not_made", "never_sent"} if any(map(_may_have_won, seen)) else set()
    return {"not_made"} if any(_may_have_won(points) and ANSWERED not in points for points in seen) else set()


def _may_have_won(points: Sequence[str]) -> bool:
    """It called begin_submission and lived on past the call: that may be committed, even if its answer was lost."""
    return ASKED in points and points[-1] != ASKED


def _bought_once(creates: int, paid: int) -> list[str]:
    wrong = [f"{creates} create requests reached the provider"] if creates > 1 else []
    return wrong + ([f"{paid} paid calls"] if paid > 1 else [])


def _end_is_named(row: dict[str, Any], paid: int, ends_unbought: set[str]) -> list[str]:
    end = (row["state"], row["reason"])
    if paid:
        return [] if end[0] == "saved" else [f"a clip was paid for, and the run is {end}"]
    if not ends_unbought:
        return [f"nobody crashed between fence and answer, and the run is {end}, nothing bought"]
    named = end[0] == "failed" and end[1] in ends_unbought
    return [] if named else [f"nothing was made, and the run is {end}"]


def _money(row: dict[str, Any], paid: int) -> list[str]:
    pockets = (row["held_microusd"], row["spent_microusd"], row["released_microusd"])
    wanted = (0, PRICE_MICROUSD, 0) if paid else (0, 0, PRICE_MICROUSD)
    return [] if pockets == wanted else [f"held, spent, released are {pockets}, not {wanted}"]


def _clip(row: dict[str, Any]) -> list[str]:
    if row["state"] != "saved":
        return []
    path = Path(row["file"])
    if not path.exists():
        return ["the saved clip is not there"]
    content = path.read_bytes()
    same = (len(content), hashlib.sha256(content).hexdigest()) == (row["file_bytes"], row["file_sha256"])
    return [] if same and content[4:8] == b"ftyp" else ["the saved clip is not what the row says"]
