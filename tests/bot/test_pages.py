"""What people ask about the bot and themselves."""

from pathlib import Path

import pytest

from pipeline.ledger.records import State
from pipeline.ledger.users import Customers
from tests.bot.stage import Stage, labels, open_stage
from tests.fixtures import Simulator


async def test_start_greets_in_the_apps_language_with_three_examples(stage: Stage) -> None:
    await stage.say("/start", language="es-419")
    greeting = await stage.until_said("¡Hola!")
    assert len(labels(greeting)) == 3
    await stage.say("/start", user=2, language="de")
    await stage.until_said("Hello!")


async def test_help_names_every_command(stage: Stage) -> None:
    await stage.say("/help")
    said = await stage.until_said("How it works")
    for command in ("create", "videos", "status", "limits", "settings", "cancel", "help"):
        assert f"/{command}:" in (said.text or "")


async def test_limits_tell_what_is_left_and_what_it_costs(stage: Stage) -> None:
    await stage.operators.set_limit("videos_per_user_day", 4, "test", "tg:1")
    await stage.say("/limits")
    said = await stage.until_said("4 videos left of 4")
    assert "One video of 8 s (720x1280) costs $0.80." in (said.text or "")
    await stage.operators.set_limit("budget_day_microusd", 100, "test")
    await stage.operators.pause("repairs", "test")
    await stage.say("/limits")
    said = await stage.until_said("budget of today is used up")
    assert "paused at present: repairs" in (said.text or "")


async def test_status_shows_the_run_and_cancel_takes_it_back(stage: Stage) -> None:
    await stage.say("/status")
    await stage.until_said("no video in progress")
    await stage.say("/cancel")
    await stage.until_said("nothing to cancel")
    await stage.say("/create a paper boat in the rain")
    run = await stage.until_state(State.APPROVED)
    await stage.say("/status")
    await stage.until_said("waits for a tap on Create")
    await stage.say("/cancel")
    await stage.until_said(f"{run.ref} is canceled")
    assert (await stage.until_state(State.CANCELED)).held_microusd == 0


async def test_settings_are_kept_and_used(stage: Stage) -> None:
    await stage.say("/settings")
    page = await stage.until_said("Settings")
    await stage.tap("12 s", on=page)
    await stage.tap("Horizontal", on=page)
    await stage.tap("never", on=page)
    await stage.tap("Español", on=page)
    await stage.until_said("Ajustes")
    await stage.say("/create a paper boat in the rain")
    run = await stage.until_state(State.DELIVERED)
    assert (run.seconds, run.size, run.needs_confirmation) == (12, "1280x720", False)
    await stage.until_said("Se cobr")


async def unhurried(stage: Stage) -> None:
    """No pause between requests, and no breaker for many of them."""
    for limit in ("cooldown_seconds", "breaker_user_submissions"):
        await stage.operators.set_limit(limit, 0 if limit == "cooldown_seconds" else 100, "test")


async def test_after_the_first_videos_nothing_is_asked(stage: Stage) -> None:
    await unhurried(stage)
    await stage.world.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    for number in range(3):
        await stage.say(f"/create boat number {number}")
        await stage.until_state(State.DELIVERED, number=number)
    await stage.world.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "first"})
    await stage.say("/create one more boat")
    run = await stage.until_state(State.DELIVERED, number=3)
    assert not run.needs_confirmation


async def test_the_first_order_that_will_not_ask_is_announced_with_one_tap_to_go_on_asking(stage: Stage) -> None:
    await unhurried(stage)
    await stage.world.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    for number in range(3):
        await stage.say(f"/create boat number {number}")
        await stage.until_state(State.DELIVERED, number=number)
    await stage.world.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": None})
    said = await stage.say("/create one more boat")
    assert (await stage.until_state(State.APPROVED, number=3)).needs_confirmation
    news = await stage.until_said("the last time I ask first")
    await stage.tap("Create")
    await stage.until_state(State.DELIVERED, number=3)
    await stage.feed(message=said)
    assert sum("the last time I ask first" in text for text in stage.texts()) == 1
    await stage.say("/create a boat that is not asked about")
    assert not (await stage.until_state(State.DELIVERED, number=4)).needs_confirmation
    await stage.tap("Keep asking", on=news)
    await stage.say("/create a boat that is asked about")
    assert (await stage.until_state(State.APPROVED, number=5)).needs_confirmation


async def test_the_announcement_counts_once_it_was_said_and_never_over_a_choice(stage: Stage) -> None:
    customers = Customers(stage.world.ledger.rpc)
    await customers.note_told_first("tg:1")  # nobody yet
    await stage.say("/start")
    await stage.until(lambda: bool(stage.texts()))
    await customers.set_preference("tg:1", "confirm", "always")
    await customers.note_told_first("tg:1")
    assert (await customers.get("tg:1")).preferences.confirm == "always"
    await customers.set_preference("tg:1", "confirm", None)
    await customers.note_told_first("tg:1")
    assert (await customers.get("tg:1")).preferences.confirm == "first"


async def test_history_has_pages(stage: Stage) -> None:
    await unhurried(stage)
    await stage.world.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    for number in range(6):
        await stage.say(f"/create boat number {number}")
        await stage.until_state(State.DELIVERED, number=number)
    await stage.say("/videos")
    page = await stage.until_said("6 videos")
    assert "5. " in (page.text or "")
    await stage.tap("Older", on=page)
    await stage.until(lambda: "6. " in (stage.now(page).text or ""))
    await stage.tap("Newer", on=page)
    await stage.until(lambda: "1. " in (stage.now(page).text or ""))


@pytest.mark.parametrize("language", ["en", "es"])
async def test_a_demo_says_so_on_every_card_and_caption(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, language: str
) -> None:
    async with open_stage(ledger_dsn, simulator, tmp_path, demo=True) as stage:
        await stage.say("/create a paper boat in the rain", language=language)
        await stage.until_state(State.APPROVED)
        await stage.until(lambda: any("Cre" in label for message in stage.shown() for label in labels(message)))
        await stage.tap("Create" if language == "en" else "Crear")
        await stage.until_state(State.DELIVERED)
        await stage.until(lambda: all("emo" in text for text in stage.texts()))
