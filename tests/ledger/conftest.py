"""One migrated database per transport for the folder, emptied before every test: the ledger as installed.

Every test of the folder runs over both transports: psycopg, and the supabase client against a real PostgREST.
A database of its own for each of several hundred tests would cost more time than all that they ask.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import psycopg
import pytest

from pipeline.ledger.transports import over_rest
from tests.ledger.client import LedgerClient, open_ledger_client
from tests.support.npm import Absent
from tests.support.project import SupabaseProject, open_project, project_database


@pytest.fixture(scope="session")
def project(postgres_uri: str) -> Iterator[SupabaseProject]:
    """A Supabase project of real parts, with our schema in it."""
    with ExitStack() as opened:
        try:
            found = opened.enter_context(open_project(opened.enter_context(project_database(postgres_uri))))
        except Absent as why:
            pytest.skip(str(why))
        yield found


@pytest.fixture(
    scope="session", params=["psycopg", pytest.param("supabase", marks=pytest.mark.node)], ids=["psycopg", "supabase"]
)
def session_desk(request: pytest.FixtureRequest, postgres_uri: str) -> Iterator[LedgerClient]:
    with ExitStack() as opened:
        if request.param == "psycopg":
            yield opened.enter_context(open_ledger_client(opened.enter_context(_folder_database(postgres_uri))))
        else:
            project: SupabaseProject = request.getfixturevalue("project")
            transport = over_rest.open_transport(project.url, project.service_key, tries=1)
            client = opened.enter_context(open_ledger_client(project.dsn, transport))
            yield client
            client.empty()  # the project stays: a desk opened there once more takes its limits for those of the design


@contextmanager
def _folder_database(postgres_uri: str) -> Iterator[str]:
    name = f"ledger_folder_{uuid4().hex}"  # a transport may be opened more than once, as the order of tests wants
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(f"create database {name} template ledger_template".encode())
        connection.execute(f"alter database {name} set synchronous_commit = off".encode())
        yield psycopg.conninfo.make_conninfo(postgres_uri, dbname=name)
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def client(session_desk: LedgerClient, one_day: None) -> LedgerClient:
    session_desk.empty()
    return session_desk
