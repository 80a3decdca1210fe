"""Polling: confirmation, redelivery, conflicts, and the real client's loop."""

import asyncio
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.exceptions import TelegramConflictError
from aiogram.types import Message as Arrived

from tests.simulator.stage import Stage, until


async def test_an_update_comes_until_it_is_confirmed(stage: Stage) -> None:
    ana = await stage.person()
    said = await stage.says(ana, "/create a fox")
    first, again = await stage.poll(), await stage.poll()
    assert first == again
    assert first[0]["update_id"] == said["update_id"]
    assert await stage.poll(offset=said["update_id"] + 1) == []
    [fate] = (await stage.control("GET", "updates"))["updates"]
    assert len(fate["handed_out"]) == 2
    assert fate["handed_out"][0] <= fate["handed_out"][1] <= fate["confirmed_at"]
    assert (fate["kind"], fate["chat_id"], fate["message_id"]) == ("message", ana, said["message_id"])


async def test_ids_rise_by_one_from_anywhere(stage: Stage) -> None:
    ana = await stage.person()
    ids = [(await stage.says(ana, f"word {number}"))["update_id"] for number in range(3)]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2]
    assert [update["update_id"] for update in await stage.poll(limit=2)] == ids[:2]


async def test_a_negative_offset_keeps_the_newest_and_forgets_the_rest(stage: Stage) -> None:
    ana = await stage.person()
    ids = [(await stage.says(ana, f"word {number}"))["update_id"] for number in range(5)]
    assert [update["update_id"] for update in await stage.poll(offset=-2)] == ids[3:]
    assert [update["update_id"] for update in await stage.poll()] == ids[3:]


async def test_an_offset_of_another_life_confirms_nothing(stage: Stage) -> None:
    said = await stage.says(await stage.person(), "hello")
    assert len(await stage.poll(offset=said["update_id"] + 1_000)) == 1


async def test_a_hanging_poll_wakes_when_somebody_writes(stage: Stage) -> None:
    ana = await stage.person()
    poll = asyncio.create_task(stage.poll(seconds=50))
    await stage.until_a_poll_waits()
    await stage.says(ana, "hello")
    async with asyncio.timeout(40):
        [update] = await poll
    assert update["message"]["text"] == "hello"


async def test_of_two_polls_the_older_one_gets_the_conflict(stage: Stage) -> None:
    ana = await stage.person()
    older = asyncio.create_task(stage.bot.get_updates(timeout=20))
    await stage.until_a_poll_waits()
    newer = asyncio.create_task(stage.poll(seconds=20))
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
        await older
    await stage.says(ana, "hello")
    assert len(await newer) == 1


async def test_what_nobody_was_there_to_take_comes_to_the_next_reader(stage: Stage) -> None:
    ana = await stage.person()
    poll = asyncio.create_task(stage.poll(seconds=20))
    await stage.until_a_poll_waits()
    poll.cancel()
    await asyncio.sleep(0.5)  # the server hears that the line was cut
    said = await stage.says(ana, "hello")
    [fate] = (await stage.control("GET", "updates"))["updates"]
    assert fate["handed_out"] == []
    assert (await stage.poll())[0]["update_id"] == said["update_id"]


async def test_kinds_that_a_bot_does_not_want_are_not_kept(stage: Stage) -> None:
    ana = await stage.person()
    await stage.poll(allowed_updates=["edited_message"])
    said = await stage.says(ana, "hello")
    assert said["update_id"] is None
    edited = await stage.control("POST", "edits", chat_id=ana, message_id=said["message_id"], text="bye")
    [update] = await stage.poll()
    assert (update["update_id"], update["edited_message"]["text"]) == (edited["update_id"], "bye")
    await stage.poll(allowed_updates=[])
    assert (await stage.says(ana, "again"))["update_id"] is not None


async def test_a_confirmed_update_can_come_once_more(stage: Stage) -> None:
    ana = await stage.person()
    old = (await stage.says(ana, "old"))["update_id"]
    new = (await stage.says(ana, "new"))["update_id"]
    await stage.poll()
    await stage.poll(offset=new + 1)
    poll = asyncio.create_task(stage.poll(offset=new + 1, seconds=20))
    await stage.until_a_poll_waits()
    await stage.control("POST", "redeliver", update_id=old)
    assert [update["update_id"] for update in await poll] == [old]
    assert await stage.poll(offset=old + 1) == []


async def test_redelivery_of_what_still_waits_comes_after_it_was_confirmed(stage: Stage) -> None:
    number = (await stage.says(await stage.person(), "hello"))["update_id"]
    await stage.control("POST", "redeliver", update_id=number)
    assert [update["update_id"] for update in await stage.poll()] == [number]
    assert [update["update_id"] for update in await stage.poll(offset=number + 1)] == [number]
    assert await stage.poll(offset=number + 1) == []


async def test_a_lost_confirmation_brings_the_same_updates_again(stage: Stage) -> None:
    number = (await stage.says(await stage.person(), "hello"))["update_id"]
    await stage.trouble("forget_offset")
    await stage.poll()  # confirms nothing, so it leaves the trouble where it is
    assert [update["update_id"] for update in await stage.poll(offset=number + 1)] == [number]
    assert await stage.poll(offset=number + 1) == []


async def test_what_people_wrote_waits_for_the_first_bot(stage: Stage) -> None:
    ana = await stage.person()
    await stage.says(ana, "is anybody here?")
    _, body = await stage.call("getUpdates", token="77:somebody")
    assert [update["message"]["text"] for update in body["result"]] == ["is anybody here?"]
    _, body = await stage.call("getUpdates", token="78:somebody")
    assert body["result"] == []
    assert (await stage.call("getMe", token="78:somebody"))[1]["result"]["id"] == 78
    assert (await stage.says(ana, "and you?", bot=78))["update_id"] is not None
    assert len((await stage.call("getUpdates", token="78:somebody"))[1]["result"]) == 1


@pytest.mark.parametrize("token", ["nonsense", "12:ab", "12:white space"])
async def test_what_is_no_token_is_not_found(stage: Stage, token: str) -> None:
    status, body = await stage.call("getMe", token=token)
    assert (status, body) == (404, {"ok": False, "error_code": 404, "description": "Not Found"})


async def test_the_real_client_polls_confirms_and_meets_a_redelivery(stage: Stage) -> None:
    ana = await stage.person()
    heard: list[int] = []
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def hear(message: Arrived) -> None:
        heard.append(message.message_id)
        await message.answer("heard")

    polling: dict[str, Any] = {"handle_signals": False, "handle_as_tasks": False, "close_bot_session": False}
    loop = asyncio.create_task(dispatcher.start_polling(stage.bot, polling_timeout=5, **polling))
    said = await stage.says(ana, "one")

    async def confirmed() -> bool:
        fates = (await stage.control("GET", "updates"))["updates"]
        return bool(fates) and all(fate["confirmed_at"] for fate in fates)

    await until(confirmed)
    await stage.control("POST", "redeliver", update_id=said["update_id"])
    await stage.says(ana, "two")

    async def all_heard() -> bool:
        return len(heard) == 3

    await until(all_heard)
    await dispatcher.stop_polling()
    await loop
    assert sorted(heard) == [1, 1, 3]
