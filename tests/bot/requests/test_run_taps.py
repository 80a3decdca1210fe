"""Buttons: whatever is tapped, how often and by whom, the ledger decides, and a tap does nothing twice."""

import asyncio
import re

import pytest
from aiogram.methods import AnswerCallbackQuery, SendMessage, SendVideo
from aiogram.types import CallbackQuery, CopyTextButton, ForceReply, Message

from bot.callback_data import Act, RunTap
from pipeline.ledger.records import Run, State
from tests.bot.harness import BotHarness, buttons, label_of, labels, person
from tests.support.fixtures import Simulator

GROUP = -100


async def bought(harness: BotHarness, prompt: str = "a paper boat in the rain", number: int = 0) -> tuple[Run, Message]:
    """A delivered video and its message."""
    await harness.say(f"/create {prompt}")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    run = await harness.until_state(State.DELIVERED, number=number)
    await harness.until_said("Here it is, below")
    return run, [message for message in harness.shown() if message.video][-1]


def alerts(harness: BotHarness) -> list[str]:
    return [call.text for call in harness.session.of(AnswerCallbackQuery) if call.text]


async def test_cancel_before_the_purchase_charges_nothing(harness: BotHarness, simulator: Simulator) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Cancel")
    await harness.until_said("Canceled. Nothing was charged.")
    assert (await harness.only_run()).released_microusd == 800_000
    assert simulator.creates() == 0


async def test_somebody_elses_button_does_nothing(harness: BotHarness) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create", user=2)
    assert "somebody else" in alerts(harness)[-1]
    assert (await harness.only_run()).confirmed_at is None


def question(harness: BotHarness) -> SendMessage:
    [asked] = [call for call in harness.session.of(SendMessage) if isinstance(call.reply_markup, ForceReply)]
    assert isinstance(asked, SendMessage)
    return asked


def opens_the_box_of(harness: BotHarness, user: int) -> bool:
    """Whether Telegram opens the reply box for this user: of a selective question, by whom it answers or names."""
    asked = question(harness)
    assert isinstance(asked.reply_markup, ForceReply)
    if not asked.reply_markup.selective or f"tg://user?id={user}" in asked.text:
        return True
    answers = harness.session.messages.get((asked.reply_parameters and asked.reply_parameters.message_id) or 0)
    return bool(answers and answers.from_user and answers.from_user.id == user)


async def asked_for_another_text(harness: BotHarness, chat: int = 1) -> Message:
    """A draft whose Edit was tapped; our question."""
    await harness.say("/create a paper boat in the rain", chat=chat)
    await harness.until_said("the video I'll make")
    await harness.tap("Edit")
    return await harness.until_said("reply to this message with what the video should show instead")


@pytest.mark.parametrize("chat", [1, GROUP], ids=["private", "group"])
async def test_edit_opens_a_reply_box_and_keeps_the_draft_until_the_new_text_arrives(
    harness: BotHarness, simulator: Simulator, chat: int
) -> None:
    asked = await asked_for_another_text(harness, chat)
    assert opens_the_box_of(harness, 1)
    assert "<code>a paper boat in the rain</code>" in question(harness).text
    await asyncio.sleep(0.3)
    assert (await harness.only_run()).state is State.APPROVED
    assert label_of(harness.now(await harness.until_said("the video I'll make")), "Create"), "it can still be ordered"
    answer = await harness.say("a wooden boat in the snow", chat=chat, reply_to=asked)
    run = await harness.until_state(State.APPROVED, number=1)
    assert (run.prompt, run.needs_confirmation) == ("a wooden boat in the snow", True)
    await harness.until_said("Replaced by your new prompt. Nothing was charged.")
    old, _ = await harness.runs()
    assert (old.state, old.reason, simulator.creates()) == (State.CANCELED, "edited", 0)
    await harness.feed(message=answer)
    assert len(await harness.runs()) == 2, "the same answer is the same run"


async def test_in_a_private_chat_only_the_next_message_after_edit_is_the_new_text(harness: BotHarness) -> None:
    await asked_for_another_text(harness)
    answer = await harness.say("a wooden boat in the snow")
    run = await harness.until_state(State.APPROVED, number=1)
    assert (run.prompt, run.needs_confirmation) == ("a wooden boat in the snow", True)
    assert (await harness.runs())[0].reason == "edited"
    await harness.feed(message=answer)  # again, as after an outage
    await harness.say("thanks")
    await harness.until_said("Make this a video?")
    assert len(await harness.runs()) == 2


async def test_text_sent_after_another_command_is_not_taken_as_the_new_text(harness: BotHarness) -> None:
    await asked_for_another_text(harness)
    await harness.say("/help")
    await harness.say("a wooden boat in the snow")
    await harness.until_said("Make this a video?")
    assert (await harness.only_run()).state is State.APPROVED


@pytest.mark.parametrize("trouble", ["too long", "paused"])
async def test_refused_new_text_leaves_the_draft_unchanged(harness: BotHarness, trouble: str) -> None:
    asked = await asked_for_another_text(harness)
    if trouble == "paused":
        await harness.operators.pause("repairs", "test")
    await harness.say("a boat" if trouble == "paused" else "x" * 4090, reply_to=asked)
    await harness.until_said("repairs" if trouble == "paused" else "more than 4000 characters")
    assert (await harness.only_run()).state is State.APPROVED


@pytest.mark.parametrize("limit", ["rejected_per_user_day", "budget_day_microusd"])
async def test_new_text_refused_by_a_limit_leaves_the_draft_orderable(harness: BotHarness, limit: str) -> None:
    asked = await asked_for_another_text(harness)
    await harness.operators.set_limit(limit, 1, "test")
    await harness.say("a wooden boat in the snow", reply_to=asked)
    await harness.until(
        lambda: len(harness.texts()) > 0 and any("turned down" in t or "no room left" in t for t in harness.texts())
    )
    run = await harness.only_run()
    assert (run.state, run.reason) == (State.APPROVED, None)
    assert label_of(harness.now(await harness.until_said("the video I'll make")), "Create")


async def test_edit_keeps_the_chosen_length(harness: BotHarness) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("12 s")
    await harness.until_said("12 s, vertical")
    await harness.tap("Edit")
    asked = await harness.until_said("reply to this message with what the video should show instead")
    await harness.say("a wooden boat in the snow", reply_to=asked)
    assert (await harness.until_state(State.APPROVED, number=1)).seconds == 12


async def test_new_text_sent_after_the_draft_was_delivered_needs_confirmation(
    harness: BotHarness, simulator: Simulator
) -> None:
    asked = await asked_for_another_text(harness)
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED)
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    await harness.operators.set_limit("cooldown_seconds", 0, "test")
    await harness.say("a wooden boat in the snow", reply_to=asked)
    assert (await harness.until_state(State.APPROVED, number=1)).needs_confirmation
    assert simulator.creates() == 1


async def test_a_draft_that_was_ordered_meanwhile_is_not_replaced(harness: BotHarness, simulator: Simulator) -> None:
    asked = await asked_for_another_text(harness)
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    await harness.tap("Create")
    await harness.until_state(State.RENDERING)
    await harness.say("a wooden boat in the snow", reply_to=asked)
    await harness.until_said("is not finished yet")
    assert ((await harness.only_run()).state, simulator.creates()) == (State.RENDERING, 1)
    await harness.press(RunTap(ref=(await harness.only_run()).ref, act=Act.EDIT).pack(), asked)
    assert "Too late to edit" in alerts(harness)[-1]


@pytest.mark.parametrize("chat", [1, GROUP], ids=["private", "group"])
async def test_change_opens_a_reply_box_for_a_run_started_from_an_example(harness: BotHarness, chat: int) -> None:
    await harness.say("/create", chat=chat)
    await harness.tap("Baking cat")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED)
    await harness.tap("Change")
    asked = await harness.until_said("reply to this message with what the video should show instead")
    assert opens_the_box_of(harness, 1)
    await harness.operators.set_limit("cooldown_seconds", 0, "test")
    await harness.say("a dog bakes bread", chat=chat, reply_to=asked)
    assert (await harness.until_state(State.APPROVED, number=1)).prompt == "a dog bakes bread"
    assert (await harness.runs())[0].state is State.DELIVERED


async def test_repeated_taps_on_again_make_one_new_priced_run(harness: BotHarness, simulator: Simulator) -> None:
    run, video = await bought(harness)
    assert "🔁 Again · $0.80" in labels(video)
    await harness.operators.set_limit("cooldown_seconds", 0, "test")
    data = label_of(video, "Again")
    assert data is not None
    for _ in range(3):
        await harness.press(data, video)
    assert len(await harness.runs()) == 2
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    again = await harness.until_state(State.DELIVERED, number=1)
    assert again.prompt == run.prompt
    assert simulator.creates() == 2
    await harness.press(data, video)
    assert len(await harness.runs()) == 2, "a late repetition of the same tap buys nothing"
    assert "Tap it again" in alerts(harness)[-1]
    fresh = RunTap(ref=run.ref, act=Act.AGAIN, arg="2").pack()
    await harness.until(lambda: label_of(harness.now(video), "Again") == fresh)
    await harness.press(fresh, video)
    assert len(await harness.runs()) == 3, "tapped once more on purpose"


async def test_copy_button_gives_the_caption_and_receipt_button_the_order(harness: BotHarness) -> None:
    run, video = await bought(harness)
    copy = next(button for button in buttons(video) if "Copy" in button.text)
    if isinstance(copy.copy_text, CopyTextButton):
        assert copy.copy_text.text.startswith(run.caption or "")
    else:
        await harness.tap("Copy", on=video)
        await harness.until_said("<code>")
    await harness.tap("Receipt", on=video)
    receipt = await harness.until_said("Receipt")
    for fact in (run.ref, run.job_id, str(run.run_id), run.request_key, run.request_hash, "$0.80"):
        assert fact is not None
        assert fact in (receipt.text or "")
    assert all(sha256[:12] in (receipt.text or "") for sha256 in run.templates.values())


async def test_in_spanish_every_amount_is_in_us_dollars(harness: BotHarness) -> None:
    await harness.say("/create un barco de papel", language="es")
    await harness.tap("Crear", language="es")
    await harness.until_state(State.DELIVERED)
    await harness.tap("Recibo", language="es")
    receipt = await harness.until_said("Recibo")
    assert "US$0.80" in (receipt.text or "")
    for command in ("/start", "/help", "/videos", "/limits", "/settings"):
        await harness.say(command, language="es")
    shown = [text for message in harness.shown() for text in (message.text or message.caption or "", *labels(message))]
    assert [text for text in shown if re.search(r"(?<!US)\$", text)] == []


async def test_rejected_prompt_offers_a_rewrite_that_one_tap_requests(harness: BotHarness) -> None:
    await harness.say("/create a knight with a gun in a forest")
    card = await harness.until_said("This prompt was turned down")
    assert "Nothing was charged" in (card.text or "")
    await harness.until_state(State.REJECTED)
    await harness.tap("Use this")
    await harness.until_state(State.APPROVED, number=1)
    await harness.until_said("the video I'll make")


async def test_failed_render_is_reported_and_try_again_makes_a_new_run(
    harness: BotHarness, simulator: Simulator
) -> None:
    simulator.trouble("render", "fails")
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    await harness.until_said("could not make this video")
    await harness.operators.set_limit("cooldown_seconds", 0, "test")
    await harness.until_state(State.FAILED)
    await harness.tap("Try again")
    assert len(await harness.runs()) == 2


async def test_an_unknown_ref_and_a_late_tap_are_answered(harness: BotHarness) -> None:
    _, video = await bought(harness)
    await harness.press(RunTap(ref="AAAAAA", act=Act.CREATE).pack(), video)
    assert "no longer find this video" in alerts(harness)[-1]
    run = await harness.only_run()
    await harness.press(RunTap(ref=run.ref, act=Act.CANCEL).pack(), video)
    assert "Too late to cancel" in alerts(harness)[-1]
    await harness.press(RunTap(ref=run.ref, act=Act.SECONDS, arg="12").pack(), video)
    assert "Too late to change" in alerts(harness)[-1]
    await harness.press(RunTap(ref=run.ref, act=Act.SECONDS, arg="7777").pack(), video)
    assert "can no longer be changed here" in alerts(harness)[-1]


FORGED = [
    "zzz",
    "r:\0AAAAA:go:",
    "r:aaaaaa:go:",
    "r:AAAAAA:nope:",
    "r:AAAAAA:go:",
    "r:AAAAAA:len:12 s",
    "r:AAAAAA:go:1:2",
    "r:AAAAAA:go:9999999999-1x1",
    "r:AAAAAA:len:9999999",
    "r:AAAAAA:size:x",
]


FORGED += [f"v:{10**30}", "v:-1", "v:abc", "x:99999999", "a:pause::", "s:x", "o:2", ""]


@pytest.mark.parametrize("data", FORGED, ids=range(len(FORGED)))
async def test_tap_with_forged_callback_data_is_answered_without_an_error(
    harness: BotHarness, caplog: pytest.LogCaptureFixture, data: str
) -> None:
    said = await harness.say("/help")
    await harness.press(data, said)
    [answer] = harness.session.of(AnswerCallbackQuery)
    if data == "r:AAAAAA:go:":  # well-formed, only that there is no such run
        assert "no longer find this video" in answer.text
    else:
        assert "This button no longer works" in answer.text
    assert "update_failed" not in [vars(record).get("action") for record in caplog.records]


async def test_tap_without_its_message_is_answered(harness: BotHarness) -> None:
    await harness.feed(callback_query=CallbackQuery(id="7", from_user=person(1), chat_instance="c", data="v:0"))
    assert "no longer works" in alerts(harness)[-1]


async def test_history_resends_a_video_by_its_file_id(harness: BotHarness) -> None:
    run, video = await bought(harness)
    assert video.video is not None
    await harness.say("/videos")
    await harness.until_said("tap its number")
    await harness.tap("1")
    [_, again] = harness.session.of(SendVideo)
    assert again.video == video.video.file_id
    assert run.spent_microusd == 800_000
