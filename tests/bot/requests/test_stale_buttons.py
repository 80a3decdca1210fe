"""Buttons that are older than what they speak of: none buys at another price, another shape, or once too often."""

import asyncio
import json

import pytest
from aiogram.exceptions import TelegramRetryAfter
from aiogram.methods import EditMessageText, SendMessage
from aiogram.types import Message

from bot.callback_data import Act, RunTap
from bot.delivery import delivery
from bot.requests.for_sale import ForSale
from pipeline.ledger.records import State
from pipeline.ledger.users import Customers
from tests.bot.harness import BotHarness, labels
from tests.bot.requests.test_run_taps import alerts, bought
from tests.support.fixtures import Simulator

ANY = SendMessage(chat_id=1, text="x")


async def unhurried(harness: BotHarness, user: str = "tg:1") -> None:
    """A user who is never asked first, and may order at once again."""
    await Customers(harness.context.ledger.rpc).set_preference(user, "confirm", "never")
    await harness.operators.set_limit("cooldown_seconds", 0, "test")


async def test_again_needs_confirmation_if_the_price_on_its_button_is_outdated(
    harness: BotHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, video = await bought(harness)
    await unhurried(harness)
    monkeypatch.setattr(ForSale, "price", lambda self, seconds, size: 4_000_000)  # the catalogue has changed
    await harness.tap("Again", on=video)
    await harness.until_said("$4.00")
    run = await harness.until_state(State.APPROVED, number=1)
    assert run.needs_confirmation


async def test_try_again_on_a_delivered_run_buys_nothing(harness: BotHarness, simulator: Simulator) -> None:
    run, video = await bought(harness)
    await unhurried(harness)
    await harness.press(RunTap(ref=run.ref, act=Act.RETRY, arg="1").pack(), video)
    await asyncio.sleep(0.5)
    assert (len(await harness.runs()), simulator.creates()) == (1, 1)
    assert alerts(harness), "it says where the video is"


async def test_create_button_of_a_failed_run_says_how_it_ended(harness: BotHarness, simulator: Simulator) -> None:
    simulator.trouble("create", "status", status=402, body='{"error": {"message": "no credit"}}')
    await harness.say("/create a paper boat in the rain")
    asked = await harness.until_said("the video I'll make")
    await harness.tap("Create")
    run = await harness.until_state(State.FAILED)
    await harness.press(RunTap(ref=run.ref, act=Act.CREATE, arg=f"{run.seconds}-{run.size}").pack(), asked)
    assert alerts(harness)[-1] == "ended without a video"


@pytest.mark.parametrize("act", [Act.RETRY, Act.AGAIN])
async def test_prompt_refused_for_its_content_cannot_be_ordered_again_unchanged(
    harness: BotHarness, simulator: Simulator, act: Act
) -> None:
    await unhurried(harness)
    refusal = {"error": {"code": "content_policy_violation", "message": "It breaks our content policy."}}
    simulator.trouble("create", "status", status=400, body=json.dumps(refusal))
    await harness.say("/create a paper boat in the rain")
    run = await harness.until_state(State.FAILED)
    assert run.reason == "prompt_refused"
    card = await harness.until_said("refused the prompt")
    assert labels(card) == ["✏️ Change"]
    simulator.control("DELETE", "/_sim/faults")
    await harness.press(RunTap(ref=run.ref, act=act, arg="1").pack(), card)
    assert "would be refused again" in alerts(harness)[-1]
    await asyncio.sleep(0.5)
    assert (len(await harness.runs()), simulator.creates()) == (1, 1), "only the one that was refused"


async def test_try_again_on_both_messages_of_one_failure_makes_one_new_run(
    harness: BotHarness, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LONG", -delivery.LONG)  # every failure is said aloud, besides on its card
    await unhurried(harness)
    simulator.trouble("render", "fails")
    await harness.say("/create a paper boat in the rain")
    await harness.until_state(State.FAILED)

    def offering() -> list[Message]:
        return [message for message in harness.shown() if any("Try again" in label for label in labels(message))]

    await harness.until(lambda: len(offering()) == 2)
    simulator.control("DELETE", "/_sim/faults")
    card, aloud = offering()
    await harness.tap("Try again", on=card)
    await harness.until_state(State.DELIVERED, number=1)
    await harness.tap("Try again", on=aloud)
    await harness.until(lambda: any("already started" in alert for alert in alerts(harness)))
    assert len(await harness.runs()) == 2


async def test_create_orders_nothing_if_its_card_shows_an_outdated_price(
    harness: BotHarness, simulator: Simulator
) -> None:
    await harness.say("/create a paper boat in the rain")
    card = await harness.until_said("the video I'll make")
    harness.session.meets(EditMessageText, TelegramRetryAfter(ANY, "slow", 30))  # the card cannot follow
    await harness.tap("12 s")
    await harness.until(lambda: _is_twelve(harness))
    assert [label for label in labels(harness.now(card)) if "Create" in label] == ["✅ Create · $0.80"]
    await harness.tap("Create", on=card)
    assert "Nothing was ordered" in alerts(harness)[-1]
    run = await harness.only_run()
    assert (run.state, run.confirmed_at, simulator.creates()) == (State.APPROVED, None, 0)


async def _is_twelve(harness: BotHarness) -> bool:
    return (await harness.only_run()).seconds == 12


async def test_user_blocked_after_the_card_was_sent_cannot_confirm(harness: BotHarness, simulator: Simulator) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.operators.block("tg:1", "abuse", "test")
    await harness.tap("Create")
    assert "blocked" in alerts(harness)[-1]
    assert ((await harness.only_run()).confirmed_at, simulator.creates()) == (None, 0)


async def test_mention_without_a_command_in_a_group_needs_confirmation(
    harness: BotHarness, simulator: Simulator
) -> None:
    await unhurried(harness)
    await harness.say("thanks @onetake_bot, great!", chat=-100)
    run = await harness.until_state(State.APPROVED)
    assert run.needs_confirmation
    assert simulator.creates() == 0


async def test_reply_to_the_edit_question_by_another_user_needs_confirmation(harness: BotHarness) -> None:
    await unhurried(harness, "tg:2")
    await harness.say("/create a paper boat in the rain", chat=-100)
    await harness.until_said("the video I'll make")
    await harness.tap("Edit")
    question = await harness.until_said("reply to this message with what the video should show instead")
    await harness.say("lol what is this", user=2, chat=-100, reply_to=harness.now(question))
    run = await harness.until_state(State.APPROVED, number=1)
    assert (run.user_id, run.needs_confirmation) == ("tg:2", True)


async def test_user_cannot_order_what_another_user_wrote(harness: BotHarness) -> None:
    await harness.operators.pause("later", "test")
    asked = await harness.say("/create a paper boat in the rain", user=1, chat=-100)
    await harness.until_said("later")
    refusal = harness.shown()[-1]
    await harness.operators.resume("test")
    await harness.press("o:1", refusal, user=2)  # a button that this message never had
    assert "Somebody else wrote this" in alerts(harness)[-1]
    await harness.feed(message=asked)
    assert [run.user_id for run in await harness.runs()] == ["tg:1"]


async def test_start_shows_the_price_for_the_users_preferred_length(harness: BotHarness) -> None:
    await Customers(harness.context.ledger.rpc).set_preference("tg:1", "seconds", 12)
    await harness.say("/start")
    await harness.until_said("$1.20")


async def test_edited_draft_counts_towards_the_limit_of_rejected_prompts(harness: BotHarness) -> None:
    await harness.operators.set_limit("rejected_per_user_day", 2, "test")
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Edit")
    await harness.say(
        "a wooden boat in the snow",
        reply_to=await harness.until_said("reply to this message with what the video should show"),
    )
    await harness.until_state(State.APPROVED, number=1)
    ref = (await harness.runs())[1].ref
    await harness.press(RunTap(ref=ref, act=Act.EDIT).pack(), await harness.until_said("the video I'll make"))
    await harness.say("a tin boat in the fog", reply_to=await harness.until_said(f"{ref}:"))
    await harness.until_said("Too many of your prompts were turned down today")
