"""`supabase db push` and `onetake db migrate` agree: two programs, one history, the same schema."""

import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from pipeline.ledger import migrate as runner
from pipeline.ledger.migrate import migrate, migrations, status
from pipeline.settings.resources import migrations_folder
from tests.ledger.client import open_ledger_client
from tests.schema import catalogue
from tests.support.fixtures import ROOT
from tests.support.npm import Absent
from tests.support.project import project_database
from tests.support.supabase_cli import SupabaseCli, supabase_program
from tests.support.tcp import over_tcp

pytestmark = pytest.mark.node

# One that is still to come: a table, and a function whose body has semicolons.
LATER = (
    "29990101000000_later.sql",
    """create table onetake.later (i int default 7);
create function onetake.later() returns int language plpgsql set search_path = '' as $$
begin
    return 1; -- ; and '
end $$;
select onetake.restrict('{}');
""",
)
VERSIONS = [*(migration.version for migration in migrations()), LATER[0].partition("_")[0]]
BOTH_SIDES = [(version, version) for version in VERSIONS]
HALF = len(VERSIONS) - 1


@pytest.fixture(autouse=True)
def every(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Our migrations and a future one, also for onetake."""
    folder = tmp_path / "every"
    shutil.copytree(migrations_folder(), folder)
    (folder / LATER[0]).write_text(LATER[1])
    monkeypatch.setattr(runner, "migrations_folder", lambda: folder)
    return sorted(folder.glob("*.sql"))


@pytest.fixture
def dsn(postgres_uri: str) -> Iterator[str]:
    """A new project's database."""
    with project_database(postgres_uri, migrated=False) as dsn:
        yield dsn


@pytest.fixture
def supabase(dsn: str, every: list[Path], tmp_path: Path) -> Iterator[Callable[[int], SupabaseCli]]:
    """The CLI in a checkout that has only the first migrations, this many."""
    try:
        program = supabase_program()
    except Absent as why:
        pytest.skip(str(why))
    with over_tcp(dsn) as url:

        def checkout(count: int) -> SupabaseCli:
            folder = tmp_path / f"with_{count}"
            (folder / "supabase" / "migrations").mkdir(parents=True)
            shutil.copy(ROOT / "supabase" / "config.toml", folder / "supabase")
            for file in every[:count]:
                shutil.copy(file, folder / "supabase" / "migrations")
            return SupabaseCli(program, folder, url)

        yield checkout


def onetake(dsn: str, *arguments: str) -> tuple[int, str]:
    settings = {"DATABASE_URL": dsn, "ONETAKE_IGNORE_ENV_FILE": "1"}
    result = CliRunner().invoke(app, list(arguments), env=settings)
    return result.exit_code, result.output


Checkout = Callable[[int], SupabaseCli]


def test_supabase_config_names_the_project_the_version_and_the_schemas() -> None:
    told = tomllib.loads((ROOT / "supabase" / "config.toml").read_text(encoding="utf-8"))
    assert told["project_id"] == "onetake"
    assert told["db"]["major_version"] == 17
    assert told["api"]["schemas"] == ["public"]


def test_onetake_finds_all_migrations_that_the_cli_pushed(dsn: str, supabase: Checkout) -> None:
    assert supabase(len(VERSIONS)).push() == VERSIONS

    code, said = onetake(dsn, "db", "status")
    assert (code, said.count("applied  "), said.count("missing  ")) == (1, len(VERSIONS), 1)
    assert "missing  the queue" in said and "run `onetake db migrate`" in said
    code, said = onetake(dsn, "list")
    assert code == 2 and "no queue" in said and "Run `onetake db migrate`" in said
    code, said = onetake(dsn, "db", "migrate")
    assert code == 0 and "applied" not in said and "installed the queue" in said
    with open_ledger_client(dsn) as client:
        client.delivered()
        assert client.books_wrong() == []


def test_supabase_cli_finds_all_migrations_that_onetake_applied(dsn: str, supabase: Checkout) -> None:
    code, said = onetake(dsn, "db", "migrate")
    assert (code, said.count("applied ")) == (0, len(VERSIONS))

    here = supabase(len(VERSIONS))
    assert here.push() == []
    assert here.migrations() == BOTH_SIDES


def test_onetake_applies_the_migrations_that_the_cli_did_not_push(dsn: str, supabase: Checkout) -> None:
    assert supabase(HALF).push() == VERSIONS[:HALF]
    assert migrate(dsn) == VERSIONS[HALF:]

    here = supabase(len(VERSIONS))
    assert here.push() == []
    assert here.migrations() == BOTH_SIDES


def test_supabase_cli_pushes_the_migrations_that_onetake_did_not_apply(
    dsn: str, supabase: Checkout, every: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half").mkdir()
    for file in every[:HALF]:
        shutil.copy(file, tmp_path / "half")
    with monkeypatch.context() as earlier:
        earlier.setattr(runner, "migrations_folder", lambda: tmp_path / "half")
        assert migrate(dsn) == VERSIONS[:HALF]

    here = supabase(len(VERSIONS))
    assert here.migrations() == BOTH_SIDES[:HALF] + [(version, "") for version in VERSIONS[HALF:]]
    assert here.push() == VERSIONS[HALF:]
    assert here.migrations() == BOTH_SIDES
    assert all(each.applied for each in status(dsn))
    assert migrate(dsn) == []


def test_supabase_cli_and_onetake_make_the_same_schema(dsn: str, supabase: Checkout, postgres_uri: str) -> None:
    """The CLI splits the files into statements by itself."""
    supabase(len(VERSIONS)).push()
    with project_database(postgres_uri, migrated=False) as other:
        migrate(other)
        ours = catalogue(other)
    assert {kind for kind, _ in ours} >= {"function", "column", "table", "constraint", "index", "trigger"}
    assert catalogue(dsn) == ours
