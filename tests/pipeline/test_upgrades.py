"""Every earlier state of the schema, with runs in it, brought to the newest: nothing is lost, and old runs go on.

An earlier state is what the first so many migrations make; one that is added later is covered by being there.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from pipeline import migrate as runner
from pipeline.migrate import install_queue, migrate, migrations
from pipeline.road_psycopg import open_road
from tests.ledger.desk import PRICE, STATES, TOKEN, Desk, Row, connect, open_desk, request
from tests.ledger.roads import travelled

EVERY = migrations()
EARLIER = range(1, len(EVERY))
TEXT_MICROUSD = 700

# How a run gets to each state, by the public functions.
RESERVED = ("reserve",)
APPROVED = (*RESERVED, "approve")
SUBMITTING = (*APPROVED, "begin_submission")
RENDERING = (*SUBMITTING, "record_submission")
SAVED = (*RENDERING, "load_run", "save_run")
NEEDED = {
    "reserved": RESERVED,
    "approved": APPROVED,
    "submitting": SUBMITTING,
    "uncertain": (*SUBMITTING, "mark_uncertain"),
    "rendering": RENDERING,
    "saved": SAVED,
    "delivered": (*SAVED, "told"),
    "rejected": (*RESERVED, "reject"),
    "canceled": (*RESERVED, "cancel_run"),
    "failed": (*RESERVED, "fail_run"),
}
# The same by hand, for the states of the schema that have tables, and no functions yet.
BY_HAND: dict[str, tuple[str, ...]] = {
    "reserved": (),
    "approved": ("approved",),
    "submitting": ("approved", "submitting"),
    "uncertain": ("approved", "submitting", "uncertain"),
    "rendering": ("approved", "submitting", "rendering"),
    "saved": ("approved", "submitting", "rendering", "saved"),
    "canceled": ("canceled",),
}
POCKETS = {"saved": "spent", "canceled": "released"}  # the others': held
ENDED = {"rejected", "canceled", "failed"}


class EarlierDesk(Desk):
    """A clerk of that time: today's, without the arguments that were not invented yet."""

    def call(self, name: str, **args: Any) -> Any:
        known = self.one("select max(proargnames) from pg_proc where oid = to_regproc('public.' || %s)", name) or ()
        return super().call(name, **{key: value for key, value in args.items() if f"p_{key}" in known})

    def knows(self, *functions: str) -> bool:
        return all(self.one("select to_regproc('public.' || %s) is not null", name) for name in functions)


@contextmanager
def desk_at(dsn: str, kind: type[Desk]) -> Iterator[Any]:
    with travelled(open_road(dsn, tries=1)) as road:
        clerk = kind(dsn, road, ())
        try:
            yield clerk
        finally:
            clerk.close()


@pytest.fixture(params=EARLIER, ids=lambda count: f"after_{EVERY[count - 1].name}")
def old(request: pytest.FixtureRequest, empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of an earlier version."""
    for migration in EVERY[: request.param]:
        shutil.copy(migration.path, tmp_path)
    with monkeypatch.context() as earlier:
        earlier.setattr(runner, "migrations_folder", lambda: tmp_path)
        assert len(migrate(empty_dsn)) == request.param
    install_queue(empty_dsn)
    return empty_dsn


def lived_in(dsn: str) -> dict[str, str]:
    """Runs in every state that could be reached then, each of another user; their ids."""
    with desk_at(dsn, EarlierDesk) as desk:
        possible = [state for state in STATES if desk.knows(*NEEDED[state])]
        if not possible:
            return {state: by_hand(desk, state) for state in BY_HAND}
        runs = {state: desk.in_state(state, user=f"tg:{state}") for state in possible}
        if desk.knows("approve"):
            desk.approve(runs["approved"], cost_microusd=TEXT_MICROUSD)
        assert {state: desk.state(run_id) for state, run_id in runs.items()} == {state: state for state in possible}
        assert desk.books_wrong() == []
        return runs


def by_hand(desk: Desk, state: str) -> str:
    """What the functions to come would have written."""
    asked = request(f"tg:{state}", "a red fox")
    asked["request_key"] = asked.pop("key")
    columns = sql.SQL(", ").join(map(sql.Identifier, asked))
    values = {key: Jsonb(value) if isinstance(value, dict) else value for key, value in asked.items()}
    desk.write("insert into onetake.users (user_id) values (%s)", asked["user_id"])
    insert = sql.SQL(
        "insert into onetake.runs (ref, day, month, state_since, reserved_at, held_microusd, {}) values"
        " (%(ref)s, (now() at time zone 'UTC')::date, to_char(now() at time zone 'UTC', 'YYYY-MM'),"
        " now(), now(), {}, {}) returning run_id::text"
    ).format(columns, PRICE, sql.SQL(", ").join(map(sql.Placeholder, asked)))
    ref = f"OLD{'ABCDEFG'[list(BY_HAND).index(state)]}22"
    found = desk.calls.execute(insert, values | {"ref": ref}).fetchone()
    assert found is not None
    run_id = str(found["run_id"])
    for step in BY_HAND[state]:
        move = f"update onetake.runs set state = %s, {step}_at = now(), improved_prompt = 'a red fox' where run_id = %s"
        desk.write(move, step, run_id)
    if "submitting" in BY_HAND[state]:
        desk.write("update onetake.runs set token = %s where run_id = %s", TOKEN, run_id)
    if "rendering" in BY_HAND[state]:
        desk.write("update onetake.runs set job_id = %s, job_source = 'answer' where run_id = %s", f"job_{ref}", run_id)
    pocket = f"{POCKETS.get(state, 'held')}_microusd"
    desk.write("update onetake.runs set held_microusd = 0 where run_id = %s", run_id)
    desk.write(f"update onetake.runs set {pocket} = price_microusd where run_id = %s", run_id)
    if pocket != "released_microusd":
        for form in ("YYYY-MM-DD", "YYYY-MM"):
            desk.write(
                f"insert into onetake.budgets as b (period, {pocket})"
                f" values (to_char(now() at time zone 'UTC', '{form}'), %s)"
                f" on conflict (period) do update set {pocket} = b.{pocket} + excluded.{pocket}",
                PRICE,
            )
    return run_id


def everything(dsn: str, columns: dict[str, set[str]] | None = None) -> dict[str, Counter[str]]:
    """All rows of all tables, as text; if columns are given, only those of each table."""
    with connect(dsn) as connection:
        tables = connection.execute(
            "select relname as name from pg_class where relnamespace = 'onetake'::regnamespace and relkind = 'r'"
        ).fetchall()
        return {table["name"]: rows_of(connection, table["name"], columns) for table in tables}


def rows_of(connection: psycopg.Connection[Row], table: str, columns: dict[str, set[str]] | None) -> Counter[str]:
    query = sql.SQL("select to_jsonb(t) as row from onetake.{} t").format(sql.Identifier(table))
    rows = [each["row"] for each in connection.execute(query).fetchall()]
    if columns is not None:
        rows = [{key: value for key, value in row.items() if key in columns.get(table, ())} for row in rows]
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


def carried_on(desk: Desk, run_id: str) -> str:
    """From whatever state to its end, as the pipeline would."""
    state = desk.state(run_id)
    if state == "reserved":
        state = desk.approve(run_id, cost_microusd=TEXT_MICROUSD)["state"]
    if state == "approved":
        begun = desk.begin(run_id)
        assert begun["won"] and begun["order"]["prompt"], begun
        state = "submitting"
    if state in {"submitting", "uncertain"}:
        recorded = desk.record(run_id, f"job_{run_id}", "answer" if state == "submitting" else "list")
        assert recorded["recorded"], recorded
        state = recorded["state"]
    if state == "rendering":
        state = desk.save(run_id, sha256=f"of {run_id}")["state"]
    if state == "saved":
        state = desk.call("told", run_id=run_id, state="saved", delivered=True)["state"]
    return str(state)


def test_nothing_that_was_there_is_lost_or_changed(old: str) -> None:
    lived_in(old)
    before = everything(old)
    columns = {table: set(json.loads(next(iter(rows)))) for table, rows in before.items() if rows}

    migrate(old)

    after = everything(old, columns)
    assert {table: rows - after[table] for table, rows in before.items() if rows - after[table]} == {}
    assert migrate(old) == []
    with open_desk(old) as desk:
        assert desk.books_wrong() == []


def test_every_old_run_goes_on_to_its_end_and_the_books_are_right(old: str) -> None:
    runs = lived_in(old)
    migrate(old)

    with open_desk(old) as desk:
        ends = {state: carried_on(desk, run_id) for state, run_id in runs.items()}
        assert ends == {state: state if state in ENDED else "delivered" for state in runs}
        assert desk.books_wrong() == []
        bought = sum(end == "delivered" for end in ends.values())
        assert desk.one("select sum(spent_microusd) from onetake.runs") == bought * PRICE


def test_an_old_request_is_the_same_run_for_ever_and_a_new_one_finds_the_old_limits(old: str) -> None:
    runs = lived_in(old)
    migrate(old)

    with open_desk(old) as desk:
        for state, run_id in runs.items():
            again = desk.ask(f"tg:{state}", key=desk.row(run_id)["request_key"])
            assert (again["kind"], again["replayed"], again["run"]["run_id"]) == ("accepted", True, run_id)
        assert desk.ask("tg:reserved")["of_run_id"] == runs["reserved"]
        assert desk.ask("tg:reserved", "a blue fox")["kind"] == "busy"
        assert desk.delivered("tg:new") not in runs.values()
        assert desk.books_wrong() == []


def test_every_state_of_the_schema_but_the_newest_is_tried() -> None:
    assert [EVERY[count - 1] for count in EARLIER] == EVERY[:-1]
    assert set(NEEDED) == set(STATES)
