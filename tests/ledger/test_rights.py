"""Who may do what: nobody but the owner and the service role, and everybody only through the functions."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.ledger.desk import Desk

OURS = """
    select p.oid::regprocedure::text as signature, n.nspname as schema, p.prosecdef as definer,
           'search_path=""' = any(coalesce(p.proconfig, '{}')) as fixed_path, p.oid as oid
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('onetake', 'public') and p.probin is null
      and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
"""


@pytest.fixture
def stranger(desk: Desk) -> Iterator[str]:
    """A role like Supabase's `anon`: it may connect and use `public`."""
    desk.write("create role stranger")
    yield "stranger"
    desk.write("drop owned by stranger")
    desk.write("drop role stranger")


def test_every_function_has_a_fixed_search_path(desk: Desk) -> None:
    assert [row["signature"] for row in desk.rows(OURS) if not row["fixed_path"]] == []


def test_what_can_be_called_runs_as_its_owner_and_the_machinery_does_not(desk: Desk) -> None:
    found = desk.rows(OURS)
    assert len(found) > 50
    assert [row["signature"] for row in found if row["definer"] is not (row["schema"] == "public")] == []


def test_a_stranger_may_call_no_function_and_see_no_table(desk: Desk, stranger: str) -> None:
    allowed = [
        row["signature"]
        for row in desk.rows(OURS)
        if desk.one("select has_function_privilege(%s, %s::oid, 'execute')", stranger, row["oid"])
    ]
    assert allowed == []
    query = """
        select oid::regclass::text as name from pg_class where relnamespace = 'onetake'::regnamespace
        and relkind in ('r', 'v', 'S') and has_any_column_privilege(%s, oid, 'select, insert, update')
    """
    assert desk.rows(query.replace("'r', 'v', 'S'", "'r', 'v'"), stranger) == []
    assert desk.one("select has_schema_privilege(%s, 'onetake', 'usage')", stranger) is False


def test_every_table_has_row_level_security_on(desk: Desk) -> None:
    query = """
        select relname from pg_class where relnamespace = 'onetake'::regnamespace and relkind = 'r'
        and not relrowsecurity
    """
    assert desk.rows(query) == []


def test_a_stranger_who_tries_is_refused(desk: Desk, stranger: str) -> None:
    run_id = desk.reserved()
    with desk.calls.transaction(force_rollback=True):
        desk.write(f"set local role {stranger}")
        for query in (
            "select * from onetake.runs",
            f"select public.load_run('{run_id}')",
            "select public.stats()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), desk.calls.transaction():
                desk.write(query)
