"""Buttons that are older than what they speak of: none buys at another price, another shape, or once too often."""

import asyncio
import json

import pytest
from aiogram.exceptions import TelegramRetryAfter
from aiogram.methods import EditMessageText, SendMessage
from aiogram.types import Message

from bot.callback_data import Act, RunTap
from bot.delivery import delivery
from bot.requests.for_sale import Offer
from pipeline.ledger.records import State
from pipeline.ledger.users import Customers
from tests.bot.stage import Stage, labels
from tests.bot.test_run_taps import alerts, bought
from tests.fixtures import Simulator

ANY = SendMessage(chat_id=1, text="x")


async def unhurried(stage: Stage, user: str = "tg:1") -> None:
    """A user who is never asked first, and may order at once again."""
    await Customers(stage.world.ledger.rpc).set_preference(user, "confirm", "never")
    await stage.operators.set_limit("cooldown_seconds", 0, "test")


async def test_again_at_another_price_than_its_button_says_is_asked_first(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, video = await bought(stage)
    await unhurried(stage)
    monkeypatch.setattr(Offer, "price", lambda self, seconds, size: 4_000_000)  # the catalogue has changed
    await stage.tap("Again", on=video)
    await stage.until_said("$4.00")
    run = await stage.until_state(State.APPROVED, number=1)
    assert run.needs_confirmation


async def test_try_again_of_a_run_that_was_delivered_after_all_buys_nothing(stage: Stage, simulator: Simulator) -> None:
    run, video = await bought(stage)
    await unhurried(stage)
    await stage.press(RunTap(ref=run.ref, act=Act.RETRY, arg="1").pack(), video)
    await asyncio.sleep(0.5)
    assert (len(await stage.runs()), simulator.creates()) == (1, 1)
    assert alerts(stage), "it says where the video is"


@pytest.mark.parametrize("act", [Act.RETRY, Act.AGAIN])
async def test_what_was_refused_for_its_content_is_never_ordered_again_in_the_same_words(
    stage: Stage, simulator: Simulator, act: Act
) -> None:
    await unhurried(stage)
    refusal = {"error": {"code": "content_policy_violation", "message": "It breaks our content policy."}}
    simulator.trouble("create", "status", status=400, body=json.dumps(refusal))
    await stage.say("/create a paper boat in the rain")
    run = await stage.until_state(State.FAILED)
    assert run.reason == "prompt_refused"
    card = await stage.until_said("refused the prompt")
    assert labels(card) == ["✏️ Change"]
    simulator.control("DELETE", "/_sim/faults")
    await stage.press(RunTap(ref=run.ref, act=act, arg="1").pack(), card)
    assert "would be refused again" in alerts(stage)[-1]
    await asyncio.sleep(0.5)
    assert (len(await stage.runs()), simulator.creates()) == (1, 1), "only the one that was refused"


async def test_a_failure_said_twice_is_tried_again_once(
    stage: Stage, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LONG", -delivery.LONG)  # every failure is said aloud, besides on its card
    await unhurried(stage)
    simulator.trouble("render", "fails")
    await stage.say("/create a paper boat in the rain")
    await stage.until_state(State.FAILED)

    def offering() -> list[Message]:
        return [message for message in stage.shown() if any("Try again" in label for label in labels(message))]

    await stage.until(lambda: len(offering()) == 2)
    simulator.control("DELETE", "/_sim/faults")
    card, aloud = offering()
    await stage.tap("Try again", on=card)
    await stage.until_state(State.DELIVERED, number=1)
    await stage.tap("Try again", on=aloud)
    await stage.until(lambda: any("already started" in alert for alert in alerts(stage)))
    assert len(await stage.runs()) == 2


async def test_create_says_yes_to_what_its_card_shows(stage: Stage, simulator: Simulator) -> None:
    await stage.say("/create a paper boat in the rain")
    card = await stage.until_said("the video I'll make")
    stage.session.meets(EditMessageText, TelegramRetryAfter(ANY, "slow", 30))  # the card cannot follow
    await stage.tap("12 s")
    await stage.until(lambda: _is_twelve(stage))
    assert [label for label in labels(stage.now(card)) if "Create" in label] == ["✅ Create · $0.80"]
    await stage.tap("Create", on=card)
    assert "Nothing was ordered" in alerts(stage)[-1]
    run = await stage.only_run()
    assert (run.state, run.confirmed_at, simulator.creates()) == (State.APPROVED, None, 0)


async def _is_twelve(stage: Stage) -> bool:
    return (await stage.only_run()).seconds == 12


async def test_who_was_blocked_after_the_card_cannot_say_yes(stage: Stage, simulator: Simulator) -> None:
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("the video I'll make")
    await stage.operators.block("tg:1", "abuse", "test")
    await stage.tap("Create")
    assert "blocked" in alerts(stage)[-1]
    assert ((await stage.only_run()).confirmed_at, simulator.creates()) == (None, 0)


async def test_chatter_in_a_group_is_asked_about_first(stage: Stage, simulator: Simulator) -> None:
    await unhurried(stage)
    await stage.say("thanks @onetake_bot, great!", chat=-100)
    run = await stage.until_state(State.APPROVED)
    assert run.needs_confirmation
    assert simulator.creates() == 0


async def test_an_answer_by_somebody_who_was_not_asked_is_asked_about_first(stage: Stage) -> None:
    await unhurried(stage, "tg:2")
    await stage.say("/create a paper boat in the rain", chat=-100)
    await stage.until_said("the video I'll make")
    await stage.tap("Edit")
    question = await stage.until_said("write what the video should show instead")
    await stage.say("lol what is this", user=2, chat=-100, reply_to=stage.now(question))
    run = await stage.until_state(State.APPROVED, number=1)
    assert (run.user_id, run.needs_confirmation) == ("tg:2", True)


async def test_nobody_orders_what_somebody_else_wrote(stage: Stage) -> None:
    await stage.operators.pause("later", "test")
    asked = await stage.say("/create a paper boat in the rain", user=1, chat=-100)
    await stage.until_said("later")
    refusal = stage.shown()[-1]
    await stage.operators.resume("test")
    await stage.press("o:1", refusal, user=2)  # a button that this message never had
    assert "Somebody else wrote this" in alerts(stage)[-1]
    await stage.feed(message=asked)
    assert [run.user_id for run in await stage.runs()] == ["tg:1"]


async def test_the_first_price_is_for_the_users_own_length(stage: Stage) -> None:
    await Customers(stage.world.ledger.rpc).set_preference("tg:1", "seconds", 12)
    await stage.say("/start")
    await stage.until_said("$1.20")


async def test_an_edited_prompt_counts_as_one_that_came_to_nothing(stage: Stage) -> None:
    await stage.operators.set_limit("rejected_per_user_day", 2, "test")
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("the video I'll make")
    await stage.tap("Edit")
    await stage.say("a wooden boat in the snow", reply_to=await stage.until_said("write what the video should show"))
    await stage.until_state(State.APPROVED, number=1)
    ref = (await stage.runs())[1].ref
    await stage.press(RunTap(ref=ref, act=Act.EDIT).pack(), await stage.until_said("the video I'll make"))
    await stage.say("a tin boat in the fog", reply_to=await stage.until_said(f"{ref}:"))
    await stage.until_said("Too many of your prompts were turned down today")
