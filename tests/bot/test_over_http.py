"""The bot and Telegram over real HTTP, polling and webhook: nothing lost, nothing bought twice, within the limits."""

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from aiogram import Bot
from aiogram.client.telegram import PRODUCTION
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramRetryAfter,
)
from aiogram.methods import GetUpdates, Response, SendVideo, TelegramMethod
from aiogram.types import Message

from bot.delivery.address import address_of
from bot.transport import webhook
from bot.transport.session import RefusedByPage, TelegramSession
from pipeline.ledger.alerts import Alerts
from pipeline.ledger.records import State
from tests.bot.chat import Intake, calls, hooked, open_house, person, polling
from tests.support.fixtures import Simulator
from tests.support.ports import free_port

VISIBLE = {"sendMessage", "sendVideo", "editMessageText", "editMessageReplyMarkup", "sendChatAction"}


@pytest.fixture(params=["polling", "webhook"])
def intake(request: pytest.FixtureRequest) -> Intake:
    return polling if request.param == "polling" else partial(hooked, port=free_port())


def pending(simulator: Simulator) -> list[dict[str, Any]]:
    found = simulator.control("GET", "/_sim/telegram/updates")["updates"]
    return [update for update in found if update["confirmed_at"] is None]


async def until_none_is_pending(simulator: Simulator) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(pending, simulator):
            await asyncio.sleep(0.1)


async def test_request_becomes_a_video_with_polling_and_with_a_webhook(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, intake: Intake
) -> None:
    ben = person(simulator)
    async with open_house(ledger_dsn, simulator, tmp_path, intake):
        await ben.create("a paper boat in the rain")
        await ben.until("Here it is")
        [video] = ben.videos()
        assert video["video"]["supports_streaming"]
        await until_none_is_pending(simulator)
    assert simulator.paid_calls() == 1


async def test_a_redelivered_update_and_double_taps_change_nothing(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, intake: Intake
) -> None:
    ben = person(simulator)
    async with open_house(ledger_dsn, simulator, tmp_path, intake) as house:
        sent = ben.say("/create a paper boat in the rain")
        card = await ben.until("Create ·")
        taps = [ben.tap("Create ·", card["message_id"]) for _ in range(3)]
        await ben.until("Here it is")
        for update_id in [sent["update_id"], *(tap["update_id"] for tap in taps)]:
            simulator.control("POST", "/_sim/telegram/redeliver", {"update_id": update_id})
        await asyncio.sleep(1)
        await until_none_is_pending(simulator)
        assert [run.state for run in await house.runs()] == [State.DELIVERED]
        assert len(ben.videos()) == 1
    assert simulator.creates() == 1


async def test_unconfirmed_batch_delivered_again_makes_one_run(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    ben = person(simulator)
    simulator.trouble("telegram", "forget_offset", method="getUpdates", times=2)
    async with open_house(ledger_dsn, simulator, tmp_path) as house:
        await ben.create("a paper boat in the rain")
        await ben.until("Here it is")
        assert len(await house.runs()) == 1
    assert simulator.creates() == 1


async def test_webhook_rejects_a_wrong_secret_and_health_check_needs_none(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    port = free_port()
    async with open_house(ledger_dsn, simulator, tmp_path, partial(hooked, port=port)), aiohttp.ClientSession() as web:
        update = {"update_id": 1, "message": {"message_id": 1}}
        for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "guess"}):
            async with web.post(f"http://127.0.0.1:{port}/telegram", json=update, headers=headers) as answer:
                assert answer.status == 401
        async with web.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200


async def test_wrong_secrets_are_throttled_logged_once_and_do_not_delay_updates(
    ledger_dsn: str,
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(webhook, "WRONG_SECRET_SECONDS", 3600.0)
    port, ben = free_port(), person(simulator)
    async with open_house(ledger_dsn, simulator, tmp_path, partial(hooked, port=port)), aiohttp.ClientSession() as web:

        async def guess(nth: int) -> int:
            headers = {"X-Telegram-Bot-Api-Secret-Token": f"guess-{nth}"}
            async with web.post(
                f"http://127.0.0.1:{port}/telegram", json={"update_id": nth}, headers=headers
            ) as answer:
                return answer.status

        guesses = [asyncio.create_task(guess(nth)) for nth in range(webhook.WRONG_AT_ONCE + 5)]
        async with asyncio.timeout(60):
            while sum(task.done() for task in guesses) < 5:
                await asyncio.sleep(0.05)
        assert [task.result() for task in guesses if task.done()] == [429] * 5
        await ben.create("a paper boat in the rain")
        await ben.until("Here it is")
        assert sum(task.done() for task in guesses) == 5, "the others still wait for their answer"
        for task in guesses:
            task.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)
    said = [record for record in caplog.records if getattr(record, "action", "") == "wrong_secret"]
    assert len(said) == 1


async def test_leftover_webhook_is_removed_without_loss_and_two_pollers_conflict(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    ben = person(simulator)
    port = free_port()
    async with open_house(ledger_dsn, simulator, tmp_path, partial(hooked, port=port)):
        pass
    ben.say("/create a paper boat in the rain")  # the webhook points to nobody
    async with open_house(ledger_dsn, simulator, tmp_path) as house:
        await ben.until("Create ·")
        with pytest.raises(TelegramConflictError):
            await asyncio.gather(*(house.bot_app.bot(GetUpdates(timeout=2)) for _ in range(2)))


async def test_stopping_the_poll_confirms_the_updates_it_received(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    ben = person(simulator)
    async with open_house(ledger_dsn, simulator, tmp_path):
        ben.say("/create a paper boat in the rain")
        await ben.until("Create ·")
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 20  # the long poll alone would take 25 seconds
    assert pending(simulator) == []


@pytest.fixture
def strict(simulator: Simulator) -> Simulator:
    """Telegram's flood control is on."""
    simulator.control("POST", "/_sim/telegram/limits", {"enforce": True})
    return simulator


async def test_two_hundred_users_at_once_each_get_their_card_within_the_limits(
    ledger_dsn: str, strict: Simulator, tmp_path: Path
) -> None:
    people = [person(strict, f"P{n}") for n in range(200)]
    async with open_house(ledger_dsn, strict, tmp_path) as house:
        await house.context.ledger.rpc("set_limit", {"key": "budget_day_microusd", "value": 10**12, "who": "test"})
        await house.context.ledger.rpc("set_limit", {"key": "budget_month_microusd", "value": 10**12, "who": "test"})
        await asyncio.to_thread(lambda: [each.say("/create a paper boat in the rain") for each in people])
        async with asyncio.timeout(300):
            while sum(call["method"] == "sendMessage" and bool(call["ok"]) for call in calls(strict)) < 200:
                await asyncio.sleep(0.5)
        assert len(await house.runs()) == 200
    assert [call for call in calls(strict) if call["error_code"] == 429] == []
    chats = Counter(call["chat_id"] for call in calls(strict) if call["method"] == "sendMessage")
    assert set(chats.values()) == {1}
    assert most_in(strict, seconds=1.0) <= 30


def most_in(simulator: Simulator, seconds: float) -> int:
    """The most visible calls within any such window."""
    times = [call["at"] for call in calls(simulator) if call["method"] in VISIBLE]
    return max((sum(1 for at in times if start <= at < start + seconds) for start in times), default=0)


async def test_unreadable_message_does_not_block_other_users(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    ben, ana = person(simulator), person(simulator, "Ana")
    simulator.trouble("telegram", "broken_update", times=1)
    ben.say("hello from a client of another age")
    ana.say("/create a kite over the sea")
    async with open_house(ledger_dsn, simulator, tmp_path, polling) as house:
        await ana.until("Create ·")
        await until_none_is_pending(simulator)
        assert house.bot_app.incoming.unreadable == 1


FAILS_ON_POISON = """
create function onetake.poisoned() returns trigger language plpgsql as $$ begin
  if new.prompt like '%poison%' then raise exception 'out of luck' using errcode = 'XX000'; end if;
  return new;
end $$;
create trigger poisoned before insert on onetake.runs for each row execute function onetake.poisoned();
"""


async def test_update_that_always_fails_in_the_database_is_skipped_counted_and_alerted(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, intake: Intake
) -> None:
    with psycopg.connect(ledger_dsn, autocommit=True) as database:
        database.execute(FAILS_ON_POISON)
    ben, ana = person(simulator), person(simulator, "Ana")
    async with open_house(ledger_dsn, simulator, tmp_path, intake) as house:
        ben.say("/create a bottle of poison")
        await ben.until("Something went wrong on our side")
        ana.say("/create a kite over the sea")
        await ana.until("Create ·")
        ben.say("/create a kite over the mountains")
        await ben.until("Create ·")
        await until_none_is_pending(simulator)
        assert house.bot_app.incoming.unreadable == 1
        alerts = await Alerts(house.context.ledger.rpc).take()
        assert [alert.kind for alert in alerts] == ["unreadable_update"]
        assert "the database failed on it" in alerts[0].detail["words"]


@pytest.mark.parametrize(
    "kind",
    ["undecodable", "animation", "no_result", "true_result", "list_result", "text_id", "charset", "cut_utf8"],
)
async def test_video_is_not_sent_again_after_an_ok_that_cannot_be_fully_read(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, kind: str
) -> None:
    """Telegram said ok. What it showed of the message could not be read, or is an animation with an id of its own."""
    ben = person(simulator)
    simulator.trouble("telegram", kind, method="sendVideo", times=1)
    async with open_house(ledger_dsn, simulator, tmp_path) as house:
        await ben.create("a paper boat in the rain")
        await ben.until("Here it is")
        [run] = await house.runs()
        async with asyncio.timeout(60):
            while run.state is not State.DELIVERED:
                await asyncio.sleep(0.1)
                [run] = await house.runs()
        assert sum(call["method"] == "sendVideo" for call in calls(simulator)) == 1
        # The id of an animation is no video's: when the video is asked for again, its file is sent, and its id kept.
        address = address_of(run)
        assert address is not None
        await house.bot_app.delivery.send_again(run, address)
        assert len(ben.videos()) == 2
        [run] = await house.runs()
        again = address_of(run)
        assert again is not None and again.file_id is not None
        before = sum(call["method"] == "sendVideo" for call in calls(simulator))
        await house.bot_app.delivery.send_again(run, again)
        assert sum(call["method"] == "sendVideo" for call in calls(simulator)) == before + 1, "not refused first"


@pytest.mark.parametrize("kind", ["no_result", "true_result", "list_result", "text_id"])
async def test_card_is_not_sent_again_after_an_ok_that_cannot_be_fully_read(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, kind: str
) -> None:
    ben = person(simulator)
    simulator.trouble("telegram", kind, method="sendMessage", times=1)
    async with open_house(ledger_dsn, simulator, tmp_path) as house:
        ben.say("/create a paper boat in the rain")
        async with asyncio.timeout(60):
            while not (runs := await house.runs()) or runs[0].state is not State.APPROVED:
                await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        assert [call["method"] for call in calls(simulator)].count("sendMessage") == 1


def check(method: TelegramMethod[Any], status: int, content: str) -> Response[Any]:
    session = TelegramSession(PRODUCTION)
    return session.check_response(Bot("4242:test", session=session), method, status, content)


VIDEO = SendVideo(chat_id=1, video="AAA")
SENT = '{"ok": true, "result": {"message_id": 7, "date": 1, "chat": {"id": 1, "type": "private"}}}'


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "content",
    [
        SENT + "\n<!-- x -->",
        "\ufeff" + SENT,
        SENT + SENT,
        SENT.replace('"date": 1', '"date": 1, "caption": "a\x01b"'),
        SENT[:30],
        SENT.replace('"date": 1', '"date": ' + "9" * 5000),
        '{"result": {"message_id": 7}, "ok": true}',
        SENT.replace('"message_id": 7', f'"message_id": "{"9" * 5000}"'),
        SENT.replace('"message_id": 7', f'"message_id": {10**30}'),
        SENT.replace('"message_id": 7', '"message_id": 7, "video": {"file_id": "\\ud800"}'),
        '{"ok": true, "result": ' + "[" * 3000 + "]" * 3000 + "}",
    ],
    ids=["comment", "mark", "twice", "control", "cut", "digits", "last", "text_id", "large_id", "surrogate", "deep"],
)
def test_answer_with_ok_counts_as_sent_even_if_the_rest_is_malformed(content: str, status: int) -> None:
    sent = check(VIDEO, status, content).result
    assert isinstance(sent, Message) and 0 <= sent.message_id < 2**53


@pytest.mark.parametrize(("asked", "kept"), [(-5, 5), (0, 5), (7, 7), (10**400, 3600)])
def test_flood_wait_out_of_range_is_clamped(asked: int, kept: int) -> None:
    with pytest.raises(TelegramRetryAfter) as raised:
        check(VIDEO, 429, f'{{"ok": false, "description": "Too Many", "parameters": {{"retry_after": {asked}}}}}')
    assert raised.value.retry_after == kept


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (200, '{"ok": false, "error_code": 400, "description": "Bad Request: wrong file id"}', TelegramBadRequest),
        (200, '{"ok": false, "error_code": 403, "description": "Forbidden: blocked"}', TelegramForbiddenError),
        (429, '{"ok": false, "error_code": 429, "description": "Too Many Requests"}', TelegramRetryAfter),
        (200, '{"ok": false, "error_code": 429, "description": "Too Many Requests"}', TelegramRetryAfter),
        (403, "<html>Forbidden</html>", RefusedByPage),
        (404, '{"message": "no route"}', RefusedByPage),
        (413, "<html>Too Large</html>", TelegramEntityTooLarge),
        (502, "<html>Bad Gateway</html>", ClientDecodeError),
        (502, '{"ok": false}', ClientDecodeError),
        (200, '{"ok": false}', TelegramAPIError),
    ],
)
def test_refusal_is_recognized_from_the_status_or_the_body(status: int, content: str, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        check(VIDEO, status, content)
    assert isinstance(raised.value, RefusedByPage) is (error is RefusedByPage)


async def test_delivery_gives_up_on_a_refusing_proxy_and_notifies_user_and_operators(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    ben = person(simulator)
    simulator.trouble("telegram", "html", method="sendVideo", status=403, always=True)
    async with open_house(ledger_dsn, simulator, tmp_path) as house:
        await ben.create("a paper boat in the rain")
        await ben.until("Ready; uploading it now")
        with psycopg.connect(ledger_dsn, autocommit=True) as database:  # it was so for half an hour
            database.execute(
                "update onetake.runs set state_since = state_since - interval '31 minutes',"
                " next_look_at = clock_timestamp(), notifying_until = null where state = 'saved'"
            )
        await ben.until("could not send it")
        alerts = await Alerts(house.context.ledger.rpc).take()
        [run] = await house.runs()
        assert [(alert.kind, alert.detail["ref"]) for alert in alerts] == [("undelivered", run.ref)]
        assert run.state is State.SAVED


async def test_proxy_page_with_status_413_ends_delivery_after_one_upload(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    ben = person(simulator)
    simulator.trouble("telegram", "html", method="sendVideo", status=413, always=True)
    async with open_house(ledger_dsn, simulator, tmp_path) as house:
        await ben.create("a paper boat in the rain")
        await ben.until("could not send it")
        [run] = await house.runs()
    assert run.state is State.SAVED
    assert sum(call["method"] == "sendVideo" for call in calls(simulator)) == 1
