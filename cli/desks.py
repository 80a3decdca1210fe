"""Opens the ledger, and only the ledger: what `list`, `stats`, `show` and the operators' verbs need.

In       Settings
Out      Desk: the ledger, what operators do with it, and its name
Raises   ConfigError, DatabaseUnavailable, LedgerError, Stop: one clear sentence each
Effects  starts the embedded server if no DATABASE_URL is set, and brings its schema up to date
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from cli.exits import Stop
from pipeline import migrate
from pipeline.config import ConfigError, Settings
from pipeline.embedded import DatabaseUnavailable, open_server
from pipeline.ledger import Ledger
from pipeline.operators import Operators
from pipeline.records import Run
from pipeline.road import LedgerNotMigrated
from pipeline.road_psycopg import open_road


@dataclass(frozen=True)
class Desk:
    """The ledger, opened. `name` says which one, for every "not found"."""

    ledger: Ledger
    operators: Operators
    dsn: str
    name: str

    async def find(self, ref: str) -> Run:
        run = await self.ledger.find(ref)
        if run is None:
            raise Stop(f"no run {ref} in {self.name}")
        return run


def ledger_name(settings: Settings) -> str:
    """Which ledger these settings mean; never a password."""
    if settings.database_url is None:
        home = settings.onetake_home
        here = Path.cwd()
        shown = f"./{home.relative_to(here)}" if home.is_relative_to(here) else str(home)
        return f"the ledger at {shown} (embedded)"
    try:
        parts = psycopg.conninfo.conninfo_to_dict(settings.database_url.get_secret_value())
    except psycopg.ProgrammingError:
        raise ConfigError("DATABASE_URL: is not a PostgreSQL connection string") from None
    host, port = parts.get("host") or "the local socket", parts.get("port")
    where = f"{host}:{port}" if port else host
    return f"the ledger {parts.get('dbname') or 'postgres'} at {where}"


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """A connection string of a database that may not be migrated yet."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
    elif settings.supabase_url is not None:
        raise ConfigError("SUPABASE_URL: this version reaches Supabase by its connection string; set DATABASE_URL")
    else:
        with open_server(settings.onetake_home) as dsn:
            yield dsn


@contextmanager
def _open_migrated(settings: Settings) -> Iterator[str]:
    name = ledger_name(settings)
    with open_database(settings) as dsn:
        with database_words(name):
            if settings.database_url is None:
                migrate.migrate(dsn)
                migrate.install_queue(dsn)
            elif missing := [m for m in migrate.status(dsn) if not m.applied]:
                raise LedgerNotMigrated(
                    f"{name} lacks {len(missing)} migrations; nothing was bought. Run `onetake db migrate`."
                )
        yield dsn


@contextmanager
def database_words(name: str) -> Iterator[None]:
    """Turns psycopg's errors into one line that names the ledger."""
    try:
        yield
    except psycopg.Error as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DatabaseUnavailable(f"{name} cannot be used ({first}); nothing was bought") from error


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Desk]:
    with _open_migrated(settings) as dsn:
        async with open_road(dsn) as rpc:
            yield Desk(Ledger(rpc), Operators(rpc), dsn, ledger_name(settings))
