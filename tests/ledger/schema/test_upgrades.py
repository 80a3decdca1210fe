"""Every earlier state of the schema, with runs in it, upgraded to the newest: nothing is lost, and old runs continue.

The first n migrations make an earlier state; the newest has one future migration more.
"""

import json
import shutil
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pipeline.ledger import migrate as runner
from pipeline.ledger.migrate import install_queue, migrate, migrations
from tests.ledger.client import PRICE, STATES, LedgerClient, Row, connect, open_ledger_client

EVERY = migrations()
TEXT_MICROUSD = 700
# A migration as they come: a new column, a changed function, another index.
LATER = """alter table onetake.runs add column later text not null default 'x';
create or replace function onetake.run_json(r onetake.runs) returns jsonb
language sql volatile set search_path = '' as $$
    select to_jsonb(r) - 'token' - 'later' || jsonb_build_object('read_at', clock_timestamp());
$$;
create index runs_later on onetake.runs (later);
select onetake.restrict('{}');
"""

ENDED = {"rejected", "canceled", "failed"}


@pytest.fixture(params=range(1, len(EVERY) + 1), ids=lambda count: f"after_{EVERY[count - 1].name}")
def old(request: pytest.FixtureRequest, empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that has only the first migrations, this many. Then a future migration is added."""
    for migration in EVERY[: request.param]:
        shutil.copy(migration.path, tmp_path)
    monkeypatch.setattr(runner, "migrations_folder", lambda: tmp_path)
    assert len(migrate(empty_dsn)) == request.param
    install_queue(empty_dsn)
    for migration in EVERY:
        shutil.copy(migration.path, tmp_path)
    (tmp_path / "29990101000000_later.sql").write_text(LATER)
    return empty_dsn


def lived_in(dsn: str) -> dict[str, str]:
    """A run in every state, each of another user; their ids."""
    with open_ledger_client(dsn) as client:
        runs = {state: client.in_state(state, user=f"tg:{state}") for state in STATES}
        client.approve(runs["approved"], cost_microusd=TEXT_MICROUSD)
        assert {state: client.state(run_id) for state, run_id in runs.items()} == {state: state for state in STATES}
        assert client.books_wrong() == []
        return runs


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


def carried_on(client: LedgerClient, run_id: str) -> str:
    """Finishes a run from any state, as the pipeline would."""
    state = client.state(run_id)
    if state == "reserved":
        state = client.approve(run_id, cost_microusd=TEXT_MICROUSD)["state"]
    if state == "approved":
        begun = client.begin(run_id)
        assert begun["won"] and begun["order"]["prompt"], begun
        state = "submitting"
    if state in {"submitting", "uncertain"}:
        recorded = client.record(run_id, f"job_{run_id}", "answer" if state == "submitting" else "list")
        assert recorded["recorded"], recorded
        state = recorded["state"]
    if state == "rendering":
        state = client.save(run_id, sha256=f"of {run_id}")["state"]
    if state == "saved":
        state = client.call("mark_notified", run_id=run_id, state="saved", delivered=True)["state"]
    return str(state)


def test_upgrade_keeps_every_existing_row_unchanged(old: str) -> None:
    lived_in(old)
    before = everything(old)
    columns = {table: set(json.loads(next(iter(rows)))) for table, rows in before.items() if rows}

    migrate(old)

    after = everything(old, columns)
    assert {table: rows - after[table] for table, rows in before.items() if rows - after[table]} == {}
    assert migrate(old) == []
    with open_ledger_client(old) as client:
        assert client.books_wrong() == []


def test_runs_from_before_an_upgrade_finish_and_their_money_adds_up(old: str) -> None:
    runs = lived_in(old)
    migrate(old)

    with open_ledger_client(old) as client:
        ends = {state: carried_on(client, run_id) for state, run_id in runs.items()}
        assert ends == {state: state if state in ENDED else "delivered" for state in runs}
        assert client.books_wrong() == []
        bought = sum(end == "delivered" for end in ends.values())
        assert client.one("select sum(spent_microusd) from onetake.runs") == bought * PRICE


def test_request_keys_duplicates_and_busy_users_are_still_known_after_an_upgrade(old: str) -> None:
    runs = lived_in(old)
    migrate(old)

    with open_ledger_client(old) as client:
        for state, run_id in runs.items():
            again = client.ask(f"tg:{state}", key=client.row(run_id)["request_key"])
            assert (again["kind"], again["replayed"], again["run"]["run_id"]) == ("accepted", True, run_id)
        assert client.ask("tg:reserved")["of_run_id"] == runs["reserved"]
        assert client.ask("tg:reserved", "a blue fox")["kind"] == "busy"
        assert client.delivered("tg:new") not in runs.values()
        assert client.books_wrong() == []
