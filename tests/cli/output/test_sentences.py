"""Every refusal, ending and doubt has a sentence: what happened, whether money was spent, what to do."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cli.output import refusals, sentences
from pipeline.ledger.operators import Breaker
from pipeline.ledger.records import ENDED, Run, State
from pipeline.operator_text import DOUBTS, INCOMPLETE
from providers.answers import CLEAR_NO
from providers.orders import Fault
from steps.check_limits import PromptProblem, RefusalKind, Refused
from steps.text_model.ask_model import TextModelError
from tests.cli.runs import NOW, run_in

ROOT = Path(__file__).parents[3]

EXPECTED = {
    RefusalKind.IDEMPOTENCY_MISMATCH: ("A7K2QX", "new --key"),
    RefusalKind.BLOCKED: ("blocked (rude)", "onetake users unblock"),
    RefusalKind.NOT_INVITED: ("invited", "onetake users invite"),
    RefusalKind.PAUSED: ("paused (rude)", "onetake resume"),
    RefusalKind.BREAKER_OPEN: ("stopped automatically", "at 14:05 UTC (in 5 min)"),
    RefusalKind.DUPLICATE: ("same prompt as run A7K2QX", "--again"),
    RefusalKind.BUSY: ("A7K2QX", "onetake cancel A7K2QX"),
    RefusalKind.COOLDOWN: ("too soon", "at 14:05 UTC (in 5 min)"),
    RefusalKind.DAILY_LIMIT: ("daily limit of videos", "at 14:05 UTC (in 5 min)"),
    RefusalKind.BUDGET_EXHAUSTED: ("budget of the month", "budget_month_microusd"),
}


@pytest.mark.parametrize("kind", list(RefusalKind))
def test_every_refusal_has_the_cause_that_nothing_was_charged_and_the_next_step(kind: RefusalKind) -> None:
    what = {RefusalKind.DAILY_LIMIT: "videos", RefusalKind.BUDGET_EXHAUSTED: "month"}.get(kind)
    refused = Refused(kind, NOW + timedelta(minutes=5), of_ref="A7K2QX", reason="rude", what=what)
    words = refusals.refusal(refused, NOW)

    assert "Nothing was charged." in words
    for part in EXPECTED[kind]:
        assert part in words
    assert "\n" not in words
    assert "None" not in words


@pytest.mark.parametrize("kind", list(RefusalKind))
def test_refusal_without_details_never_prints_none(kind: RefusalKind) -> None:
    assert "(None)" not in refusals.refusal(Refused(kind), NOW)


def test_daily_limit_refusal_names_rejected_prompts_or_canceled_drafts() -> None:
    for what in ("rejected_prompts", "canceled_drafts"):
        refused = Refused(RefusalKind.DAILY_LIMIT, NOW + timedelta(hours=10), what=what)
        assert f"daily limit of {what.replace('_', ' ')}." in refusals.refusal(refused, NOW)
    assert "at 2026-11-24 00:00 UTC (in 10 h)" in refusals.refusal(refused, NOW)


def test_duplicate_of_an_unfinished_run_does_not_suggest_ordering_again() -> None:
    refused = Refused(RefusalKind.DUPLICATE, NOW + timedelta(minutes=5), of_ref="A7K2QX", what="unfinished")
    words = refusals.refusal(refused, NOW)
    assert "--again" not in words and "Try again once it has ended" in words and "onetake show A7K2QX" in words
    waiting = refusals.refusal(replace(refused, what="waits_for_tap"), NOW)
    assert "is waiting for confirmation in the chat" in waiting
    assert "--again" in refusals.refusal(replace(refused, what=None), NOW)


def test_unfinished_run_names_the_command_that_continues_it() -> None:
    run = run_in(State.RENDERING)
    assert "`onetake worker` continues it" in sentences.continued_by(run)
    mine = replace(run, request_key="cli:07e1")
    assert "with `--key 07e1`" in sentences.continued_by(mine)
    assert "--key" not in sentences.continued_by(replace(run, request_key="tg:1:2:3"))


@pytest.mark.parametrize("what", [None, "waits_for_tap"])
def test_busy_refusal_offers_cancel_and_never_advises_waiting(what: str | None) -> None:
    words = refusals.refusal(Refused(RefusalKind.BUSY, of_ref="A7K2QX", what=what), NOW)
    assert "Wait for it" not in words and "onetake cancel A7K2QX" in words
    assert ("onetake worker" in words) is (what is None), "a run that waits for a tap needs no worker"


def test_every_state_has_words() -> None:
    assert set(sentences.STATE_WORDS) == set(State)


def test_every_problem_of_a_prompt_has_words() -> None:
    assert set(refusals.PROMPT_PROBLEMS) == set(PromptProblem)


def reasons_in_the_code() -> set[str]:
    """Every word a run can fail with: from the tables, and from the places that fail runs."""
    words = set(CLEAR_NO.values()) | {"prompt_refused", "rate_limited"}
    words |= {Fault.NEVER_SENT.value, Fault.NEVER_CONNECTED.value}
    words |= {kind.reason for kind in TextModelError.__subclasses__()}
    fails = re.compile(
        r"(?:ledger\.fail\(|fail_run\()[^)]*?State\.\w+,\s*\"(\w+)\"(?:\s+if \w+ else \"(\w+)\")?", re.DOTALL
    )
    for file in (ROOT / "pipeline").rglob("*.py"):
        words |= {word for either in fails.findall(file.read_text()) for word in either if word}
        chosen = re.findall(r'^ +reason = (".*)$', file.read_text(), re.MULTILINE)
        words |= set(re.findall(r'"(\w+)"', " ".join(chosen)))
    for file in (ROOT / "supabase" / "schemas").glob("*.sql"):
        words |= set(re.findall(r"set reason = '(\w+)'", file.read_text()))
    return words | {"disk_full", "paused", "breaker_open"}


def test_every_reason_a_run_can_fail_with_has_a_sentence() -> None:
    found = reasons_in_the_code()

    assert {"render_failed", "expired", "not_made", "gave_up", "not_charged", "text_model_unusable"} <= found
    assert found - set(sentences.FAILURES) == set()


@pytest.mark.parametrize("reason", list(sentences.FAILURES))
def test_every_failure_sentence_has_the_cause_the_charge_and_the_next_step(reason: str) -> None:
    happened, todo = sentences.FAILURES[reason]
    free = sentences.ending(run_in(State.FAILED, reason=reason, detail="HTTP 402."))
    paid = sentences.ending(run_in(State.FAILED, reason=reason, spent_microusd=800_000))

    assert happened in free
    assert "(HTTP 402)" in free
    uncharged = "It was not charged again." if reason == "already_sent" else "Nothing was charged."
    assert uncharged in free
    assert free.endswith(todo)
    assert "$0.80 was charged." in paid


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    assert "the_moon fell".replace("_", " ") in sentences.ending(run_in(State.FAILED, reason="the_moon_fell"))


@pytest.mark.parametrize("state", sorted(ENDED))
def test_every_ended_state_says_whether_money_was_spent(state: State) -> None:
    words = sentences.ending(run_in(state, file="/m/x.mp4"))

    assert ("$0.80 was charged" in words) is (state in {State.SAVED, State.DELIVERED})
    assert ("Nothing was charged" in words) is (state not in {State.SAVED, State.DELIVERED})


def test_a_rejected_prompt_comes_with_a_safe_rewrite() -> None:
    words = sentences.ending(run_in(State.REJECTED, detail="it shows gore", safe_rewrite="red paint"))

    assert "it shows gore. Nothing was charged." in words
    assert 'This would pass: "red paint"' in words


def doubts_in_the_code() -> set[str]:
    words: set[str] = set()
    for file in (ROOT / "pipeline").rglob("*.py"):
        words |= set(re.findall(r"mark_uncertain\(\s*[\w.]+,\s*\"(\w+)\"", file.read_text()))
    words |= set(re.findall(r"Unclear\(\"(\w+)\"", (ROOT / "providers" / "answers.py").read_text()))
    for file in (ROOT / "supabase" / "schemas").glob("*.sql"):
        words |= set(re.findall(r"doubt = '(\w+)'", file.read_text()))
    return words


def test_every_doubt_in_the_code_has_a_sentence() -> None:
    found = doubts_in_the_code()

    assert {"process_died", "lost", "job_was_another_runs"} <= found
    assert found - set(DOUBTS) == set()


@pytest.mark.parametrize("word", [*DOUBTS, "http_503", "something_new"])
def test_doubt_sentence_has_the_held_money_no_second_purchase_and_both_commands(word: str) -> None:
    words = sentences.in_doubt(run_in(State.UNCERTAIN, doubt=word))

    assert "$0.80 stays set aside, and it will not be bought a second time." in words
    assert "`onetake show A7K2QX`" in words
    assert "`onetake settle A7K2QX --job ID` or `onetake settle A7K2QX --not-charged`" in words
    assert "HTTP 503" in words if word == "http_503" else True


def test_every_reason_for_an_incomplete_list_begins_with_it_so_that_the_list_can_replace_it() -> None:
    assert [words for words in INCOMPLETE.values() if not words.startswith("it ")] == []


@pytest.mark.parametrize("parked", [False, True])
def test_show_does_not_suggest_running_show(parked: bool) -> None:
    run = run_in(State.UNCERTAIN, doubt="lost", parked_at=NOW if parked else None)
    assert "onetake show" in sentences.in_doubt(run)
    assert "onetake show" not in sentences.in_doubt(run, shown=True)


def test_settle_is_offered_for_a_parked_render_but_not_for_a_waiting_run() -> None:
    parked = sentences.in_doubt(run_in(State.RENDERING, parked_at=NOW))
    waiting = sentences.in_doubt(run_in(State.APPROVED))

    assert "no video after 10 s" in parked
    assert "settle" in parked
    assert "settle" not in waiting
    assert sentences.STATE_WORDS[State.APPROVED] in waiting


def test_settle_is_not_offered_for_an_in_flight_purchase() -> None:
    words = sentences.in_doubt(run_in(State.SUBMITTING))

    assert "is being bought" in words
    assert "settle" not in words
    assert "in doubt" not in words


def test_doubt_sentence_mentions_the_list_search_until_the_run_is_parked() -> None:
    assert "list is searched" in sentences.in_doubt(run_in(State.UNCERTAIN))
    assert "list is searched" not in sentences.in_doubt(run_in(State.UNCERTAIN, parked_at=NOW))


def test_message_on_leaving_a_run_names_the_worker_and_the_key() -> None:
    words = sentences.left_to_others("A7K2QX", "monday")

    assert "A7K2QX continues when `onetake worker`" in words
    assert "--key monday" in words
    assert "--key monday" in sentences.left_to_others(None, "monday")


@pytest.mark.parametrize(
    ("state", "money", "may_cancel"),
    [
        (State.RESERVED, "$0.80 is set aside; `onetake cancel A7K2QX` releases it", True),
        (State.APPROVED, "$0.80 is set aside; `onetake cancel A7K2QX` releases it", True),
        (State.SUBMITTING, "$0.80 is set aside until it is known whether", False),
        (State.UNCERTAIN, "$0.80 is set aside until it is known whether", False),
        (State.RENDERING, "$0.80 is set aside until the video is saved", False),
    ],
)
def test_message_on_leaving_a_run_names_the_held_money_and_offers_cancel_if_possible(
    state: State, money: str, may_cancel: bool
) -> None:
    words = sentences.left_to_others("A7K2QX", "monday", run_in(state))

    assert words.startswith(money) and "A7K2QX continues when `onetake worker`" in words
    assert ("onetake cancel A7K2QX" in words) is may_cancel


@pytest.mark.parametrize("state", [State.SUBMITTING, State.UNCERTAIN, State.RENDERING])
def test_busy_refusal_does_not_offer_cancel_for_an_ordered_run(state: State) -> None:
    refused = Refused(RefusalKind.BUSY, of_ref="A7K2QX")

    ordered = refusals.refusal(refused, NOW, run_in(state, submitting_at=NOW))
    waiting = refusals.refusal(refused, NOW, run_in(State.RESERVED))

    assert "ordered already" in ordered and "cancel" not in ordered and "Nothing was charged." in ordered
    assert "onetake cancel A7K2QX" in waiting and "or a worker is running" in waiting


def test_busy_refusal_for_a_draft_mentions_the_tap_and_no_worker() -> None:
    waiting = run_in(State.APPROVED, needs_confirmation=True)

    words = refusals.refusal(Refused(RefusalKind.BUSY, of_ref="A7K2QX"), NOW, waiting)

    assert (
        "is waiting for confirmation in the chat" in words
        and "worker" not in words
        and "onetake cancel A7K2QX" in words
    )


def test_budget_refusal_names_the_amount_in_dollars() -> None:
    words = refusals.refusal(Refused(RefusalKind.BUDGET_EXHAUSTED, NOW), NOW)

    assert "in dollars" in words and "million" not in words


def test_message_for_a_run_of_another_provider_names_both_urls() -> None:
    run: Run = run_in(State.APPROVED)

    words = sentences.other_provider(run, "http://here.test/v1")
    assert "http://provider.test/v1" in words
    assert "http://here.test/v1" in words


@pytest.mark.parametrize(
    ("by", "causes", "says"),
    [
        ("paused", (), "waiting: buying is paused"),
        ("no_slot", (), "waiting: no free slot at the provider"),
        ("breaker_open", (), "too many orders in a short time or failures at the provider"),
        ("breaker_open", ("submissions",), "waiting: too many orders in a short time"),
        ("breaker_open", ("failures",), "waiting: too many failures at the provider"),
        (None, (), "the video is about to be bought"),
    ],
)
def test_waiting_run_shows_why_it_waits(by: str | None, causes: tuple[str, ...], says: str) -> None:
    held = run_in(State.APPROVED, deferred_by=by)
    breakers = [Breaker("user:cli:ana", NOW, half_open=False, cause=cause) for cause in causes]
    assert says in sentences.unfinished(
        held, [*breakers, Breaker("user:cli:ben", NOW, half_open=False, cause="failures")]
    )
    assert "is about to be bought" not in sentences.in_doubt(held) or by is None
