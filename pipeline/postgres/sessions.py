"""Whether a database's connections keep their session. A pooler in transaction mode lends one per transaction only.

In       a connection string
Out      `keeps_sessions`: False behind such a pooler, where locks are left behind and LISTEN receives nothing
Raises   psycopg.Error: it cannot be reached, or may only be read
Effects  two connections for a moment, and at most one notification on a channel of its own
"""

from uuid import uuid4

import psycopg

CONNECT_SECONDS = 5
HEARING_SECONDS = 10  # a notification takes milliseconds; only a missing one takes this long
# Supabase documents this port for transaction mode, of its shared and its dedicated pooler alike.
SUPABASE_HOSTS, SUPABASE_TRANSACTION_PORT = (".supabase.com", ".supabase.co"), "6543"


def keeps_sessions(dsn: str) -> bool:
    if _named_for_transactions(dsn):
        return False
    with _connected(dsn) as one, _connected(dsn) as other:
        mine = _backend(one)
        # Two direct connections never share a server process, and none ever changes its own, so a direct connection is
        # never taken for a pooler here. A quiet pooler gives the second connection the process that the first just
        # returned; one that takes turns gives the first another.
        if _backend(other) == mine or _backend(one) != mine:
            return False
        return _hears(one, other)  # by chance, a busy pooler may give the first the same process again


def _named_for_transactions(dsn: str) -> bool:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    return str(parts.get("port")) == SUPABASE_TRANSACTION_PORT and str(parts.get("host")).endswith(SUPABASE_HOSTS)


def _connected(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS)


def _backend(connection: psycopg.Connection) -> tuple[object, ...]:
    """The server process that answers, with its start time, as pids are reused."""
    query = "select pid, backend_start from pg_stat_activity where pid = pg_backend_pid()"
    row = connection.execute(query).fetchone()
    assert row is not None, "a session that is not in the list of sessions"
    return row


def _hears(one: psycopg.Connection, other: psycopg.Connection) -> bool:
    """Whether one connection receives a notification from the other, which the queue relies on."""
    channel = f"onetake_{uuid4().hex}"
    one.execute(f"listen {channel}".encode())
    other.execute("select pg_notify(%s, '')", (channel,))
    return any(one.notifies(timeout=HEARING_SECONDS, stop_after=1))
