"""Whether a database's connections keep their session. A pooler in transaction mode lends one for a statement only.

In       a connection string
Out      `keeps_sessions`: False behind such a pooler, where locks are left behind, and LISTEN hears nothing
Raises   psycopg.Error: it cannot be reached, or may only be read
Effects  two connections for a moment, and at most one notification on a channel of its own
"""

from uuid import uuid4

import psycopg

CONNECT_SECONDS = 5
HEARING_SECONDS = 10  # a notification takes milliseconds; only where none ever comes is this waited out
# Supabase documents this port for transaction mode, of its shared and its dedicated pooler alike.
SUPABASE_HOSTS, SUPABASE_TRANSACTION_PORT = (".supabase.com", ".supabase.co"), "6543"


def keeps_sessions(dsn: str) -> bool:
    if _named_for_transactions(dsn):
        return False
    with _connected(dsn) as one, _connected(dsn) as other:
        mine = _backend(one)
        # Two open connections never share a process of the server, and none ever changes its own: whoever sees
        # otherwise is behind a pooler, so this is never wrong about a direct connection. A quiet pooler gives the
        # second what the first just gave back; one that takes turns gives the first another.
        if _backend(other) == mine or _backend(one) != mine:
            return False
        return _hears(one, other)  # a busy pooler may give the first the same again, by chance


def _named_for_transactions(dsn: str) -> bool:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    return str(parts.get("port")) == SUPABASE_TRANSACTION_PORT and str(parts.get("host")).endswith(SUPABASE_HOSTS)


def _connected(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS)


def _backend(connection: psycopg.Connection) -> tuple[object, ...]:
    """The server's process that answers; a pid alone may be given to another one day."""
    query = "select pid, backend_start from pg_stat_activity where pid = pg_backend_pid()"
    row = connection.execute(query).fetchone()
    assert row is not None, "a session that is not in the list of sessions"
    return row


def _hears(one: psycopg.Connection, other: psycopg.Connection) -> bool:
    """What the queue lives on: a word said to one connection by another."""
    channel = f"onetake_{uuid4().hex}"
    one.execute(f"listen {channel}".encode())
    other.execute("select pg_notify(%s, '')", (channel,))
    return any(one.notifies(timeout=HEARING_SECONDS, stop_after=1))
