"""Operators in chat: what they see and switch, what they are told, and that nobody else can."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from aiogram.methods import SendMessage
from aiogram.types import ForceReply, Message

from bot.admin.alert_words import SAYINGS
from bot.admin.alerts import OperatorAlerts
from bot.translations import Words
from pipeline.ledger.alerts import Alert, Alerts
from pipeline.ledger.records import JobSource, State
from pipeline.ledger.users import Customers
from pipeline.purchase.audit import audit
from pipeline.purchase.differences import Kind
from tests.bot.harness import ADMIN, BotHarness, plain
from tests.support.fixtures import Simulator


def plainly(message: Message) -> str:
    return plain(message.text or "")


async def in_doubt(harness: BotHarness, simulator: Simulator) -> str:
    simulator.trouble("create", "made_then_drop")
    simulator.trouble("list", "status", status=500, always=True)
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    return (await harness.until_state(State.UNCERTAIN)).ref


async def test_admin_command_is_unknown_to_users_who_are_not_operators(harness: BotHarness) -> None:
    await harness.say("/admin pause", user=2)
    await harness.until_said("do not know this command")
    assert not (await harness.operators.controls()).paused


async def test_admin_command_in_a_group_changes_nothing(harness: BotHarness) -> None:
    await harness.say("/admin pause", chat=-5)
    assert harness.texts() == [], "for everybody else it does not exist"
    await harness.say("/admin pause", user=ADMIN, chat=-5)
    await harness.until_said("/admin works only in our private chat")
    assert not (await harness.operators.controls()).paused


async def test_replying_with_a_job_id_settles_the_run_as_found(harness: BotHarness, simulator: Simulator) -> None:
    ref = await in_doubt(harness, simulator)
    [job] = simulator.control("GET", "/_sim/jobs")["jobs"]
    await harness.say("/admin", user=ADMIN)
    await harness.tap(f"Found it · {ref}", user=ADMIN)
    question = await harness.until_said("provider's job id")
    [asked] = [call for call in harness.session.of(SendMessage) if isinstance(call.reply_markup, ForceReply)]
    assert asked.reply_parameters is None and not asked.reply_markup.selective, "else no reply box opens"
    await harness.say(job["id"], user=ADMIN, reply_to=question)
    await harness.until_said_plainly(f"{ref} is job {job['id']}. Its price counts as spent")
    run = await harness.until_state(State.DELIVERED)
    assert run.job_id == job["id"]


def long_ago(harness: BotHarness) -> None:
    """The request left so long ago that its job cannot turn up any more."""
    with psycopg.connect(harness.dsn, autocommit=True) as connection:
        connection.execute("update onetake.runs set submitting_at = submitting_at - interval '1 hour'")


async def test_settling_as_found_with_an_unknown_job_id_is_refused(harness: BotHarness, simulator: Simulator) -> None:
    ref = await in_doubt(harness, simulator)
    await harness.say(f"/admin found {ref} video_nope", user=ADMIN)
    said = await harness.until_said_plainly("The provider does not know job video_nope. Nothing was changed.")
    assert f"send /admin found {ref} video_nope unseen REASON" in plainly(said)
    run = await harness.only_run()
    assert (run.state, run.job_id) == (State.UNCERTAIN, None)
    await harness.say(f"/admin found {ref} video_nope unseen", user=ADMIN)
    await harness.until_said_plainly("a reason is required")
    assert (await harness.only_run()).job_id is None


async def test_unseen_job_is_adopted_when_a_reason_is_given_and_its_user_is_not_busy(
    harness: BotHarness, simulator: Simulator
) -> None:
    ref = await in_doubt(harness, simulator)
    await harness.say(f"/admin found {ref} video_nope unseen their support wrote it", user=ADMIN)
    said = await harness.until_said_plainly("which the provider does not show. Its price stays set aside")
    assert "counts" not in plainly(said)
    await harness.operators.set_limit("cooldown_seconds", 0, "test")
    simulator.control("DELETE", "/_sim/faults")
    await harness.say("/create a red kite over the sea")
    await harness.until_said("the video I'll make")
    assert len(await harness.runs()) == 2, "the user is not busy"


async def test_job_that_differs_from_the_order_is_adopted_only_with_despite_and_a_reason(
    harness: BotHarness, simulator: Simulator
) -> None:
    ref = await in_doubt(harness, simulator)
    job = simulator.control("POST", "/_sim/jobs", {"prompt": "somebody else's"})["id"]
    await harness.say(f"/admin found {ref} {job}", user=ADMIN, language="es")
    said = await harness.until_said_plainly(f"El proveedor muestra el trabajo {job} con")
    assert "otro prompt" in plainly(said) and f"/admin found {ref} {job} despite MOTIVO" in plainly(said)
    assert (await harness.only_run()).job_id is None
    await harness.say(f"/admin found {ref} {job} despite our proxy rewrites prompts", user=ADMIN)
    await harness.until_said_plainly(f"{ref} es el trabajo {job}. Su precio cuenta como gastado")
    assert (await harness.only_run()).job_id == job


async def test_takeback_command_reverts_a_settlement(harness: BotHarness, simulator: Simulator) -> None:
    ref = await in_doubt(harness, simulator)
    await harness.say(f"/admin takeback {ref}", user=ADMIN)
    await harness.until_said_plainly("so there is nothing to take back")
    await harness.say(f"/admin notcharged {ref} early I misread it", user=ADMIN)
    await harness.until_said("is settled as not charged")
    await harness.say(f"/admin takeback {ref} it is there after all", user=ADMIN)
    await harness.until_said_plainly(f"{ref} is in doubt again. $0.80 is set aside.")
    assert (await harness.only_run()).state is State.UNCERTAIN
    await harness.say(f"/admin found {ref} video_nope unseen a guess", user=ADMIN)
    await harness.until_said_plainly("which the provider does not show")
    assert (await harness.only_run()).job_id == "video_nope"
    await harness.say(f"/admin takeback {ref}", user=ADMIN)
    run = await harness.until_state(State.UNCERTAIN)
    assert run.job_id is None


async def test_not_charged_button_asks_first_and_releases_the_hold(harness: BotHarness, simulator: Simulator) -> None:
    ref = await in_doubt(harness, simulator)
    await harness.say("/admin", user=ADMIN)
    await harness.tap(f"Not charged · {ref}", user=ADMIN)
    await harness.until_said("Are you sure")
    assert (await harness.only_run()).state is State.UNCERTAIN
    await harness.tap("Yes, not charged", user=ADMIN)
    await harness.until_said_plainly(f"The order of {ref} may still turn up at the provider until 20")
    assert (await harness.only_run()).state is State.UNCERTAIN
    long_ago(harness)
    await harness.say("/admin", user=ADMIN)
    await harness.tap(f"Not charged · {ref}", user=ADMIN)
    await harness.until_said("Are you sure")
    await harness.tap("Yes, not charged", user=ADMIN)
    run = await harness.until_state(State.FAILED)
    assert (run.reason, run.held_microusd) == ("not_charged", 0)
    await harness.until_said("looked into it: nothing was made")


async def test_early_not_charged_needs_the_word_early_and_a_reason(harness: BotHarness, simulator: Simulator) -> None:
    ref = await in_doubt(harness, simulator)
    await harness.say(f"/admin notcharged {ref} not in their console", user=ADMIN)
    said = await harness.until_said_plainly("may still turn up at the provider")
    assert f"send /admin notcharged {ref} early REASON" in plainly(said)
    await harness.say(f"/admin notcharged {ref} early", user=ADMIN)
    await harness.until_said_plainly("a reason is required")
    assert (await harness.only_run()).state is State.UNCERTAIN
    await harness.say(f"/admin notcharged {ref} early their support wrote it", user=ADMIN)
    assert (await harness.until_state(State.FAILED)).reason == "not_charged"


async def test_confirming_not_charged_on_a_changed_run_does_nothing(harness: BotHarness, simulator: Simulator) -> None:
    """The job was found, and renders for long: its money is not free by a word on what it was before."""
    simulator.control("POST", "/_sim/speed", {"speed": 0.0001})
    ref = await in_doubt(harness, simulator)
    await harness.say("/admin", user=ADMIN)
    await harness.tap(f"Not charged · {ref}", user=ADMIN)
    await harness.until_said("Are you sure")
    [job] = simulator.control("GET", "/_sim/jobs")["jobs"]
    run = await harness.only_run()
    assert (await harness.context.ledger.record_submission(run.run_id, job["id"], JobSource.LIST)).recorded
    await harness.context.ledger.park(run.run_id, "render_deadline", run.read_at + timedelta(hours=1))

    await harness.tap("Yes, not charged", user=ADMIN)

    await harness.until_said("has changed since this message")
    assert (await harness.only_run()).state is State.RENDERING


async def test_a_resume_button_lifts_only_the_pause_that_it_shows(harness: BotHarness) -> None:
    await harness.say("/admin pause repairs", user=ADMIN)
    await harness.say("/admin", user=ADMIN)
    await harness.until_said("Paused by tg:9: repairs")
    await harness.operators.resume("web:Bob")
    await harness.operators.pause("the provider bills twice", "web:Bob")

    await harness.tap("Resume", user=ADMIN)

    await harness.until_said("Paused by web:Bob: the provider bills twice")
    assert (await harness.operators.controls()).paused
    await harness.tap("Resume", user=ADMIN)
    assert not (await harness.operators.controls()).paused


async def test_budget_is_entered_in_dollars_and_a_tenfold_change_needs_yes(harness: BotHarness) -> None:
    for words, answer in {
        "limit budget_day_microusd 5.50 yes": "→ $5.50.",
        "limit budget_day_microusd $6": "budget_day_microusd: $5.50 → $6.00.",
        "limit budget_day_microusd five": "or dollars for a budget",
        "limit budget_day_microusd 5000000": "it is $6.00, and $5,000,000.00 is more than ten times higher or lower",
        "limit budget_day_microusd 5000000 yes": "budget_day_microusd: $6.00 → $5,000,000.00.",
    }.items():
        await harness.say(f"/admin {words}", user=ADMIN)
        await harness.until_said_plainly(answer)


@pytest.mark.parametrize(
    "said",
    [
        {
            "block 77 spam": "tg:77 is blocked",
            "unblock 77": "can order again",
            "invite 77": "is invited",
            "limit videos_per_user_day 3 77": "videos_per_user_day (tg:77): not set → 3",
            "rollout percent 10": "rollout: all → percent",
            "limit nonsense 3": "no limit with this name",
            "limits": "budget_day_microusd",
            "limits 77": "videos_per_user_day = 3",
        },
        {"takeback AAAAAA": "There is no run AAAAAA. Nothing was changed.", "show BBBBBB": "There is no run BBBBBB."},
        {
            "block @ben spam": "@ben is not a Telegram id; an id is a number",
            "invite ben": "ben is not a Telegram id",
            "limit videos_per_user_day 3 @ana": "@ana is not a Telegram id",
        },
        *({words: "/admin pause REASON"} for words in ("found", "found AAAAAA video_1 perhaps", "takeback", "dance")),
    ],
    ids=lambda said: next(iter(said)),
)
async def test_admin_commands_report_the_change_or_the_error(harness: BotHarness, said: dict[str, str]) -> None:
    """Few at a time: more in a row than a person types are dropped."""
    for words, answer in said.items():
        await harness.say(f"/admin {words}", user=ADMIN)
        await harness.until_said_plainly(answer)


@pytest.mark.parametrize(
    ("language", "period", "said"),
    [
        ("en", "2026-11-30", "the budget for 2026-11-30 "),
        ("en", "2026-11", "the budget for 2026-11 "),
        ("es", "2026-11-30", "presupuesto del 30/11/2026"),
        ("es", "2026-11", "presupuesto de 11/2026"),
    ],
)
@pytest.mark.parametrize("kind", ["budget", "budget_exhausted"])
def test_budget_period_is_formatted_for_the_operators_language(
    language: str, period: str, said: str, kind: str
) -> None:
    detail = {"period": period, "share": 80, "used_microusd": 8_000_000, "limit_microusd": 10_000_000}
    assert said in SAYINGS[kind](Alert("k", kind, datetime.now(UTC), detail), Words(language))


async def alarmed(harness: BotHarness) -> list[str]:
    """What operators are told now."""
    rpc = harness.context.ledger.rpc
    before = len(harness.session.of(SendMessage))
    await OperatorAlerts(harness.bot_app.client, Alerts(rpc), Customers(rpc), frozenset({ADMIN})).tell_all()
    return [call.text for call in harness.session.of(SendMessage)[before:] if call.chat_id == ADMIN]


async def test_admin_page_shows_paid_calls_videos_and_blocked_duplicates(
    harness: BotHarness, simulator: Simulator
) -> None:
    await harness.say("/admin", user=ADMIN)
    await harness.until_said_plainly("0 paid calls.\n0 duplicates blocked, $0.00 saved.")
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    await harness.until_said("Here it is")
    await harness.say("/admin", user=ADMIN)
    await harness.until_said_plainly("1 paid call: 1 video.\n0 duplicates blocked")
    await Customers(harness.context.ledger.rpc).set_preference(f"tg:{ADMIN}", "language", "es")
    await harness.say("/admin", user=ADMIN)
    await harness.until_said_plainly("1 compra: 1 video.\n0 duplicados bloqueados, US$0.00 de ahorro.")


async def test_budget_alert_is_sent_once_per_share_of_the_budget(harness: BotHarness) -> None:
    await harness.operators.set_limit("budget_day_microusd", 1_000_000, "test")
    await harness.say("/create a paper boat in the rain")
    await harness.until_state(State.APPROVED)
    [said] = await alarmed(harness)
    assert "80 % of the budget" in said
    assert await alarmed(harness) == []


async def test_budget_exhausted_alert_is_sent_once_per_budget_amount(harness: BotHarness) -> None:
    """$0.75 of $1 is used at most: no share tells that it is used up."""
    await harness.operators.set_limit("budget_day_microusd", 700_000, "test")
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("daily budget")
    [said] = await alarmed(harness)
    assert "An order was refused and nothing was charged" in said
    assert "$0.00 of $0.70 is used" in said
    assert await alarmed(harness) == []

    await harness.operators.set_limit("budget_day_microusd", 750_000, "test")
    assert await alarmed(harness) == [], "nobody was refused since"
    await harness.operators.set_limit("cooldown_seconds", 0, "test")
    await harness.say("/create a wooden boat in the rain")
    await harness.until_said("daily budget")
    assert "of $0.75 is used" in (await alarmed(harness))[0]


async def test_provider_account_without_credit_alerts_the_operators(harness: BotHarness, simulator: Simulator) -> None:
    simulator.trouble("create", "status", status=402, made=False)
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    await harness.until_said("They have been notified")
    [said] = await alarmed(harness)
    assert "account with the video maker has no credit left" in said


async def test_every_alert_kind_has_a_text(harness: BotHarness) -> None:
    kinds = {"in_doubt", "parked", "late_job", "two_paid_calls", "budget", "failure_rate", "breaker", "model_gone"}
    kinds |= {"budget_exhausted", "not_stored", "perhaps_two_paid_calls", "stray_answer", "unreadable_update"}
    assert kinds | {"our_side", "audit", "template", "storage", "undelivered"} == set(SAYINGS)


@pytest.mark.parametrize(("language", "said"), [("en", "Its user was"), ("es", "su usuario")])
def test_failure_rate_alert_uses_the_singular_for_one_failure(language: str, said: str) -> None:
    rate = Alert("1", "failure_rate", datetime.now(UTC), {"failed": 1, "ended": 4})
    assert said in SAYINGS["failure_rate"](rate, Words(language))


@pytest.mark.parametrize(("language", "said"), [("en", "put it back as"), ("es", "ponerla como")])
def test_a_lost_clip_is_not_reported_as_kept(language: str, said: str) -> None:
    detail = {"ref": "ABC234", "why": "FileNotFoundError: /m/a.mp4"}
    words = SAYINGS["undelivered"](Alert("1", "undelivered", datetime.now(UTC), detail), Words(language))
    assert f"{said} <code>/m/a.mp4</code>" in words and "/videos" not in words


async def test_malformed_alerts_do_not_block_the_others(harness: BotHarness) -> None:
    with psycopg.connect(harness.dsn, autocommit=True) as connection:
        for key, kind, detail in (
            ("1", "in_doubt", "{}"),  # no ref
            ("2", "of_a_later_version", "{}"),
            ("3", "storage", "[]"),  # no object
            ("4", "storage", '{"words": "the bucket is gone"}'),
        ):
            connection.execute(
                "insert into onetake.alerts (key, kind, detail) values (%s, %s, %s::jsonb)", (key, kind, detail)
            )
    unknown, known = await alarmed(harness)
    assert "does not know the alert 2" in unknown and "the bucket is gone" in known


async def test_each_difference_is_alerted_once(harness: BotHarness, simulator: Simulator) -> None:
    context = harness.context
    await harness.say("/create a paper boat in the rain")
    await harness.until_said("the video I'll make")
    await harness.tap("Create")
    await harness.until_state(State.DELIVERED)
    jobs = [simulator.control("POST", "/_sim/jobs", {"prompt": prompt})["id"] for prompt in ("one", "two")]

    for _ in range(2):
        found = await audit(context.ledger, context.account, context.waits, datetime.now(UTC) - timedelta(days=1))
    assert {each.job_id for each in found.differences} == set(jobs)

    said = [plain(text) for text in await alarmed(harness)]
    assert sorted(job for job in jobs for text in said if f"no run owns the provider's job {job}" in text) == sorted(
        jobs
    )
    assert len(said) == 2 and all("onetake audit --explain video_" in text for text in said)
    await audit(context.ledger, context.account, context.waits, datetime.now(UTC) - timedelta(days=1))
    assert await alarmed(harness) == []


async def test_stray_answer_is_alerted_once(harness: BotHarness) -> None:
    await harness.context.ledger.keep_stray_answer(uuid4(), "unknown_run", 200, '{"id": "video_lost"}')

    [said] = await alarmed(harness)
    assert "matches no run. It may name a job that was paid for" in said and "video_lost" in said
    assert await alarmed(harness) == []


@pytest.mark.parametrize("kind", [*sorted(set(Kind) - {Kind.IN_DOUBT, Kind.LATE_JOB}), "of tomorrow"])
def test_difference_alert_is_entirely_in_the_operators_language(kind: str) -> None:
    """The ledger's words are English; a sentence is made of its kind, run, job and amount instead."""
    detail = {"kind": kind, "ref": "A7K2QX", "job_id": "video_9", "words": "the ledger's English", "microusd": 800_000}
    alert = Alert("k", kind if kind in SAYINGS else "audit", datetime.now(UTC), detail)

    english, spanish = (plain(SAYINGS[alert.kind](alert, Words(language))) for language in ("en", "es"))

    assert "--explain video_9" in english and "the ledger's English" not in english
    assert "video_9" in spanish and "MOTIVO" in spanish
    found = re.findall(r"(?i)\b(the|job|run|was|shows|which|not|and)\b", spanish.replace("onetake audit", ""))
    assert found == []
    assert "US$0.80" in spanish or alert.kind != "audit"
