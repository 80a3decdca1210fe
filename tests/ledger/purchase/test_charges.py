"""What a provider says that it charged, and how often a gateway says that it sent our request."""

from uuid import uuid4

import pytest

from pipeline.ledger.transports.common import LedgerRefused
from tests.ledger.client import PRICE, LedgerClient

NOTED = {"recorded": True, "released": False}
KNOWN = {"recorded": False, "released": False}


def charge(client: LedgerClient, run_id: str, microusd: int) -> dict[str, bool]:
    return dict(client.call("record_charge", run_id=run_id, microusd=microusd))


def pockets(client: LedgerClient, run_id: str) -> tuple[int, int, int]:
    row = client.row(run_id)
    return row["held_microusd"], row["spent_microusd"], row["released_microusd"]


def billed_failure(client: LedgerClient) -> str:
    """A failed run that was booked as spent, because its failure may be billed."""
    run_id = client.rendering()
    assert client.fail(run_id, "rendering", "prompt_refused", spent=True)["moved"]
    assert pockets(client, run_id) == (0, PRICE, 0)
    return run_id


def test_charge_stands_beside_the_price_and_moves_no_money(client: LedgerClient) -> None:
    run_id = client.saved()
    assert charge(client, run_id, 640_000) == NOTED
    assert (client.row(run_id)["charged_microusd"], pockets(client, run_id)) == (640_000, (0, PRICE, 0))
    assert client.events(run_id)[-1] == ("generate_video", "charged")
    assert client.books_wrong() == []


def test_repeated_charge_changes_nothing(client: LedgerClient) -> None:
    run_id = client.saved()
    charge(client, run_id, 640_000)
    assert charge(client, run_id, 640_000) == KNOWN
    assert client.events(run_id).count(("generate_video", "charged")) == 1


def test_failure_that_was_not_billed_gets_its_money_back_once(client: LedgerClient) -> None:
    run_id = billed_failure(client)
    assert charge(client, run_id, 0) == {"recorded": True, "released": True}
    assert pockets(client, run_id) == (0, 0, PRICE)
    assert [budget["spent"] for budget in client.budget(run_id)] == [0, 0]
    assert charge(client, run_id, 0) == KNOWN
    assert pockets(client, run_id) == (0, 0, PRICE)
    assert client.books_wrong() == []


def test_money_of_a_failure_comes_back_although_its_cost_was_known_before(client: LedgerClient) -> None:
    """The job was shown as completed, for nothing; then its clip was gone, and the price was booked."""
    run_id = client.rendering()
    assert charge(client, run_id, 0) == NOTED
    assert client.fail(run_id, "rendering", "expired", spent=True)["moved"]
    assert charge(client, run_id, 0) == {"recorded": True, "released": True}
    assert pockets(client, run_id) == (0, 0, PRICE)
    assert client.books_wrong() == []


def test_failure_that_was_billed_stays_spent(client: LedgerClient) -> None:
    run_id = billed_failure(client)
    assert charge(client, run_id, 1) == NOTED
    assert pockets(client, run_id) == (0, PRICE, 0)


@pytest.mark.parametrize("state", ["rendering", "saved", "delivered"])
def test_charge_of_nothing_gives_no_money_back_for_a_run_that_did_not_fail(client: LedgerClient, state: str) -> None:
    run_id = client.in_state(state)
    before = pockets(client, run_id)
    assert charge(client, run_id, 0) == NOTED
    assert (client.state(run_id), pockets(client, run_id)) == (state, before)


def test_charge_of_a_clip_that_is_here_gives_no_money_back(client: LedgerClient) -> None:
    run_id = billed_failure(client)
    client.write("update onetake.runs set file = '/m/a.mp4' where run_id = %s", run_id)
    assert charge(client, run_id, 0) == NOTED
    assert pockets(client, run_id) == (0, PRICE, 0)


def test_charge_belongs_to_the_job_and_goes_with_it(client: LedgerClient) -> None:
    """The run's real answer names another job than the list did."""
    run_id = client.rendering(job="guess", source="list")
    charge(client, run_id, 640_000)
    assert client.record(run_id, "real")["recorded"]
    assert client.row(run_id)["charged_microusd"] is None


def test_charge_of_an_unknown_run_is_not_recorded(client: LedgerClient) -> None:
    assert charge(client, str(uuid4()), 1) == KNOWN


@pytest.mark.parametrize("microusd", [-1, 2**63])
def test_ledger_refuses_what_is_no_charge(client: LedgerClient, microusd: int) -> None:
    with pytest.raises(LedgerRefused):
        charge(client, client.saved(), microusd)


# -- gateways


def note(client: LedgerClient, run_id: str, attempts: int) -> None:
    client.call("note_gateway", run_id=run_id, attempts=attempts, model="another/model")


def test_most_attempts_that_a_gateway_admitted_are_kept(client: LedgerClient) -> None:
    run_id = client.rendering()
    for attempts in (2, 1, 2, 3):
        note(client, run_id, attempts)
    assert client.row(run_id)["gateway_attempts"] == 3
    assert client.events(run_id).count(("generate_video", "gateway_retried")) == 2
    query = "select detail from onetake.events where run_id = %s and outcome = 'gateway_retried' order by event_id desc"
    assert client.one(query, run_id) == {"attempts": 3, "model": "another/model"}


@pytest.mark.parametrize("attempts", [0, -1])
def test_no_attempts_are_no_news(client: LedgerClient, attempts: int) -> None:
    run_id = client.rendering()
    before = client.row(run_id)
    note(client, run_id, attempts)
    assert client.row(run_id) == before
    assert ("generate_video", "gateway_retried") not in client.events(run_id)


def test_attempts_of_an_unknown_run_are_ignored(client: LedgerClient) -> None:
    assert client.call("note_gateway", run_id=str(uuid4()), attempts=2, model="") is None
