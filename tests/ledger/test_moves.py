"""The life of a run: the moves of docs/design.md, and no others."""

import re

import psycopg
import pytest

from pipeline.ledger.transports.common import LedgerRefused
from tests.ledger.client import STATES, LedgerClient
from tests.support.fixtures import ROOT


def moves_on_the_page() -> set[tuple[str, str]]:
    """The first and the last column of the table of states in docs/design.md."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = page.partition("## The life of a run")[2].partition("\n\n**Parked**")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    return {
        (here, there)
        for first, *_, last in rows
        for here in re.findall(r"`(\w+)`", first)
        for there in re.findall(r"`(\w+)`", last)
    }


def test_table_of_moves_matches_the_design(client: LedgerClient) -> None:
    listed = {(row["from_state"], row["to_state"]) for row in client.rows("select * from onetake.moves")}
    assert listed == moves_on_the_page()


def test_every_move_has_its_reason(client: LedgerClient) -> None:
    assert not client.rows("select * from onetake.moves where length(why) < 10")


@pytest.mark.parametrize("state", STATES)
def test_a_run_makes_the_listed_moves_and_no_other(client: LedgerClient, state: str) -> None:
    """Tries every state of the database from this one, on a real row; only the trigger decides."""
    query = "select from_state as s from onetake.moves union select to_state from onetake.moves order by s"
    states = [row["s"] for row in client.rows(query)]
    assert sorted(STATES) == states
    query = "select to_state from onetake.moves where from_state = %s"
    listed = {row["to_state"] for row in client.rows(query, state)}
    run_id = client.in_state(state)
    for wanted in [*states, "bogus"]:
        if wanted == state:
            continue
        assert _may_become(client, run_id, wanted) is (wanted in listed), f"{state} -> {wanted}"


def _may_become(client: LedgerClient, run_id: str, state: str) -> bool:
    """Whether the database lets the row have this state; rolled back at once."""
    try:
        with client.calls.transaction(force_rollback=True):
            client.write("update onetake.runs set state = %s where run_id = %s", state, run_id)
    except psycopg.Error as error:
        if error.sqlstate != "LG001":
            raise
        return False
    return True


@pytest.mark.parametrize("state", [state for state in STATES if state != "reserved"])
def test_a_run_begins_as_reserved(client: LedgerClient, state: str) -> None:
    run_id = client.reserved()
    copy = """
        insert into onetake.runs select (jsonb_populate_record(r, jsonb_build_object(
            'run_id', gen_random_uuid(), 'ref', 'AAAAAA', 'request_key', 'another', 'state', %s::text))).*
        from onetake.runs r where run_id = %s
    """
    with pytest.raises(psycopg.Error) as refused:
        client.write(copy, state, run_id)
    assert refused.value.sqlstate == "LG001"


@pytest.mark.parametrize("state", STATES)
def test_fail_run_is_refused_once_saved_or_ended_and_while_submitting_without_a_token(
    client: LedgerClient, state: str
) -> None:
    """Only states with a move to `failed` can fail; for any other, the database raises or answers no."""
    run_id = client.in_state(state)
    before = client.row(run_id)
    try:
        moved = client.fail(run_id, state, "not_made", spent=True)["moved"]
    except LedgerRefused as error:
        if error.code != "LG001":
            raise
        moved = False
    assert moved is (state in {"reserved", "approved", "uncertain", "rendering"})
    if not moved:
        assert client.row(run_id) == before
    assert client.books_wrong() == []


def test_every_state_is_stamped_when_it_begins(client: LedgerClient) -> None:
    run_id = client.delivered()
    row = client.row(run_id)
    stamps = [row[f"{state}_at"] for state in ("reserved", "approved", "submitting", "rendering", "saved", "delivered")]
    assert stamps == sorted(stamps)
    assert row["state_since"] == row["delivered_at"]
    assert row["failed_at"] is row["uncertain_at"] is None


def test_a_run_is_never_shown_with_its_token(client: LedgerClient) -> None:
    run_id = client.submitting()
    shown = client.call("load_run", run_id=run_id)
    assert client.row(run_id)["token"]
    assert "token" not in shown
    assert shown["read_at"]


def test_a_run_is_found_by_id_or_key_and_by_its_ref_in_either_letter_case(client: LedgerClient) -> None:
    run_id = client.reserved(key="cli:mine")
    ref = client.row(run_id)["ref"]
    assert client.call("find_run", ref=ref.lower())["run_id"] == run_id
    assert client.call("find_run", ref=run_id.upper())["run_id"] == run_id
    assert client.call("find_key", key="cli:mine")["run_id"] == run_id
    assert client.call("find_run", ref="AAAAAA") is client.call("find_key", key="cli:other") is None
