"""The public address that providers call: whatever arrives there is a hint for one run, or nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import TestClient, TestServer

from pipeline.ledger.transports.common import Json, LedgerCall, LedgerUnavailable
from pipeline.ledger.transports.over_psycopg import open_transport
from tests.ledger.client import LedgerClient
from tests.web.site import Clock
from web.app import bare_app
from web.callbacks import BODY_BYTES_MAX, PER_SECOND_MAX, Callbacks

JOB = json.dumps({"request_id": "job-1", "id": "job-1", "task_id": "job-1"})


@dataclass(frozen=True)
class Door:
    """The route, the runs that it woke, and its clock."""

    client: "TestClient[Any, Any]"
    woken: list[UUID]
    clock: Clock

    async def call(self, path: str, body: str | bytes = JOB) -> int:
        """The status. Each call comes in a second of its own."""
        self.clock.now += 1
        async with self.client.post(f"/callbacks/{path}", data=body) as answer:
            return answer.status


@asynccontextmanager
async def door_to(rpc: LedgerCall) -> AsyncIterator[Door]:
    app, clock, woken = bare_app(), Clock(0.0), list[UUID]()

    async def wake(run_id: UUID) -> None:
        woken.append(run_id)

    Callbacks(rpc, wake, clock).add_to(app)
    async with TestClient(TestServer(app)) as client:
        yield Door(client, woken, clock)


@pytest.fixture
async def door(ledger_dsn: str) -> AsyncIterator[Door]:
    async with open_transport(ledger_dsn) as rpc, door_to(rpc) as opened:
        yield opened


@pytest.fixture
def token() -> str:
    return uuid4().hex


@pytest.fixture
def run_id(client: LedgerClient, token: str) -> str:
    return client.uncertain(callback_url=f"https://o.test/callbacks/fal/{token}")


def hint(client: LedgerClient, run_id: str) -> str | None:
    found: str | None = client.row(run_id)["callback_job_id"]
    return found


async def test_callback_leaves_its_job_as_a_hint_and_wakes_its_run(
    door: Door, client: LedgerClient, run_id: str, token: str
) -> None:
    assert await door.call(f"fal/{token}") == 204
    assert (hint(client, run_id), door.woken) == ("job-1", [UUID(run_id)])
    assert client.state(run_id) == "uncertain"


async def test_repeated_callback_only_wakes_its_run_again(
    door: Door, client: LedgerClient, run_id: str, token: str
) -> None:
    for _ in range(3):
        assert await door.call(f"fal/{token}") == 204
    assert (hint(client, run_id), len(door.woken)) == ("job-1", 3)
    assert client.events(run_id).count(("generate_video", "called_back")) == 1


@pytest.mark.parametrize(
    "guess",
    ["0" * 32, "f" * 31, "f" * 33, "%00" * 32, "%25" * 32, "é" * 32, "_" * 32, "..", "f" * 5000],
)
async def test_unknown_token_is_answered_like_a_known_one_and_reaches_no_run(
    door: Door, client: LedgerClient, run_id: str, guess: str
) -> None:
    before = client.row(run_id)
    assert await door.call(f"fal/{guess}") in {204, 400, 404}
    assert (client.row(run_id), door.woken) == (before, [])


async def test_answer_does_not_tell_a_known_token_from_an_unknown_one(door: Door, run_id: str, token: str) -> None:
    answers = []
    for each in (token, uuid4().hex, "short"):
        door.clock.now += 1
        async with door.client.post(f"/callbacks/fal/{each}", data=JOB) as answer:
            answers.append((answer.status, await answer.read(), sorted(answer.headers)))
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("provider", ["luma", "no-such-vendor", "%2e%2e", "fal%2ffal", "%00", "💥", "x" * 3000])
async def test_odd_provider_in_the_path_names_no_job_by_another_ones_rules(
    door: Door, client: LedgerClient, run_id: str, token: str, provider: str
) -> None:
    body = json.dumps({"request_id": "of-fal"})
    assert await door.call(f"{provider}/{token}", body) in {204, 400, 404}
    assert hint(client, run_id) is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        "null",
        '"job-1"',
        "{}",
        '{"request_id": null}',
        '{"request_id": {"a": 1}}',
        '{"request_id": ".."}',
        '{"request_id": ""}',
        '{"request_id": "a\\u0000b"}',
        '{"request_id": "\\ud800"}',
        '{"request_id": " job-1"}',
        '{"request_id": "job-1", "request_id": "job-2"}',
        json.dumps({"request_id": "j" * 501}),
        '{"request_id": 1' + "0" * 5000 + "}",
        "[" * 50_000,
        '{"a":' * 50_000,
        b"\xff\xfe\x00",
    ],
)
async def test_body_without_a_usable_job_wakes_the_run_and_names_none(
    door: Door, client: LedgerClient, run_id: str, token: str, body: str | bytes
) -> None:
    assert await door.call(f"fal/{token}", body) == 204
    assert (hint(client, run_id), door.woken) == (None, [UUID(run_id)])


async def test_giant_body_is_refused_and_leaves_no_hint(
    door: Door, client: LedgerClient, run_id: str, token: str
) -> None:
    whole = json.dumps({"request_id": "job-1"})
    assert await door.call(f"fal/{token}", whole + " " * (BODY_BYTES_MAX - len(whole))) == 204
    client.write("update onetake.runs set callback_job_id = null")
    assert await door.call(f"fal/{token}", whole + " " * (BODY_BYTES_MAX - len(whole) + 1)) == 413
    assert hint(client, run_id) is None


async def test_body_that_does_not_end_is_given_up(
    door: Door, client: LedgerClient, run_id: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.callbacks.BODY_SECONDS_MAX", 0.1)

    async def slow() -> AsyncIterator[bytes]:
        yield JOB[:5].encode()
        await asyncio.sleep(5)
        yield JOB[5:].encode()

    assert await door.call(f"fal/{token}", slow()) == 408  # type: ignore[arg-type]  # aiohttp takes a body in parts
    assert (hint(client, run_id), door.woken) == (None, [])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post_is_heard(door: Door, client: LedgerClient, run_id: str, token: str, method: str) -> None:
    async with door.client.request(method, f"/callbacks/fal/{token}", data=JOB) as answer:
        assert answer.status == 405
    assert (hint(client, run_id), door.woken) == (None, [])


async def test_more_than_twenty_calls_in_a_second_are_put_off(door: Door, run_id: str, token: str) -> None:
    async def at_once(times: int) -> list[int]:
        statuses = []
        for _ in range(times):
            async with door.client.post(f"/callbacks/fal/{token}", data=JOB) as answer:
                statuses.append(answer.status)
        return statuses

    assert await at_once(PER_SECOND_MAX + 2) == [204] * PER_SECOND_MAX + [429] * 2
    door.clock.now += 1
    assert await at_once(1) == [204]


async def test_ledger_that_does_not_answer_lets_the_provider_try_again(token: str) -> None:
    async def gone(name: str, args: Mapping[str, Json]) -> Json:
        raise LedgerUnavailable("gone")

    async with door_to(gone) as door:
        assert await door.call(f"fal/{token}") == 503
        assert door.woken == []


async def test_route_is_open_and_everything_beside_it_is_not_there(door: Door, token: str) -> None:
    for path in ("", f"/fal/{token}/more", "/fal"):
        async with door.client.post(f"/callbacks{path}", data=JOB) as answer:
            assert answer.status == 404
