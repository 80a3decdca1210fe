"""One migrated database for the folder, emptied before every test: the ledger as installed, over psycopg.

A database for each of several hundred tests would take longer than the tests themselves. `test_over_rest.py` checks
that the functions answer the same over Supabase's REST.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import psycopg
import pytest

from tests.ledger.client import LedgerClient, open_ledger_client
from tests.support.npm import Absent
from tests.support.project import SupabaseProject, open_project, project_database


@pytest.fixture(scope="session")
def project(postgres_uri: str) -> Iterator[SupabaseProject]:
    """A Supabase project made of real components, with our schema in it."""
    with ExitStack() as opened:
        try:
            found = opened.enter_context(open_project(opened.enter_context(project_database(postgres_uri))))
        except Absent as why:
            pytest.skip(str(why))
        yield found


@pytest.fixture(scope="session")
def folder_client(postgres_uri: str) -> Iterator[LedgerClient]:
    with _folder_database(postgres_uri) as dsn, open_ledger_client(dsn) as client:
        yield client


@contextmanager
def _folder_database(postgres_uri: str) -> Iterator[str]:
    name = f"ledger_folder_{uuid4().hex}"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(f"create database {name} template ledger_template".encode())
        connection.execute(f"alter database {name} set synchronous_commit = off".encode())
        yield psycopg.conninfo.make_conninfo(postgres_uri, dbname=name)
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def client(folder_client: LedgerClient, one_day: None) -> LedgerClient:
    folder_client.empty()
    return folder_client
