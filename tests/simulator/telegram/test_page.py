"""The page and what it needs: assets, events, videos; and many people at once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiogram.types import BufferedInputFile

from simulator.__main__ import _parser, settings_from
from simulator.app import serve
from simulator.settings import Settings
from simulator.telegram.control.page import FOLDER
from tests.simulator.telegram.harness import TOKEN, TelegramHarness, keyboard

Heard = list[tuple[str, Any]]


@asynccontextmanager
async def _listening(harness: TelegramHarness) -> AsyncIterator[Heard]:
    """Events as a browser receives them."""
    heard: Heard = []
    async with harness.http.get(f"{harness.root}/_sim/telegram/events") as answer:
        assert answer.content_type == "text/event-stream"
        assert (await answer.content.readline()).startswith(b":")

        async def read() -> None:
            name = ""
            async for line in answer.content:
                if line.startswith(b"event: "):
                    name = line.decode().removeprefix("event: ").strip()
                elif line.startswith(b"data: "):
                    heard.append((name, json.loads(line.removeprefix(b"data: "))))

        task = asyncio.create_task(read())
        yield heard
        task.cancel()


async def _heard(heard: Heard, count: int) -> None:
    async with asyncio.timeout(60):
        while len(heard) < count:
            await asyncio.sleep(0.01)


async def test_event_stream_reports_sends_edits_deletes_actions_and_callback_answers(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    async with _listening(harness) as heard:
        _, sent = await harness.call("sendMessage", chat_id=ana, text="one", reply_markup=keyboard("Go"))
        number = sent["result"]["message_id"]
        tapped = await harness.taps(ana, number, button="Go")
        query_id = tapped["callback_query_id"]
        await harness.call("answerCallbackQuery", callback_query_id=query_id, text="yes")
        await harness.call("sendChatAction", chat_id=ana, action="upload_video")
        await harness.call("editMessageText", chat_id=ana, message_id=number, text="two")
        await harness.call("deleteMessage", chat_id=ana, message_id=number)
        await _heard(heard, 5)
    assert [name for name, _ in heard] == ["message", "answer", "action", "message", "message"]
    views = [data["view"] for name, data in heard if name == "message"]
    assert [(view["text"], view["edits"], view.get("deleted", False)) for view in views] == [
        ("one", 0, False),
        ("two", 1, False),
        ("two", 1, True),
    ]
    assert heard[1][1]["callback_query_id"] == query_id
    assert heard[2][1] == {"chat_id": ana, "action": "upload_video"}


async def test_event_stream_reports_new_book_totals_after_an_order(harness: TelegramHarness) -> None:
    async with _listening(harness) as heard:
        order = {"prompt": "a fox", "model": "sim-1", "seconds": "4", "size": "720x1280"}
        key = {"Authorization": "Bearer tests"}
        async with harness.http.post(f"{harness.root}/v1/videos", json=order, headers=key) as answer:
            assert answer.status == 200
        await _heard(heard, 1)
    [(name, totals)] = heard
    assert (name, totals["paid_calls"]) == ("books", 1)


async def test_uploaded_video_is_served_with_range_requests(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    film = bytes(range(250)) * 4
    await harness.bot.send_video(ana, BufferedInputFile(film, "fox.mp4"))
    url = harness.root + (await harness.views(ana))[-1]["video"]["url"]
    wanted = {"bytes=0-": (206, film), "bytes=10-19": (206, film[10:20]), "bytes=-5": (206, film[-5:])}
    for header, (status, body) in wanted.items():
        async with harness.http.get(url, headers={"Range": header}) as answer:
            assert (answer.status, await answer.read(), answer.content_type) == (status, body, "video/mp4")
            assert answer.headers["Content-Range"].endswith("/1000")
    async with harness.http.get(url) as answer:
        assert (answer.status, await answer.read(), answer.headers["Accept-Ranges"]) == (200, film, "bytes")
    for header in ("bytes=5000-", "nonsense"):
        async with harness.http.get(url, headers={"Range": header}) as answer:
            assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1000")
    async with harness.http.get(f"{harness.root}/_sim/telegram/files/none") as answer:
        assert answer.status == 404


async def test_chat_page_and_its_assets_are_served(harness: TelegramHarness) -> None:
    async with harness.http.get(harness.root, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/chat")
    async with harness.http.get(f"{harness.root}/chat") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    for path in FOLDER.glob("chat.*"):
        async with harness.http.get(f"{harness.root}/chat/{path.name}") as answer:
            assert (answer.status, await answer.read()) == (200, path.read_bytes())


@pytest.mark.parametrize("name", ["none.js", "index.html", "..%2Fapp.py", ".js"])
async def test_other_paths_under_chat_return_404(harness: TelegramHarness, name: str) -> None:
    async with harness.http.get(f"{harness.root}/chat/{name}", allow_redirects=False) as answer:
        assert answer.status == 404


async def test_two_hundred_chats_can_be_edited_concurrently(harness: TelegramHarness) -> None:
    people = [await harness.friend(f"person {number}") for number in range(200)]

    async def serve(person: int) -> None:
        _, sent = await harness.call("sendMessage", chat_id=person, text="queued", reply_markup=keyboard("Stop"))
        number = sent["result"]["message_id"]
        for step in range(3):
            status, _ = await harness.call("editMessageText", chat_id=person, message_id=number, text=f"step {step}")
            assert status == 200

    await asyncio.gather(*(serve(person) for person in people))
    assert [(await harness.views(person))[-1]["text"] for person in people[::50]] == ["step 2"] * 4


async def test_shutdown_does_not_wait_for_open_polls_or_event_streams() -> None:
    async with aiohttp.ClientSession() as http:

        async def poll(root: str) -> Any:
            async with http.get(f"{root}/bot{TOKEN}/getUpdates?timeout=50") as answer:
                return await answer.json()

        async with serve(settings=Settings(tiny_clips=True)) as running:
            hanging = asyncio.create_task(poll(running.root))
            page = await http.get(f"{running.root}/_sim/telegram/events")
            await asyncio.sleep(0.1)
            began = time.monotonic()
        assert (await hanging)["result"] == []
        assert time.monotonic() - began < 40  # the poll alone would take fifty seconds
        page.close()


async def test_event_listener_with_a_full_queue_is_disconnected(harness: TelegramHarness) -> None:
    queue = harness.telegram.listeners.join()
    for number in range(queue.maxsize + 1):
        harness.telegram.listeners.tell("action", {"number": number})
    assert queue.get_nowait() is None
    assert not harness.telegram.listeners


async def test_closed_event_stream_is_removed_from_the_listeners(harness: TelegramHarness) -> None:
    async with _listening(harness):
        assert harness.telegram.listeners
    async with aiohttp.ClientSession() as other, other.get(f"{harness.root}/_sim/telegram/events"):
        assert harness.telegram.listeners
    ana = await harness.friend()
    async with asyncio.timeout(60):
        while harness.telegram.listeners:
            await harness.call("sendChatAction", chat_id=ana, action="typing")
            await asyncio.sleep(0.02)


def test_command_line_flags_set_telegram_tokens_and_limits() -> None:
    flags = ["--telegram-limits", "--telegram-token", "1:abc", "--telegram-token", "2:def"]
    settings = settings_from(_parser().parse_args(flags))
    assert (settings.telegram_limits, settings.telegram_tokens) == (True, frozenset({"1:abc", "2:def"}))
    assert settings_from(_parser().parse_args([])).telegram_tokens is None
