"""Telling: at least once, by one at a time, and never the end of a run."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
)
from aiogram.methods import EditMessageText, SendDocument, SendMessage, SendVideo
from aiogram.types import Chat, Document, FSInputFile, Message

from bot.delivery.address import Address, address_of
from bot.delivery.delivery import file_of
from bot.delivery.progress_cards import LOOK_SECONDS
from bot.transport import rate_limiter
from pipeline.clips import render
from pipeline.context import RunContext
from pipeline.ledger.alerts import Alerts
from pipeline.ledger.records import Run, State
from pipeline.ledger.users import Customers
from tests.bot.harness import BotHarness
from tests.media.builders import moov, mp4, webm
from tests.support.fixtures import Simulator

ANY = SendMessage(chat_id=1, text="x")


async def saved(harness: BotHarness, prompt: str = "a paper boat in the rain") -> Run:
    await harness.say(f"/create {prompt}")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    return await harness.until_state(State.SAVED, State.DELIVERED)


async def test_concurrent_deliveries_send_one_video(harness: BotHarness) -> None:
    harness.session.meets(SendVideo, TelegramRetryAfter(ANY, "slow", 1))
    run = await saved(harness)
    fresh = await harness.context.ledger.load(run.run_id)
    assert fresh is not None
    await asyncio.gather(*(harness.bot_app.delivery.tell(fresh) for _ in range(4)))
    await harness.until_state(State.DELIVERED)
    assert len(harness.session.of(SendVideo)) <= 2, "the one that was refused, and one more"


async def test_delivery_waits_out_a_flood_wait_in_full(harness: BotHarness) -> None:
    harness.session.meets(SendVideo, TelegramRetryAfter(ANY, "slow", 2))
    run = await saved(harness)
    delivered = await harness.until_state(State.DELIVERED)
    assert run.saved_at is not None
    assert delivered.delivered_at is not None
    assert (delivered.delivered_at - run.saved_at).total_seconds() >= 2


async def test_sending_a_video_is_retried_after_a_network_error(harness: BotHarness, simulator: Simulator) -> None:
    harness.session.meets(SendVideo, TelegramNetworkError(ANY, "reset"))
    await saved(harness)
    await harness.until_state(State.DELIVERED)
    assert len(harness.session.of(SendVideo)) == 2
    assert simulator.creates() == 1


@pytest.mark.parametrize("word", ["/start", "/status", "hello again"])
async def test_user_who_blocked_the_bot_gets_the_video_on_their_next_message(harness: BotHarness, word: str) -> None:
    harness.session.meets(SendVideo, TelegramForbiddenError(ANY, "Forbidden: bot was blocked by the user"))
    await saved(harness)
    await harness.until(lambda: harness.session.of(SendVideo))

    async def told() -> bool:
        return (await harness.only_run()).told_state is State.SAVED

    await harness.until(told)
    await harness.say(word)
    await harness.until_state(State.DELIVERED)
    assert [message for message in harness.shown() if message.video]


async def test_video_too_large_for_telegram_is_kept_and_its_user_notified(harness: BotHarness) -> None:
    harness.session.meets(SendVideo, TelegramEntityTooLarge(ANY, "Request Entity Too Large"))
    run = await saved(harness)
    await harness.until_said("could not send it")
    assert run.file is not None
    assert Path(run.file).exists()
    assert (await harness.only_run()).state is State.SAVED
    await harness.say("/status")
    await harness.until_said_plainly("ready, but could not be delivered; see /videos")
    assert len(harness.session.of(SendVideo)) == 1, "it would not fit this time either"


async def test_deleted_card_is_not_sent_again_and_the_video_still_arrives(
    harness: BotHarness, simulator: Simulator
) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    gone = TelegramBadRequest(ANY, "Bad Request: message to edit not found")
    harness.session.meets(EditMessageText, *[gone] * 20)
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED)
    assert len(harness.session.of(SendMessage)) == 1, "no new card for an edit that failed"
    assert [message for message in harness.shown() if message.video]


async def test_rendering_card_shows_the_hold_even_when_the_rate_limit_only_allows_answers(
    harness: BotHarness, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a chat that has no calls left for news: it goes out as an answer."""
    monkeypatch.setattr(rate_limiter, "MINUTE", 1e9)
    monkeypatch.setattr(rate_limiter, "PRIVATE", rate_limiter.Share(answer=30, change=1, tick=1))
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    await Customers(harness.context.ledger.rpc).set_preference("tg:1", "confirm", "never")
    await harness.say("/create a paper boat in the rain")
    await harness.until_state(State.RENDERING)
    await harness.until_said("$0.80 is set aside")
    assert not any("Nothing is charged yet" in text for text in harness.texts())


async def test_card_is_refreshed_once_more_after_a_worker_leaves_its_run(
    harness: BotHarness, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parked at the end of a turn, or left by a turn that broke: it is in no other state, so nobody tells it."""
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    await Customers(harness.context.ledger.rpc).set_preference("tg:1", "confirm", "never")

    async def parked_and_broken(run: Run, caption: asyncio.Task[Run], context: RunContext) -> Run:
        await caption
        await asyncio.sleep(2 * LOOK_SECONDS)  # the card has been looked at, and says that it is being made
        await context.ledger.park(run.run_id, "render_deadline", run.read_at + timedelta(hours=1))
        raise RuntimeError("whatever it is")

    monkeypatch.setattr(render, "wait_and_save", parked_and_broken)
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("This is taking far longer than it should")


async def test_card_shows_ready_later_when_the_rate_limit_blocked_the_update(
    harness: BotHarness, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    await Customers(harness.context.ledger.rpc).set_preference("tg:1", "confirm", "never")
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("Rendering")
    await harness.until(lambda: not harness.bot_app.cards._touched)
    monkeypatch.setattr(rate_limiter, "MINUTE", 1e9)
    monkeypatch.setattr(rate_limiter, "PRIVATE", rate_limiter.Share(answer=30, change=1, tick=1))
    harness.session.meets(SendVideo, TelegramBadRequest(ANY, "Bad Request: something new"))
    simulator.control("POST", "/_sim/speed", {"speed": "instant"})
    await harness.until(lambda: harness.session.of(SendVideo))
    monkeypatch.undo()
    await harness.until_said("Ready; uploading it now")


@pytest.mark.parametrize(
    "odd", ["templates = '[]'", "audience = audience - 'message_id'"], ids=["unreadable", "no_address"]
)
async def test_card_that_cannot_be_built_does_not_block_other_cards(
    harness: BotHarness, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    for user in (1, 2):
        await harness.say("/create a paper boat in the rain", user=user)
        await harness.until_state(State.APPROVED, number=user - 1)
    await harness.until(lambda: sum("the video I'll make" in text for text in harness.texts()) == 2)
    bad, good = await harness.runs()
    with psycopg.connect(harness.dsn, autocommit=True) as connection:
        connection.execute(f"update onetake.runs set {odd} where run_id = %s".encode(), (bad.run_id,))
    harness.session.meets(EditMessageText, TelegramRetryAfter(ANY, "slow", 1))  # it must be tried once more
    await harness.context.ledger.amend(good.run_id, 12, good.size, 1_200_000, {})
    for run in (bad, good):
        harness.bot_app.cards.touch(run.run_id)
    await harness.until_said("12 s, vertical")
    await harness.until(lambda: actions(caplog) & {"card_failed", "cards_failed", "run_unreadable"})
    assert "cards_failed" not in actions(caplog), "the round went on"


def actions(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {getattr(record, "action", "") for record in caplog.records}


async def test_card_of_a_run_in_doubt_shows_its_ref_and_the_hold(harness: BotHarness, simulator: Simulator) -> None:
    simulator.trouble("create", "made_then_drop")
    simulator.trouble("list", "status", status=500, always=True)
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    card = await harness.until_said("it will not be ordered twice")
    run = await harness.only_run()
    assert run.ref in (card.text or "")
    assert "$0.80 stays set aside" in (card.text or "")
    simulator.control("DELETE", "/_sim/faults")
    await harness.until_state(State.DELIVERED)
    assert simulator.creates() == 1


@pytest.mark.parametrize(
    "words", ["BUTTON_DATA_INVALID", "not enough rights to send text messages", "thread not found"]
)
async def test_video_is_delivered_even_if_its_card_cannot_be_edited(harness: BotHarness, words: str) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    harness.session.meets(EditMessageText, *[TelegramBadRequest(ANY, f"Bad Request: {words}")] * 300)
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED)


@pytest.mark.parametrize("error", ["not enough rights to send videos to the chat", "413"])
async def test_chat_that_cannot_receive_videos_gets_a_message_and_no_retry(harness: BotHarness, error: str) -> None:
    refused = TelegramEntityTooLarge(ANY, "x") if error == "413" else TelegramBadRequest(ANY, f"Bad Request: {error}")
    harness.session.meets(SendVideo, *[refused] * 50)
    await saved(harness)
    await harness.until_said("could not send it here")
    assert len(harness.session.of(SendVideo)) == 1


async def test_video_for_a_deleted_topic_is_sent_to_the_chat(harness: BotHarness) -> None:
    harness.session.meets(SendVideo, TelegramBadRequest(ANY, "Bad Request: message thread not found"))
    await harness.say("/create a paper boat in the rain", chat=-100, message_thread_id=7, is_topic_message=True)
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED)
    assert [call.message_thread_id for call in harness.session.of(SendVideo)] == [7, None]


async def test_video_for_a_migrated_group_is_sent_to_its_new_id(harness: BotHarness) -> None:
    await harness.say("/create a paper boat in the rain", chat=-100)
    await harness.until_said("the video I'll make")
    harness.session.meets(SendVideo, TelegramMigrateToChat(ANY, "upgraded", -100777))
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED)
    assert [call.chat_id for call in harness.session.of(SendVideo)] == [-100, -100777]


@pytest.mark.parametrize("words", ["wrong file identifier/HTTP URL specified", "VIDEO_CONTENT_TYPE_INVALID"])
async def test_video_is_uploaded_again_when_telegram_rejects_its_file_id(harness: BotHarness, words: str) -> None:
    await saved(harness)
    await harness.until_state(State.DELIVERED)
    harness.session.meets(SendVideo, TelegramBadRequest(ANY, f"Bad Request: {words}"))
    await harness.say("/videos")
    await harness.until_said("tap its number")
    await harness.tap("1")
    await harness.until(lambda: len(harness.session.of(SendVideo)) == 3)
    assert [isinstance(call.video, FSInputFile) for call in harness.session.of(SendVideo)] == [True, False, True]


async def test_video_delivery_backs_off_on_timeouts_and_gives_up_after_six_hours(harness: BotHarness) -> None:
    harness.session.meets(SendVideo, *[TelegramNetworkError(ANY, "HTTP Client says - Request timeout error")] * 50)
    run = await saved(harness)
    pauses = []
    for seconds in (0, 30, 3600):
        await _age(harness, run, seconds)
        await harness.bot_app.delivery.tell(await _fresh(harness, run))
        later = await _fresh(harness, run)
        assert isinstance(later.next_look_at, datetime)
        pauses.append((later.next_look_at - later.read_at).total_seconds())
    assert pauses == sorted(pauses), pauses
    assert pauses[0] < 30
    assert 200 < pauses[-1] < 301, "at least every five minutes"
    await _age(harness, run, 5 * 3600)
    await harness.bot_app.delivery.tell(await _fresh(harness, run))
    assert (await _fresh(harness, run)).told_state is None
    await _age(harness, run, 6 * 3600 + 60)
    await harness.bot_app.delivery.tell(await _fresh(harness, run))
    assert (await _fresh(harness, run)).told_state is State.SAVED
    await harness.until_said("could not send it here")


async def test_clip_missing_on_this_machine_stays_undelivered_and_alerts_the_operators(
    harness: BotHarness, simulator: Simulator
) -> None:
    harness.session.meets(SendVideo, TelegramBadRequest(ANY, "Bad Request: not now"))
    run = await saved(harness)
    await harness.until(lambda: harness.session.of(SendVideo))
    assert run.file is not None
    Path(run.file).rename(Path(run.file).with_suffix(".elsewhere"))
    simulator.trouble("content", "status", status=404, always=True)
    await _age(harness, run, 0)
    await harness.bot_app.delivery.tell(await _fresh(harness, run))
    fresh = await _fresh(harness, run)
    assert (fresh.state, fresh.told_state) == (State.SAVED, None)
    [alert] = await Alerts(harness.context.ledger.rpc).take()
    assert (alert.kind, alert.detail["why"]) == ("undelivered", f"FileNotFoundError: {run.file}"), "at once"
    Path(run.file).with_suffix(".elsewhere").rename(Path(run.file))
    await _age(harness, run, 0)
    await harness.bot_app.delivery.tell(await _fresh(harness, run))
    assert (await _fresh(harness, run)).state is State.DELIVERED


async def _fresh(harness: BotHarness, run: Run) -> Run:
    fresh = await harness.context.ledger.load(run.run_id)
    assert fresh is not None
    return fresh


async def _age(harness: BotHarness, run: Run, seconds: float) -> None:
    """Moves the save back by so many seconds, with no notification under way."""
    with psycopg.connect(harness.dsn, autocommit=True) as connection:
        connection.execute(
            "update onetake.runs set state_since = clock_timestamp() - make_interval(secs => %s),"
            " notifying_until = null, told_state = null, next_look_at = clock_timestamp() + interval '1 hour'"
            " where run_id = %s",
            (seconds, run.run_id),
        )


async def test_video_is_sent_with_the_size_and_length_of_its_file(harness: BotHarness, simulator: Simulator) -> None:
    simulator.control("POST", "/_sim/habits", {"shown": {"seconds": "4", "size": "1280x720"}})
    simulator.makes(mp4(index=moov(1280, 720, 4)))
    run = await saved(harness)
    await harness.until_state(State.DELIVERED)
    [video] = harness.session.of(SendVideo)
    assert (video.width, video.height, video.duration) == (1280, 720, 4)
    assert "The provider made 4 s at 1280x720 instead of 8 s at 720x1280." in video.caption
    assert video.video.filename == f"onetake-{run.ref}.mp4"


async def test_video_that_matches_its_order_has_no_size_note(harness: BotHarness) -> None:
    await saved(harness)
    await harness.until_state(State.DELIVERED)
    [video] = harness.session.of(SendVideo)
    assert (video.width, video.height, video.duration) == (720, 1280, 8)
    assert "The provider made" not in video.caption


async def test_clip_that_telegram_cannot_play_is_sent_as_a_document(harness: BotHarness, simulator: Simulator) -> None:
    simulator.makes(webm())
    run = await saved(harness)
    delivered = await harness.until_state(State.DELIVERED)
    [document] = harness.session.of(SendDocument)
    assert document.document.filename == f"onetake-{run.ref}.webm"
    assert run.caption is not None
    assert run.caption in document.caption
    assert document.reply_markup is not None
    assert harness.session.of(SendVideo) == []
    again = await harness.bot_app.delivery.send(delivered, address_of(delivered) or raised())
    assert again.document is not None
    assert harness.session.of(SendDocument)[1].document == delivered.audience["file_id"]


@pytest.mark.parametrize("told", ["", "a\x00b", "a b", "A" * 501])
def test_malformed_file_id_is_ignored(told: str) -> None:
    """The ledger cannot keep every text; without an id, the file itself is sent next time."""
    document = Document(file_id=told, file_unique_id="u")
    sent = Message(message_id=1, date=datetime.now(UTC), chat=Chat(id=1, type="private"), document=document)
    assert file_of(sent) is None


def raised() -> Address:
    raise AssertionError("it has an address")


async def test_document_too_large_for_telegram_is_kept_and_its_user_notified(
    harness: BotHarness, simulator: Simulator
) -> None:
    simulator.makes(webm())
    harness.session.meets(SendDocument, TelegramEntityTooLarge(ANY, "Request Entity Too Large"))
    run = await saved(harness)
    await harness.until_said("could not send it")
    assert run.file is not None
    assert Path(run.file).suffix == ".webm"
    assert Path(run.file).exists()
