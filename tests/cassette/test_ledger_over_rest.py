"""The transport through Supabase's REST, replayed without Node or a database; recorded against a real PostgREST."""

import json
import os
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from pipeline.ledger.answers import Cost, NotWon, Won
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import JobSource, State
from pipeline.ledger.transports.common import LedgerForbidden, LedgerNotMigrated, LedgerRefused
from pipeline.ledger.transports.over_rest import open_transport
from steps.check_limits import Admitted, RefusalKind, Refused, Request, check_limits
from tests.cassette.conversation import TEST_KEY
from tests.cassette.scrubbing import REPLAY_URL
from tests.support.fixtures import Simulator, order_request
from tests.support.project import ANOTHERS_KEY

pytestmark = [pytest.mark.vcr, pytest.mark.simulator_only]

URL = os.environ.get("ONETAKE_RECORD_LEDGER_URL", REPLAY_URL)
KEY = os.environ.get("ONETAKE_RECORD_LEDGER_KEY", TEST_KEY)
TOKEN = "the-winners-token-0123456789"


def request(user: str, number: int) -> Request:
    """A request of this user; the same number is the same key."""
    provider = Simulator("http://provider.test/v1")
    return order_request(provider, key=f"cli:recorded-{user}-{number}", call_id=UUID(int=number), user_id=f"cli:{user}")


def the_rows_are_as_asked(vcr: Any, asked: Request) -> None:
    """Every row of `runs` that was answered, by whichever function, holds what was asked for."""
    answers = [json.loads(answer["body"]["string"]) for answer in vcr.responses]
    rows = [row for answer in answers if answer for row in (answer, answer.get("run", {})) if "request_key" in row]
    assert rows
    for row in rows:
        shape = (row["model"], row["seconds"], row["size"], row["language"], row["request_key"])
        assert shape == (asked.model, asked.seconds, asked.size, asked.language, asked.key)
        assert row["category"] == (None if row["state"] == "reserved" else "nature")


async def test_a_run_goes_from_its_reservation_to_its_file(vcr: Any) -> None:
    async with open_transport(URL, KEY, tries=1) as rpc:
        ledger = Ledger(rpc)
        admitted = await check_limits(request("ana", 1), rpc)
        assert isinstance(admitted, Admitted)
        again = await check_limits(replace(request("ana", 1), call_id=UUID(int=3)), rpc)
        assert again == Admitted(admitted.run_id, admitted.ref, "reserved", replayed=True, row={})
        other = await check_limits(request("ana", 2), rpc)
        assert isinstance(other, Refused)
        assert (other.kind, other.of_run_id) == (RefusalKind.DUPLICATE, admitted.run_id)

        run_id = admitted.run_id
        approved = await ledger.approve(
            run_id, improved_prompt="a paper boat, at dawn", title="Boat", category="nature", language="en",
            template={"validate_prompt": "a" * 64}, confirm_seconds=900, cost=Cost(900, 12))  # fmt: skip
        assert approved.state is State.APPROVED
        won = await ledger.begin_submission(run_id, TOKEN)
        assert isinstance(won, Won)
        assert (won.order.run_id, won.order.prompt) == (str(run_id), "a paper boat, at dawn")
        assert await ledger.begin_submission(run_id, TOKEN) == won, "an answer that was lost is asked for again"
        assert await ledger.begin_submission(run_id, TOKEN[::-1]) == NotWon("state")
        recorded = await ledger.record_submission(run_id, "video_1", JobSource.ANSWER, token=TOKEN, ms=5)
        assert recorded.recorded
        saved = await ledger.save(run_id, "/media/x.mp4", 9, "f" * 64, job_id="video_1", ms=7)
        assert (saved.state, saved.spent_microusd, saved.held_microusd) == (State.SAVED, 800_000, 0)
        found = await ledger.find(saved.ref.lower())
        assert found is not None
        assert replace(found, read_at=saved.read_at) == saved
        assert await ledger.load(UUID(int=0)) is None
    the_rows_are_as_asked(vcr, request("ana", 1))


async def test_a_no_of_the_ledger_is_typed_as_on_the_other_road(vcr: Any) -> None:
    async with open_transport(URL, KEY, tries=1) as rpc:
        admitted = await check_limits(request("ben", 1), rpc)
        assert isinstance(admitted, Admitted)
        with pytest.raises(LedgerRefused) as refused:
            await rpc("begin_submission", {"run_id": str(admitted.run_id), "token": "short"})
        assert refused.value.code == "LG003"
        with pytest.raises(LedgerNotMigrated, match="supabase db push"):
            await rpc("a_function_of_tomorrow", {})
    the_rows_are_as_asked(vcr, request("ben", 1))


async def test_a_key_that_is_not_the_projects_is_said_to_be_wrong(vcr: Any) -> None:
    async with open_transport(URL, ANOTHERS_KEY) as rpc:
        with pytest.raises(LedgerForbidden, match="SUPABASE_SERVICE_ROLE_KEY") as refused:
            await rpc("controls", {})
    assert ANOTHERS_KEY not in str(refused.value)
    assert [json.loads(answer["body"]["string"])["message"] for answer in vcr.responses] == ["Invalid API key"]
