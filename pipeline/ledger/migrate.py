"""Bring a database to this program's schema: ordered files, one transaction each, under one lock.

The history is the Supabase CLI's own table, so `supabase db push` and `onetake db migrate` agree. The queue's schema
(procrastinate's) is installed once, under the same lock; its own installer fails the second time. Each run makes
PostgREST reload its cached schema, as a plain PostgREST notices no migration by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pipeline.ledger.transports.common import LedgerNotMigrated
from pipeline.settings.resources import migrations_folder

MIGRATION_LOCK = 0x0E7A_4B1
HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text primary key, statements text[], name text
);
"""

# The first migrations of unreleased versions; the history was squashed before the first release.
UNRELEASED = frozenset({"20261123000100", "20261130010000"})
RELOAD = "notify pgrst, 'reload schema'"


@dataclass(frozen=True)
class Migration:
    version: str  # YYYYMMDDhhmmss, the first word of the file's name
    name: str
    path: Path


@dataclass(frozen=True)
class MigrationStatus:
    version: str
    name: str
    applied: bool


def migrations() -> list[Migration]:
    """The files, in order."""
    found = sorted(migrations_folder().glob("*.sql"))
    return [Migration(path.stem.partition("_")[0], path.stem.partition("_")[2], path) for path in found]


def migrate(dsn: str) -> list[str]:
    """Applies what is missing and returns the versions applied. A failed file leaves no trace.

    Raises psycopg.Error, and LedgerNotMigrated: the database was made by an unreleased version.
    """
    with _locked(dsn) as connection:
        connection.execute(HISTORY)
        done = _applied(connection)
        compared(done)
        new = [migration for migration in migrations() if migration.version not in done]
        for migration in new:
            text = migration.path.read_text(encoding="utf-8")
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute(
                    "insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)",
                    (migration.version, [text], migration.name),
                )
        connection.execute(RELOAD)
        return [migration.version for migration in new]


def status(dsn: str) -> list[MigrationStatus]:
    with _connected(dsn) as connection:
        known = connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone()
        done = _applied(connection) if known and known[0] else set()
    return compared(done)


def compared(done: set[str]) -> list[MigrationStatus]:
    """Our migrations, and whether the database has them. Raises LedgerNotMigrated for one of an unreleased version."""
    if UNRELEASED & done:
        raise LedgerNotMigrated(
            "this database was made by an unreleased version of onetake and cannot be upgraded; nothing was changed, "
            "nothing was bought. Use an empty database, or set ONETAKE_HOME to a new folder"
        )
    return [MigrationStatus(m.version, m.name, m.version in done) for m in migrations()]


def sql_for_pasting() -> str:
    """All migrations as one script, for a web SQL editor; it writes the history as well."""
    parts = [HISTORY]
    for migration in migrations():
        parts.append(f"-- {migration.path.name}\n{migration.path.read_text(encoding='utf-8')}")
        parts.append(
            "insert into supabase_migrations.schema_migrations (version, name) "  # noqa: S608 - our own files' names
            f"values ('{migration.version}', '{migration.name}') on conflict do nothing;\n"
        )
    return "begin;\n" + "\n".join(parts) + f"{RELOAD};\ncommit;\n"


def install_queue(dsn: str) -> bool:
    """Installs procrastinate's schema as `queue`; False if it was there."""
    from procrastinate.schema import SchemaManager

    with _locked(dsn) as connection:
        if _has_queue(connection):
            return False
        with connection.transaction():
            connection.execute("create schema if not exists queue")
            connection.execute("set local search_path = queue")
            connection.execute(SchemaManager.get_schema().encode())
        return True


def queue_is_there(dsn: str) -> bool:
    """Whether the queue is installed: `supabase db push` and the pasted script apply the migrations only."""
    with _connected(dsn) as connection:
        return _has_queue(connection)


def _has_queue(connection: psycopg.Connection) -> bool:
    there = connection.execute("select to_regclass('queue.procrastinate_jobs')").fetchone()
    return bool(there and there[0])


def _applied(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute("select version from supabase_migrations.schema_migrations").fetchall()
    return {row[0] for row in rows}


@contextmanager
def _connected(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None, connect_timeout=5) as connection:
        yield connection


@contextmanager
def _locked(dsn: str) -> Iterator[psycopg.Connection]:
    with _connected(dsn) as connection:
        connection.execute("select pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.execute("select pg_advisory_unlock(%s)", (MIGRATION_LOCK,))
