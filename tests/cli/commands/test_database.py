"""Databases that cannot be used as they are: each is named in one sentence, with what to do."""

import pytest

from pipeline.ledger.migrate import migrate
from tests.cli.conftest import Terminal
from tests.support.fixtures import KEY


@pytest.mark.parametrize("command", [("list",), ("worker",), ("bot", "--no-worker"), ("check",)], ids=" ".join)
def test_missing_queue_error_names_the_migrate_command(
    onetake: Terminal, empty_dsn: str, command: tuple[str, ...]
) -> None:
    """As `supabase db push` and the pasted SQL leave a database."""
    migrate(empty_dsn)
    settings = {"DATABASE_URL": empty_dsn, "TELEGRAM_BOT_TOKEN": f"1:{KEY}"}

    said = onetake(*command, **settings)
    assert said.code == 2
    assert "has its tables but no queue" in said.words
    assert "Run `onetake db migrate`" in said.words
    status = onetake("db", "status", **settings)
    assert (status.code, "missing the queue" in status.words, "1 missing" in status.words) == (1, True, True)

    assert "installed the queue" in onetake("db", "migrate", **settings).out
    assert onetake("db", "status", **settings).code == 0
    assert onetake("list", **settings).code == 0


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://u:hush@127.0.0.1:9/y?pgbouncer=true", "DATABASE_URL: remove pgbouncer:"),
        ("postgresql://u:hush@127.0.0.1:9/y?sslmode=require&supa=base-pooler.x", "remove supa:"),
        ("postgresql://u:hush@127.0.0.1:9/y?connection_limit=1&pgbouncer=true", "remove connection_limit:"),
        ("host=127.0.0.1 password=hush pgbouncer=true", "remove pgbouncer:"),
        ("postgresql://u/y?hush=hush@127.0.0.1:9/y", "has a parameter that PostgreSQL does not accept"),
        ("postgresql://u:hush@[127.0.0.1:9/y", "is not a PostgreSQL connection string"),
    ],
)
def test_unknown_database_url_parameter_is_refused_without_showing_the_password(
    onetake: Terminal, address: str, words: str
) -> None:
    for command in ("list", "worker", "check"):
        said = onetake(command, DATABASE_URL=address)
        assert said.code == 2
        assert words in said.words
        assert "hush" not in said.words
