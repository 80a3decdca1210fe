"""Webhooks: pushed in order per chat, repeated until 2xx, with the secret."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.methods import SendMessage
from aiogram.types import Message as Arrived
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from tests.simulator.telegram.harness import TelegramHarness, until

SECRET = "very-secret_1"


@dataclass
class Receiver:
    """A bot's own web server."""

    url: str = ""
    got: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], Awaitable[web.Response]] | None = None

    def texts(self, chat_id: int | None = None) -> list[str]:
        told = [update["message"] for _, update in self.got if "message" in update]
        return [each["text"] for each in told if chat_id in {None, each["chat"]["id"]}]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A server that accepts everything by default."""
    made = Receiver()

    async def take(request: web.Request) -> web.Response:
        update = await request.json()
        made.got.append((request.headers.get("X-Telegram-Bot-Api-Secret-Token"), update))
        return web.Response() if made.answer is None else await made.answer(update)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


async def _all_confirmed(harness: TelegramHarness) -> bool:
    return all(fate["confirmed_at"] for fate in (await harness.control("GET", "updates"))["updates"])


async def test_webhook_updates_carry_the_secret_and_are_retried_until_2xx(
    harness: TelegramHarness, receiver: Receiver
) -> None:
    moody = iter([500, 503, 204])

    async def answer(_: dict[str, Any]) -> web.Response:
        return web.Response(status=next(moody, 200))

    receiver.answer = answer
    ana = await harness.person()
    await harness.says(ana, "before")
    assert await harness.bot.set_webhook(receiver.url, secret_token=SECRET, max_connections=2)
    await harness.says(ana, "after")
    await until(lambda: _all_confirmed(harness))
    assert receiver.texts() == ["before", "before", "before", "after"]
    assert {secret for secret, _ in receiver.got} == {SECRET}
    [first, _] = (await harness.control("GET", "updates"))["updates"]
    pauses = [after - before for before, after in zip(first["handed_out"], first["handed_out"][1:], strict=False)]
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    info = await harness.bot.get_webhook_info()
    assert (info.url, info.pending_update_count, info.max_connections) == (receiver.url, 0, 2)
    assert info.last_error_message == "Wrong response from the webhook: 503 Service Unavailable"


async def test_failing_chat_keeps_its_update_order_and_does_not_block_other_chats(
    harness: TelegramHarness, receiver: Receiver
) -> None:
    ana, ben = await harness.person("Ana"), await harness.person("Ben")
    stuck = True

    async def answer(update: dict[str, Any]) -> web.Response:
        return web.Response(status=500 if stuck and update["message"]["chat"]["id"] == ana else 200)

    receiver.answer = answer
    await harness.bot.set_webhook(receiver.url)
    for text in ("one", "two"):
        await harness.says(ana, text)
        await harness.says(ben, text)

    async def ben_is_served() -> bool:
        return receiver.texts(ben) == ["one", "two"]

    await until(ben_is_served)
    assert set(receiver.texts(ana)) == {"one"}
    stuck = False
    await until(lambda: _all_confirmed(harness))
    assert receiver.texts(ana)[-2:] == ["one", "two"]


async def test_webhook_response_body_can_call_a_bot_method(harness: TelegramHarness, receiver: Receiver) -> None:
    async def answer(update: dict[str, Any]) -> web.Response:
        chat_id = update["message"]["chat"]["id"]
        return web.json_response({"method": "sendMessage", "chat_id": chat_id, "text": "by answer"})

    receiver.answer = answer
    ana = await harness.person()
    await harness.bot.set_webhook(receiver.url)
    await harness.says(ana, "hello")

    async def answered() -> bool:
        return [view["text"] for view in await harness.views(ana)] == ["hello", "by answer"]

    await until(answered)
    calls = (await harness.control("GET", "calls"))["calls"]
    assert [call["method"] for call in calls] == ["setWebhook", "sendMessage"]


async def test_aiogram_webhook_server_works_with_the_simulator(harness: TelegramHarness) -> None:
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def hear(message: Arrived) -> SendMessage:
        return message.answer(f"you said <b>{message.text}</b>", parse_mode="HTML")

    app = web.Application()
    SimpleRequestHandler(dispatcher, harness.bot, secret_token=SECRET, handle_in_background=False).register(
        app, "/hook"
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        ana = await harness.person()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        await harness.bot.set_webhook(url, secret_token=SECRET)
        await harness.says(ana, "hello")

        async def answered() -> bool:
            return [view["html"] for view in await harness.views(ana)][1:] == ["you said <b>hello</b>"]

        await until(answered)
    finally:
        await runner.cleanup()


async def test_polling_and_webhook_are_mutually_exclusive(harness: TelegramHarness, receiver: Receiver) -> None:
    hanging = asyncio.create_task(harness.call("getUpdates", timeout=20))
    await harness.until_a_poll_waits()
    await harness.bot.set_webhook(receiver.url)
    status, body = await hanging
    assert (status, body["description"]) == (409, "Conflict: terminated by setWebhook request")
    words = (
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
    )
    assert await harness.refused("getUpdates") == words
    await harness.bot.delete_webhook()
    assert await harness.poll() == []
    assert (await harness.bot.get_webhook_info()).url == ""


async def test_updates_the_webhook_rejected_are_returned_by_polling(
    harness: TelegramHarness, receiver: Receiver
) -> None:
    async def answer(_: dict[str, Any]) -> web.Response:
        return web.Response(status=500)

    receiver.answer = answer
    await harness.bot.set_webhook(receiver.url)
    said = await harness.says(await harness.person(), "hello")

    async def tried() -> bool:
        return bool(receiver.got)

    await until(tried)
    assert (await harness.bot.get_webhook_info()).pending_update_count == 1
    await harness.bot.delete_webhook()
    assert [update["update_id"] for update in await harness.poll()] == [said["update_id"]]
    await harness.bot.delete_webhook(drop_pending_updates=True)
    assert await harness.poll() == []


async def test_setting_the_same_webhook_again_sends_no_update_twice(
    harness: TelegramHarness, receiver: Receiver
) -> None:
    free = asyncio.Event()

    async def answer(_: dict[str, Any]) -> web.Response:
        await free.wait()
        return web.Response()

    receiver.answer = answer
    await harness.bot.set_webhook(receiver.url, secret_token=SECRET)
    await harness.says(await harness.person(), "hello")
    await harness.bot.set_webhook(receiver.url, secret_token=SECRET)
    free.set()
    await until(lambda: _all_confirmed(harness))
    assert receiver.texts() == ["hello"]


async def test_redeliver_pushes_a_confirmed_update_again(harness: TelegramHarness, receiver: Receiver) -> None:
    await harness.bot.set_webhook(receiver.url)
    said = await harness.says(await harness.person(), "hello")
    await until(lambda: _all_confirmed(harness))
    await harness.control("POST", "redeliver", update_id=said["update_id"])

    async def twice() -> bool:
        return receiver.texts() == ["hello", "hello"]

    await until(twice)


async def test_unreachable_webhook_sets_last_error_message(harness: TelegramHarness) -> None:
    await harness.bot.set_webhook("http://127.0.0.1:9/hook")
    await harness.says(await harness.person(), "hello")

    async def noted() -> bool:
        return "Connection failed" in ((await harness.bot.get_webhook_info()).last_error_message or "")

    await until(noted)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"url": "ftp://x.org/hook"}, "invalid webhook URL specified"),
        ({"url": "https://"}, "invalid webhook URL specified"),
        ({"url": "https://x.org:port/"}, "invalid webhook URL specified"),
        ({"url": "https://x.org/", "secret_token": "no spaces"}, "secret token contains unallowed characters"),
        ({"url": "https://x.org/", "secret_token": "x" * 257}, "secret token is too long"),
    ],
)
async def test_set_webhook_rejects_invalid_urls_and_secrets(
    harness: TelegramHarness, params: dict[str, str], words: str
) -> None:
    assert await harness.refused("setWebhook", **params) == f"Bad Request: {words}"
