"""Polling: confirmation, redelivery, conflicts, and the real client's loop."""

import asyncio
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.exceptions import TelegramConflictError
from aiogram.types import Message as Arrived

from tests.simulator.telegram.harness import TelegramHarness, until


async def test_update_is_returned_until_it_is_confirmed(harness: TelegramHarness) -> None:
    ana = await harness.person()
    said = await harness.says(ana, "/create a fox")
    first, again = await harness.poll(), await harness.poll()
    assert first == again
    assert first[0]["update_id"] == said["update_id"]
    assert await harness.poll(offset=said["update_id"] + 1) == []
    [fate] = (await harness.control("GET", "updates"))["updates"]
    assert len(fate["handed_out"]) == 2
    assert fate["handed_out"][0] <= fate["handed_out"][1] <= fate["confirmed_at"]
    assert (fate["kind"], fate["chat_id"], fate["message_id"]) == ("message", ana, said["message_id"])


async def test_update_ids_increase_by_one(harness: TelegramHarness) -> None:
    ana = await harness.person()
    ids = [(await harness.says(ana, f"word {number}"))["update_id"] for number in range(3)]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2]
    assert [update["update_id"] for update in await harness.poll(limit=2)] == ids[:2]


async def test_negative_offset_keeps_the_newest_updates_and_drops_the_rest(harness: TelegramHarness) -> None:
    ana = await harness.person()
    ids = [(await harness.says(ana, f"word {number}"))["update_id"] for number in range(5)]
    assert [update["update_id"] for update in await harness.poll(offset=-2)] == ids[3:]
    assert [update["update_id"] for update in await harness.poll()] == ids[3:]


async def test_offset_far_beyond_the_last_update_confirms_nothing(harness: TelegramHarness) -> None:
    said = await harness.says(await harness.person(), "hello")
    assert len(await harness.poll(offset=said["update_id"] + 1_000)) == 1


async def test_long_poll_returns_when_a_message_arrives(harness: TelegramHarness) -> None:
    ana = await harness.person()
    poll = asyncio.create_task(harness.poll(seconds=50))
    await harness.until_a_poll_waits()
    await harness.says(ana, "hello")
    async with asyncio.timeout(40):
        [update] = await poll
    assert update["message"]["text"] == "hello"


async def test_second_poll_ends_the_first_with_a_conflict(harness: TelegramHarness) -> None:
    ana = await harness.person()
    older = asyncio.create_task(harness.bot.get_updates(timeout=20))
    await harness.until_a_poll_waits()
    newer = asyncio.create_task(harness.poll(seconds=20))
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
        await older
    await harness.says(ana, "hello")
    assert len(await newer) == 1


async def test_update_after_a_canceled_poll_goes_to_the_next_poll(harness: TelegramHarness) -> None:
    ana = await harness.person()
    poll = asyncio.create_task(harness.poll(seconds=20))
    await harness.until_a_poll_waits()
    poll.cancel()
    await asyncio.sleep(0.5)  # time for the server to notice the disconnect
    said = await harness.says(ana, "hello")
    [fate] = (await harness.control("GET", "updates"))["updates"]
    assert fate["handed_out"] == []
    assert (await harness.poll())[0]["update_id"] == said["update_id"]


async def test_updates_outside_allowed_updates_are_dropped(harness: TelegramHarness) -> None:
    ana = await harness.person()
    await harness.poll(allowed_updates=["edited_message"])
    said = await harness.says(ana, "hello")
    assert said["update_id"] is None
    edited = await harness.control("POST", "edits", chat_id=ana, message_id=said["message_id"], text="bye")
    [update] = await harness.poll()
    assert (update["update_id"], update["edited_message"]["text"]) == (edited["update_id"], "bye")
    await harness.poll(allowed_updates=[])
    assert (await harness.says(ana, "again"))["update_id"] is not None


async def test_redeliver_returns_a_confirmed_update_once_more(harness: TelegramHarness) -> None:
    ana = await harness.person()
    old = (await harness.says(ana, "old"))["update_id"]
    new = (await harness.says(ana, "new"))["update_id"]
    await harness.poll()
    await harness.poll(offset=new + 1)
    poll = asyncio.create_task(harness.poll(offset=new + 1, seconds=20))
    await harness.until_a_poll_waits()
    await harness.control("POST", "redeliver", update_id=old)
    assert [update["update_id"] for update in await poll] == [old]
    assert await harness.poll(offset=old + 1) == []


async def test_redeliver_of_a_pending_update_repeats_it_after_confirmation(harness: TelegramHarness) -> None:
    number = (await harness.says(await harness.person(), "hello"))["update_id"]
    await harness.control("POST", "redeliver", update_id=number)
    assert [update["update_id"] for update in await harness.poll()] == [number]
    assert [update["update_id"] for update in await harness.poll(offset=number + 1)] == [number]
    assert await harness.poll(offset=number + 1) == []


async def test_forget_offset_fault_returns_confirmed_updates_again(harness: TelegramHarness) -> None:
    number = (await harness.says(await harness.person(), "hello"))["update_id"]
    await harness.trouble("forget_offset")
    await harness.poll()  # confirms nothing, so the fault stays armed
    assert [update["update_id"] for update in await harness.poll(offset=number + 1)] == [number]
    assert await harness.poll(offset=number + 1) == []


async def test_messages_sent_before_any_bot_polls_go_to_the_first_bot_only(harness: TelegramHarness) -> None:
    ana = await harness.person()
    await harness.says(ana, "is anybody here?")
    _, body = await harness.call("getUpdates", token="77:somebody")
    assert [update["message"]["text"] for update in body["result"]] == ["is anybody here?"]
    _, body = await harness.call("getUpdates", token="78:somebody")
    assert body["result"] == []
    assert (await harness.call("getMe", token="78:somebody"))[1]["result"]["id"] == 78
    assert (await harness.says(ana, "and you?", bot=78))["update_id"] is not None
    assert len((await harness.call("getUpdates", token="78:somebody"))[1]["result"]) == 1


@pytest.mark.parametrize("token", ["nonsense", "12:ab", "12:white space"])
async def test_malformed_bot_token_returns_404(harness: TelegramHarness, token: str) -> None:
    status, body = await harness.call("getMe", token=token)
    assert (status, body) == (404, {"ok": False, "error_code": 404, "description": "Not Found"})


async def test_aiogram_polling_confirms_updates_and_handles_a_redelivery(harness: TelegramHarness) -> None:
    ana = await harness.person()
    heard: list[int] = []
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def hear(message: Arrived) -> None:
        heard.append(message.message_id)
        await message.answer("heard")

    polling: dict[str, Any] = {"handle_signals": False, "handle_as_tasks": False, "close_bot_session": False}
    loop = asyncio.create_task(dispatcher.start_polling(harness.bot, polling_timeout=5, **polling))
    said = await harness.says(ana, "one")

    async def confirmed() -> bool:
        fates = (await harness.control("GET", "updates"))["updates"]
        return bool(fates) and all(fate["confirmed_at"] for fate in fates)

    await until(confirmed)
    await harness.control("POST", "redeliver", update_id=said["update_id"])
    await harness.says(ana, "two")

    async def all_heard() -> bool:
        return len(heard) == 3

    await until(all_heard)
    await dispatcher.stop_polling()
    await loop
    assert sorted(heard) == [1, 1, 3]
