"""News that comes after the run has moved on: it must not fail, save or hold what it no longer speaks of."""

import pytest

from tests.ledger.desk import TOKEN, Desk


def test_the_failure_of_a_job_that_is_no_longer_the_runs_does_not_fail_it(desk: Desk) -> None:
    run_id = desk.rendering(job="adopted", source="list")
    desk.record(run_id, "real", "answer")

    assert not desk.fail(run_id, "rendering", "render_failed", job_id="adopted")["moved"]
    assert desk.row(run_id)["state"] == "rendering"


def test_the_clip_of_a_job_that_is_no_longer_the_runs_is_not_saved(desk: Desk) -> None:
    run_id = desk.rendering(job="adopted", source="list")
    desk.record(run_id, "real", "answer")

    assert desk.save(run_id, "adopted")["state"] == "rendering"
    assert desk.save(run_id, "real")["state"] == "saved"


def test_a_clear_no_overrules_an_adoption_and_frees_its_job(desk: Desk) -> None:
    run_id = desk.rendering(job="somebody elses", source="list")

    assert desk.fail(run_id, "rendering", "bad_request", token=TOKEN, job_id=None)["moved"]

    row = desk.row(run_id)
    assert (row["state"], row["job_id"], row["held_microusd"]) == ("failed", None, 0)


def test_a_clear_no_does_not_overrule_a_real_answer(desk: Desk) -> None:
    run_id = desk.rendering(job="real")

    assert not desk.fail(run_id, "rendering", "bad_request", token=TOKEN, job_id=None)["moved"]


@pytest.mark.parametrize(("kind", "answer"), [("terminal", "cooldown"), ("telegram", "duplicate")])
def test_a_clip_that_a_gone_terminal_never_heard_of_does_not_hold_its_prompt_for_ever(
    desk: Desk, kind: str, answer: str
) -> None:
    desk.saved(audience={"kind": kind})
    desk.write("update onetake.leases set expires_at = clock_timestamp() - interval '1 second'")

    assert desk.ask()["kind"] == answer


def test_after_a_resume_the_breaker_counts_anew(desk: Desk) -> None:
    desk.limit("cooldown_seconds", 0)
    desk.limit("active_runs_per_user", 100)
    for number in range(3):
        desk.submitting(prompt=f"fox {number}")
    last = desk.approved(prompt="the fourth fox")
    assert desk.begin(last)["refused"] == "breaker_open"

    desk.call("set_paused", paused=False, reason=None, who="an operator")

    assert desk.begin(last)["won"]
