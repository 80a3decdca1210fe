"""What is asked about before it is ordered, even for users who want no question: all that may not be meant as it is."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram.methods import AnswerCallbackQuery
from aiogram.types import (
    Chat,
    Contact,
    ExternalReplyInfo,
    ForumTopicCreated,
    LinkPreviewOptions,
    Location,
    Message,
    MessageEntity,
    MessageOriginHiddenUser,
    Story,
    TextQuote,
    Video,
)

from bot.callback_data import Act, RunTap
from pipeline.ledger.records import State
from pipeline.ledger.users import Customers
from tests.bot.harness import BotHarness
from tests.bot.recording import ME
from tests.bot.requests.test_run_taps import alerts, asked_for_another_text, bought
from tests.support.fixtures import Simulator

NOW = datetime(2026, 11, 30, tzinfo=UTC)
GROUP = -100
VIDEO = Video(file_id="f", file_unique_id="u", width=1, height=1, duration=1)
LINK = MessageEntity(type="text_link", offset=0, length=4, url="https://example.com/cat.jpg")


async def asks_nothing(harness: BotHarness, user: str = "tg:1") -> None:
    await Customers(harness.context.ledger.rpc).set_preference(user, "confirm", "never")


def other(**content: Any) -> Message:
    """A message that another one may answer."""
    chat = Chat(id=GROUP, type="supergroup")
    return Message(message_id=7, date=NOW, chat=chat, **content)


async def say(harness: BotHarness, text: str, **more: Any) -> None:
    await harness.feed(message=harness.message(text).model_copy(update=more))


OFFERED: dict[str, dict[str, Any]] = {
    "plain words": {},
    "about our video": {"reply_to_message": other(from_user=ME, video=VIDEO, caption="A boat")},
    "with an address under them": {"entities": [LINK]},
}


@pytest.mark.parametrize("kind", OFFERED)
async def test_plain_text_request_needs_confirmation_even_if_the_user_turned_it_off(
    harness: BotHarness, simulator: Simulator, kind: str
) -> None:
    await asks_nothing(harness)
    await say(harness, "this, but with a tin boat", **OFFERED[kind])
    await harness.tap("Yes, make it")
    run = await harness.until_state(State.APPROVED, State.RENDERING, State.DELIVERED)
    assert run.needs_confirmation
    await harness.until_said("Nothing is charged until you tap Create")
    assert simulator.creates() == 0
    assert len(harness.session.of(AnswerCallbackQuery)) == 1
    assert any("cannot see the video you replied to" in text for text in harness.texts()) == (kind == "about our video")


async def test_example_request_needs_confirmation_even_if_the_user_turned_it_off(
    harness: BotHarness, simulator: Simulator
) -> None:
    await asks_nothing(harness)
    await harness.say("/start")
    await harness.tap("Baking cat")
    assert (await harness.until_state(State.APPROVED, State.RENDERING, State.DELIVERED)).needs_confirmation
    assert simulator.creates() == 0


UNUSED: dict[str, dict[str, Any]] = {
    "an answer to words": {"reply_to_message": other(text="a red dragon over a lake")},
    "an answer to a place": {"reply_to_message": other(location=Location(latitude=1, longitude=1))},
    "an answer to a contact": {"reply_to_message": other(contact=Contact(phone_number="1", first_name="x"))},
    "an answer to words of ours": {"reply_to_message": other(from_user=ME, text="Here it is, below.")},
    "a quote": {"quote": TextQuote(text="a red dragon", position=0)},
    "an answer to another chat": {
        "external_reply": ExternalReplyInfo(origin=MessageOriginHiddenUser(date=NOW, sender_user_name="x"))
    },
    "an answer to a story": {"reply_to_story": Story(chat=Chat(id=5, type="private"), id=1)},
    "a link that is only shown": {"link_preview_options": LinkPreviewOptions(url="https://example.com/cat.jpg")},
}


@pytest.mark.parametrize("kind", UNUSED)
async def test_create_that_refers_to_other_content_gets_a_note_and_needs_confirmation(
    harness: BotHarness, simulator: Simulator, kind: str
) -> None:
    await asks_nothing(harness)
    await say(harness, "/create this, but in the snow", **UNUSED[kind])
    await harness.until_said("made from your words alone. Nothing is ordered until you tap Create.")
    run = await harness.until_state(State.APPROVED, State.RENDERING, State.DELIVERED)
    assert (run.needs_confirmation, simulator.creates()) == (True, 0)


async def test_request_in_a_topic_is_not_treated_as_a_reply(harness: BotHarness) -> None:
    """In Telegram every message in a topic answers the one that began the topic."""
    await asks_nothing(harness)
    began = other(forum_topic_created=ForumTopicCreated(name="boats", icon_color=1))
    more = {"reply_to_message": began, "is_topic_message": True, "message_thread_id": 7}
    await harness.feed(message=harness.message("/create a tin boat", chat=GROUP).model_copy(update=more))
    await harness.until_state(State.DELIVERED)
    assert not any("from your words alone" in text for text in harness.texts())


@pytest.mark.parametrize(("chat", "replies"), [(1, True), (1, False), (GROUP, True)])
async def test_create_as_the_answer_to_the_edit_question_replaces_the_draft(
    harness: BotHarness, chat: int, *, replies: bool
) -> None:
    asked = await asked_for_another_text(harness, chat)
    await harness.say("/create a wooden boat in the snow", chat=chat, reply_to=asked if replies else None)
    run = await harness.until_state(State.APPROVED, number=1)
    assert (run.prompt, run.needs_confirmation) == ("a wooden boat in the snow", True)
    assert (await harness.runs())[0].reason == "edited"
    assert not any("from your words alone" in text for text in harness.texts())


async def test_second_tap_on_again_shows_what_the_new_run_is_waiting_for(harness: BotHarness) -> None:
    run, video = await bought(harness)
    await harness.operators.set_limit("cooldown_seconds", 0, "test")
    await harness.press(RunTap(ref=run.ref, act=Act.AGAIN, arg="1").pack(), video)
    again = await harness.until_state(State.APPROVED, number=1)
    await harness.press(RunTap(ref=run.ref, act=Act.AGAIN, arg="1").pack(), video)
    assert alerts(harness)[-1] == f"You have already asked for this: {again.ref} (waiting for a tap on Create)."
