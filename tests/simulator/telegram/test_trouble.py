"""Telegram's faults: flood waits, lost answers, conflicts; and flood control itself."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from aiogram.exceptions import TelegramNetworkError, TelegramRetryAfter

from simulator.faults.arming import FaultBox
from simulator.telegram.api.flood_limits import FloodControl
from tests.simulator.telegram.harness import TelegramHarness, open_bot_harness


async def test_flood_fault_returns_retry_after_and_does_not_run_the_call(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    await harness.trouble("flood", retry_after=7, method="sendmessage")
    assert await harness.poll() != []  # the fault stays armed for other methods
    with pytest.raises(TelegramRetryAfter) as refused:
        await harness.bot.send_message(ana, "hello")
    assert refused.value.retry_after == 7
    assert len(await harness.views(ana)) == 1
    call = (await harness.control("GET", "calls"))["calls"][-1]
    assert (call["fault"], call["error_code"], call["retry_after"]) == ("flood", 429, 7)
    assert (await harness.bot.send_message(ana, "hello")).text == "hello"


@pytest.mark.parametrize(
    ("kind", "is_done"),
    [("done_then_drop", True), ("half_answer", True), ("drop_before", False), ("hang", False)],
)
async def test_network_fault_is_raised_whether_or_not_the_message_was_sent(
    harness: TelegramHarness, kind: str, is_done: bool
) -> None:
    ana = await harness.friend()
    await harness.trouble(kind, method="sendMessage", seconds=0.1)
    with pytest.raises(TelegramNetworkError):
        await harness.bot.send_message(ana, "hello")
    assert len(await harness.views(ana)) == (2 if is_done else 1)


async def test_garbage_and_slow_faults_still_run_the_call(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    await harness.trouble("garbage", method="sendMessage")
    with pytest.raises(ValueError, match="Expecting value"):
        await harness.call("sendMessage", chat_id=ana, text="one")
    await harness.trouble("slow", method="sendMessage", seconds=0.3)
    began = time.monotonic()
    assert (await harness.call("sendMessage", chat_id=ana, text="two"))[0] == 200
    assert time.monotonic() - began >= 0.3
    assert [view["text"] for view in await harness.views(ana)] == ["/start", "one", "two"]


async def test_status_fault_sets_code_and_description_and_conflict_fault_hits_getupdates(
    harness: TelegramHarness,
) -> None:
    await harness.trouble("status", status=502, description="Bad Gateway", method="getMe")
    status, body = await harness.call("getMe")
    assert (status, body) == (502, {"ok": False, "error_code": 502, "description": "Bad Gateway"})
    await harness.trouble("conflict")
    assert (await harness.call("getMe"))[0] == 200
    status, body = await harness.call("getUpdates")
    assert (status, body["error_code"]) == (409, 409)
    assert (await harness.call("getUpdates"))[0] == 200


async def test_updates_lost_in_a_dropped_poll_are_delivered_again(harness: TelegramHarness) -> None:
    said = await harness.says(await harness.person(), "hello")
    await harness.trouble("done_then_drop", method="getUpdates")
    with pytest.raises(aiohttp.ClientError):
        await harness.poll()
    assert [update["update_id"] for update in await harness.poll()] == [said["update_id"]]


async def test_skip_and_times_count_only_calls_of_the_faults_method(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    await harness.trouble("flood", retry_after=1, method="sendMessage", skip=1, times=2)
    statuses = []
    for _ in range(4):
        assert (await harness.call("sendChatAction", chat_id=ana, action="typing"))[0] == 200
        statuses.append((await harness.call("sendMessage", chat_id=ana, text="x"))[0])
    assert statuses == [200, 429, 429, 200]


async def test_same_seed_draws_the_same_telegram_faults() -> None:
    outcomes = []
    for _ in range(2):
        async with open_bot_harness(seed=7, fault_rates={"telegram": 0.7}) as harness:
            await harness.friend()
            for _ in range(12):
                try:
                    await harness.call("getMe")
                except (aiohttp.ClientError, ValueError):
                    continue
            calls = (await harness.control("GET", "calls"))["calls"]
            outcomes.append([call.get("fault") for call in calls])
    assert outcomes[0] == outcomes[1]
    assert any(outcomes[0])


def test_drawn_fault_is_neither_returned_nor_counted_when_the_filter_rejects_it() -> None:
    box = FaultBox(3, {"telegram": 1.0})
    assert [box.next("telegram", lambda _: False) for _ in range(20)] == [None] * 20
    assert box.met == {}


async def _burst(harness: TelegramHarness, chat_id: int, calls: int) -> list[dict[str, Any]]:
    return [(await harness.call("sendMessage", chat_id=chat_id, text=f"{n}"))[1] for n in range(calls)]


async def test_chat_rate_limit_rejects_the_fourth_call_of_a_burst_until_retry_after() -> None:
    async with open_bot_harness(telegram_limits=True) as harness:
        ana, ben = await harness.friend("Ana"), await harness.friend("Ben")
        answers = await _burst(harness, ana, 4)
        assert [answer["ok"] for answer in answers] == [True, True, True, False]
        wait = answers[3]["parameters"]["retry_after"]
        assert answers[3]["description"] == f"Too Many Requests: retry after {wait}"
        action: dict[str, Any] = {"chat_id": ana, "action": "typing"}
        edit: dict[str, Any] = {"chat_id": ana, "message_id": 2, "text": "x"}
        assert (await harness.call("sendChatAction", **action))[0] == 429
        assert (await harness.call("editMessageText", **edit))[0] == 429
        assert (await harness.call("getMe"))[0] == 200
        assert (await harness.call("sendMessage", chat_id=ben, text="x"))[0] == 200
        await asyncio.sleep(wait)
        assert (await harness.call("editMessageText", **edit))[0] == 200


async def test_rate_limits_can_be_turned_on_and_off(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    assert all(answer["ok"] for answer in await _burst(harness, ana, 8))
    await harness.control("POST", "limits", enforce=True)
    assert [answer["ok"] for answer in await _burst(harness, ana, 4)][-1] is False
    await harness.control("POST", "limits", enforce=False)
    assert all(answer["ok"] for answer in await _burst(harness, ana, 4))


def test_flood_control_allows_20_per_minute_in_a_group_and_30_per_second_in_all() -> None:
    flood = FloodControl()
    assert [flood.retry_after(-5, now) for now in range(20)] == [None] * 20
    assert flood.retry_after(-5, 20.0) == 40
    assert flood.retry_after(-5, 60.0) is None
    assert [flood.retry_after(person, 100.0) for person in range(31)] == [None] * 30 + [1]
    assert flood.retry_after(30, 101.0) is None


@pytest.mark.parametrize("fault", [{"kind": "nonsense"}, {"kind": "flood", "times": 0}])
async def test_invalid_telegram_fault_is_rejected(harness: TelegramHarness, fault: dict[str, Any]) -> None:
    async with harness.http.post(f"{harness.root}/_sim/faults", json={"target": "telegram", **fault}) as answer:
        assert answer.status == 400


async def test_unlisted_bot_token_is_unauthorized_when_tokens_are_configured() -> None:
    async with open_bot_harness(telegram_tokens=frozenset({"42:stage"})) as harness:
        assert (await harness.call("getMe"))[0] == 200
        status, body = await harness.call("getMe", token="43:other")
        assert (status, body["description"]) == (401, "Unauthorized")
