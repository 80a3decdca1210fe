"""The first transport: psycopg to any PostgreSQL, embedded, one's own, or Supabase's.

In       a connection string
Out      `rpc`: select public.<name>(p_key => value, ...)
Raises   LedgerUnavailable, LedgerRefused, LedgerNotMigrated
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import lru_cache

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pipeline.ledger.transports.common import (
    REFUSING_CLASSES,
    TRIES,
    Json,
    LedgerCall,
    LedgerNotMigrated,
    LedgerRefused,
    LedgerUnavailable,
    asking_again,
)

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 15
ANSWER_SECONDS = 20  # the server enforces STATEMENT_SECONDS; a dead connection needs this bound
POOL_WAIT_SECONDS = 10
CLIENT_SIDE = "22000"  # SQLSTATE of a data exception that has no code of its own


@asynccontextmanager
async def open_transport(dsn: str, *, pool_max: int = 10, tries: int = TRIES) -> AsyncIterator[LedgerCall]:
    """Yields the callable; closes its connections on the way out."""
    pool = AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=pool_max,
        timeout=POOL_WAIT_SECONDS,
        open=False,
        kwargs={
            "autocommit": True,
            "prepare_threshold": None,  # poolers in transaction mode lose prepared statements
            "connect_timeout": CONNECT_SECONDS,
        },
        configure=_bounded,
    )
    async with pool:
        yield asking_again(_rpc_over(pool), tries)


async def _bounded(connection: psycopg.AsyncConnection) -> None:
    """Not by `options` in the connection string: a pooler in session mode (pgbouncer) refuses those."""
    await connection.execute(f"set statement_timeout = {STATEMENT_SECONDS * 1000}".encode())


def _rpc_over(pool: "AsyncConnectionPool[psycopg.AsyncConnection]") -> LedgerCall:
    async def rpc(name: str, args: Mapping[str, Json]) -> Json:
        assert re.fullmatch(r"[a-z_]+", name), f"not a function of the ledger: {name}"
        values = {key: Jsonb(value) if _is_json(key, value) else value for key, value in args.items()}
        try:
            async with pool.connection() as connection, asyncio.timeout(ANSWER_SECONDS):
                cursor = await connection.execute(_call(name, tuple(args)), values)
                row = await cursor.fetchone()
        except PoolTimeout as error:
            raise LedgerUnavailable(f"the database did not answer within {POOL_WAIT_SECONDS} s") from error
        except TimeoutError as error:
            raise LedgerUnavailable(f"the database did not answer within {ANSWER_SECONDS} s") from error
        except psycopg.OperationalError as error:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await pool.check()  # what broke one connection has often broken the others, too
            raise _translated(name, error) from error
        except psycopg.errors.UndefinedFunction as error:
            if f"public.{name}(" in str(error) and await _takes(pool, name, args):
                raise LedgerRefused(error.sqlstate or "", _words(error)) from error
            raise _translated(name, error) from error
        except psycopg.Error as error:
            raise _translated(name, error) from error
        assert row is not None, f"{name} returned no row"
        answer: Json = row[0]
        return answer

    return rpc


async def _takes(pool: "AsyncConnectionPool[psycopg.AsyncConnection]", name: str, args: Mapping[str, Json]) -> bool:
    """Whether there is such a function with arguments of these names: then only a value is of another type."""
    query = "select from pg_proc where pronamespace = 'public'::regnamespace and proname = %s and proargnames @> %s"
    with suppress(PoolTimeout, psycopg.Error):
        async with pool.connection() as connection:
            cursor = await connection.execute(query, (name, [f"p_{key}" for key in args]))
            return await cursor.fetchone() is not None
    return False


def _is_json(key: str, value: Json) -> bool:
    """Objects, lists, and a limit's `value`: a number or a word, but JSON to its SQL function."""
    return isinstance(value, dict | list) or (key == "value" and value is not None)


@lru_cache(maxsize=256)
def _call(name: str, keys: tuple[str, ...]) -> bytes:
    arguments = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(f"p_{key}"), sql.Placeholder(key)) for key in keys
    )
    return sql.SQL("select {}({})").format(sql.Identifier("public", name), arguments).as_bytes()


def _translated(name: str, error: psycopg.Error) -> Exception:
    code, words = error.sqlstate or "", _words(error)
    if code in {"42883", "3F000", "42P01"}:
        return LedgerNotMigrated(f"this database has no ledger function {name}: run `onetake db migrate`")
    if code.startswith(REFUSING_CLASSES):
        return LedgerRefused(code, words)
    if not code and isinstance(error, psycopg.DataError | psycopg.ProgrammingError):
        return LedgerRefused(CLIENT_SIDE, words)  # psycopg itself cannot send these data; a retry changes nothing
    return LedgerUnavailable(f"the database did not answer: {words}")


def _words(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
