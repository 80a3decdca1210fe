"""Callbacks of video providers: a known token leaves one hint, anything else leaves nothing."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import TestClient, TestServer

from providers.callbacks import callback_url, job_named
from web.app import bare_app
from web.callbacks import BODY_BYTES_MAX, PER_SECOND_MAX, Callbacks

TOKEN = "0123456789abcdef0123456789abcdef"
RUN = uuid4()


class Noted:
    """The ledger's side: what was noted, and which runs were woken."""

    def __init__(self) -> None:
        self.notes: list[Mapping[str, Any]] = []
        self.woken: list[UUID] = []
        self.now = 0.0

    async def rpc(self, name: str, args: Mapping[str, Any]) -> Any:
        assert name == "note_callback"
        self.notes.append(args)
        return str(RUN) if args["token"] == TOKEN else None

    async def wake(self, run_id: UUID) -> None:
        self.woken.append(run_id)


@pytest.fixture
async def noted() -> Noted:
    return Noted()


@pytest.fixture
async def client(noted: Noted) -> AsyncIterator[TestClient[Any, Any]]:
    app = bare_app()
    Callbacks(noted.rpc, noted.wake, lambda: noted.now).add_to(app)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_known_token_notes_the_named_job_and_wakes_the_run(client: TestClient[Any, Any], noted: Noted) -> None:
    answer = await client.post(f"/callbacks/fal/{TOKEN}", json={"request_id": "job-1", "status": "OK"})
    assert answer.status == 204
    assert noted.notes == [{"token": TOKEN, "job_id": "job-1"}]
    assert noted.woken == [RUN]


async def test_unknown_token_is_answered_alike_and_wakes_nobody(client: TestClient[Any, Any], noted: Noted) -> None:
    answer = await client.post(f"/callbacks/fal/{TOKEN[::-1]}", json={"request_id": "job-1"})
    assert (answer.status, noted.woken) == (204, [])


@pytest.mark.parametrize("token", ["short", TOKEN + "0", "ñ" * 32, TOKEN[:-1] + "-"])
async def test_what_is_no_token_never_reaches_the_ledger(
    client: TestClient[Any, Any], noted: Noted, token: str
) -> None:
    answer = await client.post(f"/callbacks/fal/{token}", json={"request_id": "job-1"})
    assert (answer.status, noted.notes) == (204, [])


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"request_id": null}', b"\xff\xfe", b'{"request_id": ".."}'])
async def test_body_that_names_no_job_still_lets_a_worker_look(
    client: TestClient[Any, Any], noted: Noted, body: bytes
) -> None:
    await client.post(f"/callbacks/fal/{TOKEN}", data=body)
    assert noted.notes == [{"token": TOKEN, "job_id": None}]
    assert noted.woken == [RUN]


async def test_giant_body_is_refused_before_it_is_read(client: TestClient[Any, Any], noted: Noted) -> None:
    answer = await client.post(f"/callbacks/fal/{TOKEN}", data=b"x" * (BODY_BYTES_MAX + 1))
    assert (answer.status, noted.notes) == (413, [])


async def test_too_many_in_one_second_are_put_off(client: TestClient[Any, Any], noted: Noted) -> None:
    answers = [await client.post(f"/callbacks/fal/{TOKEN}", json={}) for _ in range(PER_SECOND_MAX + 1)]
    assert [answer.status for answer in answers] == [204] * PER_SECOND_MAX + [429]
    assert answers[-1].headers["Retry-After"] == "5"
    noted.now = 1.0
    assert (await client.post(f"/callbacks/fal/{TOKEN}", json={})).status == 204


async def test_a_get_is_not_served(client: TestClient[Any, Any]) -> None:
    assert (await client.get(f"/callbacks/fal/{TOKEN}")).status == 405


@pytest.mark.parametrize(
    ("provider", "body", "job_id"),
    [
        ("fal", '{"request_id": "f-1"}', "f-1"),
        ("replicate", '{"id": "r-1"}', "r-1"),
        ("ark", '{"id": "cgt-1"}', "cgt-1"),
        ("runware", '{"data": [{"taskUUID": "u-1"}]}', "u-1"),
        ("runware", '{"errors": [{"taskUUID": "u-2"}]}', "u-2"),
        ("kling", '{"task_id": "842"}', "842"),
        ("higgsfield", '{"request_id": "h-1"}', "h-1"),
        ("openrouter", '{"data": {"id": "gen-1"}}', "gen-1"),
        ("luma", '{"id": "l-1"}', "l-1"),
        ("runway", '{"id": "never"}', None),
        ("nobody", '{"id": "never"}', None),
    ],
)
def test_job_is_named_where_each_provider_names_it(provider: str, body: str, job_id: str | None) -> None:
    assert job_named(provider, body) == job_id


def test_address_is_only_for_providers_that_call_back() -> None:
    assert callback_url("https://bot.example/", "fal", TOKEN) == f"https://bot.example/callbacks/fal/{TOKEN}"
    assert callback_url(None, "fal", TOKEN) is None
    assert callback_url("https://bot.example", "runway", TOKEN) is None
    assert callback_url("https://bot.example", "openai", TOKEN) is None
    assert callback_url("https://bot.example", "nobody", TOKEN) is None
