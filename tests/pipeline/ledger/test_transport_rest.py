"""The REST transport on a real PostgREST behind a gateway that can lose answers, with functions of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from pipeline.ledger.transports import over_rest
from pipeline.ledger.transports.common import Json, LedgerForbidden, LedgerNotMigrated, LedgerRefused, LedgerUnavailable
from pipeline.ledger.transports.over_rest import open_transport
from tests.pipeline.ledger.test_transport_psycopg import FUNCTIONS, kept
from tests.support.npm import Absent
from tests.support.project import ANOTHERS_KEY, SupabaseProject, jwt, open_project, project_database

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def far(postgres_uri: str) -> Iterator[SupabaseProject]:
    """A project with the functions of the other transport's tests, granted to everybody."""
    with ExitStack() as opened:
        dsn = opened.enter_context(project_database(postgres_uri, migrated=False))
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(FUNCTIONS.encode())
            connection.execute("grant all on public.kept to service_role")
        try:
            yield opened.enter_context(open_project(dsn))
        except Absent as why:
            pytest.skip(str(why))


@pytest.fixture
def place(far: SupabaseProject) -> Iterator[SupabaseProject]:
    with psycopg.connect(far.dsn, autocommit=True) as connection:
        connection.execute("delete from public.kept")
    yield far
    far.gateway.control("DELETE", "/_sim/faults")


@pytest.mark.parametrize("kind", ["service_key", "secret_key"])
async def test_service_key_and_secret_key_are_both_accepted(place: SupabaseProject, kind: str) -> None:
    async with open_transport(place.url, getattr(place, kind)) as rpc:
        assert await rpc("say", {"word": "hello"}) == {"word": "hello", "number": None}


@pytest.mark.parametrize("value", [{"a": [1, None, "ñ"], "b": {"c": 1.5}}, [1, 2], [], {}, 7, "x", None])
async def test_json_values_arrive_unchanged(place: SupabaseProject, value: Json) -> None:
    async with open_transport(place.url, place.service_key) as rpc:
        assert await rpc("echo", {"given": value}) == value


async def test_argument_names_numbers_and_defaults_match_the_psycopg_transport(place: SupabaseProject) -> None:
    async with open_transport(place.url, place.service_key) as rpc:
        assert await rpc("say", {"number": 2**53, "word": "%s {} $1"}) == {"word": "%s {} $1", "number": 2**53}
        assert await rpc("say", {}) == {"word": "unsaid", "number": None}


@pytest.mark.parametrize("code", ["LG001", "23505", "P0001"])
async def test_a_refusal_keeps_its_code(place: SupabaseProject, code: str) -> None:
    async with open_transport(place.url, place.service_key) as rpc:
        with pytest.raises(LedgerRefused, match="no such move") as refused:
            await rpc("refuse", {"code": code})
        assert refused.value.code == code
        assert await rpc("say", {}), "the transport is still open after a refusal"


async def test_deadlock_over_rest_raises_ledger_unavailable(place: SupabaseProject) -> None:
    async with open_transport(place.url, place.service_key, tries=1) as rpc:
        with pytest.raises(LedgerUnavailable):
            await rpc("refuse", {"code": "40P01"})


@pytest.mark.parametrize("name", ["never_made", "lean_on_missing"])
async def test_missing_or_outdated_schema_error_names_the_command_to_run(place: SupabaseProject, name: str) -> None:
    async with open_transport(place.url, place.service_key) as rpc:
        with pytest.raises(LedgerNotMigrated, match=r"supabase db push.*notify pgrst, 'reload schema'"):
            await rpc(name, {})


@pytest.mark.parametrize("key", [ANOTHERS_KEY, "eyJ.old.jwt"])
async def test_wrong_key_error_names_the_setting_and_never_the_key(place: SupabaseProject, key: str) -> None:
    async with open_transport(place.url, key) as rpc:
        with pytest.raises(LedgerForbidden, match="SUPABASE_SERVICE_ROLE_KEY") as refused:
            await rpc("say", {})
    assert key not in str(refused.value)


async def test_anon_key_is_refused_with_permission_denied(place: SupabaseProject) -> None:
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("revoke execute on function public.read_only from public, anon")
    async with open_transport(place.url, place.anon_key) as rpc:
        with pytest.raises(LedgerForbidden, match="permission denied"):
            await rpc("read_only", {})


@pytest.mark.parametrize("trouble", ["done_then_drop", "half_answer", "drop_before", "garbage"])
async def test_call_over_rest_with_a_lost_answer_is_retried_and_takes_effect_once(
    place: SupabaseProject, trouble: str
) -> None:
    place.gateway.trouble("rest", trouble)
    async with open_transport(place.url, place.service_key) as rpc:
        assert await rpc("keep_once", {"key": "k"}) == {"kept": "k"}
    assert kept(place.dsn) == [("k",)]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 520])
async def test_failing_or_rate_limiting_gateway_is_retried(place: SupabaseProject, status: int) -> None:
    place.gateway.trouble("rest", "status", status=status)
    async with open_transport(place.url, place.service_key) as rpc:
        assert await rpc("say", {"word": "there"}) == {"word": "there", "number": None}


async def test_answer_lost_on_the_last_rest_try_raises_unavailable_not_refused(place: SupabaseProject) -> None:
    place.gateway.trouble("rest", "done_then_drop")
    async with open_transport(place.url, place.service_key, tries=1) as rpc:
        with pytest.raises(LedgerUnavailable):
            await rpc("keep_once", {"key": "k"})
    assert kept(place.dsn) == [("k",)]


async def test_a_redirect_is_not_followed(place: SupabaseProject) -> None:
    """The key must never be sent to another address."""
    place.gateway.trouble("rest", "redirect", location="http://127.0.0.1:9/", times=None)
    async with open_transport(place.url, place.service_key, tries=1) as rpc:
        with pytest.raises(LedgerUnavailable):
            await rpc("say", {})


@pytest.mark.parametrize("trouble", ["hang", "slow"])
async def test_connection_that_goes_silent_while_open_is_dropped_and_the_call_retried(
    place: SupabaseProject, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_rest, "ANSWER_SECONDS", 2)
    place.gateway.trouble("rest", trouble, seconds=300)
    async with open_transport(place.url, place.service_key) as rpc:
        async with asyncio.timeout(60):
            assert await rpc("say", {"word": "there"}) == {"word": "there", "number": None}


async def test_unreachable_project_raises_ledger_unavailable(place: SupabaseProject) -> None:
    async with open_transport("http://127.0.0.1:9", place.service_key, tries=1) as rpc:
        with pytest.raises(LedgerUnavailable, match="did not answer"):
            await rpc("say", {})


async def test_an_expired_key_is_refused(place: SupabaseProject) -> None:
    async with open_transport(place.url, jwt("service_role", lives_seconds=-120)) as rpc:
        with pytest.raises(LedgerForbidden):
            await rpc("say", {})


async def test_concurrent_calls_each_get_their_own_answer(place: SupabaseProject) -> None:
    async with open_transport(place.url, place.service_key) as rpc:
        answers = await asyncio.gather(*(rpc("say", {"number": n}) for n in range(50)))
    assert [answer["number"] for answer in answers if isinstance(answer, dict)] == list(range(50))
