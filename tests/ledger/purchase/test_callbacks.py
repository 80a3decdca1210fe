"""A callback is a hint that only its own run gets. What it names is evidence against "nothing was made"."""

from typing import Any
from uuid import uuid4

import pytest

from pipeline.ledger.transports.common import LedgerRefused
from tests.ledger.client import PRICE, STATES, TOKEN, LedgerClient


def address(token: str) -> dict[str, Any]:
    return {"callback_url": f"https://o.test/callbacks/luma/{token}"}


def call_back(client: LedgerClient, token: str, job_id: str | None = "job_1") -> Any:
    return client.call("note_callback", token=token, job_id=job_id)


@pytest.fixture
def token() -> str:
    return uuid4().hex


@pytest.mark.parametrize("state", STATES)
def test_callback_leaves_its_hint_and_moves_neither_state_nor_money(
    client: LedgerClient, token: str, state: str
) -> None:
    run_id = client.in_state(state, **address(token))
    before = client.row(run_id)
    assert call_back(client, token) == run_id
    after = client.row(run_id)
    assert after["callback_job_id"] == "job_1"
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"callback_job_id", "next_look_at"}
    assert client.books_wrong() == []


@pytest.mark.parametrize(
    ("state", "due"), [("submitting", False), ("uncertain", True), ("rendering", True), ("saved", False)]
)
def test_callback_wakes_a_run_that_waits_and_no_other(client: LedgerClient, token: str, state: str, due: bool) -> None:
    run_id = client.in_state(state, **address(token))
    client.call("wait_until", run_id=run_id, at=None)
    call_back(client, token)
    assert (client.row(run_id)["next_look_at"] is None) is due


@pytest.mark.parametrize(
    "wrong",
    ["", "0" * 32, "%", "_" * 32, "job_1", "https://o.test/callbacks/luma/"],
)
def test_token_that_no_address_ends_in_reaches_no_run(client: LedgerClient, token: str, wrong: str) -> None:
    run_id = client.uncertain(**address(token))
    before = client.row(run_id)
    for guess in (wrong, token[:-1], token[1:], f"{token}0", token.upper() + "Z"):
        assert call_back(client, guess) is None
    assert client.row(run_id) == before


def test_run_without_an_address_is_reached_by_nobody(client: LedgerClient) -> None:
    client.uncertain()
    for guess in ("", None):
        assert client.call("note_callback", token=guess, job_id="job_1") is None


def test_two_runs_cannot_share_an_address(client: LedgerClient, token: str) -> None:
    client.reserved("tg:1", **address(token))
    with pytest.raises(LedgerRefused):
        client.reserved("tg:2", **address(token))


def test_callback_without_a_job_keeps_the_one_that_is_known(client: LedgerClient, token: str) -> None:
    run_id = client.uncertain(**address(token))
    for job_id in ("job_1", None):
        call_back(client, token, job_id)
    assert client.row(run_id)["callback_job_id"] == "job_1"


def test_each_job_that_callbacks_name_is_on_the_timeline_and_a_flood_of_them_is_not(
    client: LedgerClient, token: str
) -> None:
    run_id = client.uncertain(**address(token))
    for job_id in ("job_1", "job_1", "job_2", *(f"job_{n}" for n in range(3, 40))):
        call_back(client, token, job_id)
    query = "select detail ->> 'job_id' as job from onetake.events where run_id = %s and outcome = 'called_back'"
    named = [row["job"] for row in client.rows(f"{query} order by event_id", run_id)]
    assert named == [f"job_{n}" for n in range(1, 11)]
    assert client.row(run_id)["callback_job_id"] == "job_39"


def test_callback_of_the_job_that_the_run_has_is_no_news(client: LedgerClient, token: str) -> None:
    run_id = client.rendering(job="job_1", **address(token))
    call_back(client, token)
    assert ("generate_video", "called_back") not in client.events(run_id)


# -- what it forbids


@pytest.mark.parametrize("state", ["submitting", "uncertain"])
def test_refusal_does_not_end_a_run_whose_callback_named_a_job(client: LedgerClient, token: str, state: str) -> None:
    run_id = client.in_state(state, **address(token))
    call_back(client, token)
    assert not client.fail(run_id, state, "bad_request", token=TOKEN)["moved"]
    assert client.row(run_id)["held_microusd"] == PRICE


def test_callback_that_names_the_runs_own_id_tells_nothing_against_a_refusal(client: LedgerClient, token: str) -> None:
    """Where the job's id is ours, it is known before there is a job."""
    run_id = client.submitting(**address(token))
    call_back(client, token, run_id)
    assert client.fail(run_id, "submitting", "bad_request", token=TOKEN)["moved"]


def test_looks_do_not_end_a_run_whose_callback_named_a_job(client: LedgerClient, token: str) -> None:
    run_id = client.uncertain(**address(token))
    call_back(client, token)
    assert not client.fail(run_id, "uncertain", "not_made")["moved"]
    client.write("update onetake.runs set callback_job_id = null where run_id = %s", run_id)
    assert client.fail(run_id, "uncertain", "not_made")["moved"]


# -- jobs that were adopted by their marker


@pytest.mark.parametrize(("source", "moved"), [("list", True), ("person", True), ("marker", False), ("answer", False)])
def test_refusal_overrules_a_guess_and_not_a_job_that_shows_the_runs_marker(
    client: LedgerClient, source: str, moved: bool
) -> None:
    run_id = client.rendering(job="job_1", source=source)
    assert client.fail(run_id, "rendering", "bad_request", token=TOKEN)["moved"] is moved
    assert client.row(run_id)["held_microusd"] == (0 if moved else PRICE)


def test_marker_ends_its_run_if_its_job_fails_twice(client: LedgerClient) -> None:
    run_id = client.rendering(source="marker")
    assert client.fail(run_id, "rendering", "render_failed")["moved"]


@pytest.mark.parametrize("state", ["reserved", "approved", "submitting", "rendering", "saved", "canceled"])
def test_marker_is_accepted_only_by_a_run_in_doubt_or_one_that_failed(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    before = client.row(run_id)
    assert not client.record(run_id, "job_m", "marker")["recorded"]
    assert client.row(run_id) == before


def test_marker_reopens_a_run_that_failed_after_its_request(client: LedgerClient) -> None:
    run_id = client.submitting()
    client.fail(run_id, "submitting", "bad_request", token=TOKEN)
    assert client.record(run_id, "job_m", "marker") == {"recorded": True, "state": "rendering", "late": True}
    assert (client.row(run_id)["job_source"], client.row(run_id)["held_microusd"]) == ("marker", PRICE)
    assert client.books_wrong() == []


def test_marker_takes_no_job_from_another_run(client: LedgerClient) -> None:
    client.rendering("tg:1", job="job_1", source="list")
    run_id = client.uncertain("tg:2")
    assert client.record(run_id, "job_1", "marker")["why"] == "owned"


def test_answer_beside_a_job_that_shows_the_marker_is_two_paid_calls(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_m", source="marker")
    assert client.record(run_id, "job_a")["recorded"]
    row = client.row(run_id)
    assert (row["job_id"], row["job_source"]) == ("job_a", "answer")
    [difference] = client.rows("select kind, ref, job_id from onetake.differences")
    assert difference == {"kind": "two_paid_calls", "ref": row["ref"], "job_id": "job_m"}
    assert not client.fail(run_id, "rendering", "render_failed")["moved"], "until the second one is explained"


def test_answer_that_confirms_the_marker_is_one_paid_call(client: LedgerClient) -> None:
    run_id = client.rendering(job="job_m", source="marker")
    assert client.record(run_id, "job_m")["recorded"]
    assert client.row(run_id)["job_source"] == "answer"
    assert client.rows("select * from onetake.differences") == []


def test_job_that_shows_a_runs_marker_is_given_to_no_other_run(client: LedgerClient) -> None:
    """The run's real answer names a job that another run had adopted: that one does not get the first's in exchange."""
    other = client.rendering("tg:1", job="job_a", source="list")
    run_id = client.rendering("tg:2", job="job_m", source="marker")
    assert client.record(run_id, "job_a")["recorded"]
    assert (client.state(other), client.row(other)["job_id"]) == ("uncertain", None)
    assert client.row(run_id)["job_id"] == "job_a"
    assert client.books_wrong() == []
