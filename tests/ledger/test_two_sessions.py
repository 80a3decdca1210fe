"""Two sessions, step by step: the second waits for the first to commit, and then sees what it did.

A stress test misses these. Here the first session keeps its transaction open, the test waits until the database
itself reports that the first blocks the second, and only then commits.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pipeline.ledger.transports.common import LedgerError
from tests.ledger.client import OTHER_TOKEN, PRICE, TOKEN, LedgerClient, Row, call, request

PATIENCE_SECONDS = 60.0


class Session(threading.Thread):
    """One call of the ledger in a thread, over the transport under test."""

    def __init__(self, client: LedgerClient, name: str, **args: Any) -> None:
        super().__init__(daemon=True)
        self._client, self._function, self._args = client, name, args
        self.answer: Any = None
        self.error: LedgerError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._client.call(self._function, **self._args)
        except LedgerError as error:
            self.error = error

    def heard(self) -> Any:
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive(), "still waiting"
        assert self.error is None, self.error
        return self.answer


@pytest.fixture
def first(client: LedgerClient) -> Iterator[psycopg.Connection[Row]]:
    """A session whose transaction the test begins and ends."""
    with psycopg.connect(client.dsn, row_factory=psycopg.rows.dict_row, prepare_threshold=None) as connection:
        yield connection
        connection.rollback()


def wait_until_blocked(client: LedgerClient, session: Session, by: psycopg.Connection[Row]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    query = "select count(*) from pg_locks where not granted and %s = any(pg_blocking_pids(pid))"
    while not client.one(query, by.info.backend_pid):
        assert session.is_alive(), f"it did not wait: {session.answer} {session.error}"
        assert time.monotonic() < deadline, "it never came to the lock"
        time.sleep(0.002)


def after_commit(client: LedgerClient, first: psycopg.Connection[Row], name: str, **args: Any) -> Any:
    """What the second session is answered after the first, for which it waits, has committed."""
    second = Session(client, name, **args)
    wait_until_blocked(client, second, first)
    first.commit()
    return second.heard()


# -- reserve


def test_second_of_two_concurrent_requests_for_one_prompt_is_a_duplicate(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    won = call(first, "reserve", **request("tg:1", "a red fox"))
    answer = after_commit(client, first, "reserve", **request("tg:1", "a red fox"))
    assert (answer["kind"], answer["of_run_id"]) == ("duplicate", won["run"]["run_id"])


def test_second_of_two_concurrent_requests_of_one_user_gets_busy(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    won = call(first, "reserve", **request("tg:1", "a red fox"))
    answer = after_commit(client, first, "reserve", **request("tg:1", "a grey owl"))
    assert (answer["kind"], answer["of_run_id"]) == ("busy", won["run"]["run_id"])


def test_second_of_two_concurrent_users_gets_budget_exhausted(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    client.limit("budget_day_microusd", 2 * PRICE - 1)
    call(first, "reserve", **request("tg:1", "a red fox"))
    answer = after_commit(client, first, "reserve", **request("tg:2", "a red fox"))
    assert (answer["kind"], answer["what"]) == ("budget_exhausted", "day")
    assert client.books_wrong() == []


def test_waiting_request_gets_the_budget_that_a_rollback_frees(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    client.limit("budget_day_microusd", PRICE)
    call(first, "reserve", **request("tg:1", "a red fox"))
    second = Session(client, "reserve", **request("tg:2", "a red fox"))
    wait_until_blocked(client, second, first)
    first.rollback()
    assert second.heard()["kind"] == "accepted"
    assert client.books_wrong() == []


def test_the_same_key_from_two_sessions_is_one_run(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    asked = request("tg:1", "a red fox")
    won = call(first, "reserve", **asked)
    answer = after_commit(client, first, "reserve", **asked | {"call_id": str(uuid4())})
    assert (answer["kind"], answer["replayed"]) == ("accepted", True)
    assert answer["run"]["run_id"] == won["run"]["run_id"]
    assert client.one("select count(*) from onetake.runs") == 1


def test_two_users_racing_for_one_key_get_one_run_and_one_mismatch(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    """They collide at the budget's row; the loser's hold and run are rolled back together."""
    call(first, "reserve", **request("tg:1", "a red fox", key="cli:k"))
    answer = after_commit(client, first, "reserve", **request("tg:2", "a red fox", key="cli:k"))
    assert answer["kind"] == "idempotency_mismatch"
    assert client.rows("select user_id from onetake.runs") == [{"user_id": "tg:1"}]
    assert client.books_wrong() == []
    assert client.one("select count(*) from onetake.leases") == 1


def test_same_request_waits_for_the_first_to_fail_and_is_then_accepted(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    client.limit("cooldown_seconds", 0)
    run_id = client.reserved()
    call(first, "fail_run", run_id=run_id, expected="reserved", reason="x", detail="")
    assert after_commit(client, first, "reserve", **request("tg:1", "a red fox"))["kind"] == "accepted"


def test_second_of_two_concurrent_requests_of_one_user_gets_the_cooldown(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    client.limit("active_runs_per_user", 5)
    call(first, "reserve", **request("tg:1", "a red fox"))
    assert after_commit(client, first, "reserve", **request("tg:1", "a grey owl"))["kind"] == "cooldown"


# -- the fence


def test_only_one_of_two_concurrent_tokens_wins(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    run_id = client.approved()
    assert call(first, "begin_submission", run_id=run_id, token=TOKEN)["won"]
    answer = after_commit(client, first, "begin_submission", run_id=run_id, token=OTHER_TOKEN)
    assert (answer["won"], answer["state"]) == (False, "submitting")
    assert client.row(run_id)["token"] == TOKEN


def test_second_token_wins_if_the_first_session_rolls_back(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    run_id = client.approved()
    assert call(first, "begin_submission", run_id=run_id, token=TOKEN)["won"]
    second = Session(client, "begin_submission", run_id=run_id, token=OTHER_TOKEN)
    wait_until_blocked(client, second, first)
    first.rollback()
    assert second.heard()["won"]
    assert client.row(run_id)["token"] == OTHER_TOKEN


def test_two_concurrent_runs_cannot_both_use_the_last_submission_of_the_breaker(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    client.limit("breaker_all_submissions", 1)
    one, two = client.approved("tg:1"), client.approved("tg:2")
    assert call(first, "begin_submission", run_id=one, token=TOKEN)["won"]
    answer = after_commit(client, first, "begin_submission", run_id=two, token=TOKEN)
    assert answer["refused"] == "breaker_open"


def test_two_concurrent_runs_cannot_both_probe_a_half_open_breaker(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    one, two = client.approved("tg:1"), client.approved("tg:2")
    client.write("update onetake.breakers set open_until = clock_timestamp()")
    assert call(first, "begin_submission", run_id=one, token=TOKEN)["won"]
    assert after_commit(client, first, "begin_submission", run_id=two, token=TOKEN)["refused"] == "breaker_open"


def test_a_run_canceled_in_the_meantime_is_not_submitted(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    run_id = client.approved()
    assert call(first, "cancel_run", run_id=run_id, by="tg:1")["canceled"]
    answer = after_commit(client, first, "begin_submission", run_id=run_id, token=TOKEN)
    assert (answer["won"], answer["state"]) == (False, "canceled")


def test_a_run_submitted_in_the_meantime_is_not_canceled(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    run_id = client.approved()
    call(first, "begin_submission", run_id=run_id, token=TOKEN)
    answer = after_commit(client, first, "cancel_run", run_id=run_id, by="tg:1")
    assert answer == {"canceled": False, "state": "submitting"}


def test_resume_and_submission_do_not_deadlock(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    """A submission locks its run, then the breaker; a resume needs both: all use one lock order."""
    run_id = client.approved()
    client.call("set_paused", paused=True, reason="", who="op")
    client.begin(run_id)
    first.execute("select onetake.lock_run(%s)", (run_id,))
    resume = Session(client, "set_paused", paused=False, reason=None, who="op")
    wait_until_blocked(client, resume, first)
    assert call(first, "begin_submission", run_id=run_id, token=TOKEN)["refused"] == "paused"
    first.commit()
    assert resume.heard()["paused"] is False
    assert client.begin(run_id)["won"]


# -- whose job


def test_answer_takes_a_job_that_a_list_adoption_claims_at_the_same_moment(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    """Nobody owns the job when both begin: the proof waits for the guess, then takes the job from it."""
    guesser, owner = client.uncertain("tg:1"), client.submitting("tg:2")
    assert call(first, "record_submission", run_id=guesser, job_id="job_1", source="list")["recorded"]
    args = {"run_id": owner, "job_id": "job_1", "source": "answer", "token": TOKEN}
    assert after_commit(client, first, "record_submission", **args)["recorded"]
    assert [client.state(run_id) for run_id in (guesser, owner)] == ["uncertain", "rendering"]
    assert client.row(owner)["job_id"] == "job_1"


def test_list_adoption_cannot_take_a_job_that_an_answer_claims_at_the_same_moment(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    guesser, owner = client.uncertain("tg:1"), client.submitting("tg:2")
    args = {"run_id": owner, "job_id": "job_1", "source": "answer", "token": TOKEN}
    assert call(first, "record_submission", **args)["recorded"]
    answer = after_commit(client, first, "record_submission", run_id=guesser, job_id="job_1", source="list")
    assert (answer["recorded"], answer["why"]) == (False, "owned")


def test_answer_arriving_while_its_run_is_being_failed_is_adopted_late(
    client: LedgerClient, first: psycopg.Connection[Row]
) -> None:
    run_id = client.uncertain()
    client.write("update onetake.runs set looks_complete = 5 where run_id = %s", run_id)
    call(first, "fail_run", run_id=run_id, expected="uncertain", reason="not_made", detail="")
    args = {"run_id": run_id, "job_id": "job_1", "source": "answer", "token": TOKEN}
    answer = after_commit(client, first, "record_submission", **args)
    assert (answer["recorded"], answer["late"], client.state(run_id)) == (True, True, "rendering")
    assert client.books_wrong() == []


def test_second_verdict_on_a_prompt_adds_only_its_cost(client: LedgerClient, first: psycopg.Connection[Row]) -> None:
    run_id = client.reserved()
    call(
        first,
        "reject",
        run_id=run_id,
        reasons=[],
        explanation="",
        safe_rewrite=None,
        template={},
        cost_microusd=3,
        ms=1,
    )
    answer = after_commit(
        client, first, "approve", run_id=run_id, improved_prompt="x", title="x", category="x", language="en",
        template={}, confirm_seconds=1.0, cost_microusd=4, ms=1,
    )  # fmt: skip
    assert (answer["state"], answer["title"], answer["text_microusd"]) == ("rejected", None, 7)
    assert client.books_wrong() == []
