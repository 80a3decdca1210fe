"""The fence: one winner per run, and everything that can still refuse at the last moment."""

from typing import Any
from uuid import uuid4

import pytest

from pipeline.ledger.transports.common import LedgerRefused
from tests.ledger.client import OTHER_TOKEN, STATES, TOKEN, LedgerClient


def test_first_token_wins_and_gets_the_order_and_a_second_token_is_refused(client: LedgerClient) -> None:
    run_id = client.approved()
    answer = client.begin(run_id)
    assert answer["won"] is True
    assert answer["order"] == {
        "run_id": run_id,
        "prompt": "a red fox, at dawn",
        "model": "sim-video",
        "seconds": 8,
        "size": "720x1280",
        "create_body": "multipart",
        "provider": "openai",
        "input": {},
        "callback_url": None,
    }
    row = client.row(run_id)
    assert (row["state"], row["token"]) == ("submitting", TOKEN)
    assert client.begin(run_id, OTHER_TOKEN) == {"won": False, "refused": "state", "state": "submitting"}


def test_winning_token_gets_the_same_answer_again_and_nothing_changes(client: LedgerClient) -> None:
    run_id = client.approved()
    first = client.begin(run_id)
    before = client.row(run_id)
    client.call("set_paused", paused=True, reason="", who="op")
    assert client.begin(run_id) == first
    assert client.row(run_id) == before
    assert client.events(run_id).count(("generate_video", "submitting")) == 1


@pytest.mark.parametrize("state", [state for state in STATES if state not in {"approved", "submitting"}])
@pytest.mark.parametrize("token", [TOKEN, OTHER_TOKEN])
def test_submission_begins_only_from_approved_even_with_the_winning_token(
    client: LedgerClient, state: str, token: str
) -> None:
    run_id = client.in_state(state)
    before = client.row(run_id)
    assert client.begin(run_id, token) == {"won": False, "refused": "state", "state": state}
    assert client.row(run_id) == before


def test_submission_of_an_unknown_run_is_refused(client: LedgerClient) -> None:
    assert client.begin(str(uuid4()))["refused"] == "unknown_run"


@pytest.mark.parametrize("token", ["", "short", None])
def test_short_or_missing_token_is_an_error(client: LedgerClient, token: str | None) -> None:
    run_id = client.approved()
    with pytest.raises(LedgerRefused) as refused:
        client.call("begin_submission", run_id=run_id, token=token)
    assert refused.value.code == "LG003"


# -- what is checked again at the last moment


def test_pause_defers_an_approved_run_and_resume_makes_it_due(client: LedgerClient) -> None:
    run_id = client.approved()
    client.call("set_paused", paused=True, reason="too dear", who="op")
    assert client.begin(run_id) == {"won": False, "refused": "paused", "reason": "too dear"}
    row = client.row(run_id)
    assert (row["state"], row["deferred_by"], row["token"]) == ("approved", "paused", None)
    client.call("wait_until", run_id=run_id, at="2999-01-01T00:00:00Z")
    client.begin(run_id)
    assert client.row(run_id)["deferred_since"] == row["deferred_since"], "counted from the first time"
    client.call("set_paused", paused=False, reason=None, who="op")
    assert client.row(run_id)["next_look_at"] is None, "due at once"
    assert client.begin(run_id)["won"]
    assert client.row(run_id)["deferred_since"] is None


def test_a_run_that_waits_for_its_users_tap_is_not_submitted(client: LedgerClient) -> None:
    run_id = client.approved(confirm=True)
    answer = client.begin(run_id)
    assert (answer["won"], answer["refused"]) == (False, "not_confirmed")
    assert client.row(run_id)["deferred_since"] is None
    client.call("confirm", run_id=run_id)
    assert client.begin(run_id)["won"]


def test_a_tap_that_comes_too_late_does_not_count(client: LedgerClient) -> None:
    run_id = client.approved(confirm=True)
    client.age(run_id, 901)
    assert client.call("confirm", run_id=run_id)["confirmed_at"] is None
    assert client.begin(run_id)["refused"] == "not_confirmed"


def test_a_second_tap_changes_nothing(client: LedgerClient) -> None:
    run_id = client.approved(confirm=True)
    first = client.call("confirm", run_id=run_id)["confirmed_at"]
    assert client.call("confirm", run_id=run_id)["confirmed_at"] == first
    assert client.events(run_id).count(("confirm", "confirmed")) == 1


# -- an answer is lost


def test_winning_token_can_mark_its_submission_uncertain_at_once(client: LedgerClient) -> None:
    run_id = client.submitting()
    assert client.doubt(run_id) == {"moved": True, "state": "uncertain"}
    row = client.row(run_id)
    assert (row["doubt"], row["held_microusd"]) == ("timeout", row["price_microusd"])


@pytest.mark.parametrize("token", [None, OTHER_TOKEN])
def test_others_can_mark_a_submission_uncertain_only_after_the_minimum_age(
    client: LedgerClient, token: str | None
) -> None:
    run_id = client.submitting()
    args = {"run_id": run_id, "doubt": "process_died", "token": token}
    assert client.call("mark_uncertain", **args) == {"moved": False, "state": "submitting"}
    client.age(run_id, 75)
    assert client.call("mark_uncertain", **args)["moved"] is False
    assert client.call("mark_uncertain", **args, min_age_seconds=80.5)["moved"] is False
    assert client.call("mark_uncertain", **args, min_age_seconds=75.0)["moved"] is True


@pytest.mark.parametrize("state", [state for state in STATES if state != "submitting"])
def test_only_a_submitting_run_becomes_uncertain(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    assert client.call("mark_uncertain", run_id=run_id, doubt="x", token=TOKEN, min_age_seconds=0) == {
        "moved": False,
        "state": state,
    }


# -- a run fails


@pytest.mark.parametrize("token", [None, OTHER_TOKEN])
def test_only_the_winner_ends_a_submitting_run(client: LedgerClient, token: str | None) -> None:
    run_id = client.submitting()
    assert client.fail(run_id, "submitting", token=token) == {"moved": False, "state": "submitting"}
    assert client.fail(run_id, "submitting", "never_sent", token=TOKEN) == {"moved": True, "state": "failed"}
    assert client.books_wrong() == []


def test_a_run_fails_only_from_the_state_its_caller_saw(client: LedgerClient) -> None:
    run_id = client.uncertain()
    assert client.fail(run_id, "rendering") == {"moved": False, "state": "uncertain"}
    assert client.fail(run_id, "uncertain", "not_made") == {"moved": True, "state": "failed"}
    row = client.row(run_id)
    assert (row["reason"], row["released_microusd"]) == ("not_made", row["price_microusd"])


def ended(client: LedgerClient, run_id: str, expected: str, reason: str, **proof: Any) -> bool:
    """Whether `fail_run` accepts this as proof."""
    args = {"run_id": run_id, "expected": expected, "reason": reason, "detail": ""}
    return bool(client.call("fail_run", **args, **proof)["moved"])


def test_render_failure_needs_two_looks_far_enough_apart(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1")
    proof = {"job_id": "job_1", "apart_seconds": 3600.0}
    assert not ended(client, run_id, "rendering", "render_failed", **proof), "no look at all"
    client.call("note_failing", run_id=run_id, job_id="job_1", words="it failed", seen=True)
    client.write("update onetake.runs set failing_since = failing_since - interval '3000 seconds'")
    assert not ended(client, run_id, "rendering", "render_failed", **proof), "the first look was too short ago"
    client.write("update onetake.runs set failing_since = failing_since - interval '600 seconds'")
    assert ended(client, run_id, "rendering", "render_failed", **proof)


def test_look_that_contradicts_a_noted_failure_clears_it(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1")
    client.call("note_failing", run_id=run_id, job_id="job_1", words="it failed")
    row = client.call("note_failing", run_id=run_id, job_id="job_1", words=None)
    assert (row["failing_since"], row["failing_words"]) == (None, None)
    assert not ended(client, run_id, "rendering", "render_failed", job_id="job_1", apart_seconds=0.0)


def test_failure_of_an_adopted_job_returns_its_run_to_doubt(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1", source="list")
    assert client.fail(run_id, "rendering", "render_failed") == {"moved": False, "state": "rendering"}
    row = client.call("back_to_doubt", run_id=run_id, job_id="job_1", words="it failed", apart_seconds=0.0)
    assert (row["state"], row["job_id"], row["held_microusd"]) == ("uncertain", None, row["price_microusd"])
    assert client.record(run_id, "job_1", "list")["recorded"] is False, "it has been seen to fail"
    assert client.record(run_id, "job_2", "list")["recorded"]


def test_a_run_in_doubt_fails_only_with_the_winning_token_or_with_counted_looks(client: LedgerClient) -> None:
    run_id = client.uncertain()
    assert not ended(client, run_id, "uncertain", "bad_request")
    assert not ended(client, run_id, "uncertain", "bad_request", token=OTHER_TOKEN)
    assert not ended(client, run_id, "uncertain", "not_made"), "no look counted"
    client.write("update onetake.runs set looks_complete = 5, answered_job_id = 'job_1'")
    assert not ended(client, run_id, "uncertain", "not_made"), "a real answer named a job"
    assert ended(client, run_id, "uncertain", "bad_request", token=TOKEN)


def test_a_failed_render_that_is_billed_is_spent(client: LedgerClient) -> None:
    run_id = client.rendering()
    client.fail(run_id, "rendering", "render_failed", spent=True, breaker="render")
    assert client.row(run_id)["spent_microusd"] == client.row(run_id)["price_microusd"]
    assert client.books_wrong() == []


def test_one_clip_is_not_saved_for_two_runs_with_different_prompts(client: LedgerClient) -> None:
    """A cache gave two users one clip at the same moment: no run had it before, so only the ledger can tell."""
    client.unlimited()
    first, twin, other = (client.rendering(f"tg:{n}") for n in range(3))
    client.write("update onetake.runs set improved_prompt = 'an owl' where run_id = %s", other)
    assert client.save(first)["state"] == "saved"
    assert client.save(other)["state"] == "rendering"
    assert client.call("same_clip_as", run_id=other, sha256="f") == client.row(first)["ref"]
    assert client.save(twin)["state"] == "saved", "equal orders may come with equal files"
    client.write("update onetake.runs set job_source = 'person' where run_id = %s", other)
    assert client.save(other)["state"] == "saved", "a person has said that it is this run's"


def test_prompt_of_another_ignores_whitespace_and_unicode_composition(client: LedgerClient) -> None:
    client.unlimited()
    one, other = client.rendering("tg:1"), client.rendering("tg:2")
    words = "сова в лесу — e\u0301t\u00e9"
    client.write("update onetake.runs set improved_prompt = %s where run_id = %s", f" {words}\n", other)
    asked = {"run_id": one, "words": "сова в лесу — été"}
    assert client.call("prompt_of_another", **asked) == client.row(other)["ref"]
    assert client.call("prompt_of_another", **asked | {"run_id": other}) is None
    assert client.call("prompt_of_another", **asked | {"words": "сова в лесу"}) is None
