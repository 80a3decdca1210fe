"""The fence: one winner a run, and everything that can still say no at the last moment."""

from typing import Any
from uuid import uuid4

import pytest

from pipeline.ledger.transport import LedgerRefused
from tests.ledger.desk import OTHER_TOKEN, STATES, TOKEN, Desk


def test_the_winner_hears_what_is_sent_from_the_row_and_is_the_only_one(desk: Desk) -> None:
    run_id = desk.approved()
    answer = desk.begin(run_id)
    assert answer["won"] is True
    assert answer["order"] == {
        "run_id": run_id,
        "prompt": "a red fox, at dawn",
        "model": "sim-video",
        "seconds": 8,
        "size": "720x1280",
        "create_body": "multipart",
    }
    row = desk.row(run_id)
    assert (row["state"], row["token"]) == ("submitting", TOKEN)
    assert desk.begin(run_id, OTHER_TOKEN) == {"won": False, "refused": "state", "state": "submitting"}


def test_the_winner_who_lost_the_answer_hears_it_again_and_nothing_moves(desk: Desk) -> None:
    run_id = desk.approved()
    first = desk.begin(run_id)
    before = desk.row(run_id)
    desk.call("set_paused", paused=True, reason="", who="op")
    assert desk.begin(run_id) == first
    assert desk.row(run_id) == before
    assert desk.events(run_id).count(("generate_video", "submitting")) == 1


@pytest.mark.parametrize("state", [state for state in STATES if state not in {"approved", "submitting"}])
@pytest.mark.parametrize("token", [TOKEN, OTHER_TOKEN])
def test_nobody_wins_in_any_other_state_not_even_the_old_winner(desk: Desk, state: str, token: str) -> None:
    run_id = desk.in_state(state)
    before = desk.row(run_id)
    assert desk.begin(run_id, token) == {"won": False, "refused": "state", "state": state}
    assert desk.row(run_id) == before


def test_an_unknown_run_is_not_won(desk: Desk) -> None:
    assert desk.begin(str(uuid4()))["refused"] == "unknown_run"


@pytest.mark.parametrize("token", ["", "short", None])
def test_a_token_that_could_be_guessed_is_an_error(desk: Desk, token: str | None) -> None:
    run_id = desk.approved()
    with pytest.raises(LedgerRefused) as refused:
        desk.call("begin_submission", run_id=run_id, token=token)
    assert refused.value.code == "LG003"


# -- what is checked again at the last moment


def test_a_pause_holds_an_approved_run_back_and_its_end_lets_it_through(desk: Desk) -> None:
    run_id = desk.approved()
    desk.call("set_paused", paused=True, reason="too dear", who="op")
    assert desk.begin(run_id) == {"won": False, "refused": "paused", "reason": "too dear"}
    row = desk.row(run_id)
    assert (row["state"], row["held_back_by"], row["token"]) == ("approved", "paused", None)
    desk.call("wait_until", run_id=run_id, at="2999-01-01T00:00:00Z")
    desk.begin(run_id)
    assert desk.row(run_id)["held_back_since"] == row["held_back_since"], "counted from the first time"
    desk.call("set_paused", paused=False, reason=None, who="op")
    assert desk.row(run_id)["next_look_at"] is None, "due at once"
    assert desk.begin(run_id)["won"]
    assert desk.row(run_id)["held_back_since"] is None


def test_a_run_that_waits_for_its_users_tap_is_not_submitted(desk: Desk) -> None:
    run_id = desk.approved(confirm=True)
    answer = desk.begin(run_id)
    assert (answer["won"], answer["refused"]) == (False, "not_confirmed")
    assert desk.row(run_id)["held_back_since"] is None
    desk.call("confirm", run_id=run_id)
    assert desk.begin(run_id)["won"]


def test_a_tap_that_comes_too_late_does_not_count(desk: Desk) -> None:
    run_id = desk.approved(confirm=True)
    desk.age(run_id, 901)
    assert desk.call("confirm", run_id=run_id)["confirmed_at"] is None
    assert desk.begin(run_id)["refused"] == "not_confirmed"


def test_a_second_tap_changes_nothing(desk: Desk) -> None:
    run_id = desk.approved(confirm=True)
    first = desk.call("confirm", run_id=run_id)["confirmed_at"]
    assert desk.call("confirm", run_id=run_id)["confirmed_at"] == first
    assert desk.events(run_id).count(("confirm", "confirmed")) == 1


# -- an answer is lost


def test_the_winner_may_call_his_answer_lost_at_once(desk: Desk) -> None:
    run_id = desk.submitting()
    assert desk.doubt(run_id) == {"moved": True, "state": "uncertain"}
    row = desk.row(run_id)
    assert (row["doubt"], row["held_microusd"]) == ("timeout", row["price_microusd"])


@pytest.mark.parametrize("token", [None, OTHER_TOKEN])
def test_others_may_call_an_answer_lost_only_when_no_request_can_be_under_way(desk: Desk, token: str | None) -> None:
    run_id = desk.submitting()
    args = {"run_id": run_id, "doubt": "process_died", "token": token}
    assert desk.call("mark_uncertain", **args) == {"moved": False, "state": "submitting"}
    desk.age(run_id, 75)
    assert desk.call("mark_uncertain", **args)["moved"] is False
    assert desk.call("mark_uncertain", **args, min_age_seconds=80.5)["moved"] is False
    assert desk.call("mark_uncertain", **args, min_age_seconds=75.0)["moved"] is True


@pytest.mark.parametrize("state", [state for state in STATES if state != "submitting"])
def test_only_a_submitting_run_becomes_uncertain(desk: Desk, state: str) -> None:
    run_id = desk.in_state(state)
    assert desk.call("mark_uncertain", run_id=run_id, doubt="x", token=TOKEN, min_age_seconds=0) == {
        "moved": False,
        "state": state,
    }


# -- a run fails


@pytest.mark.parametrize("token", [None, OTHER_TOKEN])
def test_only_the_winner_ends_a_submitting_run(desk: Desk, token: str | None) -> None:
    run_id = desk.submitting()
    assert desk.fail(run_id, "submitting", token=token) == {"moved": False, "state": "submitting"}
    assert desk.fail(run_id, "submitting", "never_sent", token=TOKEN) == {"moved": True, "state": "failed"}
    assert desk.books_wrong() == []


def test_a_run_fails_only_from_the_state_its_caller_saw(desk: Desk) -> None:
    run_id = desk.uncertain()
    assert desk.fail(run_id, "rendering") == {"moved": False, "state": "uncertain"}
    assert desk.fail(run_id, "uncertain", "not_made") == {"moved": True, "state": "failed"}
    row = desk.row(run_id)
    assert (row["reason"], row["released_microusd"]) == ("not_made", row["price_microusd"])


def ended(desk: Desk, run_id: str, expected: str, reason: str, **proof: Any) -> bool:
    """Whether `fail_run` takes this for a proof."""
    args = {"run_id": run_id, "expected": expected, "reason": reason, "detail": ""}
    return bool(desk.call("fail_run", **args, **proof)["moved"])


def test_one_look_at_a_failed_job_ends_nothing(desk: Desk) -> None:
    run_id = desk.rendering(job="job_1")
    proof = {"job_id": "job_1", "apart_seconds": 3600.0}
    assert not ended(desk, run_id, "rendering", "render_failed", **proof), "no look at all"
    desk.call("note_failing", run_id=run_id, job_id="job_1", words="it failed", seen=True)
    desk.write("update onetake.runs set failing_since = failing_since - interval '3000 seconds'")
    assert not ended(desk, run_id, "rendering", "render_failed", **proof), "the first look was too short ago"
    desk.write("update onetake.runs set failing_since = failing_since - interval '600 seconds'")
    assert ended(desk, run_id, "rendering", "render_failed", **proof)


def test_a_look_that_contradicts_the_first_takes_it_back(desk: Desk) -> None:
    run_id = desk.rendering(job="job_1")
    desk.call("note_failing", run_id=run_id, job_id="job_1", words="it failed")
    row = desk.call("note_failing", run_id=run_id, job_id="job_1", words=None)
    assert (row["failing_since"], row["failing_words"]) == (None, None)
    assert not ended(desk, run_id, "rendering", "render_failed", job_id="job_1", apart_seconds=0.0)


def test_a_job_that_was_only_adopted_never_fails_its_run(desk: Desk) -> None:
    run_id = desk.rendering(job="job_1", source="list")
    assert desk.fail(run_id, "rendering", "render_failed") == {"moved": False, "state": "rendering"}
    row = desk.call("back_to_doubt", run_id=run_id, job_id="job_1", words="it failed", apart_seconds=0.0)
    assert (row["state"], row["job_id"], row["held_microusd"]) == ("uncertain", None, row["price_microusd"])
    assert desk.record(run_id, "job_1", "list")["recorded"] is False, "it has been seen to fail"
    assert desk.record(run_id, "job_2", "list")["recorded"]


def test_a_run_in_doubt_fails_only_by_its_winners_no_or_by_looks_that_counted(desk: Desk) -> None:
    run_id = desk.uncertain()
    assert not ended(desk, run_id, "uncertain", "bad_request")
    assert not ended(desk, run_id, "uncertain", "bad_request", token=OTHER_TOKEN)
    assert not ended(desk, run_id, "uncertain", "not_made"), "no look counted"
    desk.write("update onetake.runs set looks_complete = 5, answered_job_id = 'job_1'")
    assert not ended(desk, run_id, "uncertain", "not_made"), "a real answer named a job"
    assert ended(desk, run_id, "uncertain", "bad_request", token=TOKEN)


def test_a_failed_render_that_is_billed_is_spent(desk: Desk) -> None:
    run_id = desk.rendering()
    desk.fail(run_id, "rendering", "render_failed", spent=True, breaker="render")
    assert desk.row(run_id)["spent_microusd"] == desk.row(run_id)["price_microusd"]
    assert desk.books_wrong() == []


def test_one_file_is_not_saved_for_two_orders_of_different_words(desk: Desk) -> None:
    """A cache gave two users one clip at the same moment: neither had it before, so only the ledger can tell."""
    desk.unlimited()
    first, twin, other = (desk.rendering(f"tg:{n}") for n in range(3))
    desk.write("update onetake.runs set improved_prompt = 'an owl' where run_id = %s", other)
    assert desk.save(first)["state"] == "saved"
    assert desk.save(other)["state"] == "rendering"
    assert desk.call("same_clip_as", run_id=other, sha256="f") == desk.row(first)["ref"]
    assert desk.save(twin)["state"] == "saved", "equal orders may come with equal files"
    desk.write("update onetake.runs set job_source = 'person' where run_id = %s", other)
    assert desk.save(other)["state"] == "saved", "a person has said that it is this run's"


def test_prompt_of_another_ignores_blanks_and_composition(desk: Desk) -> None:
    desk.unlimited()
    one, other = desk.rendering("tg:1"), desk.rendering("tg:2")
    words = "сова в лесу — e\u0301t\u00e9"
    desk.write("update onetake.runs set improved_prompt = %s where run_id = %s", f" {words}\n", other)
    asked = {"run_id": one, "words": "сова в лесу — été"}
    assert desk.call("prompt_of_another", **asked) == desk.row(other)["ref"]
    assert desk.call("prompt_of_another", **asked | {"run_id": other}) is None
    assert desk.call("prompt_of_another", **asked | {"words": "сова в лесу"}) is None
