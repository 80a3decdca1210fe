"""Telling: at least once, by one at a time, and never the end of a run."""

import asyncio
from pathlib import Path

from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
)
from aiogram.methods import EditMessageText, SendMessage, SendVideo

from pipeline.records import Run, State
from tests.bot.stage import Stage
from tests.fixtures import Simulator

ANY = SendMessage(chat_id=1, text="x")


async def saved(stage: Stage, prompt: str = "a paper boat in the rain") -> Run:
    await stage.say(f"/create {prompt}")
    await stage.until_said("I would make this")
    await stage.tap("Create")
    return await stage.until_state(State.SAVED, State.DELIVERED)


async def test_two_jobs_that_tell_at_once_bring_one_video(stage: Stage) -> None:
    stage.session.meets(SendVideo, TelegramRetryAfter(ANY, "slow", 1))
    run = await saved(stage)
    fresh = await stage.world.ledger.load(run.run_id)
    assert fresh is not None
    await asyncio.gather(*(stage.front.courier.tell(fresh) for _ in range(4)))
    await stage.until_state(State.DELIVERED)
    assert len(stage.session.of(SendVideo)) <= 2, "the one that was refused, and one more"


async def test_a_flood_wait_is_waited_for_in_full(stage: Stage) -> None:
    stage.session.meets(SendVideo, TelegramRetryAfter(ANY, "slow", 2))
    run = await saved(stage)
    delivered = await stage.until_state(State.DELIVERED)
    assert run.saved_at is not None
    assert delivered.delivered_at is not None
    assert (delivered.delivered_at - run.saved_at).total_seconds() >= 2


async def test_an_answer_that_was_lost_is_asked_for_again(stage: Stage, simulator: Simulator) -> None:
    stage.session.meets(SendVideo, TelegramNetworkError(ANY, "reset"))
    await saved(stage)
    await stage.until_state(State.DELIVERED)
    assert len(stage.session.of(SendVideo)) == 2
    assert simulator.creates() == 1


async def test_who_blocked_the_bot_gets_the_video_on_start(stage: Stage) -> None:
    stage.session.meets(SendVideo, TelegramForbiddenError(ANY, "Forbidden: bot was blocked by the user"))
    await saved(stage)
    await stage.until(lambda: stage.session.of(SendVideo))

    async def told() -> bool:
        return (await stage.only_run()).told_state is State.SAVED

    await stage.until(told)
    await stage.say("/start")
    await stage.until_state(State.DELIVERED)
    assert [message for message in stage.shown() if message.video]


async def test_a_video_too_large_for_telegram_is_kept_and_said(stage: Stage) -> None:
    stage.session.meets(SendVideo, TelegramEntityTooLarge(ANY, "Request Entity Too Large"))
    run = await saved(stage)
    await stage.until_said("could not bring it")
    assert run.file is not None
    assert Path(run.file).exists()
    assert (await stage.only_run()).state is State.SAVED


async def test_a_deleted_card_is_not_replaced_while_it_only_waits(stage: Stage, simulator: Simulator) -> None:
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("I would make this")
    gone = TelegramBadRequest(ANY, "Bad Request: message to edit not found")
    stage.session.meets(EditMessageText, *[gone] * 20)
    await stage.tap("Create")
    await stage.until_state(State.DELIVERED)
    assert len(stage.session.of(SendMessage)) == 1, "no new card for an edit that failed"
    assert [message for message in stage.shown() if message.video]


async def test_a_purchase_in_doubt_says_so_with_its_ref(stage: Stage, simulator: Simulator) -> None:
    simulator.trouble("create", "made_then_drop")
    simulator.trouble("list", "status", status=500, always=True)
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("I would make this")
    await stage.tap("Create")
    card = await stage.until_said("you will not be charged twice")
    run = await stage.only_run()
    assert run.ref in (card.text or "")
    assert "$0.80 stays set aside" in (card.text or "")
    simulator.control("DELETE", "/_sim/faults")
    await stage.until_state(State.DELIVERED)
    assert simulator.creates() == 1
