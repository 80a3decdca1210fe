"""A Supabase project, from outside: what its keys may access. Read from the catalogue, so that nothing is missed."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline.ledger.migrate import migrate
from tests.support.project import ANOTHERS_KEY, SupabaseProject, jwt, project_database

pytestmark = pytest.mark.node

OUTSIDERS = ("anon", "authenticated")
OUR_SCHEMAS = ("public", "onetake", "queue", "supabase_migrations")
FUNCTIONS = """
    select p.oid, n.nspname as schema, p.proname as name, p.oid::regprocedure::text as signature,
           p.prosecdef as definer, coalesce(p.proargnames, '{}') as arguments
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = any (%s) and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
"""
RELATIONS = """
    select c.oid, c.oid::regclass::text as name, c.relkind as kind, c.relnamespace as schema
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = any (%s) and c.relkind in ('r', 'v', 'm', 'p', 'S', 'f')
"""


@pytest.fixture
def catalogue(project: SupabaseProject) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(project.dsn, row_factory=dict_row) as connection:
        yield connection
        connection.rollback()


def asked(project: SupabaseProject, path: str, key: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """One request, as a browser could send it."""
    request = urllib.request.Request(
        f"{project.url}/rest/v1/{path}",
        method="GET" if body is None else "POST",
        data=None if body is None else json.dumps(body).encode(),
        headers={"apikey": key, "Authorization": f"Bearer {key}", "Content-Type": "application/json"} | headers,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def open_functions(catalogue: psycopg.Connection[dict[str, Any]], role: str) -> list[str]:
    """The functions in our schemas that a role may execute."""
    found = catalogue.execute(FUNCTIONS.encode(), (list(OUR_SCHEMAS),)).fetchall()
    assert len(found) > 80, "the catalogue was not read"
    query = "select has_function_privilege(%s, %s::oid, 'execute') and has_schema_privilege(%s, %s, 'usage') as may"
    return sorted(
        each["signature"]
        for each in found
        if catalogue.execute(query.encode(), (role, each["oid"], role, each["schema"])).fetchone() == {"may": True}
    )


@pytest.mark.parametrize("role", OUTSIDERS)
def test_anon_and_authenticated_roles_may_execute_no_function(
    catalogue: psycopg.Connection[dict[str, Any]], role: str
) -> None:
    assert open_functions(catalogue, role) == []


@pytest.mark.parametrize("role", OUTSIDERS)
def test_function_without_a_revoke_is_detected(catalogue: psycopg.Connection[dict[str, Any]], role: str) -> None:
    """Proves that the test above can fail: by default, a project grants every new function to everybody."""
    catalogue.execute("create function public.forgotten() returns int language sql security definer as 'select 1'")
    assert open_functions(catalogue, role) == ["forgotten()"]


@pytest.mark.parametrize("role", [*OUTSIDERS, "service_role"])
def test_api_roles_can_neither_read_nor_write_a_table(catalogue: psycopg.Connection[dict[str, Any]], role: str) -> None:
    found = catalogue.execute(RELATIONS.encode(), (list(OUR_SCHEMAS),)).fetchall()
    assert len(found) > 15
    query = """
        select (case when %(kind)s = 'S' then has_sequence_privilege(%(role)s, %(oid)s::oid, 'usage, select, update')
            else has_table_privilege(%(role)s, %(oid)s::oid, 'select, insert, update, delete, truncate') end)
            and has_schema_privilege(%(role)s, %(schema)s::oid, 'usage') as may
    """
    reachable = [
        each["name"]
        for each in found
        if catalogue.execute(query.encode(), each | {"role": role}).fetchone() == {"may": True}
    ]
    assert reachable == []


def test_service_role_may_execute_only_the_public_definer_functions(
    catalogue: psycopg.Connection[dict[str, Any]],
) -> None:
    found = catalogue.execute(FUNCTIONS.encode(), (list(OUR_SCHEMAS),)).fetchall()
    callable_ones = sorted(each["signature"] for each in found if each["schema"] == "public" and each["definer"])
    assert open_functions(catalogue, "service_role") == callable_ones


def test_over_http_functions_reject_all_but_the_service_keys(
    project: SupabaseProject, catalogue: psycopg.Connection[dict[str, Any]]
) -> None:
    """With null for every argument: an outsider is rejected before the function reads them."""
    found = catalogue.execute(FUNCTIONS.encode(), (["public"],)).fetchall()
    let_in = []
    for each in found:
        body = dict.fromkeys(each["arguments"])
        for key in (project.anon_key, project.authenticated_key):
            status, answer = asked(project, f"rpc/{each['name']}", key, body)
            if status not in {401, 403} or answer.get("code") != "42501":
                let_in.append((each["signature"], status, answer))
    assert let_in == []
    assert asked(project, "rpc/controls", project.service_key, {})[0] == 200
    assert asked(project, "rpc/controls", project.secret_key, {})[0] == 200


@pytest.mark.parametrize("schema", ["onetake", "queue", "supabase_migrations"])
def test_our_other_schemas_are_not_exposed(project: SupabaseProject, schema: str) -> None:
    for key in (project.anon_key, project.service_key):
        status, answer = asked(project, "runs", key, **{"Accept-Profile": schema})
        assert (status, answer["code"]) == (406, "PGRST106")


@pytest.mark.parametrize("key", ["", ANOTHERS_KEY, "sb_publishable_x"], ids=["none", "another secret", "publishable"])
def test_gateway_rejects_a_key_that_is_not_the_projects(project: SupabaseProject, key: str) -> None:
    assert asked(project, "rpc/controls", key, {})[0] == 401


def test_expired_token_is_rejected(project: SupabaseProject) -> None:
    old = jwt("service_role", lives_seconds=-365 * 86_400)  # also by another clock: the gateway reads its own
    status, answer = asked(project, "rpc/controls", project.anon_key, {}, Authorization=f"Bearer {old}")
    assert (status, answer["code"]) == (401, "PGRST301")


def test_migration_leaves_an_existing_public_videos_table_unchanged(postgres_uri: str) -> None:
    """An existing project may well have a `public.videos`."""
    with project_database(postgres_uri, migrated=False) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table public.videos (id int primary key, title text)")
        connection.execute("insert into public.videos values (1, 'mine')")
        before = connection.execute("select relacl::text, relrowsecurity from pg_class where oid = 'videos'::regclass")
        rights = before.fetchall()
        migrate(dsn)
        after = connection.execute("select relacl::text, relrowsecurity from pg_class where oid = 'videos'::regclass")
        assert after.fetchall() == rights
        assert connection.execute("select * from public.videos").fetchall() == [(1, "mine")]
