"""Pause and resume in chat, by command and by button."""

from tests.bot.harness import ADMIN, BotHarness, labels


async def test_pause_by_command_and_resume_by_button(harness: BotHarness) -> None:
    await harness.say("/admin pause repairs", user=ADMIN)
    await harness.until_said("Paused: no more videos are ordered")
    await harness.say("/create a boat", user=2)
    await harness.until_said("Ordering is paused: repairs")
    await harness.say("/admin", user=ADMIN)
    page = await harness.until_said("Paused by tg:9: repairs")
    assert "▶ Resume" in labels(page)
    await harness.tap("Resume", user=ADMIN)
    assert not (await harness.operators.controls()).paused


async def test_a_second_pause_without_a_reason_keeps_the_first_one(harness: BotHarness) -> None:
    await harness.say("/admin pause repairs", user=ADMIN)
    await harness.until_said("Paused: no more videos are ordered")
    await harness.say("/admin pause", user=ADMIN)
    await harness.until_said("Users still see the reason given before: repairs")
    assert (await harness.operators.controls()).pause_reason == "repairs"
    await harness.say("/admin resume", user=ADMIN)
    await harness.until_said("Resumed: videos can be ordered again")
    await harness.say("/admin resume", user=ADMIN)
    await harness.until_said("Nothing was paused")
