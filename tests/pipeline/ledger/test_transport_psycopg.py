"""The psycopg transport, with functions of its own, on a real database over a connection that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from pipeline.ledger.transports import over_psycopg
from pipeline.ledger.transports.common import Json, LedgerNotMigrated, LedgerRefused, LedgerUnavailable, asking_again
from pipeline.ledger.transports.over_psycopg import open_transport

FUNCTIONS = """
create table public.kept (key text primary key, times int not null default 1);
create function public.echo(p_given jsonb) returns jsonb language sql as 'select p_given';
create function public.say(p_word text default 'unsaid', p_number bigint default null) returns jsonb language sql
    as $$ select jsonb_build_object('word', p_word, 'number', p_number) $$;
create function public.refuse(p_code text) returns jsonb language plpgsql
    as $$ begin raise exception 'no such move' using errcode = p_code; end $$;
create function public.keep_once(p_key text) returns jsonb language plpgsql as $$ begin
    insert into public.kept (key) values (p_key) on conflict do nothing;
    return jsonb_build_object('kept', p_key);
end $$;
create function public.dawdle(p_seconds float) returns jsonb language plpgsql
    as $$ begin perform pg_sleep(p_seconds); return 'true'; end $$;
create function public.lean_on_missing() returns jsonb language plpgsql
    as $$ begin perform 1 from public.never_made; return 'true'; end $$;
create function public.read_only() returns jsonb language sql
    as $$ select to_jsonb(current_setting('statement_timeout')) $$;
"""


class Line:
    """A TCP connection to the server's socket that can lose answers, or go dead while it stays open."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.calls = 0
        self.answers_to_lose = 0  # the next to come: of a pool with room for one, or a second may call in and lose it
        self.dead = False
        self._open: list[asyncio.StreamWriter] = []

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        if self.dead:  # somebody calls again, for instance to cancel: the old line breaks at last
            self.dead = False
            self.cut()
        up_reader, up_writer = await asyncio.open_unix_connection(self.socket)
        self._open += [writer, up_writer]
        await asyncio.gather(self._pump(reader, up_writer, up=True), self._pump(up_reader, writer, up=False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        try:
            while data := await reader.read(65536):
                if self.dead:
                    continue
                if not up and self.answers_to_lose:
                    self.answers_to_lose -= 1
                    self.cut()
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()


@pytest.fixture
def dsn(postgres_uri: str) -> Iterator[str]:
    """A database with the functions above and nothing else."""
    name = f"road_{uuid4().hex}"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        fresh = psycopg.conninfo.make_conninfo(postgres_uri, dbname=name)
        with psycopg.connect(fresh, autocommit=True) as inside:
            inside.execute(FUNCTIONS.encode())
        yield fresh
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@asynccontextmanager
async def open_line(dsn: str) -> AsyncIterator[tuple[Line, str]]:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    line = Line(f"{parts['host']}/.s.PGSQL.{parts['port']}")
    server = await asyncio.start_server(line.pump, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield line, psycopg.conninfo.make_conninfo(dsn, host="127.0.0.1", port=port)
    finally:
        server.close()
        line.cut()
        await asyncio.sleep(0)


def kept(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("select key from public.kept order by 1").fetchall()


@pytest.mark.parametrize(
    "value", [{"a": [1, None, "ñ"], "b": {"c": 1.5}}, [1, 2], [], {}], ids=["object", "list", "empty list", "empty"]
)
async def test_objects_and_lists_arrive_as_they_were_sent(dsn: str, value: Json) -> None:
    async with open_transport(dsn) as rpc:
        assert await rpc("echo", {"given": value}) == value


async def test_arguments_are_passed_by_name_and_omitted_ones_take_their_default(dsn: str) -> None:
    async with open_transport(dsn) as rpc:
        assert await rpc("say", {"number": 2**53, "word": "%s {} $1"}) == {"word": "%s {} $1", "number": 2**53}
        assert await rpc("say", {"word": None}) == {"word": None, "number": None}
        assert await rpc("say", {}) == {"word": "unsaid", "number": None}


async def test_a_refusal_keeps_its_code(dsn: str) -> None:
    async with open_transport(dsn) as rpc:
        with pytest.raises(LedgerRefused, match="no such move") as refused:
            await rpc("refuse", {"code": "LG001"})
        assert refused.value.code == "LG001"
        with pytest.raises(LedgerRefused) as refused:
            await rpc("refuse", {"code": "23505"})
        assert refused.value.code == "23505"
        assert await rpc("say", {}), "the transport is still open after a refusal"


async def test_arguments_that_psycopg_cannot_send_raise_ledger_refused(dsn: str) -> None:
    """psycopg's own errors have no code; if taken for an unavailable database, they would be retried for ever."""
    async with open_transport(dsn) as rpc:
        with pytest.raises(LedgerRefused) as refused:
            await rpc("say", {"word": frozenset()})  # type: ignore[dict-item]  # the point of this test
    assert refused.value.code.startswith("22")


async def test_deadlock_raises_ledger_unavailable(dsn: str) -> None:
    async with open_transport(dsn, tries=1) as rpc:
        with pytest.raises(LedgerUnavailable):
            await rpc("refuse", {"code": "40P01"})


@pytest.mark.parametrize("name", ["never_made", "lean_on_missing"])
async def test_missing_or_outdated_schema_error_names_the_command_to_run(dsn: str, name: str) -> None:
    async with open_transport(dsn) as rpc:
        with pytest.raises(LedgerNotMigrated, match="onetake db migrate"):
            await rpc(name, {})


async def test_argument_of_the_wrong_type_is_refused_not_reported_as_a_missing_schema(dsn: str) -> None:
    async with open_transport(dsn) as rpc:
        with pytest.raises(LedgerRefused, match="bigint"):
            await rpc("refuse", {"code": 2**40})
        with pytest.raises(LedgerNotMigrated):
            await rpc("refuse", {"code": 2**40, "of_another_version": 1})


@pytest.mark.parametrize("name", ["drop table", "say()", "Say", "a.b", ""])
async def test_only_plain_function_names_are_called(dsn: str, name: str) -> None:
    async with open_transport(dsn) as rpc:
        with pytest.raises(AssertionError, match="not a function of the ledger"):
            await rpc(name, {})


async def test_every_statement_has_a_server_side_timeout(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_transport(dsn) as rpc:
        assert await rpc("read_only", {}) == "15s"
    monkeypatch.setattr(over_psycopg, "STATEMENT_SECONDS", 1)
    async with open_transport(dsn, tries=1) as rpc:
        with pytest.raises(LedgerUnavailable, match="statement timeout"):
            await rpc("dawdle", {"seconds": 30})


async def test_connections_closed_by_the_server_are_replaced_without_an_error(dsn: str) -> None:
    async with open_transport(dsn) as rpc:
        await asyncio.gather(*(rpc("dawdle", {"seconds": 0.1}) for _ in range(5)))
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        assert await rpc("say", {"word": "again"}) == {"word": "again", "number": None}


async def test_call_with_a_lost_answer_is_retried_and_takes_effect_once(dsn: str) -> None:
    async with open_line(dsn) as (line, far), open_transport(far, pool_max=1) as rpc:
        await rpc("say", {})
        line.answers_to_lose = 1
        assert await rpc("keep_once", {"key": "k"}) == {"kept": "k"}
        assert line.calls > 1
    assert kept(dsn) == [("k",)]


async def test_answer_lost_on_the_last_try_raises_unavailable_not_refused(dsn: str) -> None:
    async with open_line(dsn) as (line, far), open_transport(far, pool_max=1, tries=1) as rpc:
        await rpc("say", {})
        line.answers_to_lose = 1
        with pytest.raises(LedgerUnavailable):
            await rpc("keep_once", {"key": "k"})
    assert kept(dsn) == [("k",)]


async def test_connection_that_goes_silent_while_open_is_dropped_and_the_call_retried(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_psycopg, "ANSWER_SECONDS", 2)
    async with open_line(dsn) as (line, far), open_transport(far) as rpc:
        await rpc("say", {})
        line.dead = True
        async with asyncio.timeout(60):
            assert await rpc("say", {"word": "there"}) == {"word": "there", "number": None}


async def test_unreachable_database_raises_ledger_unavailable(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_psycopg, "POOL_WAIT_SECONDS", 0.3)
    nowhere = psycopg.conninfo.make_conninfo(dsn, host="127.0.0.1", port=1)
    async with open_transport(nowhere, tries=2) as rpc:
        with pytest.raises(LedgerUnavailable, match="did not answer"):
            await rpc("say", {})


async def test_more_callers_than_connections_wait_their_turn(dsn: str) -> None:
    async with open_transport(dsn, pool_max=2) as rpc:
        answers = await asyncio.gather(*(rpc("say", {"number": n}) for n in range(50)))
    assert [answer["number"] for answer in answers if isinstance(answer, dict)] == list(range(50))


async def test_canceled_call_leaves_the_transport_usable(dsn: str) -> None:
    async with open_transport(dsn, pool_max=1) as rpc:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await rpc("dawdle", {"seconds": 30})
        assert await rpc("say", {"word": "next"}) == {"word": "next", "number": None}


async def test_retries_stop_after_the_configured_tries() -> None:
    asked: list[str] = []

    async def silent(name: str, args: Mapping[str, Json]) -> Json:
        asked.append(name)
        raise LedgerUnavailable("no answer")

    with pytest.raises(LedgerUnavailable):
        await asking_again(silent, tries=3, first_pause_seconds=0)("say", {})
    assert len(asked) == 3


@pytest.mark.parametrize("answer", [LedgerRefused("LG001", "no"), LedgerNotMigrated("no")], ids=["refused", "old"])
async def test_refusals_and_missing_migrations_are_not_retried(answer: Exception) -> None:
    asked: list[str] = []

    async def clear(name: str, args: Mapping[str, Json]) -> Json:
        asked.append(name)
        raise answer

    with pytest.raises(type(answer)):
        await asking_again(clear, tries=3, first_pause_seconds=0)("say", {})
    assert len(asked) == 1


async def test_retries_send_the_same_arguments() -> None:
    asked: list[Mapping[str, Json]] = []

    async def shy(name: str, args: Mapping[str, Json]) -> Json:
        asked.append(args)
        if len(asked) < 3:
            raise LedgerUnavailable("no answer")
        return "heard"

    key = str(UUID(int=7))
    assert await asking_again(shy, tries=5, first_pause_seconds=0)("say", {"key": key}) == "heard"
    assert asked == [{"key": key}] * 3
