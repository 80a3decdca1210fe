"""What people ask about the bot and themselves."""

from pathlib import Path

import pytest

from bot.callback_data import Choose, VideosPage
from bot.delivery import delivery
from pipeline.ledger.records import State
from pipeline.ledger.users import Customers
from tests.bot.harness import BotHarness, label_of, labels, open_bot_harness
from tests.bot.requests.test_run_taps import alerts
from tests.support.fixtures import Simulator

GROUP = -100


async def test_start_greets_in_the_apps_language_with_three_examples(harness: BotHarness) -> None:
    await harness.say("/start", language="es-419")
    greeting = await harness.until_said("¡Hola!")
    assert len(labels(greeting)) == 3
    await harness.say("/start", user=2, language="de")
    await harness.until_said("Hello!")


@pytest.mark.parametrize(
    ("confirm", "promise"),
    [
        (None, "I show the price and wait until you tap Create"),
        ("always", "I show the price and wait until you tap Create"),
        ("never", "With your /settings, /create orders right away; an example shows its price first."),
    ],
)
async def test_start_announces_the_confirmation_only_to_users_who_get_one(
    harness: BotHarness, confirm: str | None, promise: str
) -> None:
    await Customers(harness.context.ledger.rpc).set_preference("tg:1", "confirm", confirm)
    await harness.say("/start")
    greeting = await harness.until_said("Hello!")
    assert promise in (greeting.text or "")
    assert ("wait until you tap" in (greeting.text or "")) == (confirm != "never")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("/Create a paper boat", "Your video"),
        ("/CREATE@onetake_bot a paper boat", "Your video"),
        ("/Start", "Hello!"),
        ("/HELP", "How it works"),
        ("/Videos", "no videos yet"),
        ("/Status", "no video in progress"),
        ("/Limits", "videos left of"),
        ("/Settings", "Language:"),
        ("/Cancel", "nothing to cancel"),
    ],
)
async def test_commands_are_case_insensitive(harness: BotHarness, command: str, answer: str) -> None:
    await harness.say(command)
    await harness.until_said(answer)


async def test_help_names_every_command(harness: BotHarness) -> None:
    await harness.say("/help")
    said = await harness.until_said("How it works")
    for command in ("create", "videos", "status", "limits", "settings", "cancel", "help"):
        assert f"/{command}:" in (said.text or "")


async def test_limits_command_shows_what_is_left_and_the_price(harness: BotHarness) -> None:
    await harness.operators.set_limit("videos_per_user_day", 4, "test", "tg:1")
    await harness.say("/limits")
    said = await harness.until_said("4 videos left of 4")
    assert "One video of 8 s (720x1280) costs $0.80." in (said.text or "")
    await harness.operators.set_limit("budget_day_microusd", 100, "test")
    await harness.operators.pause("repairs", "test")
    await harness.say("/limits")
    said = await harness.until_said("budget for today has less than $0.80 left; it resets in ")
    assert "Ordering is paused: repairs" in (said.text or "")


async def test_status_shows_the_draft_and_cancel_cancels_it(harness: BotHarness) -> None:
    await harness.say("/status")
    await harness.until_said("no video in progress")
    await harness.say("/cancel")
    await harness.until_said("nothing to cancel")
    await harness.say("/create a paper boat in the rain")
    run = await harness.until_state(State.APPROVED)
    await harness.say("/status")
    said = await harness.until_said("waiting for a tap on Create")
    assert "nothing is charged yet" in (said.text or ""), "as its card says"
    assert "set aside" not in (said.text or "")
    await harness.say("/cancel")
    await harness.until_said(f"{run.ref} is canceled")
    assert (await harness.until_state(State.CANCELED)).held_microusd == 0


async def test_settings_are_kept_and_used(harness: BotHarness) -> None:
    await harness.say("/settings")
    page = await harness.until_said("Settings")
    await harness.tap("12 s", on=page)
    await harness.tap("Horizontal", on=page)
    await harness.tap("never", on=page)
    await harness.tap("Español", on=page)
    await harness.until_said("Ajustes")
    await harness.say("/create a paper boat in the rain")
    run = await harness.until_state(State.DELIVERED)
    assert (run.seconds, run.size, run.needs_confirmation) == (12, "1280x720", False)
    await harness.until_said("Se cobr")


async def unhurried(harness: BotHarness) -> None:
    """No pause between requests, and no breaker for many of them."""
    for limit in ("cooldown_seconds", "breaker_user_submissions"):
        await harness.operators.set_limit(limit, 0 if limit == "cooldown_seconds" else 100, "test")


async def test_confirm_first_asks_nothing_after_three_videos(harness: BotHarness) -> None:
    await unhurried(harness)
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    for number in range(3):
        await harness.say(f"/create boat number {number}")
        await harness.until_state(State.DELIVERED, number=number)
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "first"})
    await harness.say("/create one more boat")
    run = await harness.until_state(State.DELIVERED, number=3)
    assert not run.needs_confirmation


async def test_last_confirmation_is_announced_with_a_button_to_keep_asking(harness: BotHarness) -> None:
    await unhurried(harness)
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    for number in range(3):
        await harness.say(f"/create boat number {number}")
        await harness.until_state(State.DELIVERED, number=number)
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": None})
    said = await harness.say("/create one more boat", chat=GROUP)
    assert (await harness.until_state(State.APPROVED, number=3)).needs_confirmation
    news = await harness.until_said("the last time I ask first")
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED, number=3)
    await harness.feed(message=said)
    assert sum("the last time I ask first" in text for text in harness.texts()) == 1
    await harness.say("/create a boat that is not asked about")
    assert not (await harness.until_state(State.DELIVERED, number=4)).needs_confirmation
    await harness.tap("Keep asking", on=news, user=2)
    assert "somebody else's settings" in alerts(harness)[-1]
    await harness.tap("Keep asking", on=news)
    await harness.say("/create a boat that is asked about")
    assert (await harness.until_state(State.APPROVED, number=5)).needs_confirmation


async def test_noting_the_announcement_sets_confirm_first_unless_the_user_chose(harness: BotHarness) -> None:
    customers = Customers(harness.context.ledger.rpc)
    await customers.note_first_notice("tg:1")  # nobody yet
    await harness.say("/start")
    await harness.until(lambda: bool(harness.texts()))
    await customers.set_preference("tg:1", "confirm", "always")
    await customers.note_first_notice("tg:1")
    assert (await customers.get("tg:1")).preferences.confirm == "always"
    await customers.set_preference("tg:1", "confirm", None)
    await customers.note_first_notice("tg:1")
    assert (await customers.get("tg:1")).preferences.confirm == "first"


async def six_videos(harness: BotHarness) -> None:
    await unhurried(harness)
    await harness.context.ledger.rpc("set_preference", {"user_id": "tg:1", "key": "confirm", "value": "never"})
    for number in range(6):
        await harness.say(f"/create boat number {number}")
        await harness.until_state(State.DELIVERED, number=number)


async def test_history_has_pages(harness: BotHarness) -> None:
    await six_videos(harness)
    await harness.say("/videos")
    page = await harness.until_said("6 videos")
    assert "5. " in (page.text or "")
    await harness.tap("Older", on=page)
    await harness.until(lambda: "6. " in (harness.now(page).text or ""))
    await harness.tap("Newer", on=page)
    await harness.until(lambda: "1. " in (harness.now(page).text or ""))
    await harness.press(VideosPage(number=9).pack(), page)  # as the buttons of earlier versions were
    await harness.until(lambda: "6. " in (harness.now(page).text or ""))
    assert labels(harness.now(page)) == ["6", "◀ Newer"]


async def test_in_a_group_only_the_owner_can_turn_history_pages(harness: BotHarness) -> None:
    await six_videos(harness)
    await harness.say("/videos", chat=GROUP)
    page = await harness.until_said("6 videos")
    for data in (label_of(page, "Older") or "", VideosPage(number=1).pack()):
        await harness.press(data, page, user=2)
        assert "somebody else's videos" in alerts(harness)[-1]
    assert harness.now(page).text == page.text
    await harness.tap("Older", on=page)
    await harness.until(lambda: "6. " in (harness.now(page).text or ""))


async def test_in_a_group_only_the_owner_can_use_the_settings_buttons(harness: BotHarness) -> None:
    await harness.say("/settings", chat=GROUP)
    page = await harness.until_said("Settings")
    for data in (label_of(page, "never") or "", Choose(key="confirm", value="never").pack()):
        await harness.press(data, page, user=2)
        assert "somebody else's settings" in alerts(harness)[-1]
    customers = Customers(harness.context.ledger.rpc)
    assert (await customers.get("tg:2")).preferences.confirm is None
    assert harness.now(page).text == page.text
    await harness.tap("never", on=page)
    assert (await customers.get("tg:1")).preferences.confirm == "never"


async def test_in_a_private_chat_settings_buttons_of_earlier_versions_still_work(harness: BotHarness) -> None:
    await harness.say("/settings")
    await harness.press(Choose(key="confirm", value="never").pack(), await harness.until_said("Settings"))
    assert (await Customers(harness.context.ledger.rpc).get("tg:1")).preferences.confirm == "never"


@pytest.mark.parametrize("language", ["en", "es"])
async def test_demo_is_marked_on_every_card_and_caption(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, language: str
) -> None:
    async with open_bot_harness(ledger_dsn, simulator, tmp_path, demo=True) as harness:
        await harness.say("/create a paper boat in the rain", language=language)
        await harness.until_state(State.APPROVED)
        await harness.until(lambda: any("Cre" in label for message in harness.shown() for label in labels(message)))
        await harness.tap("Create" if language == "en" else "Crear")
        await harness.until_state(State.DELIVERED)
        await harness.until(lambda: all("emo" in text for text in harness.texts()))


async def test_separate_failure_message_in_a_demo_is_marked_as_a_demo(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LONG", -delivery.LONG)  # every failure is said aloud, besides on its card
    simulator.trouble("render", "fails")
    async with open_bot_harness(ledger_dsn, simulator, tmp_path, demo=True) as harness:
        await harness.say("/create a paper boat in the rain")
        await harness.tap("Create")
        run = await harness.until_state(State.FAILED)
        said = await harness.until_said(f"❌ {run.ref}: ")
        assert "Demo: the video maker is simulated" in (said.text or "")


async def test_failure_message_is_withdrawn_once_the_run_is_no_longer_failed(
    harness: BotHarness, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settlement may be taken back, and a job may turn up late; the old message must not offer another order."""
    monkeypatch.setattr(delivery, "LONG", -delivery.LONG)  # every failure is said aloud, besides on its card
    simulator.trouble("create", "made_then_drop")
    simulator.trouble("list", "status", status=500, always=True)
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    run = await harness.until_state(State.UNCERTAIN)
    settled = await harness.operators.settle_not_charged(run.run_id, "cli:op", "none shown", early=True)
    assert settled.settled
    failure = await harness.until_said(f"❌ {run.ref}: ")
    assert labels(failure)
    assert (await harness.operators.take_back(run.run_id, "cli:op", "it is there")).settled
    simulator.control("DELETE", "/_sim/faults")
    await harness.until_state(State.DELIVERED)
    withdrawn = await harness.until_said(f"{run.ref} was checked again")
    assert withdrawn.message_id == failure.message_id and labels(withdrawn) == []
    assert all(f"❌ {run.ref}" not in text for text in harness.texts())
