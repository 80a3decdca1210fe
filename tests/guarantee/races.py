"""Racing callers: forked processes with their own connections, released at the same moment.

In       a migrated database, and a function for each caller's connection
Out      the callers' results, in their order
Effects  those of the calls; if a caller fails, the race fails with its error
"""

import os
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tests.ledger.client import Row, connect

PROCESSES = 4
HEAD_START_SECONDS = 0.25  # time for all to fork and connect
Brought = TypeVar("Brought")
Caller = Callable[[psycopg.Connection[Row], int], Brought]


def race(dsn: str, caller: Caller[Brought], processes: int = PROCESSES) -> list[Brought]:
    """Run `caller(connection, number)` in this many processes at once."""
    with tempfile.TemporaryDirectory(prefix="onetake-race-") as folder:
        go_at = time.time() + HEAD_START_SECONDS
        pids = [_start(Path(folder) / str(number), dsn, caller, number, go_at) for number in range(processes)]
        for pid in pids:
            os.waitpid(pid, 0)
        brought = [pickle.loads((Path(folder) / str(number)).read_bytes()) for number in range(processes)]
    fallen = [each for each in brought if isinstance(each, str) and each.startswith("Traceback")]
    assert not fallen, fallen[0]
    return brought


def _start(path: Path, dsn: str, caller: Caller[Any], number: int, go_at: float) -> int:
    if pid := os.fork():
        return pid
    try:
        with connect(dsn) as connection:
            time.sleep(max(0.0, go_at - time.time()))
            brought = caller(connection, number)
        path.write_bytes(pickle.dumps(brought))
    except BaseException:  # noqa: BLE001 - top level of a process: handed to the parent, never raised into the tests
        path.write_bytes(pickle.dumps(traceback.format_exc()))
    finally:
        os._exit(0)


def flat(lists: Sequence[list[Brought]]) -> list[Brought]:
    return [each for some in lists for each in some]


def deadlocks(desk_connection: psycopg.Connection[Row]) -> int:
    """The number of deadlocks that the server has resolved in this database so far."""
    desk_connection.execute("select pg_stat_force_next_flush()")
    row = desk_connection.execute(
        "select deadlocks from pg_stat_database where datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row["deadlocks"])
