"""/create, from the message to the video: one card, one yes, one purchase."""

from pathlib import Path

import pytest
from aiogram.methods import SendMessage, SendVideo

from pipeline.ledger.records import Slots, State
from pipeline.ledger.transports.common import LedgerUnavailable
from tests.bot.harness import BotHarness, labels, open_bot_harness
from tests.support.fixtures import Simulator, simulator_process


async def test_create_shows_a_card_with_the_price_and_delivers_one_video_after_the_tap(
    harness: BotHarness, simulator: Simulator
) -> None:
    asked = await harness.say("/create a paper boat in the rain")
    card = await harness.until_said("the video I'll make")
    assert "Nothing is charged until you tap Create" in (card.text or "")
    assert "$0.80" in (card.text or "")
    assert simulator.paid_calls() == 0
    await harness.tap("Create")
    run = await harness.until_state(State.DELIVERED)
    [video] = harness.session.of(SendVideo)
    assert video.reply_parameters.message_id == asked.message_id
    assert (video.width, video.height, video.duration, video.supports_streaming) == (720, 1280, 8, True)
    assert run.caption is not None
    assert all(tag in video.caption for tag in run.hashtags or ())
    await harness.until_said("Here it is, below. $0.80 was charged.")
    assert len(harness.session.of(SendMessage)) == 1, "one card, edited through"
    assert simulator.paid_calls() == 1


async def test_the_same_update_twice_is_one_run_and_one_card(harness: BotHarness) -> None:
    first = await harness.say("/create a paper boat in the rain")
    await harness.say("/create a paper boat in the rain", message_id=first.message_id)
    await harness.until_said("the video I'll make")
    await harness.only_run()
    assert len(harness.session.of(SendMessage)) == 1


async def test_tapping_create_twice_buys_once(harness: BotHarness, simulator: Simulator) -> None:
    await harness.say("/create a paper boat in the rain")
    card = await harness.until_said("the video I'll make")
    data = next(b.callback_data for row in card.reply_markup.inline_keyboard for b in row if "Create" in b.text)  # type: ignore[union-attr]  # it has buttons
    assert data is not None
    for _ in range(3):
        await harness.press(data, card)
    await harness.until_state(State.DELIVERED)
    await harness.press(data, card)
    assert simulator.creates() == 1


async def test_changing_the_length_before_ordering_updates_the_price(harness: BotHarness, simulator: Simulator) -> None:
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("12 s")
    card = await harness.until_said("$1.20")
    assert "● 12 s" in labels(card)
    await harness.tap("Horizontal")
    await harness.until_said("1280x720")
    await harness.tap("Create")
    run = await harness.until_state(State.DELIVERED)
    assert (run.seconds, run.size, run.spent_microusd) == (12, "1280x720", 1_200_000)
    [order] = simulator.books()["creates"]
    assert (order["seconds"], order["size"]) == ("12", "1280x720")


async def test_update_fails_while_the_ledger_is_unavailable_and_succeeds_when_sent_again(
    harness: BotHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it is not confirmed, and comes again."""

    async def away(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the database did not answer")

    message = harness.message("/create a paper boat in the rain")
    with monkeypatch.context() as patched:
        patched.setattr(harness.context.ledger, "rpc", away)
        with pytest.raises(LedgerUnavailable):
            await harness.feed(message=message)
    await harness.feed(message=message)
    await harness.until_said("the video I'll make")
    await harness.only_run()


async def test_run_without_a_slot_is_shown_as_waiting_and_continues_by_itself(ledger_dsn: str, tmp_path: Path) -> None:
    with simulator_process("--render-seconds", "2") as sim:
        slots = Slots(in_flight_max=1)
        async with open_bot_harness(ledger_dsn, sim, tmp_path, RENDER_DEADLINE_SECONDS="60", slots=slots) as harness:
            sim.control("POST", "/_sim/speed", {"speed": 0.001})  # the first one renders until the others have waited
            for user in (1, 2, 3):
                await harness.say(f"/create a paper boat number {user}", user=user)
                card = await harness.until_said(f"boat number {user}")
                await harness.tap("Create", user=user, on=card)
            await harness.until_said("Waiting for a free slot at the video maker")
            sim.control("POST", "/_sim/speed", {"speed": 1})
            for number in range(3):
                await harness.until_state(State.DELIVERED, number=number)
            assert sim.paid_calls() == 3
