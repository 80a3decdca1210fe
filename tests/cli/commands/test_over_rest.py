"""The ledger in a Supabase project, reached by its URL and key alone: everything works, on one machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psycopg
import pytest

from tests.cli.conftest import Terminal
from tests.support.npm import Absent
from tests.support.project import ANOTHERS_KEY, SupabaseProject, open_project, project_database

pytestmark = pytest.mark.node


@contextmanager
def some_project(server: str, *, migrated: bool) -> Iterator[SupabaseProject]:
    with ExitStack() as opened:
        dsn = opened.enter_context(project_database(server, migrated=migrated))
        try:
            yield opened.enter_context(open_project(dsn))
        except Absent as why:
            pytest.skip(str(why))


@pytest.fixture(scope="module")
def project(postgres_uri: str) -> Iterator[SupabaseProject]:
    with some_project(postgres_uri, migrated=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def empty_project(postgres_uri: str) -> Iterator[SupabaseProject]:
    with some_project(postgres_uri, migrated=False) as opened:
        yield opened


def without_a_connection_string(onetake: Terminal, project: SupabaseProject) -> Terminal:
    environment = {name: value for name, value in onetake.environment.items() if name != "DATABASE_URL"}
    ours = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_ROLE_KEY": project.secret_key}
    return replace(onetake, environment=environment | ours)


@pytest.fixture
def far(onetake: Terminal, project: SupabaseProject) -> Iterator[Terminal]:
    with psycopg.connect(project.dsn, autocommit=True) as connection:
        connection.execute("delete from onetake.hosts")
    yield without_a_connection_string(onetake, project)
    project.gateway.control("DELETE", "/_sim/faults")


def test_video_is_bought_once_over_rest_and_stored_in_the_bucket(far: Terminal, project: SupabaseProject) -> None:
    said = far.create("a paper boat in the rain", "--key", "far-1", "--user", "ana")
    assert (said.code, said.object["state"]) == (0, "saved"), said.words
    assert far.paid_calls() == 1
    again = far.create("a paper boat in the rain", "--key", "far-1", "--user", "ana")
    assert again.object["run_id"] == said.object["run_id"]
    assert far.paid_calls() == 1
    objects = project.gateway.control("GET", "/_sim/supabase")["buckets"]["onetake"]["objects"]
    assert f"{said.object['run_id']}.mp4" in objects
    shown = far("show", said.object["ref"])
    assert (shown.code, "saved" in shown.words) == (0, True)


def test_create_succeeds_despite_lost_ledger_answers(far: Terminal, project: SupabaseProject) -> None:
    project.gateway.trouble("rest", "done_then_drop", times=3)
    said = far.create("a red kite over the sea", "--user", "ben")
    assert (said.code, said.object["state"]) == (0, "saved"), said.words
    assert far.paid_calls() == 1


def test_second_machine_exits_with_2_and_names_the_lease_holder(far: Terminal, project: SupabaseProject) -> None:
    with psycopg.connect(project.dsn, autocommit=True) as connection:
        connection.execute("select public.take_host('the-other-machine 1f', 60)")
    said = far("worker")
    assert said.code == 2
    assert "the-other-machine works on this ledger" in said.words
    assert "nothing was bought" in said.words
    assert "DATABASE_URL" in said.words


def test_check_and_db_status_work_over_https(far: Terminal) -> None:
    said = far("check")
    assert "Supabase, over HTTPS), up to date" in said.words
    assert "bucket onetake, " in said.words
    assert "clips are kept forever" in said.words
    status = far("db", "status")
    assert (status.code, "nothing missing" in status.words) == (0, True), status.words


def test_db_migrate_over_https_is_refused_and_names_the_alternatives(far: Terminal) -> None:
    said = far("db", "migrate")
    assert said.code == 2
    assert "supabase db push" in said.words
    assert "onetake db sql" in said.words


def test_project_without_our_schema_gets_three_ways_to_migrate(
    onetake: Terminal, empty_project: SupabaseProject
) -> None:
    bare = without_a_connection_string(onetake, empty_project)
    said = bare.create()
    assert said.code == 2, said.words
    for way in ("onetake db migrate", "supabase db push", "onetake db sql"):
        assert way in said.words
        assert way in bare("check").words
    status = bare("db", "status")
    assert (status.code, "missing" in status.words) == (1, True)
    for said in (bare.create(), status, bare("check")):
        assert "run `notify pgrst, 'reload schema'`" in said.words
    assert onetake.paid_calls() == 0


def test_create_refuses_another_projects_key_without_showing_it(far: Terminal) -> None:
    said = far.create(SUPABASE_SERVICE_ROLE_KEY=ANOTHERS_KEY)
    assert said.code == 2, said.words
    assert "SUPABASE_SERVICE_ROLE_KEY must be the project's secret key" in said.words
    assert ANOTHERS_KEY not in said.words
    assert "Traceback" not in said.words
