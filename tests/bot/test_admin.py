"""Operators in chat: what they see and switch, what they are told, and that nobody else can."""

from datetime import timedelta

from aiogram.methods import SendMessage

from bot.alarms import SAYINGS, Alarms
from pipeline.alerts import Alerts
from pipeline.customers import Customers
from pipeline.records import JobSource, State
from tests.bot.stage import ADMIN, Stage, labels
from tests.fixtures import Simulator


async def in_doubt(stage: Stage, simulator: Simulator) -> str:
    simulator.trouble("create", "made_then_drop")
    simulator.trouble("list", "status", status=500, always=True)
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("I would make this")
    await stage.tap("Create")
    return (await stage.until_state(State.UNCERTAIN)).ref


async def test_nobody_else_has_an_admin_page(stage: Stage) -> None:
    await stage.say("/admin pause", user=2)
    await stage.until_said("do not know this command")
    assert not (await stage.operators.controls()).paused


async def test_pause_and_resume_work_by_word_and_by_button(stage: Stage) -> None:
    await stage.say("/admin pause repairs", user=ADMIN)
    await stage.until_said("Paused: nothing is bought")
    await stage.say("/create a boat", user=2)
    await stage.until_said("Making videos is paused: repairs")
    await stage.say("/admin", user=ADMIN)
    page = await stage.until_said("Paused by tg:9: repairs")
    assert "▶ Resume" in labels(page)
    await stage.tap("Resume", user=ADMIN)
    assert not (await stage.operators.controls()).paused


async def test_an_operator_says_which_job_it_was(stage: Stage, simulator: Simulator) -> None:
    ref = await in_doubt(stage, simulator)
    [job] = simulator.control("GET", "/_sim/jobs")["jobs"]
    await stage.say("/admin", user=ADMIN)
    await stage.tap(f"Found it · {ref}", user=ADMIN)
    question = await stage.until_said("provider's job id")
    await stage.say(job["id"], user=ADMIN, reply_to=question)
    await stage.until_said(f"{ref} is job")
    run = await stage.until_state(State.DELIVERED)
    assert run.job_id == job["id"]


async def test_not_charged_is_asked_twice_and_frees_the_money(stage: Stage, simulator: Simulator) -> None:
    ref = await in_doubt(stage, simulator)
    await stage.say("/admin", user=ADMIN)
    await stage.tap(f"Not charged · {ref}", user=ADMIN)
    await stage.until_said("Is it certain")
    assert (await stage.only_run()).state is State.UNCERTAIN
    await stage.tap("Yes, not charged", user=ADMIN)
    run = await stage.until_state(State.FAILED)
    assert (run.reason, run.held_microusd) == ("not_charged", 0)
    await stage.until_said("looked into it: nothing was made")


async def test_a_yes_to_what_was_true_a_while_ago_changes_nothing(stage: Stage, simulator: Simulator) -> None:
    """The job was found, and renders for long: its money is not free by a word on what it was before."""
    simulator.control("POST", "/_sim/speed", {"speed": 0.0001})
    ref = await in_doubt(stage, simulator)
    await stage.say("/admin", user=ADMIN)
    await stage.tap(f"Not charged · {ref}", user=ADMIN)
    await stage.until_said("Is it certain")
    [job] = simulator.control("GET", "/_sim/jobs")["jobs"]
    run = await stage.only_run()
    assert (await stage.world.ledger.record_submission(run.run_id, job["id"], JobSource.LIST)).recorded
    await stage.world.ledger.park(run.run_id, "render_deadline", run.read_at + timedelta(hours=1))

    await stage.tap("Yes, not charged", user=ADMIN)

    await stage.until_said("More is known of")
    assert (await stage.only_run()).state is State.RENDERING


async def test_a_resume_button_lifts_only_the_pause_that_it_shows(stage: Stage) -> None:
    await stage.say("/admin pause repairs", user=ADMIN)
    await stage.say("/admin", user=ADMIN)
    await stage.until_said("Paused by tg:9: repairs")
    await stage.operators.resume("web:Bob")
    await stage.operators.pause("the provider bills twice", "web:Bob")

    await stage.tap("Resume", user=ADMIN)

    await stage.until_said("Paused by web:Bob: the provider bills twice")
    assert (await stage.operators.controls()).paused
    await stage.tap("Resume", user=ADMIN)
    assert not (await stage.operators.controls()).paused


async def test_limits_rollout_and_users_are_changed_by_word(stage: Stage) -> None:
    for words, answer in {
        "block 77 spam": "tg:77 is blocked",
        "unblock 77": "may ask again",
        "invite 77": "is invited",
        "limit videos_per_user_day 3 77": "videos_per_user_day (tg:77): None → 3",
        "rollout percent 10": "rollout: all → percent",
        "limit nonsense 3": "no limit of this name",
        "limits": "budget_day_microusd",
        "found": "/admin found REF JOB",
        "dance": "/admin pause REASON",
        "show AAAAAA": "/admin found REF JOB",
    }.items():
        await stage.say(f"/admin {words}", user=ADMIN)
        await stage.until_said_plainly(answer)


async def alarmed(stage: Stage) -> list[str]:
    """What operators are told now."""
    rpc = stage.world.ledger.rpc
    before = len(stage.session.of(SendMessage))
    await Alarms(stage.front.outbox, Alerts(rpc), Customers(rpc), frozenset({ADMIN})).tell_all()
    return [call.text for call in stage.session.of(SendMessage)[before:] if call.chat_id == ADMIN]


async def test_a_budget_is_told_once_a_share(stage: Stage) -> None:
    await stage.operators.set_limit("budget_day_microusd", 1_000_000, "test")
    await stage.say("/create a paper boat in the rain")
    await stage.until_state(State.APPROVED)
    [said] = await alarmed(stage)
    assert "80 % of the budget" in said
    assert await alarmed(stage) == []


async def test_what_only_operators_can_mend_reaches_them(stage: Stage, simulator: Simulator) -> None:
    simulator.trouble("create", "status", status=402, made=False)
    await stage.say("/create a paper boat in the rain")
    await stage.until_said("I would make this")
    await stage.tap("Create")
    await stage.until_said("they are told")
    [said] = await alarmed(stage)
    assert "account at the video maker is empty" in said


async def test_every_kind_of_alert_of_the_schema_has_its_words(stage: Stage) -> None:
    kinds = {"in_doubt", "parked", "late_job", "two_paid_calls", "budget", "failure_rate", "breaker", "model_gone"}
    assert kinds | {"our_side", "audit", "template", "storage"} == set(SAYINGS)
