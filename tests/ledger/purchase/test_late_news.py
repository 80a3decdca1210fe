"""Late reports: once the run has moved on, a report must not fail, save or hold what it is no longer about."""

import pytest

from tests.ledger.client import TOKEN, LedgerClient


def test_failure_of_a_replaced_job_does_not_fail_the_run(client: LedgerClient) -> None:
    run_id = client.rendering(job="adopted", source="list")
    client.record(run_id, "real", "answer")

    assert not client.fail(run_id, "rendering", "render_failed", job_id="adopted")["moved"]
    assert client.row(run_id)["state"] == "rendering"


def test_clip_of_a_replaced_job_is_not_saved(client: LedgerClient) -> None:
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
def test_saved_terminal_run_frees_its_prompt_when_the_lease_expires(
    client: LedgerClient, kind: str, answer: str
) -> None:
    client.saved(audience={"kind": kind})
    client.write("update onetake.leases set expires_at = clock_timestamp() - interval '1 second'")

    assert client.ask()["kind"] == answer


def test_resume_resets_the_count_of_the_breaker(client: LedgerClient) -> None:
    client.limit("cooldown_seconds", 0)
    client.limit("active_runs_per_user", 100)
    for number in range(3):
        client.submitting(prompt=f"fox {number}")
    last = client.approved(prompt="the fourth fox")
    assert client.begin(last)["refused"] == "breaker_open"

    client.call("set_paused", paused=False, reason=None, who="an operator")

    assert client.begin(last)["won"]
