"""Open the ledger, and only the ledger: what `list`, `stats`, `show` and the operators' verbs need.

In       Settings
Out      LedgerSession: the ledger, the operators' verbs, and its name
Raises   ConfigError, DatabaseUnavailable, LedgerError, Stop: one clear sentence each
Effects  starts the embedded server if no DATABASE_URL is set, and brings its schema up to date. With only Supabase's
         URL and key, the ledger is the project's, over HTTPS, and only the queue is embedded. A read-only verb creates
         no data folder: if there is none yet, it reads a temporary empty ledger.
"""

import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import typer

from app.exits import Stop
from pipeline.formatting import many
from pipeline.ledger import migrate
from pipeline.ledger.client import Ledger
from pipeline.ledger.host_lease import HostLease, host_name
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run
from pipeline.ledger.transports import over_psycopg
from pipeline.ledger.transports.common import LedgerCall, LedgerNotMigrated
from pipeline.postgres.embedded import DatabaseUnavailable, is_made, no_folder, open_server
from pipeline.postgres.sessions import keeps_sessions
from pipeline.settings.config import Settings
from pipeline.settings.data_folder import default_home, shown, user_home, why_unusable
from pipeline.settings.setting_checks import ConfigError

# Follows the ledger's name. Even a migration would go wrong there: its lock would stay with the pooler forever.
A_POOLER_IN_TRANSACTION_MODE = (
    "is behind a pooler in transaction mode, where the queue cannot listen and no lock holds; nothing was bought. "
    "Use the direct connection, or the pooler's session mode (Supabase: port 5432 instead of 6543)."
)
NO_QUEUE = (
    "has its tables but no queue, which `supabase db push` and the pasted SQL do not create; nothing was bought. "
    "Run `onetake db migrate`"
)
# Over HTTPS only: the functions may exist nevertheless.
OLD_CACHE = (
    f". If you have already done that, the REST API has cached the old schema: run `{migrate.RELOAD}` in the SQL editor"
)
# Parameters that Prisma, node-postgres, Supabase and Vercel add to an address, and that libpq rejects.
NOT_FOR_POSTGRESQL = frozenset({
    "connection_limit", "pgbouncer", "pool_mode", "pool_timeout", "prepared_statements", "schema", "socket_timeout",
    "ssl", "sslaccept", "sslidentity", "sslpassword", "statement_cache_size", "supa", "uselibpqcompat", "workaround",
})  # fmt: skip


@dataclass(frozen=True)
class LedgerSession:
    """The open ledger. `name`: for "not found" messages; `queue_dsn`: the database with the engine's queue.

    `host`: the lease that this machine needs to work, if the queue is local: then only one machine may work.
    """

    ledger: Ledger
    operators: Operators
    queue_dsn: str
    name: str
    host: HostLease | None = None

    async def find(self, ref: str) -> Run:
        run = await self.ledger.find(ref)
        if run is None:
            raise Stop(f"no run {ref} in {self.name}")
        return run


def over_rest(settings: Settings) -> bool:
    """Whether the ledger is a Supabase project's, reached by its URL and key."""
    return settings.database_url is None and settings.supabase is not None


def ledger_name(settings: Settings) -> str:
    """The name of the ledger in these settings, without a password."""
    if settings.database_url is None:
        if settings.supabase_url is not None:
            return f"the ledger of {urlsplit(settings.supabase_url).hostname} (Supabase, over HTTPS)"
        return f"the ledger at {shown(settings.onetake_home)} (embedded)"
    try:
        parts = psycopg.conninfo.conninfo_to_dict(settings.database_url.get_secret_value())
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"DATABASE_URL: {_unreadable(str(error))}") from None
    host, port = str(parts.get("host") or "the local socket"), parts.get("port")
    if "@" in f"{host}{parts.get('dbname') or ''}" or (port is not None and not re.fullmatch(r"[\d,]+", str(port))):
        # A password with @ or / in it is parsed as part of the host: none of it may be shown.
        raise ConfigError("DATABASE_URL: cannot be read; percent-encode the password in it (@ is %40, / is %2F)")
    where = f"{host}:{port}" if port else host
    return f"the ledger {parts.get('dbname') or 'postgres'} at {where}"


def _unreadable(words: str) -> str:
    """What is wrong with a connection string, from libpq's error; never shows a part of a password."""
    named = re.search(r'invalid (?:URI query parameter|connection option):? "([^"]*)"', words)
    if named is None:
        return "is not a PostgreSQL connection string"
    if named[1] in NOT_FOR_POSTGRESQL:
        return f"remove {named[1]}: a parameter for other programs, which PostgreSQL does not accept"
    return "has a parameter that PostgreSQL does not accept; remove it (a ? in the password is written %3F)"


@contextmanager
def open_database(settings: Settings, *, reads: bool = False) -> Iterator[str]:
    """The connection string of a database that may not be migrated yet; its connections keep their session."""
    if settings.database_url is not None:
        dsn, name = settings.database_url.get_secret_value(), ledger_name(settings)
        with database_words(name):
            if not keeps_sessions(dsn):
                raise ConfigError(f"DATABASE_URL: {name} {A_POOLER_IN_TRANSACTION_MODE}")
        yield dsn
    elif over_rest(settings):
        raise ConfigError(
            "DATABASE_URL: tables cannot be created over HTTPS; set the project's connection string for this command, "
            "or run `supabase db push`, or paste `onetake db sql` into the SQL editor"
        )
    else:
        with _open_embedded(settings.onetake_home, reads=reads) as dsn:
            yield dsn


@contextmanager
def _open_embedded(home: Path, *, reads: bool) -> Iterator[str]:
    if reads and not is_made(home):
        if why := why_unusable(home):
            raise no_folder(home, why)
        with tempfile.TemporaryDirectory(prefix="onetake-empty-") as empty, open_server(Path(empty)) as dsn:
            yield dsn
        return
    if not reads and (note := home_note(home)):
        typer.echo(f"onetake: {note}", err=True)
    with open_server(home) as dsn:
        yield dsn


def home_note(home: Path) -> str | None:
    """A note on the data folder: it is new, or it is the one in the working directory. Otherwise None."""
    if home != default_home():  # set by the user
        return None
    if home != user_home():
        return f"using the data folder {shown(home)} because it exists; from other folders it is {user_home()}"
    return None if is_made(home) else f"creating the data folder {home}; set ONETAKE_HOME to use another"


@contextmanager
def _open_migrated(settings: Settings, *, reads: bool) -> Iterator[str]:
    name = ledger_name(settings)
    with open_database(settings, reads=reads) as dsn:
        with database_words(name):
            if settings.database_url is None:
                migrate.migrate(dsn)
                migrate.install_queue(dsn)
            elif missing := [m for m in migrate.status(dsn) if not m.applied]:
                raise _not_migrated(name, len(missing))
            elif not migrate.queue_is_there(dsn):
                raise LedgerNotMigrated(f"{name} {NO_QUEUE}")
        yield dsn


def _not_migrated(name: str, missing: int) -> LedgerNotMigrated:
    return LedgerNotMigrated(
        f"{name} lacks {many(missing, 'migration')}; nothing was bought. Run `onetake db migrate` (it needs "
        "DATABASE_URL) or `supabase db push`, or paste `onetake db sql` into the SQL editor"
    )


@contextmanager
def database_words(name: str) -> Iterator[None]:
    """Turns psycopg's errors into one line that names the ledger."""
    try:
        yield
    except psycopg.Error as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DatabaseUnavailable(f"{name} cannot be used ({first}); nothing was bought") from error


@asynccontextmanager
async def open_ledger(settings: Settings, *, reads: bool = False) -> AsyncIterator[LedgerSession]:
    """`reads`: nothing is written, so no data folder is created."""
    if over_rest(settings):
        async with _open_over_rest(settings, reads=reads) as session:
            yield session
        return
    with _open_migrated(settings, reads=reads) as dsn:
        async with over_psycopg.open_transport(dsn) as rpc:
            yield LedgerSession(Ledger(rpc), Operators(rpc), dsn, ledger_name(settings))


@asynccontextmanager
async def open_to_change(settings: Settings, *, reads: bool = False) -> AsyncIterator[LedgerSession]:
    """For commands that change something: prints the ledger's name, so that an operator notices a wrong one."""
    async with open_ledger(settings, reads=reads) as session:
        yield session
        typer.echo(f"In {session.name}.")


@asynccontextmanager
async def _open_over_rest(settings: Settings, *, reads: bool) -> AsyncIterator[LedgerSession]:
    name = ledger_name(settings)
    async with open_rest(settings) as rpc:
        if missing := [m for m in await status_over_rest(rpc) if not m.applied]:
            raise LedgerNotMigrated(f"{_not_migrated(name, len(missing))}{OLD_CACHE}")
        host = None if reads else HostLease(rpc, host_name(settings.onetake_home))
        with _open_embedded(settings.onetake_home, reads=reads) as dsn, database_words("the queue in ONETAKE_HOME"):
            migrate.install_queue(dsn)
            yield LedgerSession(Ledger(rpc), Operators(rpc), dsn, name, host)


@asynccontextmanager
async def open_rest(settings: Settings) -> AsyncIterator[LedgerCall]:
    """The transport over HTTPS; the project's schema may be older."""
    from pipeline.ledger.transports import over_rest  # half a second of imports that the other transport does not need

    project = settings.supabase
    assert project is not None, "whoever comes over HTTPS has a project"
    async with over_rest.open_transport(project.url, project.key) as rpc:
        yield rpc


async def status_over_rest(rpc: LedgerCall) -> list[migrate.MigrationStatus]:
    """Which migrations the project has."""
    try:
        applied = await rpc("applied_migrations", {})
    except LedgerNotMigrated:  # not even the migration with this function
        applied = []
    assert isinstance(applied, list), "applied_migrations answers a list"
    return migrate.compared(set(applied))
