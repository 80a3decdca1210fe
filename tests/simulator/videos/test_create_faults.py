"""Faults on create: what the client sees, and what the books record regardless."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.simulator.conftest import FOX, Open, Provider

SOON = aiohttp.ClientTimeout(total=1)


async def _fails(provider: Provider, **how: Any) -> type[BaseException]:
    with pytest.raises((aiohttp.ClientError, TimeoutError, ValueError)) as caught:
        await provider.ask("POST", "/v1/videos", json=FOX, **how)
    return caught.type


async def _paid(provider: Provider) -> int:
    return int((await provider.books())["totals"]["paid_calls"])


async def test_made_then_drop_resets_the_connection_after_the_job_is_in_the_books(provider: Provider) -> None:
    await provider.trouble("create", "made_then_drop")
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await provider.buy()
    books = await provider.books()
    assert (books["totals"]["paid_calls"], books["creates"][0]["outcome_sent"]) == (1, "made_then_drop")


async def test_drop_before_resets_the_connection_and_creates_no_job(provider: Provider) -> None:
    await provider.trouble("create", "drop_before")
    assert issubclass(await _fails(provider), aiohttp.ClientConnectionError)
    totals = (await provider.books())["totals"]
    assert (totals["creates"], totals["paid_calls"]) == (1, 0)


async def test_made_then_timeout_creates_the_job_and_never_responds(provider: Provider) -> None:
    await provider.trouble("create", "made_then_timeout")
    assert issubclass(await _fails(provider, timeout=SOON), TimeoutError)
    assert await _paid(provider) == 1


async def test_timeout_before_with_seconds_ends_in_a_connection_error(provider: Provider) -> None:
    await provider.trouble("create", "timeout_before", seconds=0.1)
    assert issubclass(await _fails(provider), aiohttp.ClientConnectionError)
    assert await _paid(provider) == 0


async def test_made_late_creates_the_job_after_the_client_timed_out(provider: Provider) -> None:
    await provider.trouble("create", "made_late", after=5)
    assert issubclass(await _fails(provider, timeout=SOON), TimeoutError)
    assert await _paid(provider) == 0
    async with asyncio.timeout(60):
        while await _paid(provider) == 0:
            await asyncio.sleep(0.1)
    assert await _paid(provider) == 1


async def test_half_answer_ends_in_the_middle_of_the_body(provider: Provider) -> None:
    await provider.trouble("create", "half_answer")
    assert issubclass(await _fails(provider), aiohttp.ClientPayloadError)
    assert await _paid(provider) == 1


async def test_garbage_json_response_cannot_be_parsed_though_the_job_is_paid(provider: Provider) -> None:
    await provider.trouble("create", "garbage_json")
    assert issubclass(await _fails(provider), ValueError)
    assert await _paid(provider) == 1


async def test_id_missing_fault_returns_a_paid_job_without_an_id(provider: Provider) -> None:
    await provider.trouble("create", "id_missing")
    status, answer = await provider.buy()
    assert (status, "id" in answer) == (200, False)
    assert await _paid(provider) == 1


@pytest.mark.parametrize("made", [True, False])
async def test_error_body_fault_returns_200_with_or_without_a_paid_job(provider: Provider, made: bool) -> None:
    await provider.trouble("create", "error_body", made=made)
    status, answer = await provider.buy()
    assert (status, "error" in answer, await _paid(provider)) == (200, True, int(made))


@pytest.mark.parametrize(("status", "made"), [(500, True), (500, False), (429, True), (429, False), (409, True)])
async def test_status_fault_can_create_a_job_or_not(provider: Provider, status: int, made: bool) -> None:
    await provider.trouble("create", "status", status=status, made=made, retry_after=3)
    seen, answer, headers = await provider.raw("POST", "/v1/videos", json=FOX)
    assert (seen, headers["Retry-After"], "error" in answer) == (status, "3", True)
    assert await _paid(provider) == int(made)


async def test_status_fault_can_set_the_response_body(provider: Provider) -> None:
    await provider.trouble("create", "status", status=502, body="<html>bad gateway</html>")
    assert await provider.ask("POST", "/v1/videos", json=FOX) == (502, b"<html>bad gateway</html>")


async def test_slow_faults_delay_a_complete_response(provider: Provider) -> None:
    loop = asyncio.get_running_loop()
    for kind in ("slow_headers", "slow"):
        await provider.trouble("create", kind, seconds=0.2)
        began = loop.time()
        status, video = await provider.buy()
        assert (status, video["prompt"]) == (200, FOX["prompt"])
        assert loop.time() - began >= 0.2
    assert await _paid(provider) == 2


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_redirect_fault_sets_the_location_and_can_skip_creating_the_job(provider: Provider, status: int) -> None:
    await provider.trouble("create", "redirect", status=status)
    seen, _, headers = await provider.raw("POST", "/v1/videos", json=FOX)
    assert (seen, headers["Location"], await _paid(provider)) == (status, "/v1/videos", 1)
    await provider.trouble("create", "redirect", status=status, location="http://127.0.0.1:9/v1/videos", made=False)
    _, _, headers = await provider.raw("POST", "/v1/videos", json=FOX)
    assert (headers["Location"], await _paid(provider)) == ("http://127.0.0.1:9/v1/videos", 1)


async def test_fault_applies_after_skip_requests_and_for_times_requests(provider: Provider) -> None:
    await provider.trouble("create", "status", status=503, skip=1, times=2)
    assert [(await provider.buy())[0] for _ in range(4)] == [200, 503, 503, 200]


async def test_always_fault_applies_until_it_is_cleared(provider: Provider) -> None:
    await provider.trouble("create", "status", status=503, always=True)
    assert [(await provider.buy())[0] for _ in range(3)] == [503, 503, 503]
    _, shown = await provider.ask("GET", "/_sim/faults")
    assert (shown["met"], len(shown["armed"])) == ({"create:status": 3}, 1)
    await provider.ask("DELETE", "/_sim/faults")
    assert (await provider.buy())[0] == 200


async def test_rejected_order_does_not_consume_a_fault(provider: Provider) -> None:
    await provider.trouble("create", "status", status=503)
    assert [(await provider.buy(seconds="5"))[0], (await provider.buy())[0]] == [400, 503]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"target": "create", "kind": "nonsense"}, "made_then_drop"),
        ({"target": "nobody", "kind": "status"}, "retrieve"),
        ({"target": "create", "kind": "status", "times": 0}, "at least 1"),
        ({"rates": {"create": 2}}, "between 0 and 1"),
    ],
)
async def test_invalid_fault_is_rejected_with_the_allowed_values(
    provider: Provider, fault: dict[str, object], words: str
) -> None:
    status, answer = await provider.ask("POST", "/_sim/faults", json=fault)
    assert status == 400
    assert words in answer["error"]["message"]


async def _story(open_provider: Open, seed: int) -> list[str]:
    async with open_provider(seed=seed, fault_rates={"create": 0.5}, hang_seconds=0.02) as provider:
        for _ in range(25):
            try:
                await provider.buy()
            except (aiohttp.ClientError, ValueError, LookupError):  # LookupError: an unknown charset
                continue
        return [entry["outcome_sent"] for entry in (await provider.books())["creates"]]


async def test_same_seed_gives_the_same_outcomes_and_another_seed_differs(open_provider: Open) -> None:
    first = await _story(open_provider, 7)
    assert first == await _story(open_provider, 7)
    assert first != await _story(open_provider, 8)
    assert 5 < first.count("created") < 20


async def test_fault_seed_can_be_set_at_runtime(provider: Provider) -> None:
    outcomes = []
    for _ in range(2):
        await provider.ask("POST", "/_sim/faults", json={"seed": 3, "rates": {"chat": 0.0, "list": 0.6}})
        outcomes.append([provider.context.faults.next("list") for _ in range(20)])
    assert outcomes[0] == outcomes[1]
    assert any(outcomes[0])


async def test_armed_faults_do_not_change_the_seeded_draws(open_provider: Open) -> None:
    async with open_provider(seed=5, fault_rates={"retrieve": 0.5}) as plain:
        drawn = [plain.context.faults.next("retrieve") for _ in range(12)]
    async with open_provider(seed=5, fault_rates={"retrieve": 0.5}) as armed:
        await armed.trouble("retrieve", "hang", times=4)
        met = [armed.context.faults.next("retrieve") for _ in range(12)]
    assert met[4:] == drawn[4:]
