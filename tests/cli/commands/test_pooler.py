"""A DATABASE_URL that leads to a pooler in transaction mode: no command half works."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.cli.conftest import Terminal
from tests.support.fixtures import KEY
from tests.support.pgbouncer import pooled

pytestmark = pytest.mark.neighbour

TELEGRAM = {"TELEGRAM_BOT_TOKEN": f"1:{KEY}"}


@pytest.fixture
def through(empty_dsn: str) -> Iterator[str]:
    with pooled(empty_dsn, "transaction") as through:
        yield through


@pytest.mark.parametrize(
    "command",
    [
        ("bot",),
        ("bot", "--no-worker"),
        ("worker",),
        ("create", "a boat"),
        ("list",),
        ("pause",),
        ("db", "migrate"),
        ("db", "status"),
    ],
    ids=" ".join,
)
def test_every_command_refuses_a_transaction_pooler_and_names_the_alternative(
    onetake: Terminal, through: str, command: tuple[str, ...]
) -> None:
    said = onetake(*command, DATABASE_URL=through, **TELEGRAM)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("onetake: DATABASE_URL: the ledger ") and said.err.count("\n") == 1
    assert "pooler in transaction mode" in said.err
    assert "Use the direct connection, or the pooler's session mode (Supabase: port 5432" in said.err
    assert onetake.paid_calls() == 0


def test_check_reports_a_transaction_pooler(onetake: Terminal, through: str) -> None:
    said = onetake("check", DATABASE_URL=through)

    assert said.code == 2
    assert "pooler in transaction mode" in said.words
    assert "Use the direct connection" in said.words


def test_supabase_transaction_mode_url_is_refused_without_showing_the_password(onetake: Terminal) -> None:
    said = onetake("worker", DATABASE_URL="postgresql://postgres:hush@db.abc.supabase.co:6543/postgres")

    assert said.code == 2
    assert "the ledger postgres at db.abc.supabase.co:6543 is behind a pooler" in said.err
    assert "hush" not in said.words


def test_refused_migration_leaves_no_lock_and_no_schema(onetake: Terminal, through: str, empty_dsn: str) -> None:
    assert onetake("db", "migrate", DATABASE_URL=through).code == 2
    with psycopg.connect(empty_dsn) as connection:
        assert connection.execute("select 1 from pg_locks where locktype = 'advisory'").fetchall() == []
        left = "select 1 from pg_namespace where nspname in ('onetake', 'queue', 'supabase_migrations')"
        assert connection.execute(left).fetchall() == []
