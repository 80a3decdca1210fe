"""What people write, in private and in groups; and what is refused, with nothing charged."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram.enums import ContentType
from aiogram.methods import SendMessage
from aiogram.types import (
    Chat,
    Contact,
    Dice,
    ExternalReplyInfo,
    Game,
    Location,
    Message,
    MessageAutoDeleteTimerChanged,
    MessageEntity,
    MessageOriginHiddenUser,
    PhotoSize,
    Poll,
    Story,
    Venue,
    VideoNote,
)

from bot.requests.contents import MEDIA, SERVICE
from pipeline.ledger.records import State
from tests.bot.harness import BotHarness, labels
from tests.bot.recording import ME
from tests.support.fixtures import Simulator

NOW = datetime(2026, 11, 30, tzinfo=UTC)
GROUP = -1001
TIMER = MessageAutoDeleteTimerChanged(message_auto_delete_time=86_400)
PHOTO = PhotoSize(file_id="f", file_unique_id="u", width=1, height=1)


async def test_create_without_text_offers_examples_and_a_double_tap_on_one_makes_one_run(harness: BotHarness) -> None:
    await harness.say("/create")
    offered = await harness.until_said("tap an example")
    assert len(labels(offered)) == 3
    await harness.tap("Baking cat")
    await harness.tap("Baking cat")
    assert "kneads bread" in (await harness.only_run()).prompt


async def test_plain_text_becomes_a_request_only_after_yes(harness: BotHarness) -> None:
    said = await harness.say("a paper boat in the rain")
    await harness.until_said("Make this a video?")
    assert await harness.runs() == ()
    await harness.tap("Yes, make it")
    run = await harness.only_run()
    assert run.request_key.endswith(f":{said.message_id}")
    await harness.until_said(f"OK, I am working on {run.ref}.")


async def test_plain_text_answered_with_no_makes_no_run(harness: BotHarness) -> None:
    await harness.say("hello there")
    await harness.until_said("Make this a video?")
    await harness.tap("No")
    await harness.until_said("Nothing was made, nothing was charged.")
    assert await harness.runs() == ()


EDITED: dict[str, tuple[int, dict[str, Any], bool]] = {
    "a request in a group": (GROUP, {"text": "/create a paper boat"}, True),
    "a mention": (GROUP, {"text": "@onetake_bot a boat"}, True),
    "a mention below a picture": (GROUP, {"caption": "@OneTake_bot a boat", "photo": [PHOTO]}, True),
    "an answer to our question": (GROUP, {"text": "a boat", "reply_to_message": "the question"}, True),
    "talk in a group": (GROUP, {"text": "a paper boat"}, False),
    "a picture in a group": (GROUP, {"photo": [PHOTO]}, False),
    "words": (1, {"text": "a tin boat"}, True),
    "a request": (1, {"text": "/create a tin boat"}, True),
    "an unknown command": (1, {"text": "/craete a tin boat"}, True),
    "a known command": (1, {"text": "/status"}, True),
    "a picture": (1, {"photo": [PHOTO]}, True),
    "a place that moves": (1, {"location": Location(latitude=1, longitude=1, live_period=60)}, False),
}


@pytest.mark.parametrize("kind", EDITED)
async def test_edited_message_is_answered_if_addressed_to_the_bot_but_makes_no_request(
    harness: BotHarness, kind: str
) -> None:
    chat, content, answered = EDITED[kind]
    if "reply_to_message" in content:
        question = harness.message("✏️ A7K2QX: write", chat=chat).model_copy(update={"from_user": ME})
        content = content | {"reply_to_message": question}
    await harness.feed(
        edited_message=harness.message("", chat=chat, edit_date=1).model_copy(update={"text": None, **content})
    )
    assert sum("this edit changes nothing" in text for text in harness.texts()) == answered
    assert len(harness.texts()) == answered
    assert await harness.runs() == ()


async def test_edited_message_is_not_taken_as_the_answer_to_the_edit_question(harness: BotHarness) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_state(State.APPROVED)
    await harness.until(lambda: any("Create ·" in label for label in labels(harness.shown()[-1])))
    await harness.tap("Edit")
    await harness.until_said("reply to this message with what the video should show instead")
    await harness.feed(edited_message=harness.message("a tin boat", edit_date=1))
    await harness.until_said("this edit changes nothing and costs nothing")
    await harness.say("a boat of glass")
    assert (await harness.until_state(State.APPROVED, number=1)).prompt == "a boat of glass"


async def test_command_or_mention_in_a_group_is_a_request_of_its_sender(harness: BotHarness) -> None:
    await harness.say("a paper boat in the rain", chat=GROUP)
    assert harness.texts() == []
    asked = await harness.say("/create a paper boat in the rain", user=1, chat=GROUP)
    await harness.say("@onetake_bot a wooden boat in the snow", user=2, chat=GROUP)
    await harness.until(lambda: len(harness.shown()) == 2)
    first, second = await harness.runs()
    assert (first.user_id, second.user_id, second.prompt) == ("tg:1", "tg:2", "a wooden boat in the snow")
    replies = [call.reply_parameters.message_id for call in harness.session.of(SendMessage)]
    assert asked.message_id in replies


async def test_anonymous_group_sender_gets_an_explanation_and_no_run(harness: BotHarness) -> None:
    await harness.say("/create a boat", chat=GROUP, sender_chat=Chat(id=GROUP, type="supergroup"))
    await harness.until_said("cannot tell who is asking")
    assert await harness.runs() == ()


async def test_language_is_taken_from_the_users_app(harness: BotHarness) -> None:
    await harness.say("/create un barco de papel bajo la lluvia", language="es-MX")
    card = await harness.until_said("Crear")
    assert any("Crear" in label for label in labels(card))


REFUSALS = {
    "blocked": "cannot order videos here",
    "not_invited": "only invited people",
    "paused": "Ordering is paused: repairs",
    "daily_limit": "all your videos for today",
    "canceled_drafts": "canceled too many drafts today, or let them expire. You can order again in ",
    "budget_exhausted": "daily budget",
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_each_refusal_gives_the_reason_and_that_nothing_was_charged(harness: BotHarness, kind: str) -> None:
    operators = harness.operators
    match kind:
        case "blocked":
            await operators.block("tg:1", None, "test")
        case "not_invited":
            await operators.set_limit("rollout", "allowlist", "test")
        case "paused":
            await operators.pause("repairs", "test")
        case "daily_limit":
            await operators.set_limit("videos_per_user_day", 0, "test")
        case "canceled_drafts":
            await operators.set_limit("canceled_per_user_day", 0, "test")
        case "budget_exhausted":
            await operators.set_limit("budget_day_microusd", 1000, "test")
    await harness.say("/create a paper boat in the rain")
    said = await harness.until_said(REFUSALS[kind])
    assert (said.text or "").endswith("Nothing was charged.")
    assert await harness.runs() == ()


async def test_duplicate_request_and_second_request_while_busy_are_refused(
    harness: BotHarness, simulator: Simulator
) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_state(State.APPROVED)
    await harness.say("/create a paper  BOAT in the rain")
    await harness.until_said("waiting for you to tap Create on its card")
    await harness.say("/create something else")
    await harness.until_said("waiting for you to tap Create on its card, in the chat where you asked for it")
    assert simulator.creates() == 0
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    await harness.tap("Create")
    await harness.until_state(State.RENDERING)
    await harness.say("/create a paper boat in the rain")
    duplicate = await harness.until_said("It was not ordered again")
    assert "is still in progress" in (duplicate.text or "") and "Again" not in (duplicate.text or "")
    await harness.say("/create something else")
    busy = await harness.until_said("is not finished yet")
    assert "/cancel" not in (busy.text or ""), "it was ordered, so it cannot be canceled"
    assert simulator.creates() == 1


async def test_prompt_over_4000_characters_is_refused_and_makes_no_run(harness: BotHarness) -> None:
    await harness.say("/create " + "x" * 4090)
    await harness.until_said("more than 4000 characters")
    assert await harness.runs() == ()


async def test_create_as_a_picture_caption_gets_a_note_and_needs_confirmation(
    harness: BotHarness, simulator: Simulator
) -> None:
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    words = {"text": None, "caption": "/create this cat in the sea", "photo": [PHOTO]}
    await harness.feed(message=harness.message("").model_copy(update=words))
    await harness.until_said("made from your words alone")
    run = await harness.until_state(State.APPROVED)
    await harness.until(lambda: any("Create ·" in label for label in labels(harness.shown()[-1])))
    assert (run.prompt, run.needs_confirmation, run.confirmed_at) == ("this cat in the sea", True, None)
    assert simulator.creates() == 0


async def test_unknown_commands_are_answered(harness: BotHarness) -> None:
    await harness.say("/frobnicate")
    await harness.until_said("do not know this command")


SENT: dict[str, Any] = {
    "photo": [PHOTO],
    "video_note": VideoNote(file_id="f", file_unique_id="u", length=1, duration=1),
    "location": Location(latitude=1, longitude=1),
    "venue": Venue(location=Location(latitude=1, longitude=1), title="t", address="a"),
    "contact": Contact(phone_number="1", first_name="x"),
    "dice": Dice(emoji="d", value=1),
    "story": Story(chat=Chat(id=5, type="private"), id=1),
    "poll": Poll(
        id="1",
        question="q",
        options=[],
        total_voter_count=0,
        is_closed=False,
        is_anonymous=True,
        type="regular",
        allows_multiple_answers=False,
        allows_revoting=False,
        members_only=False,
    ),
    "game": Game(title="t", description="d", photo=[PHOTO]),
    "of a later client": None,
}


@pytest.mark.parametrize("kind", SENT)
async def test_content_without_text_is_answered_whatever_its_kind(harness: BotHarness, kind: str) -> None:
    more = {} if SENT[kind] is None else {kind: SENT[kind]}
    await harness.feed(message=harness.message("").model_copy(update={"text": None, **more}))
    await harness.until_said("can only read text")
    assert await harness.runs() == ()


async def test_service_message_is_not_answered(harness: BotHarness) -> None:
    pinned = {"text": None, "message_auto_delete_timer_changed": TIMER}
    await harness.feed(message=harness.message("").model_copy(update=pinned))
    assert harness.texts() == []


def test_service_content_types_exist_and_exclude_what_users_send() -> None:
    assert set(ContentType) >= SERVICE
    assert not SERVICE & {*SENT, *MEDIA, "text", "unknown", "any", "paid_media", "checklist", "gift"}


def picture(harness: BotHarness, user: int = 1, chat: int | None = None, **more: Any) -> Message:
    return harness.message("", user, chat=chat).model_copy(update={"text": None, "photo": [PHOTO], **more})


async def test_create_with_a_text_link_needs_confirmation(harness: BotHarness, simulator: Simulator) -> None:
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    link = MessageEntity(type="text_link", offset=8, length=8, url="https://example.com/cat.jpg")
    await harness.feed(message=harness.message("/create this cat in the sea").model_copy(update={"entities": [link]}))
    await harness.until_said("made from your words alone")
    run = await harness.until_state(State.APPROVED)
    assert (run.needs_confirmation, simulator.creates()) == (True, 0)


async def test_reply_to_our_own_video_is_not_treated_as_a_users_picture(harness: BotHarness) -> None:
    me = await harness.bot.me()
    ours = picture(harness, chat=GROUP).model_copy(update={"from_user": me})
    said = harness.message(f"@{me.username} the same with three boats", chat=GROUP)
    await harness.feed(message=said.model_copy(update={"reply_to_message": ours}))
    await harness.until_said("I cannot see the video you replied to")
    assert (await harness.until_state(State.APPROVED)).needs_confirmation


async def test_in_a_group_only_messages_addressed_to_the_bot_are_answered(harness: BotHarness) -> None:
    me = await harness.bot.me()
    await harness.say(f"/frobnicate@{me.username} please", chat=GROUP)
    await harness.until_said("I do not know this command")
    told = len(harness.texts())
    await harness.say("/create a paper boat in the rain", chat=GROUP)
    card = await harness.until_said("the video I'll make")
    await harness.say("very nice, thank you", chat=GROUP, reply_to=card)
    assert len(harness.texts()) == told + 1, "no word on talk about a card"


@pytest.mark.parametrize("how", ["reply", "quote"])
async def test_create_replying_to_or_quoting_a_picture_gets_a_note_and_needs_confirmation(
    harness: BotHarness, simulator: Simulator, how: str
) -> None:
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    shown = picture(harness)
    elsewhere = ExternalReplyInfo(origin=MessageOriginHiddenUser(date=NOW, sender_user_name="x"), photo=[PHOTO])
    about = {"reply_to_message": shown} if how == "reply" else {"external_reply": elsewhere}
    await harness.feed(message=harness.message("/create this cat in the sea").model_copy(update=about))
    await harness.until_said("made from your words alone")
    run = await harness.until_state(State.APPROVED)
    assert (run.prompt, run.needs_confirmation, simulator.creates()) == ("this cat in the sea", True, 0)


async def test_plain_text_replying_to_a_picture_gets_a_note_and_a_question(harness: BotHarness) -> None:
    await harness.feed(
        message=harness.message("this in the sea").model_copy(update={"reply_to_message": picture(harness)})
    )
    await harness.until_said("made from your words alone")
    await harness.until_said("Make this a video?")
    assert await harness.runs() == ()


async def test_picture_with_a_mention_in_a_group_gets_a_note_and_needs_confirmation(
    harness: BotHarness, simulator: Simulator
) -> None:
    await harness.feed(message=picture(harness, chat=GROUP, caption="look"))
    assert harness.texts() == [], "it was not said to us"
    await harness.feed(message=picture(harness, chat=GROUP, caption="@onetake_bot this cat in the sea"))
    await harness.until_said("made from your words alone")
    run = await harness.until_state(State.APPROVED)
    assert (run.prompt, run.needs_confirmation, simulator.creates()) == ("this cat in the sea", True, 0)


@pytest.mark.parametrize("chat", [1, GROUP], ids=["private", "group"])
async def test_picture_as_the_answer_to_the_edit_question_is_answered(harness: BotHarness, chat: int) -> None:
    await harness.say("/create a paper boat in the rain", chat=chat)
    await harness.until_state(State.APPROVED)
    await harness.until(lambda: any("Create ·" in label for label in labels(harness.shown()[-1])))
    await harness.tap("Edit")
    asked = await harness.until_said("reply to this message with what the video should show instead")
    await harness.feed(message=picture(harness, chat=chat, reply_to_message=asked))
    await harness.until_said("can only read text")
    assert (await harness.only_run()).state is State.APPROVED
    await harness.feed(message=picture(harness, chat=chat, reply_to_message=asked, caption="a tin boat"))
    await harness.until_said("made from your words alone")
    run = await harness.until_state(State.APPROVED, number=1)
    assert (run.prompt, run.needs_confirmation) == ("a tin boat", True)


async def test_album_is_answered_once_and_its_caption_is_the_request(harness: BotHarness) -> None:
    for number in range(3):
        caption = "/create a tin boat" if number == 2 else None
        await harness.feed(message=picture(harness, caption=caption, media_group_id="7"))
    await harness.until_said("made from your words alone")
    assert sum("can only read text" in text for text in harness.texts()) == 1
    await harness.feed(message=picture(harness, media_group_id="8"))
    await harness.until(lambda: sum("can only read text" in text for text in harness.texts()) == 2)
