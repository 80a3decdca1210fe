"""Late reports: once the run has moved on, a report must not fail, save or hold what it is no longer about."""

import pytest

from tests.ledger.client import TOKEN, LedgerClient


def test_the_failure_of_a_job_that_is_no_longer_the_runs_does_not_fail_it(client: LedgerClient) -> None:
    run_id = client.rendering(job="adopted", source="list")
    client.record(run_id, "real", "answer")

    assert not client.fail(run_id, "rendering", "render_failed", job_id="adopted")["moved"]
    assert client.row(run_id)["state"] == "rendering"


def test_the_clip_of_a_job_that_is_no_longer_the_runs_is_not_saved(client: LedgerClient) -> None:
    run_id = client.rendering(job="adopted", source="list")
    client.record(run_id, "real", "answer")

    assert client.save(run_id, "adopted")["state"] == "rendering"
    assert client.save(run_id, "real")["state"] == "saved"


def test_a_clear_no_overrules_an_adoption_and_frees_its_job(client: LedgerClient) -> None:
    run_id = client.rendering(job="somebody elses", source="list")

    assert client.fail(run_id, "rendering", "bad_request", token=TOKEN, job_id=None)["moved"]

    row = client.row(run_id)
    assert (row["state"], row["job_id"], row["held_microusd"]) == ("failed", None, 0)


def test_a_clear_no_does_not_overrule_a_real_answer(client: LedgerClient) -> None:
    run_id = client.rendering(job="real")

    assert not client.fail(run_id, "rendering", "bad_request", token=TOKEN, job_id=None)["moved"]


@pytest.mark.parametrize(("kind", "answer"), [("terminal", "cooldown"), ("telegram", "duplicate")])
def test_a_clip_that_a_gone_terminal_never_heard_of_does_not_hold_its_prompt_for_ever(
    client: LedgerClient, kind: str, answer: str
) -> None:
    client.saved(audience={"kind": kind})
    client.write("update onetake.leases set expires_at = clock_timestamp() - interval '1 second'")

    assert client.ask()["kind"] == answer


def test_after_a_resume_the_breaker_counts_anew(client: LedgerClient) -> None:
    client.limit("cooldown_seconds", 0)
    client.limit("active_runs_per_user", 100)
    for number in range(3):
        client.submitting(prompt=f"fox {number}")
    last = client.approved(prompt="the fourth fox")
    assert client.begin(last)["refused"] == "breaker_open"

    client.call("set_paused", paused=False, reason=None, who="an operator")

    assert client.begin(last)["won"]
