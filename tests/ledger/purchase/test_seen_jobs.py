"""An id in an answer may be a request's, not a job's: what the ledger concludes about a job that was never shown."""

from tests.ledger.client import LedgerClient
from tests.ledger.purchase.test_fence import ended
from tests.ledger.purchase.test_proof import clean, stored


def test_failure_counts_only_after_it_was_seen_at_the_jobs_own_url(client: LedgerClient) -> None:
    """The create answer, and "not found", may be about an id that is no job's."""
    run_id = client.rendering(job="req_9")
    proof = {"job_id": "req_9", "apart_seconds": 0.0}
    for _ in range(2):
        row = client.call("note_failing", run_id=run_id, job_id="req_9", words="it failed")
        assert row["failing_since"] is not None and row["job_seen_at"] is None
    assert not ended(client, run_id, "rendering", "render_failed", **proof)
    client.call("note_failing", run_id=run_id, job_id="req_9", words="it failed", seen=True)
    assert ended(client, run_id, "rendering", "render_failed", **proof)


def test_job_seen_before_its_reported_failure_does_not_count_as_seen_failing(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1")
    client.see(run_id)
    client.call("note_failing", run_id=run_id, job_id="job_1", words="it failed")
    assert not ended(client, run_id, "rendering", "render_failed", job_id="job_1", apart_seconds=0.0)


def test_heartbeat_that_shows_the_job_clears_its_noted_failure(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1")
    client.call("note_failing", run_id=run_id, job_id="job_1", words="it failed", seen=True)
    client.call("heartbeat", run_id=run_id, heartbeat_seconds=1.0, job_id="another")
    assert client.row(run_id)["failing_words"] == "it failed"
    client.see(run_id)
    assert (client.row(run_id)["failing_since"], client.row(run_id)["failing_words"]) == (None, None)


def test_replacing_the_job_of_a_run_clears_its_seen_time(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_1", source="list")
    client.see(run_id)
    assert client.row(run_id)["job_seen_at"] is not None
    client.record(run_id, "job_2")
    assert (client.row(run_id)["job_id"], client.row(run_id)["job_seen_at"]) == ("job_2", None)


def test_second_answer_beside_an_unseen_job_id_is_an_unexplained_job(
    client: LedgerClient,
) -> None:
    run_id = client.rendering(job="req_9")
    assert not client.record(run_id, "job_2")["recorded"]
    assert clean(client) == (False, "unexplained_job")
    [told] = client.call("open_differences")
    assert (told["kind"], told["job_id"], told["could_be_ours"]) == ("job_without_run", "job_2", True)
    assert client.fail(run_id, "rendering", "render_failed")["moved"] is False, "the other job may have its clip"
    stored(client, {"kind": "job_without_run", "job_id": "job_2", "could_be_ours": True})
    assert client.fail(run_id, "rendering", "render_failed")["moved"] is False, "an audit has found it as well"


def test_a_person_can_replace_an_unseen_job_and_a_replayed_answer_does_not_restore_it(
    client: LedgerClient,
) -> None:
    run_id = client.rendering(job="req_9")
    client.call("park", run_id=run_id, why="job_unknown", next_look_at=None)
    assert client.row(run_id)["look_says"] == "job_unknown"
    assert client.call("settle_found", run_id=run_id, job_id="job_2", who="op")["recorded"]
    assert not client.record(run_id, "req_9")["recorded"]
    row = client.row(run_id)
    assert (row["state"], row["job_id"], row["job_source"], row["look_says"]) == ("rendering", "job_2", "person", None)
    assert client.call("open_differences") == []
