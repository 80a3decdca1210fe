"""`supabase db push` and `onetake db migrate` agree: two programs, one history, the same schema."""

import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from cli.main import app
from pipeline import migrate as runner
from pipeline.migrate import migrate, migrations, status
from pipeline.resources import migrations_folder
from tests.fixtures import ROOT
from tests.ledger.desk import open_desk
from tests.npm import Absent
from tests.project import project_database
from tests.supabase_cli import SupabaseCli, supabase_program
from tests.tcp import over_tcp

pytestmark = pytest.mark.node

FILES = sorted(migrations_folder().glob("*.sql"))
VERSIONS = [migration.version for migration in migrations()]
BOTH_SIDES = [(version, version) for version in VERSIONS]
HALF = len(FILES) // 2

# Everything our migrations make, as the catalogue describes it; not the objects' numbers, which are anybody's.
SCHEMA = """
    select 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text
        from pg_proc p where p.pronamespace in ('public'::regnamespace, 'onetake'::regnamespace)
    union all
    select 'column', a.attrelid::regclass::text || '.' || a.attname,
        concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid)),
        concat_ws(' ', c.relkind, c.relrowsecurity, c.relacl)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where c.relnamespace = 'onetake'::regnamespace
    union all
    select 'constraint', conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid), null
        from pg_constraint where connamespace = 'onetake'::regnamespace
    union all
    select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), null
        from pg_index where indrelid::regclass::text like 'onetake.%'
    union all
    select 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid), null from pg_trigger where not tgisinternal
    order by 1, 2
"""


@pytest.fixture
def dsn(postgres_uri: str) -> Iterator[str]:
    """A new project's database."""
    with project_database(postgres_uri, migrated=False) as dsn:
        yield dsn


@pytest.fixture
def supabase(dsn: str, tmp_path: Path) -> Iterator[Callable[[int], SupabaseCli]]:
    """The CLI in a checkout that has the first so many migrations."""
    try:
        program = supabase_program()
    except Absent as why:
        pytest.skip(str(why))
    with over_tcp(dsn) as url:

        def checkout(count: int) -> SupabaseCli:
            folder = tmp_path / f"with_{count}"
            (folder / "supabase" / "migrations").mkdir(parents=True)
            shutil.copy(ROOT / "supabase" / "config.toml", folder / "supabase")
            for file in FILES[:count]:
                shutil.copy(file, folder / "supabase" / "migrations")
            return SupabaseCli(program, folder, url)

        yield checkout


def onetake(dsn: str, *arguments: str) -> tuple[int, str]:
    settings = {"DATABASE_URL": dsn, "ONETAKE_IGNORE_ENV_FILE": "1"}
    result = CliRunner().invoke(app, list(arguments), env=settings)
    return result.exit_code, result.output


def schema(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(SCHEMA.encode()).fetchall()


Checkout = Callable[[int], SupabaseCli]


def test_the_cli_is_told_what_is_ours() -> None:
    told = tomllib.loads((ROOT / "supabase" / "config.toml").read_text(encoding="utf-8"))
    assert told["project_id"] == "onetake"
    assert told["db"]["major_version"] == 17
    assert told["api"]["schemas"] == ["public"]


def test_what_the_cli_pushed_is_all_there_for_onetake(dsn: str, supabase: Checkout) -> None:
    assert supabase(len(FILES)).push() == VERSIONS

    code, said = onetake(dsn, "db", "status")
    assert (code, said.count("applied  "), said.count("missing  ")) == (1, len(FILES), 1)
    assert "missing  the queue" in said and "run `onetake db migrate`" in said
    code, said = onetake(dsn, "list")
    assert code == 2 and "no queue" in said and "Run `onetake db migrate`" in said
    code, said = onetake(dsn, "db", "migrate")
    assert code == 0 and "applied" not in said and "installed the queue" in said
    with open_desk(dsn) as desk:
        desk.delivered()
        assert desk.books_wrong() == []


def test_what_onetake_migrated_is_all_there_for_the_cli(dsn: str, supabase: Checkout) -> None:
    code, said = onetake(dsn, "db", "migrate")
    assert (code, said.count("applied ")) == (0, len(FILES))

    here = supabase(len(FILES))
    assert here.push() == []
    assert here.migrations() == BOTH_SIDES


def test_what_the_cli_pushed_half_onetake_finishes(dsn: str, supabase: Checkout) -> None:
    assert supabase(HALF).push() == VERSIONS[:HALF]
    assert migrate(dsn) == VERSIONS[HALF:]

    here = supabase(len(FILES))
    assert here.push() == []
    assert here.migrations() == BOTH_SIDES


def test_what_onetake_migrated_half_the_cli_finishes(
    dsn: str, supabase: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half").mkdir()
    for file in FILES[:HALF]:
        shutil.copy(file, tmp_path / "half")
    with monkeypatch.context() as earlier:
        earlier.setattr(runner, "migrations_folder", lambda: tmp_path / "half")
        assert migrate(dsn) == VERSIONS[:HALF]

    here = supabase(len(FILES))
    assert here.migrations() == BOTH_SIDES[:HALF] + [(version, "") for version in VERSIONS[HALF:]]
    assert here.push() == VERSIONS[HALF:]
    assert here.migrations() == BOTH_SIDES
    assert all(each.applied for each in status(dsn))
    assert migrate(dsn) == []


def test_both_make_the_same_schema(dsn: str, supabase: Checkout, postgres_uri: str) -> None:
    """The CLI takes the files apart into statements by itself."""
    supabase(len(FILES)).push()
    with project_database(postgres_uri, migrated=False) as other:
        migrate(other)
        ours = schema(other)
    assert {kind for kind, *_ in ours} == {"function", "column", "constraint", "index", "trigger"}
    assert schema(dsn) == ours
