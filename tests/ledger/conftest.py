"""One migrated database for the folder, emptied before every test: the ledger as a new installation has it.

A database of its own for each of several hundred tests would cost more time than all that they ask.
"""

from collections.abc import Iterator

import psycopg
import pytest

from tests.ledger.desk import Desk, connect


@pytest.fixture(scope="session")
def folder_dsn(postgres_uri: str) -> str:
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute("create database ledger_folder template ledger_template")
        connection.execute("alter database ledger_folder set synchronous_commit = off")
    return psycopg.conninfo.make_conninfo(postgres_uri, dbname="ledger_folder")


@pytest.fixture(scope="session")
def session_desk(folder_dsn: str) -> Iterator[Desk]:
    with connect(folder_dsn) as connection:
        limits = connection.execute("select key, value, about from onetake.limits").fetchall()
    clerk = Desk(folder_dsn, limits)
    yield clerk
    clerk.close()


@pytest.fixture
def desk(session_desk: Desk) -> Desk:
    session_desk.empty()
    return session_desk
