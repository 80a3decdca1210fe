"""The migration runner, on a real database that starts empty."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.ledger import migrate as runner
from pipeline.ledger.migrate import install_queue, migrate, migrations, sql_for_pasting, status
from pipeline.ledger.transports.common import LedgerNotMigrated


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two migrations of the test's own that work."""
    monkeypatch.setattr(runner, "migrations_folder", lambda: tmp_path)
    (tmp_path / "20260101000000_first.sql").write_text("create table first (i int);")
    (tmp_path / "20260103000000_third.sql").write_text("create table third (i int); insert into third values (3);")
    return tmp_path


def rows(dsn: str, query: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def tables(dsn: str) -> list[str]:
    found = rows(dsn, "select tablename from pg_tables where schemaname = 'public' order by 1")
    return [name for (name,) in found]


def test_an_empty_database_gets_every_migration_in_order(empty_dsn: str) -> None:
    versions = [migration.version for migration in migrations()]
    assert versions == sorted(versions)
    assert migrate(empty_dsn) == versions


def test_migrating_again_does_nothing(empty_dsn: str) -> None:
    migrate(empty_dsn)
    assert migrate(empty_dsn) == []


def test_migration_history_has_the_format_of_the_supabase_cli(empty_dsn: str, folder: Path) -> None:
    migrate(empty_dsn)
    columns = rows(
        empty_dsn,
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'supabase_migrations' and table_name = 'schema_migrations'",
    )
    assert set(columns) == {("version", "text"), ("statements", "ARRAY"), ("name", "text")}
    history = rows(empty_dsn, "select version, name, statements from supabase_migrations.schema_migrations order by 1")
    assert history[0] == ("20260101000000", "first", ["create table first (i int);"])


def test_migration_applied_by_the_supabase_cli_is_skipped(empty_dsn: str, folder: Path) -> None:
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(runner.HISTORY)
        connection.execute(
            "insert into supabase_migrations.schema_migrations (version, name) values ('20260101000000', 'first')"
        )
    assert migrate(empty_dsn) == ["20260103000000"]
    assert tables(empty_dsn) == ["third"]


def test_migration_added_later_with_an_older_version_is_applied(empty_dsn: str, folder: Path) -> None:
    migrate(empty_dsn)
    (folder / "20260102000000_second.sql").write_text("create table second (i int);")
    assert migrate(empty_dsn) == ["20260102000000"]


def test_failed_migration_is_rolled_back_and_earlier_ones_stay_applied(empty_dsn: str, folder: Path) -> None:
    broken = folder / "20260102000000_second.sql"
    broken.write_text("create table second (i int); select 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_dsn)
    assert tables(empty_dsn) == ["first"]
    assert [each.applied for each in status(empty_dsn)] == [True, False, False]

    broken.write_text("create table second (i int);")
    assert migrate(empty_dsn) == ["20260102000000", "20260103000000"]


def test_migration_is_rolled_back_if_its_history_row_cannot_be_written(empty_dsn: str, folder: Path) -> None:
    (folder / "20260102000000_second.sql").write_text(
        "create table second (i int);"
        "insert into supabase_migrations.schema_migrations (version) values ('20260102000000');"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        migrate(empty_dsn)
    assert tables(empty_dsn) == ["first"]


def test_percent_sign_in_a_migration_is_not_a_placeholder(empty_dsn: str, folder: Path) -> None:
    (folder / "20260104000000_fourth.sql").write_text("select format('%s %% %I', 1, 'x'), 7 % 4;")
    assert "20260104000000" in migrate(empty_dsn)


def test_of_four_concurrent_migrations_one_applies_everything_and_the_others_nothing(empty_dsn: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [empty_dsn] * 4))
    assert sorted(map(len, applied)) == [0, 0, 0, len(migrations())]


def test_status_of_an_empty_database_is_all_missing_and_writes_nothing(empty_dsn: str) -> None:
    assert [each.applied for each in status(empty_dsn)] == [False] * len(migrations())
    assert rows(empty_dsn, "select 1 from pg_namespace where nspname = 'supabase_migrations'") == []


def test_the_status_of_a_migrated_database_is_all_applied(empty_dsn: str) -> None:
    migrate(empty_dsn)
    assert {(each.version, each.name) for each in status(empty_dsn) if each.applied} == {
        (migration.version, migration.name) for migration in migrations()
    }


def test_pasted_sql_script_applies_all_migrations(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(sql_for_pasting().encode())
    assert all(each.applied for each in status(empty_dsn))
    assert migrate(empty_dsn) == []


def test_migrating_notifies_postgrest_to_reload_its_schema(empty_dsn: str) -> None:
    """Even if no migration is missing: then only PostgREST's cache is old."""
    with psycopg.connect(empty_dsn, autocommit=True) as listening:
        listening.execute("listen pgrst")
        for bring_up_to_date in (_paste, migrate):
            bring_up_to_date(empty_dsn)
            told = [each.payload for each in listening.notifies(timeout=30, stop_after=1)]
            assert told == ["reload schema"]


def _paste(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql_for_pasting().encode())


def test_pasting_the_script_twice_fails_and_changes_nothing(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(sql_for_pasting().encode())
        with pytest.raises(psycopg.Error):
            connection.execute(sql_for_pasting().encode())
    assert all(each.applied for each in status(empty_dsn))


def test_queue_is_installed_once_in_its_own_schema(empty_dsn: str) -> None:
    assert install_queue(empty_dsn) is True
    assert install_queue(empty_dsn) is False
    assert tables(empty_dsn) == []
    assert rows(empty_dsn, "select count(*) from queue.procrastinate_jobs") == [(0,)]


def test_of_four_concurrent_queue_installs_only_one_installs(empty_dsn: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(install_queue, [empty_dsn] * 4)) == [False, False, False, True]


def test_migration_lock_of_a_dead_runner_passes_to_the_next(empty_dsn: str, folder: Path) -> None:
    dead = psycopg.connect(empty_dsn, autocommit=True)
    dead.execute("select pg_advisory_lock(%s)", (runner.MIGRATION_LOCK,))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(migrate, empty_dsn)
        assert not waiting.done()
        dead.close()
        assert len(waiting.result(10)) == 2


@pytest.mark.parametrize("version", sorted(runner.UNRELEASED))
def test_database_of_an_unreleased_version_is_refused_and_left_unchanged(empty_dsn: str, version: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(runner.HISTORY)
        connection.execute("insert into supabase_migrations.schema_migrations (version) values (%s)", (version,))
    for verb in (migrate, status):
        with pytest.raises(
            LedgerNotMigrated, match=r"made by an unreleased version .* nothing was bought\. Use an empty"
        ):
            verb(empty_dsn)
    assert tables(empty_dsn) == [] and rows(empty_dsn, "select 1 from pg_namespace where nspname = 'onetake'") == []
