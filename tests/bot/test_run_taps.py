"""Buttons: whatever is tapped, how often and by whom, the ledger decides, and a tap does nothing twice."""

import asyncio
import re

import pytest
from aiogram.methods import AnswerCallbackQuery, SendMessage, SendVideo
from aiogram.types import CallbackQuery, CopyTextButton, ForceReply, Message

from bot.callback_data import Act, RunTap
from pipeline.ledger.records import Run, State
from tests.bot.stage import Stage, buttons, label_of, labels, person
from tests.fixtures import Simulator

GROUP = -100


async def bought(stage: Stage, prompt: str = "a paper boat in the rain", number: int = 0) -> tuple[Run, Message]:
    """A delivered video and its message."""
    await stage.say(f"/create {prompt}")
    await stage.until_said("the video I'll make")
    await stage.tap("Create")
    run = await stage.until_state(State.DELIVERED, number=number)
    await stage.until_said("Here it is, below")
    return run, [message for message in stage.shown() if message.video][-1]


def alerts(stage: Stage) -> list[str]:
    return [call.text for call in stage.session.of(AnswerCallbackQuery) if call.text]


async def test_cancel_before_the_purchase_charges_nothing(stage: Stage, simulator: Simulator) -> None:
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("the video I'll make")
    await stage.tap("Cancel")
    await stage.until_said("Canceled. Nothing was charged.")
    assert (await stage.only_run()).released_microusd == 800_000
    assert simulator.creates() == 0


async def test_somebody_elses_button_does_nothing(stage: Stage) -> None:
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("the video I'll make")
    await stage.tap("Create", user=2)
    assert "somebody else" in alerts(stage)[-1]
    assert (await stage.only_run()).confirmed_at is None


def question(stage: Stage) -> SendMessage:
    [asked] = [call for call in stage.session.of(SendMessage) if isinstance(call.reply_markup, ForceReply)]
    assert isinstance(asked, SendMessage)
    return asked


def opens_the_box_of(stage: Stage, user: int) -> bool:
    """Whether Telegram opens the reply box for this user: of a selective question, by whom it answers or names."""
    asked = question(stage)
    assert isinstance(asked.reply_markup, ForceReply)
    if not asked.reply_markup.selective or f"tg://user?id={user}" in asked.text:
        return True
    answers = stage.session.messages.get((asked.reply_parameters and asked.reply_parameters.message_id) or 0)
    return bool(answers and answers.from_user and answers.from_user.id == user)


async def asked_for_another_text(stage: Stage, chat: int = 1) -> Message:
    """A draft whose Edit was tapped; our question."""
    await stage.say("/create a paper boat in the rain", chat=chat)
    await stage.until_said("the video I'll make")
    await stage.tap("Edit")
    return await stage.until_said("write what the video should show instead")


@pytest.mark.parametrize("chat", [1, GROUP], ids=["private", "group"])
async def test_edit_opens_the_reply_box_and_the_draft_stays_until_its_new_text_is_there(
    stage: Stage, simulator: Simulator, chat: int
) -> None:
    asked = await asked_for_another_text(stage, chat)
    assert opens_the_box_of(stage, 1)
    assert "<code>a paper boat in the rain</code>" in question(stage).text
    await asyncio.sleep(0.3)
    assert (await stage.only_run()).state is State.APPROVED
    assert label_of(stage.now(await stage.until_said("the video I'll make")), "Create"), "it can still be ordered"
    answer = await stage.say("a wooden boat in the snow", chat=chat, reply_to=asked)
    run = await stage.until_state(State.APPROVED, number=1)
    assert (run.prompt, run.needs_confirmation) == ("a wooden boat in the snow", True)
    await stage.until_said("Withdrawn: you sent a new text. Nothing was charged.")
    old, _ = await stage.runs()
    assert (old.state, old.reason, simulator.creates()) == (State.CANCELED, "edited", 0)
    await stage.feed(message=answer)
    assert len(await stage.runs()) == 2, "the same answer is the same run"


async def test_in_private_the_next_message_is_the_new_text_and_only_the_next(stage: Stage) -> None:
    await asked_for_another_text(stage)
    answer = await stage.say("a wooden boat in the snow")
    run = await stage.until_state(State.APPROVED, number=1)
    assert (run.prompt, run.needs_confirmation) == ("a wooden boat in the snow", True)
    assert (await stage.runs())[0].reason == "edited"
    await stage.feed(message=answer)  # again, as after an outage
    await stage.say("thanks")
    await stage.until_said("Make this a video?")
    assert len(await stage.runs()) == 2


async def test_words_after_another_message_are_no_answer(stage: Stage) -> None:
    await asked_for_another_text(stage)
    await stage.say("/help")
    await stage.say("a wooden boat in the snow")
    await stage.until_said("Make this a video?")
    assert (await stage.only_run()).state is State.APPROVED


@pytest.mark.parametrize("trouble", ["too long", "paused"])
async def test_a_new_text_that_is_refused_leaves_the_draft_as_it_was(stage: Stage, trouble: str) -> None:
    asked = await asked_for_another_text(stage)
    if trouble == "paused":
        await stage.operators.pause("repairs", "test")
    await stage.say("a boat" if trouble == "paused" else "x" * 4090, reply_to=asked)
    await stage.until_said("repairs" if trouble == "paused" else "more than 4000 characters")
    assert (await stage.only_run()).state is State.APPROVED


@pytest.mark.parametrize("limit", ["rejected_per_user_day", "budget_day_microusd"])
async def test_a_limit_that_refuses_the_new_text_leaves_the_draft(stage: Stage, limit: str) -> None:
    asked = await asked_for_another_text(stage)
    await stage.operators.set_limit(limit, 1, "test")
    await stage.say("a wooden boat in the snow", reply_to=asked)
    await stage.until(
        lambda: len(stage.texts()) > 0 and any("turned down" in t or "used up" in t for t in stage.texts())
    )
    run = await stage.only_run()
    assert (run.state, run.reason) == (State.APPROVED, None)
    assert label_of(stage.now(await stage.until_said("the video I'll make")), "Create")


async def test_edit_keeps_the_length_and_the_format(stage: Stage) -> None:
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("the video I'll make")
    await stage.tap("12 s")
    await stage.until_said("12 s, vertical")
    await stage.tap("Edit")
    asked = await stage.until_said("write what the video should show instead")
    await stage.say("a wooden boat in the snow", reply_to=asked)
    assert (await stage.until_state(State.APPROVED, number=1)).seconds == 12


async def test_the_answer_to_edit_shows_its_price_also_after_the_draft_was_delivered(
    stage: Stage, simulator: Simulator
) -> None:
    asked = await asked_for_another_text(stage)
    await stage.tap("Create")
    await stage.until_state(State.DELIVERED)
    await stage.world.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    await stage.operators.set_limit("cooldown_seconds", 0, "test")
    await stage.say("a wooden boat in the snow", reply_to=asked)
    assert (await stage.until_state(State.APPROVED, number=1)).needs_confirmation
    assert simulator.creates() == 1


async def test_a_draft_that_was_ordered_meanwhile_is_not_replaced(stage: Stage, simulator: Simulator) -> None:
    asked = await asked_for_another_text(stage)
    simulator.control("POST", "/_sim/speed", {"speed": 0.001})
    await stage.tap("Create")
    await stage.until_state(State.RENDERING)
    await stage.say("a wooden boat in the snow", reply_to=asked)
    await stage.until_said("is not finished yet")
    assert ((await stage.only_run()).state, simulator.creates()) == (State.RENDERING, 1)
    await stage.press(RunTap(ref=(await stage.only_run()).ref, act=Act.EDIT).pack(), asked)
    assert "Too late to edit" in alerts(stage)[-1]


@pytest.mark.parametrize("chat", [1, GROUP], ids=["private", "group"])
async def test_change_opens_the_reply_box_also_below_a_run_that_a_button_began(stage: Stage, chat: int) -> None:
    await stage.say("/create", chat=chat)
    await stage.tap("Baking cat")
    await stage.until_said("the video I'll make")
    await stage.tap("Create")
    await stage.until_state(State.DELIVERED)
    await stage.tap("Change")
    asked = await stage.until_said("write what the video should show instead")
    assert opens_the_box_of(stage, 1)
    await stage.operators.set_limit("cooldown_seconds", 0, "test")
    await stage.say("a dog bakes bread", chat=chat, reply_to=asked)
    assert (await stage.until_state(State.APPROVED, number=1)).prompt == "a dog bakes bread"
    assert (await stage.runs())[0].state is State.DELIVERED


async def test_again_is_one_new_priced_run_however_often_it_is_tapped(stage: Stage, simulator: Simulator) -> None:
    run, video = await bought(stage)
    assert "🔁 Again · $0.80" in labels(video)
    await stage.operators.set_limit("cooldown_seconds", 0, "test")
    data = label_of(video, "Again")
    assert data is not None
    for _ in range(3):
        await stage.press(data, video)
    assert len(await stage.runs()) == 2
    await stage.until_said("the video I'll make")
    await stage.tap("Create")
    again = await stage.until_state(State.DELIVERED, number=1)
    assert again.prompt == run.prompt
    assert simulator.creates() == 2
    await stage.press(data, video)
    assert len(await stage.runs()) == 2, "a late repetition of the same tap buys nothing"
    assert "Tap it once more" in alerts(stage)[-1]
    fresh = RunTap(ref=run.ref, act=Act.AGAIN, arg="2").pack()
    await stage.until(lambda: label_of(stage.now(video), "Again") == fresh)
    await stage.press(fresh, video)
    assert len(await stage.runs()) == 3, "tapped once more on purpose"


async def test_a_short_caption_is_copied_by_its_button_and_a_receipt_tells_the_order(stage: Stage) -> None:
    run, video = await bought(stage)
    copy = next(button for button in buttons(video) if "Copy" in button.text)
    if isinstance(copy.copy_text, CopyTextButton):
        assert copy.copy_text.text.startswith(run.caption or "")
    else:
        await stage.tap("Copy", on=video)
        await stage.until_said("<code>")
    await stage.tap("Receipt", on=video)
    receipt = await stage.until_said("Receipt")
    for fact in (run.ref, run.job_id, str(run.run_id), run.request_key, run.request_hash, "$0.80"):
        assert fact is not None
        assert fact in (receipt.text or "")
    assert all(sha256[:12] in (receipt.text or "") for sha256 in run.templates.values())


async def test_in_spanish_every_amount_is_in_us_dollars(stage: Stage) -> None:
    await stage.say("/create un barco de papel", language="es")
    await stage.tap("Crear", language="es")
    await stage.until_state(State.DELIVERED)
    await stage.tap("Recibo", language="es")
    receipt = await stage.until_said("Recibo")
    assert "US$0.80" in (receipt.text or "")
    for command in ("/start", "/help", "/videos", "/limits", "/settings"):
        await stage.say(command, language="es")
    shown = [text for message in stage.shown() for text in (message.text or message.caption or "", *labels(message))]
    assert [text for text in shown if re.search(r"(?<!US)\$", text)] == []


async def test_a_rejected_prompt_comes_with_a_rewrite_that_one_tap_uses(stage: Stage) -> None:
    await stage.say("/create a knight with a gun in a forest")
    card = await stage.until_said("This prompt was turned down")
    assert "Nothing was charged" in (card.text or "")
    await stage.until_state(State.REJECTED)
    await stage.tap("Use this")
    await stage.until_state(State.APPROVED, number=1)
    await stage.until_said("the video I'll make")


async def test_a_failed_render_says_so_and_try_again_is_a_new_run(stage: Stage, simulator: Simulator) -> None:
    simulator.trouble("render", "fails")
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("the video I'll make")
    await stage.tap("Create")
    await stage.until_said("could not make this video")
    await stage.operators.set_limit("cooldown_seconds", 0, "test")
    await stage.until_state(State.FAILED)
    await stage.tap("Try again")
    assert len(await stage.runs()) == 2


async def test_an_unknown_ref_and_a_late_tap_are_answered(stage: Stage) -> None:
    _, video = await bought(stage)
    await stage.press(RunTap(ref="AAAAAA", act=Act.CREATE).pack(), video)
    assert "no longer find this video" in alerts(stage)[-1]
    run = await stage.only_run()
    await stage.press(RunTap(ref=run.ref, act=Act.CANCEL).pack(), video)
    assert "Too late to cancel" in alerts(stage)[-1]
    await stage.press(RunTap(ref=run.ref, act=Act.SECONDS, arg="12").pack(), video)
    assert "Too late to change" in alerts(stage)[-1]
    await stage.press(RunTap(ref=run.ref, act=Act.SECONDS, arg="7777").pack(), video)
    assert "can no longer be changed here" in alerts(stage)[-1]


FORGED = [
    "zzz",
    "r:\0AAAAA:go:",
    "r:aaaaaa:go:",
    "r:AAAAAA:nope:",
    "r:AAAAAA:go:",
    "r:AAAAAA:len:12 s",
    "r:AAAAAA:go:1:2",
]


FORGED += [f"v:{10**30}", "v:-1", "v:abc", "x:99999999", "a:pause::", "s:x", "o:2", ""]


@pytest.mark.parametrize("data", FORGED, ids=range(len(FORGED)))
async def test_a_tap_that_no_button_of_ours_carries_is_answered_and_reaches_no_handler(
    stage: Stage, caplog: pytest.LogCaptureFixture, data: str
) -> None:
    said = await stage.say("/help")
    await stage.press(data, said)
    [answer] = stage.session.of(AnswerCallbackQuery)
    if data == "r:AAAAAA:go:":  # well-formed, only that there is no such run
        assert "no longer find this video" in answer.text
    else:
        assert "This button no longer works" in answer.text
    assert "update_failed" not in [vars(record).get("action") for record in caplog.records]


async def test_a_tap_on_a_message_that_telegram_does_not_show_is_answered(stage: Stage) -> None:
    await stage.feed(callback_query=CallbackQuery(id="7", from_user=person(1), chat_instance="c", data="v:0"))
    assert "no longer works" in alerts(stage)[-1]


async def test_history_sends_again_by_file_id(stage: Stage) -> None:
    run, video = await bought(stage)
    assert video.video is not None
    await stage.say("/videos")
    await stage.until_said("tap its number")
    await stage.tap("1")
    [_, again] = stage.session.of(SendVideo)
    assert again.video == video.video.file_id
    assert run.spent_microusd == 800_000
