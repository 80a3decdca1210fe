"""An id that an answer names may be a request's: what the ledger believes of a job that nobody was ever shown."""

from tests.ledger.desk import Desk
from tests.ledger.test_fence import ended
from tests.ledger.test_proof import clean, stored


def test_a_failure_counts_only_once_it_was_shown_at_the_jobs_own_address(desk: Desk) -> None:
    """The create answer, and "not found", may speak of an id that is no job's."""
    run_id = desk.rendering(job="req_9")
    proof = {"job_id": "req_9", "apart_seconds": 0.0}
    for _ in range(2):
        row = desk.call("note_failing", run_id=run_id, job_id="req_9", words="it failed")
        assert row["failing_since"] is not None and row["job_seen_at"] is None
    assert not ended(desk, run_id, "rendering", "render_failed", **proof)
    desk.call("note_failing", run_id=run_id, job_id="req_9", words="it failed", seen=True)
    assert ended(desk, run_id, "rendering", "render_failed", **proof)


def test_a_job_that_was_seen_before_it_was_said_to_fail_has_not_been_seen_failing(desk: Desk) -> None:
    run_id = desk.rendering(job="job_1")
    desk.see(run_id)
    desk.call("note_failing", run_id=run_id, job_id="job_1", words="it failed")
    assert not ended(desk, run_id, "rendering", "render_failed", job_id="job_1", apart_seconds=0.0)


def test_a_look_that_shows_the_job_otherwise_takes_its_failure_back(desk: Desk) -> None:
    run_id = desk.rendering(job="job_1")
    desk.call("note_failing", run_id=run_id, job_id="job_1", words="it failed", seen=True)
    desk.call("attend", run_id=run_id, attend_seconds=1.0, job_id="another")
    assert desk.row(run_id)["failing_words"] == "it failed"
    desk.see(run_id)
    assert (desk.row(run_id)["failing_since"], desk.row(run_id)["failing_words"]) == (None, None)


def test_another_job_of_a_run_has_not_been_seen(desk: Desk) -> None:
    run_id = desk.rendering(job="job_1", source="list")
    desk.see(run_id)
    assert desk.row(run_id)["job_seen_at"] is not None
    desk.record(run_id, "job_2")
    assert (desk.row(run_id)["job_id"], desk.row(run_id)["job_seen_at"]) == ("job_2", None)


def test_a_second_answer_beside_an_id_that_was_never_seen_is_nobodys_job_and_no_second_paid_call(desk: Desk) -> None:
    run_id = desk.rendering(job="req_9")
    assert not desk.record(run_id, "job_2")["recorded"]
    assert clean(desk) == (False, "unexplained_job")
    [told] = desk.call("open_differences")
    assert (told["kind"], told["job_id"], told["could_be_ours"]) == ("job_without_run", "job_2", True)
    assert desk.fail(run_id, "rendering", "render_failed")["moved"] is False, "the other job may have its clip"
    stored(desk, {"kind": "job_without_run", "job_id": "job_2", "could_be_ours": True})
    assert desk.fail(run_id, "rendering", "render_failed")["moved"] is False, "an audit has found it as well"


def test_a_person_replaces_a_job_that_the_provider_has_never_shown_and_no_replay_brings_it_back(desk: Desk) -> None:
    run_id = desk.rendering(job="req_9")
    desk.call("park", run_id=run_id, why="job_unknown", next_look_at=None)
    assert desk.row(run_id)["look_says"] == "job_unknown"
    assert desk.call("settle_found", run_id=run_id, job_id="job_2", who="op")["recorded"]
    assert not desk.record(run_id, "req_9")["recorded"]
    row = desk.row(run_id)
    assert (row["state"], row["job_id"], row["job_source"], row["look_says"]) == ("rendering", "job_2", "person", None)
    assert desk.call("open_differences") == []
