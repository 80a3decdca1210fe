"""Privileges: only the owner and the service role have any, and they change data only through the functions."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.ledger.client import LedgerClient

OURS = """
    select p.oid::regprocedure::text as signature, n.nspname as schema, p.prosecdef as definer,
           'search_path=""' = any(coalesce(p.proconfig, '{}')) as fixed_path, p.oid as oid
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('onetake', 'public') and p.probin is null
      and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
"""


@pytest.fixture
def stranger(client: LedgerClient) -> Iterator[str]:
    """A role like Supabase's `anon`: it may connect and use `public`."""
    client.write("create role stranger")
    yield "stranger"
    client.write("drop owned by stranger")
    client.write("drop role stranger")


def test_every_function_has_a_fixed_search_path(client: LedgerClient) -> None:
    assert [row["signature"] for row in client.rows(OURS) if not row["fixed_path"]] == []


def test_only_public_functions_are_security_definer(client: LedgerClient) -> None:
    found = client.rows(OURS)
    assert len(found) > 50
    assert [row["signature"] for row in found if row["definer"] is not (row["schema"] == "public")] == []


def test_role_without_grants_may_call_no_function_and_see_no_table(client: LedgerClient, stranger: str) -> None:
    allowed = [
        row["signature"]
        for row in client.rows(OURS)
        if client.one("select has_function_privilege(%s, %s::oid, 'execute')", stranger, row["oid"])
    ]
    assert allowed == []
    query = """
        select oid::regclass::text as name from pg_class where relnamespace = 'onetake'::regnamespace
        and relkind in ('r', 'v', 'S') and has_any_column_privilege(%s, oid, 'select, insert, update')
    """
    assert client.rows(query.replace("'r', 'v', 'S'", "'r', 'v'"), stranger) == []
    assert client.one("select has_schema_privilege(%s, 'onetake', 'usage')", stranger) is False


def test_every_table_has_row_level_security_on(client: LedgerClient) -> None:
    query = """
        select relname from pg_class where relnamespace = 'onetake'::regnamespace and relkind = 'r'
        and not relrowsecurity
    """
    assert client.rows(query) == []


def test_role_without_grants_is_refused_when_it_reads_or_calls(client: LedgerClient, stranger: str) -> None:
    run_id = client.reserved()
    with client.calls.transaction(force_rollback=True):
        client.write(f"set local role {stranger}")
        for query in (
            "select * from onetake.runs",
            f"select public.load_run('{run_id}')",
            "select public.stats()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), client.calls.transaction():
                client.write(query)
